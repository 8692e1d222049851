import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError } from '../config-error.ts';
import { configPath, getConfig, setConfig, unsetConfig } from './config.ts';
import type { Flags } from './context.ts';
import { FakeProcess } from './test-fake-edge.ts';

/** What somebody gives on stdin. */
async function* stdin(text = ''): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

function rig(text?: string) {
  const shell = new FakeProcess();
  const path = join(shell.folder, 'config.yaml');
  if (text !== undefined) writeFileSync(path, text, { mode: 0o600 });
  return {
    shell,
    path,
    text: () => readFileSync(path, 'utf8'),
    set: (key: string, words: string[], input = '', flags: Flags = {}) =>
      shell.run(setConfig(shell.context, key, words, flags, stdin(input))),
    unset: (key: string) => shell.run(unsetConfig(shell.context, key, {})),
    get: (key?: string, flags: Flags = {}) => shell.run(getConfig(shell.context, key, flags)),
  };
}

async function problemsOf(work: Promise<unknown>): Promise<readonly string[]> {
  const error = await work.catch((error: unknown) => error);
  return error instanceof ConfigError ? error.problems : [];
}

test('path is the file that is read, whether it is there or not', async () => {
  const { shell, path } = rig();
  await configPath(shell.context, {});
  await configPath(shell.context, { config: '/else/where.yaml' });
  expect(shell.stdout).toEqual([path, '/else/where.yaml']);
});

test('set makes the file, for its user alone, and its folder', async () => {
  const { shell } = rig();
  const config = join(shell.folder, 'new', 'config.yaml');
  expect(await shell.run(setConfig(shell.context, 'max-conns', ['20'], { config }, stdin()))).toEqual([0]);
  expect(readFileSync(config, 'utf8')).toBe('max_conns: 20\n');
  expect([statSync(config).mode & 0o777, statSync(join(shell.folder, 'new')).mode & 0o777]).toEqual([0o600, 0o700]);
  expect(readdirSync(join(shell.folder, 'new'))).toEqual(['config.yaml']);
});

test('a mistake writes nothing, and says what the start would say', async () => {
  const text = '# mine\nmax_conns: 20\n';
  const { path, set, text: now } = rig(text);
  expect(await problemsOf(set('max_conns', ['lots']))).toEqual([
    `max_conns (${path}:2): "lots" is no whole number. Write a whole number from 1 to 1000.`,
  ]);
  expect(await problemsOf(set('signaling_url', ['http://edge.example/_direct/h/x']))).toHaveLength(1);
  // Settings that contradict each other.
  expect(await set('relay_only', ['yes'])).toEqual([0]);
  expect(await problemsOf(set('nat_1to1', ['203.0.113.7']))).toHaveLength(1);
  expect(now()).toBe(`${text}relay_only: yes\n`);
});

test('of several mistakes in the file one can be corrected after the other', async () => {
  const { shell, set, text } = rig('max_conns: lots\nport_maping: no\naccess: pared\n');
  expect(await set('max_conns', ['5'])).toEqual([0]);
  expect(text()).toContain('max_conns: 5\n');
  expect(shell.stderr.filter((line) => line.startsWith('Still to be corrected: '))).toHaveLength(2);
  expect(await problemsOf(set('access', ['nobody']))).toHaveLength(1);
});

test('a file that is no YAML stays as it is', async () => {
  const { set, unset, text } = rig('max_conns: [\n');
  expect(await problemsOf(set('max_conns', ['5']))).toEqual([expect.stringContaining('not valid YAML')]);
  expect(await problemsOf(unset('max_conns'))).toEqual([expect.stringContaining('not valid YAML')]);
  expect(text()).toBe('max_conns: [\n');
});

test('an unknown key, no value, and a file that cannot be written have a message', async () => {
  const { shell, set } = rig();
  expect(await set('max_con', ['5'])).toEqual([64, 'max_con (command line) is no known key. Did you mean max_conns?']);
  expect(await set('max_conns', [])).toEqual([64, expect.stringContaining('config unset max_conns')]);
  writeFileSync(join(shell.folder, 'file'), '');
  const config = join(shell.folder, 'file', 'config.yaml');
  expect(await set('max_conns', ['5'], '', { config })).toEqual([78, expect.stringContaining(config)]);
});

