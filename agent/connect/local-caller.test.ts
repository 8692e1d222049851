import { describe, expect, test } from 'vitest';
import { admitCaller, type CallerRules } from './local-caller.ts';

const LOCAL: CallerRules = { hosts: [], remote: false, origins: [] };
const REMOTE: CallerRules = { ...LOCAL, remote: true, hosts: ['attic', 'attic.local'] };

/** Whether it is let in. */
function admits(fields: { host?: string; origin?: string; site?: string }, rules = LOCAL): boolean {
  try {
    admitCaller({ host: undefined, origin: undefined, site: undefined, ...fields }, rules);
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_ORIGIN' });
    return false;
  }
}

describe('Host, against DNS rebinding', () => {
  test.each([
    'localhost',
    'localhost:11434',
    'LOCALHOST.:8080',
    '127.0.0.1:11434',
    '127.1.2.3',
    '[::1]:11434',
    'app.localhost:1',
  ])('%s is this port', (host) => {
    expect(admits({ host })).toBe(true);
  });

  test.each([
    undefined,
    '',
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.nip.io:11434',
    '192.168.1.5:11434',
    '0.0.0.0:11434',
    'evil.example@127.0.0.1',
    '127.0.0.1/evil',
    'attic',
  ])('%s is not', (host) => {
    expect(admits(host === undefined ? {} : { host })).toBe(false);
  });

  test('where other machines may come, addresses and the names of this machine are', () => {
    for (const host of ['192.168.1.5:11434', '[fd00::5]:11434', 'attic:11434', 'attic.local']) {
      expect([host, admits({ host }, REMOTE)]).toEqual([host, true]);
    }
    expect(admits({ host: 'evil.example' }, REMOTE)).toBe(false);
  });
});

describe('Origin, against pages of the web', () => {
  const host = 'localhost:11434';

  test.each([
    undefined,
    'http://localhost:3000',
    'https://127.0.0.1',
    'http://[::1]:5173',
    'http://app.localhost',
    'app://obsidian.md',
    'vscode-webview://abc',
    'tauri://localhost',
  ])('%s may', (origin) => {
    expect(admits({ host, ...(origin !== undefined && { origin }) })).toBe(true);
  });

  test.each([
    'null',
    '',
    'https://evil.example',
    'https://localhost.evil.example',
    'http://192.168.1.5',
    'chrome-extension://abc',
    'https://localhost@evil.example',
  ])('%s may not', (origin) => {
    expect(admits({ host, origin })).toBe(false);
  });

  test('what a browser loads for a page without an Origin, as an image, is known by Sec-Fetch-Site', () => {
    expect(admits({ host, site: 'cross-site' })).toBe(false);
    expect(admits({ host, site: 'cross-site' }, { ...LOCAL, origins: ['*'] })).toBe(true);
    for (const site of ['none', 'same-origin', 'same-site']) expect(admits({ host, site })).toBe(true);
  });

  test('those that were allowed may, and the browser is told which', () => {
    const rules = { ...LOCAL, origins: ['https://app.example'] };
    const fields = { host, origin: 'https://app.example', site: 'cross-site' };
    expect(admitCaller(fields, rules)).toBe('https://app.example');
    expect(admits({ host, origin: 'https://other.example' }, rules)).toBe(false);
    expect(admits({ host, origin: 'https://any.example' }, { ...LOCAL, origins: ['*'] })).toBe(true);
    // The name still has to be ours.
    expect(admits({ host: 'evil.example', origin: 'https://app.example' }, rules)).toBe(false);
  });
});
