/** `direct-agent service` with a systemd that really runs, that of a user; of the system only the unit is checked (render.test.ts). */
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { FakeEdge } from '../agent/commands/test-fake-edge.ts';
import type { ServiceStatus } from '../agent/service/manager.ts';
import { systemdUnit } from '../agent/service/systemd-unit.ts';
import { forNode } from '../scripts/bundle.ts';
import { NOBODY, UserSystemd } from './user-systemd.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });
const patience = { timeout: 40_000, interval: 500 };

/** What units, shells and XML read as their own. Node loads no module from a path with a backslash. */
const NASTY = 'a b%h $HOME $x "q" it\'s ü & <c>;';
const missing = UserSystemd.missing();
if (missing !== false) process.stderr.write(`No test of services with systemd: ${missing}.\n`);

const home = mkdtempSync(join(tmpdir(), 'da-service-'));
const place = join(home, NASTY);
const main = join(place, 'main.mjs');
let systemd: UserSystemd;

beforeAll(async () => {
  if (missing !== false) return;
  mkdirSync(place);
  // In one file, which another user can read, wherever this repository is.
  await build({
    entryPoints: ['agent/main.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: main,
    external: ['#client'],
    define: { DIRECT_AGENT_VERSION: '"0.0.0"' },
    banner: forNode.banner ?? {},
    logLevel: 'error',
  });
  for (const path of [home, place, main]) chownSync(path, NOBODY, NOBODY);
  systemd = await UserSystemd.boot(home);
});
afterAll(async () => {
  await systemd?.end();
  rmSync(home, { recursive: true });
});

test.skipIf(missing !== false)('what runs there reaches nothing of this machine but its own folder', async () => {
  const canary = join(mkdtempSync(join(tmpdir(), 'da-canary-')), 'canary');
  writeFileSync(canary, '');
  expect((await systemd.run(['ls', '/tmp'])).stdout.trim()).toBe(home.replace('/tmp/', ''));
  expect((await systemd.run(['test', '-e', canary])).code).toBe(1);
  const { stdout } = await systemd.run(['cat', '/proc/self/status']);
  expect(stdout).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
  expect(stdout).toMatch(/^CapBnd:\t0+$/m);
  expect(existsSync(canary)).toBe(true);
  const { stdout: units } = await systemd.run(['systemctl', '--user', 'show', '*', '--property=FragmentPath']);
  const files = [...units.matchAll(/^FragmentPath=(.+)$/gm)].map(([, path = '']) => path);
  expect(files).toContain(join(home, 'targets/default.target'));
  expect(files.filter((path) => !path.startsWith(home))).toEqual([]);
  rmSync(join(canary, '..'), { recursive: true });
});

test.skipIf(missing !== false)('it runs, is started again, stays down when it shall, and goes', async () => {
  const edge = (await FakeEdge.start()).allowLogin();
  const folder = join(place, 'back\\slash');
  const env = { HOME: home, DIRECT_AGENT_LOG_LEVEL: 'debug' };
  const agent = (...args: string[]) => systemd.run([process.execPath, main, ...args, '--folder', folder], env);
  const service = (...args: string[]) => agent('service', ...args);
  const status = async () => JSON.parse((await service('status', '--json')).stdout) as ServiceStatus & { file: string };

  expect((await service('install')).stderr).toContain('direct-agent login <edge>');
  const login = await agent('login', edge.url, '--no-serve');
  expect([login.code, login.stderr]).toEqual([0, expect.any(String)]);
  expect((await agent('config', 'set', 'upstream', 'http://127.0.0.1:2')).code).toBe(0);
  expect((await agent('config', 'set', 'port_mapping', 'no')).code).toBe(0);
  const installed = await service('install');
  expect([installed.code, installed.stderr]).toEqual([0, expect.stringContaining('It runs (process ')]);
  expect(installed.stderr).toContain('DIRECT_AGENT_LOG_LEVEL is set here, and not for the service.');
  // No logind runs there.
  expect(installed.stderr).toContain('As root, run: loginctl enable-linger nobody');
  await expect.poll(() => edge.agents.length, patience).toBe(1);

  const first = await status();
  expect(first).toMatchObject({ installed: true, running: true, restarts: 0, last_exit: null });
  expect(first.since).toBeGreaterThan(Date.now() - 180_000);
  const { stdout: words } = await systemd.run(['cat', `/proc/${first.pid}/cmdline`]);
  expect(words.split('\0').slice(0, -1)).toEqual([process.execPath, main, 'up', '--folder', folder]);

  // A crash.
  expect((await systemd.run(['kill', '-9', String(first.pid)])).code).toBe(0);
  await expect.poll(() => edge.agents.length, patience).toBe(2);
  expect(await status()).toMatchObject({ running: true, restarts: 1 });
  expect((await service('restart')).code).toBe(0);
  await expect.poll(() => edge.agents.length, patience).toBe(3);

  // Another agent takes over: this one must not take the place back.
  edge.on('UPGRADE', 'E_REPLACED');
  edge.agents.at(-1)?.close(4409);
  await expect.poll(status, patience).toMatchObject({ running: false, last_exit: { code: 69 } });
  const shown = await service('status');
  expect([shown.code, shown.stdout]).toEqual([75, expect.stringContaining('another agent took over')]);
  // Not “activating”, as while a restart is ahead.
  expect((await systemd.run(['systemctl', '--user', 'is-active', 'direct-agent'])).stdout).toBe('failed\n');

  const gone = await service('uninstall');
  expect([gone.code, gone.stderr]).toEqual([0, expect.stringContaining('is stopped')]);
  expect(await status()).toMatchObject({ installed: false, running: false });
  expect([existsSync(first.file), existsSync(join(folder, 'credentials.json'))]).toEqual([false, true]);
  expect((await service('uninstall')).stderr).toContain('nothing to do');
  expect((await service('restart')).code).toBe(64);
});

/** Says what it was given and what it may do, and ends in a way that is final. */
const PROBE = `
import { readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
const [privileges] = /NoNewPrivs:\\t\\d/.exec(readFileSync('/proc/self/status', 'utf8'));
const seen = { argv: process.argv.slice(1), privileges, interfaces: Object.keys(networkInterfaces()) };
writeFileSync(process.argv.at(-1) + '/seen.json', JSON.stringify(seen));
process.exit(78);
`;

test.skipIf(missing !== false).each(['node $HOME %h', 'node "q" it\'s \\'])(
  'names arrive as they are, and hardening leaves what the agent needs: %s',
  async (name) => {
    const folder = join(place, `probe \\x ${name.length}`);
    const program = { node: join(home, name), main: join(place, 'probe.mjs'), folder, config: join(place, '50%.yaml') };
    symlinkSync(process.execPath, program.node);
    mkdirSync(folder);
    writeFileSync(program.main, PROBE);
    chownSync(folder, NOBODY, NOBODY);
    const unit = `probe-${name.length}`;
    const units = join(home, '.config/systemd/user');
    mkdirSync(units, { recursive: true });
    writeFileSync(join(units, `${unit}.service`), systemdUnit(program, { kind: 'user' }));
    const systemctl = (...args: string[]) => systemd.run(['systemctl', '--user', ...args]);
    await systemctl('daemon-reload');
    expect(await systemctl('start', unit)).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(async () => (await systemctl('is-active', unit)).stdout, patience).toBe('failed\n');
    expect(JSON.parse(readFileSync(join(folder, 'seen.json'), 'utf8'))).toMatchObject({
      argv: [program.main, 'up', '--config', program.config, '--folder', folder],
      privileges: 'NoNewPrivs:\t1',
      interfaces: expect.arrayContaining(['lo']),
    });
  },
);
