import { generateKeyPairSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Devices, listDevices } from '../devices.ts';
import { cancelPairing, createPairing } from '../pairing.ts';
import { listPaired, removePaired } from './device.ts';
import { pair } from './pair.ts';
import { FakeProcess, TOKEN } from './test-fake-edge.ts';

const EDGE = 'https://edge.example';

/** A process that is logged in. */
function loggedIn(yaml = ''): FakeProcess {
  const shell = new FakeProcess();
  const credentials = { edge: EDGE, host_id: 'attic', host_name: 'Attic', token: TOKEN };
  writeFileSync(join(shell.folder, 'credentials.json'), JSON.stringify(credentials), { mode: 0o600 });
  writeFileSync(join(shell.folder, 'config.yaml'), yaml);
  return shell;
}

/** What a running agent does with the file when a device has proved itself. */
async function add({ folder, time }: FakeProcess, name: string): Promise<void> {
  const devices = new Devices({ folder, now: () => time, log: () => {}, removed: () => {}, changed: () => {} });
  const { x = '' } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  await devices.add(x, name);
  devices.close();
}

function secretOf(shell: FakeProcess): string {
  return /&pair=([\w-]{43})$/.exec(shell.stdout[0] ?? '')?.[1] ?? 'none';
}

describe('pair', () => {
  test('prints the link alone on stdout, waits for the device, and names it', async () => {
    const shell = loggedIn('access: paired');
    shell.slept = () => {
      if (shell.sleeps.length !== 3) return;
      // The agent voids the link first.
      void cancelPairing(shell.folder, secretOf(shell)).then(() => add(shell, 'Firefox on Android'));
    };
    const steady = { ...shell.context, sleep: pausing(shell) };
    expect(await shell.run(pair(steady, { name: 'My phone' }))).toEqual([0]);
    expect(shell.stdout).toEqual([
      expect.stringMatching(/^https:\/\/edge\.example\/_direct\/chat#host=attic&key=[\w-]{43}&pair=/),
    ]);
    const said = shell.stderr.join('\n');
    expect(said).toContain('valid for 10 minutes, once');
    expect(said).toContain('Paired “My phone”');
    expect(said).not.toContain('does not insist');
    for (const secret of [secretOf(shell), TOKEN]) expect(said).not.toContain(secret);
    expect(await listDevices(shell.folder)).toMatchObject([{ name: 'My phone' }]);
  });

  test('says how to insist on paired devices where the host does not', async () => {
    const shell = loggedIn();
    expect(await shell.run(pair(shell.context, { wait: false }))).toEqual([0]);
    expect(shell.printed).toContain('“access: paired”');
    expect(shell.printed).toContain(join(shell.folder, 'config.yaml'));
    expect([shell.sleeps, existsSync(join(shell.folder, 'pairing.json'))]).toEqual([[], true]);
    expect(await shell.run(pair(shell.context, { wait: false, name: 'x' }))).toEqual([64, expect.any(String)]);
  });

  test('voids the link with Ctrl+C', async () => {
    const shell = loggedIn();
    shell.slept = () => shell.interrupt.abort();
    expect(await shell.run(pair(shell.context, {}))).toEqual([130, 'The link is void; no device was paired.']);
    expect(existsSync(join(shell.folder, 'pairing.json'))).toBe(false);
  });

  test('voids the link when its time is over', async () => {
    const shell = loggedIn();
    expect(await shell.run(pair(shell.context, {}))).toEqual([75, expect.stringContaining('has expired')]);
    expect([shell.sleeps.length, existsSync(join(shell.folder, 'pairing.json'))]).toEqual([600, false]);
  });

  test('ends when another link was made, and leaves that one', async () => {
    const shell = loggedIn();
    shell.slept = () => {
      if (shell.sleeps.length === 1) void createPairing(shell.folder, shell.time);
    };
    const steady = { ...shell.context, sleep: pausing(shell) };
    expect(await shell.run(pair(steady, {}))).toEqual([75, expect.stringContaining('another one was made')]);
    expect(existsSync(join(shell.folder, 'pairing.json'))).toBe(true);
  });
});

/** A sleep that leaves real time for what happens during it. */
function pausing(shell: FakeProcess) {
  return async (ms: number, signal: AbortSignal): Promise<void> => {
    await shell.context.sleep(ms, signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
}

describe('device', () => {
  test('list and remove', async () => {
    const shell = loggedIn();
    await listPaired(shell.context, {});
    expect(shell.stderr).toEqual(['No device is paired with this host. Pair one with: direct-agent pair']);
    await add(shell, 'Phone');
    await add(shell, 'Laptop');
    const [phone] = await listDevices(shell.folder);
    await listPaired(shell.context, {});
    expect(shell.stdout.map((line) => line.replace(/^[\w-]{16}/, 'id'))).toEqual([
      'ID                PAIRED      LAST USED   NAME',
      'id  2026-11-21  2026-11-21  Phone',
      'id  2026-11-21  2026-11-21  Laptop',
    ]);
    expect(await shell.run(removePaired(shell.context, 'Laptop', {}))).toEqual([0]);
    expect(await shell.run(removePaired(shell.context, 'Laptop', {}))).toEqual([
      64,
      expect.stringContaining('“Laptop”'),
    ]);
    await listPaired(shell.context, { json: true });
    const time = shell.time;
    expect(JSON.parse(shell.stdout.at(-1) ?? '')).toEqual({
      devices: [{ id: phone?.id, name: 'Phone', paired_at: time, last_used_at: time }],
    });
  });

  test('says which file is damaged', async () => {
    const shell = loggedIn();
    writeFileSync(join(shell.folder, 'devices.json'), '{');
    const [code, message] = await shell.run(listPaired(shell.context, {}));
    expect([code, message]).toEqual([78, expect.stringContaining(join(shell.folder, 'devices.json'))]);
  });
});