test('secrets come from stdin, are never on the command line, and are shown only when asked for', async () => {
  const { shell, set, get, text } = rig();
  expect(await set('token', ['hunter2'])).toEqual([64, expect.not.stringContaining('hunter2')]);
  expect(await set('token', [], 'hunter2\n')).toEqual([0]);
  expect(await set('upstream_headers', [], 'Authorization: Bearer hunter3\n')).toEqual([0]);
  expect(text()).toBe('token: hunter2\nupstream_headers:\n  Authorization: Bearer hunter3\n');
  expect(await set('token', [], 'x'.repeat(70_000))).toEqual([64, 'What stdin holds is too long for a value.']);
  for (const flags of [{}, { json: true }]) {
    await get(undefined, flags);
    await get('token', flags);
    await get('upstream-headers', flags);
  }
  expect(shell.printed).not.toMatch(/hunter/);
  shell.stdout.length = 0;
  await get('token', { showSecrets: true });
  expect(shell.stdout).toEqual(['hunter2']);
});

test('get says what counts and why: file and line, environment, default', async () => {
  const { shell, path, get } = rig('# mine\nmax_conns: 20\nupstream: [http://a.example, http://b.example]\n');
  shell.context.env = { ...shell.context.env, DIRECT_AGENT_MAX_CONNS: '30' };
  await get('max_conns');
  await get('upstream');
  await get('token_file');
  expect(shell.stdout).toEqual(['30', 'http://a.example', 'http://b.example']);
  expect(shell.stderr).toEqual(['max_conns: DIRECT_AGENT_MAX_CONNS', `upstream: ${path}:3`, 'token_file: not set']);
  shell.stdout.length = 0;
  await get('tunnel', { json: true });
  expect(JSON.parse(shell.stdout[0] ?? '')).toEqual({ tunnel: { value: true, origin: 'default' } });
  await get();
  expect(shell.stdout.find((line) => line.startsWith('max_conns '))).toMatch(/^max_conns +30 +DIRECT_AGENT_MAX_CONNS$/);
});

test('a default is shown as somebody would write it', async () => {
  const { shell, get } = rig();
  await get();
  expect(shell.printed).not.toMatch(/[{}]/);
});

test('a link to a file that is not there yet stays a link', async () => {
  const { path, set, shell } = rig();
  mkdirSync(join(shell.folder, 'dotfiles'));
  symlinkSync('dotfiles/agent.yaml', path);
  expect(await set('max_conns', ['4'])).toEqual([0]);
  expect(readlinkSync(path)).toBe('dotfiles/agent.yaml');
  expect(readFileSync(join(shell.folder, 'dotfiles/agent.yaml'), 'utf8')).toBe('max_conns: 4\n');
});

test('get knows the login, and does not show its credential', async () => {
  const { shell, get } = rig();
  const login = { edge: 'https://edge.example', host_id: 'attic', host_name: 'Attic', token: 'dah_secret' };
  writeFileSync(join(shell.folder, 'credentials.json'), JSON.stringify(login), { mode: 0o600 });
  await get('signaling_url', { json: true });
  expect(JSON.parse(shell.stdout[0] ?? '')).toEqual({
    signaling_url: { value: 'https://edge.example/_direct/h/attic', origin: 'login' },
  });
  await get();
  expect(shell.printed).not.toContain('dah_secret');
});

test('set and unset say when the environment goes before the file', async () => {
  const { shell, set, unset, text } = rig('max_conns: 20\n');
  shell.context.env = { ...shell.context.env, DIRECT_AGENT_MAX_CONNS: '30' };
  await set('max_conns', ['5']);
  expect(shell.stderr.at(-1)).toContain('DIRECT_AGENT_MAX_CONNS is set, which goes before the file');
  expect(await unset('max_conns')).toEqual([0]);
  expect(text()).toBe('');
  await unset('tunnel');
  expect(shell.stderr.at(-1)).toContain('tunnel is not set in');
});

test('what a link leads to is changed, with the permissions that it has', async () => {
  const { shell, path, set } = rig();
  const real = join(shell.folder, 'dotfiles', 'agent.yaml');
  mkdirSync(join(shell.folder, 'dotfiles'));
  writeFileSync(real, 'tunnel: no\n', { mode: 0o640 });
  symlinkSync(real, path);
  expect(await set('tunnel', ['yes'])).toEqual([0]);
  expect([readlinkSync(path), readFileSync(real, 'utf8'), statSync(real).mode & 0o777]).toEqual([
    real,
    'tunnel: yes\n',
    0o640,
  ]);
});
