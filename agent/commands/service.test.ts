/** The commands of services on machines that are not this one; with systemd itself they are tested in test/. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError } from '../config-error.ts';
import { type Ended, type Machine, thisMachine } from '../service/machine.ts';
import { writeState } from '../service/service-state.ts';
import { parseShow } from '../service/systemd.ts';
import { installService, restartService, serviceLogs, serviceStatus, uninstallService } from './service.ts';
import { FakeProcess } from './test-fake-edge.ts';

const RUNNING = `LoadState=loaded
ActiveState=active
MainPID=4711
ActiveEnterTimestamp=Fri 2026-11-20 18:12:54 UTC
NRestarts=2
ExecMainCode=0
ExecMainStatus=0
ExecMainExitTimestamp=
`;
const REFUSED = `LoadState=loaded
ActiveState=failed
MainPID=0
ActiveEnterTimestamp=Fri 2026-11-20 18:12:54 UTC
NRestarts=0
ExecMainCode=1
ExecMainStatus=69
ExecMainExitTimestamp=Fri 2026-11-20 19:00:00 UTC
`;
const ABSENT = 'LoadState=not-found\nActiveState=inactive\nMainPID=0\n';

/** A shell that is logged in, on a machine where commands answer as told; code 0 otherwise. */
function rig(platform: NodeJS.Platform, answers: Readonly<Record<string, Partial<Ended>>> = {}) {
  const shell = new FakeProcess();
  const login = { edge: 'https://edge.example', host_id: 'attic', host_name: 'Attic', token: 'dah_secret' };
  writeFileSync(join(shell.folder, 'credentials.json'), JSON.stringify(login), { mode: 0o600 });
  const home = join(shell.folder, 'home');
  mkdirSync(home);
  const ran: string[] = [];
  const shown: (readonly string[])[] = [];
  const machine: Machine = {
    platform,
    home,
    uid: platform === 'win32' ? undefined : 1000,
    userName: 'anna',
    node: '/usr/bin/node',
    main: '/usr/lib/node_modules/direct-agent/main.js',
    uptimeMs: () => 86_400_000,
    exists: (path) => path === '/run/systemd/system' || existsSync(path),
    ownerOf: () => ({ uid: 1000, gid: 1000 }),
    isAlive: (pid) => pid === 4711,
    run: async (argv) => {
      ran.push(argv.join(' '));
      const [, answer = {}] = Object.entries(answers).find(([start]) => argv.join(' ').startsWith(start)) ?? [];
      return { code: 0, stdout: '', stderr: '', ...answer };
    },
    show: async (argv) => {
      shown.push(argv);
      return 0;
    },
  };
  return { shell, machine, ran, shown, home };
}

const show = 'systemctl --user show';

test('a service of the system whose folder is gone has a status, and can be taken away', async () => {
  const { shell, machine } = rig('linux', { 'systemctl show': { stdout: ABSENT } });
  const root = { ...machine, uid: 0, ownerOf: thisMachine().ownerOf };
  const flags = { system: true, folder: join(shell.folder, 'gone') };
  expect(await shell.run(serviceStatus(shell.context, flags, root))).toEqual([75]);
  expect(await shell.run(uninstallService(shell.context, flags, root))).toEqual([0]);
});

test('install makes the folder, where the login is not in it', async () => {
  const { shell, machine } = rig('linux', { [show]: { stdout: RUNNING } });
  const config = join(shell.folder, 'agent.yaml');
  const token = 'a token of more than twenty characters'.replaceAll(' ', '-');
  writeFileSync(config, `signaling_url: https://edge.example/_direct/h/attic\ntoken: ${token}\n`, { mode: 0o600 });
  const folder = join(shell.folder, 'not there yet');
  expect(await shell.run(installService(shell.context, { config, folder }, machine))).toEqual([0]);
  expect(existsSync(folder)).toBe(true);
});

test('systemd: install writes the unit, starts it, and says that it runs; what it writes holds no secret', async () => {
  const { shell, machine, ran, home } = rig('linux', { [show]: { stdout: RUNNING } });
  expect(await shell.run(installService(shell.context, {}, machine))).toEqual([0]);
  const unit = readFileSync(join(home, '.config/systemd/user/direct-agent.service'), 'utf8');
  expect(unit).toContain(`"${machine.main}" "up" "--folder" "${shell.folder}"\n`);
  expect(unit + shell.printed).not.toContain('dah_secret');
  expect(ran).toEqual([
    'systemctl --user daemon-reload',
    'systemctl --user enable direct-agent.service',
    'systemctl --user restart direct-agent.service',
    'loginctl enable-linger anna',
    expect.stringMatching(/^systemctl --user show direct-agent.service --property=/),
  ]);
  expect(shell.stderr).toContainEqual(`It runs (process 4711) with the files in ${shell.folder}.`);
  expect(shell.stderr.join()).not.toContain('As root');
});

test('systemd: without the right to linger it says what that means, and goes on', async () => {
  const { shell, machine } = rig('linux', { [show]: { stdout: RUNNING }, loginctl: { code: 1, stderr: 'denied' } });
  expect(await shell.run(installService(shell.context, {}, machine))).toEqual([0]);
  expect(shell.printed).toContain('only while you are logged in here. As root, run: loginctl enable-linger anna');
});

test('systemd: a command that fails is told as it is typed; an agent that ends at once, with why', async () => {
  const failing = rig('linux', { 'systemctl --user enable': { code: 1, stderr: 'Failed to connect to bus\n' } });
  const [code, message] = await failing.shell.run(installService(failing.shell.context, {}, failing.machine));
  expect([code, message]).toEqual([
    75,
    'This failed: systemctl --user enable direct-agent.service (Failed to connect to bus)',
  ]);
  const ending = rig('linux', { [show]: { stdout: REFUSED } });
  const [, why] = await ending.shell.run(installService(ending.shell.context, {}, ending.machine));
  expect(why).toContain('2026-11-20 19:00:00 UTC, with code 69: the edge refused for good');
});

test('--dry-run prints file and commands, and does nothing', async () => {
  const { shell, machine, ran, home } = rig('linux');
  expect(await shell.run(installService(shell.context, { dryRun: true }, machine))).toEqual([0]);
  expect([ran, existsSync(join(home, '.config'))]).toEqual([[], false]);
  expect(shell.stdout[0]).toContain('\nExecStart=');
  expect(shell.stdout.slice(1)).toContain('systemctl --user restart direct-agent.service');
  expect(shell.stderr[0]).toContain(join(home, '.config/systemd/user/direct-agent.service'));
});

test('what is named by variables is named in the unit; other variables are told, and do not count', async () => {
  const { shell, machine } = rig('linux');
  const config = join(shell.folder, 'other.yaml');
  writeFileSync(config, 'tunnel: no\n');
  shell.context.env = { ...shell.context.env, DIRECT_AGENT_CONFIG: config, DIRECT_AGENT_MAX_CONNS: 'lots' };
  expect(await shell.run(installService(shell.context, { dryRun: true }, machine))).toEqual([0]);
  expect(shell.stdout[0]).toContain(`"--config" "${config}" "--folder" "${shell.folder}"`);
  expect(shell.stderr[0]).toContain('DIRECT_AGENT_MAX_CONNS is set here, and not for the service.');
});

test('no service is made of what cannot run: without a login, from a cache, without systemd, without root', async () => {
  const { shell, machine } = rig('linux');
  const folder = join(shell.folder, 'empty');
  await expect(installService(shell.context, { folder }, machine)).rejects.toThrow(ConfigError);
  const cached = { ...machine, main: '/home/a/.npm/_npx/1/node_modules/direct-agent/main.js' };
  expect(await shell.run(installService(shell.context, {}, cached))).toEqual([
    64,
    expect.stringContaining('Run: npm install --global direct-agent && direct-agent service install'),
  ]);
  const container = { ...machine, exists: () => false };
  expect(await shell.run(installService(shell.context, {}, container))).toEqual([
    64,
    expect.stringContaining('docker run --restart unless-stopped'),
  ]);
  expect(await shell.run(installService(shell.context, { system: true }, machine))).toEqual([
    64,
    expect.stringContaining('takes root'),
  ]);
  const solaris: Machine = { ...machine, platform: 'sunos' };
  expect((await shell.run(installService(shell.context, {}, solaris)))[0]).toBe(64);
});

test('with sudo it says whose files it looked at', async () => {
  const { shell, machine } = rig('linux');
  const empty = join(shell.folder, 'empty');
  shell.context.env = { DIRECT_AGENT_FOLDER: empty, SUDO_USER: 'anna' };
  const error = await installService(shell.context, { system: true }, { ...machine, uid: 0 }).catch((error) => error);
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.message).toContain(`These are the files of root, in ${empty}. For those of anna, add --folder`);
});

test('status: what runs, what does not and why, and what is no service', async () => {
  const running = rig('linux', { [show]: { stdout: RUNNING } });
  expect(await running.shell.run(serviceStatus(running.shell.context, {}, running.machine))).toEqual([0]);
  expect(running.shell.stdout.slice(0, 2)).toEqual([
    'Service:    runs, process 4711, since 2026-11-20 18:12:54 UTC',
    'Restarts:   2',
  ]);
  const refused = rig('linux', { [show]: { stdout: REFUSED } });
  expect(await refused.shell.run(serviceStatus(refused.shell.context, { json: true }, refused.machine))).toEqual([75]);
  expect(JSON.parse(refused.shell.stdout[0] ?? '')).toEqual({
    manager: 'systemd',
    file: expect.stringMatching(/direct-agent\.service$/),
    installed: true,
    running: false,
    pid: null,
    since: null,
    restarts: 0,
    last_exit: {
      code: 69,
      signal: null,
      at: Date.parse('2026-11-20T19:00:00Z'),
      meaning: expect.stringContaining('the edge refused for good'),
    },
  });
  const absent = rig('linux', { [show]: { stdout: ABSENT } });
  expect(await absent.shell.run(serviceStatus(absent.shell.context, {}, absent.machine))).toEqual([75]);
  expect(absent.shell.stdout).toEqual([expect.stringContaining('direct-agent service install')]);
  expect((await absent.shell.run(restartService(absent.shell.context, {}, absent.machine)))[0]).toBe(64);
});

test('an agent that a signal ended', () => {
  const killed = REFUSED.replace('ExecMainCode=1', 'ExecMainCode=2').replace('Status=69', 'Status=9');
  expect(parseShow(killed).last_exit).toMatchObject({ code: null, signal: 'signal 9' });
  expect(parseShow('')).toMatchObject({ installed: false, running: false, pid: null, last_exit: null });
});

test('uninstall stops it, takes the file away, and leaves the login', async () => {
  const { shell, machine, ran, home } = rig('linux', { [show]: { stdout: RUNNING } });
  const path = join(home, '.config/systemd/user/direct-agent.service');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  expect(await shell.run(uninstallService(shell.context, {}, machine))).toEqual([0]);
  expect(existsSync(path)).toBe(false);
  expect(existsSync(join(shell.folder, 'credentials.json'))).toBe(true);
  expect(ran.slice(1)).toEqual([
    'systemctl --user disable --now direct-agent.service',
    'systemctl --user daemon-reload',
    'systemctl --user reset-failed direct-agent.service',
  ]);
  const absent = rig('linux', { [show]: { stdout: ABSENT } });
  await absent.shell.run(uninstallService(absent.shell.context, {}, absent.machine));
  expect(absent.shell.stderr).toEqual(['The agent is no service here; there is nothing to do.']);
});

test('logs are the journal’s, of the user’s unit or the system’s', async () => {
  const { shell, machine, shown } = rig('linux');
  await serviceLogs(shell.context, {}, machine);
  await serviceLogs(shell.context, { system: true, follow: true, lines: '5' }, machine);
  expect(shown).toEqual([
    ['journalctl', '--user-unit=direct-agent.service', '--lines=50', '--output=cat', '--no-pager'],
    ['journalctl', '--unit=direct-agent.service', '--lines=5', '--output=cat', '--follow'],
  ]);
  expect((await shell.run(serviceLogs(shell.context, { lines: 'many' }, machine)))[0]).toBe(64);
});

test('launchd: the old one leaves before the new one is loaded, which may take several tries', async () => {
  const { shell, machine, ran, home } = rig('darwin', {
    'launchctl bootout': { code: 3 },
    'launchctl bootstrap': { code: 5, stderr: 'Bootstrap failed: 5: Input/output error' },
  });
  const [code, message] = await shell.run(installService(shell.context, {}, machine));
  expect([code, message]).toEqual([75, expect.stringContaining('Input/output error')]);
  expect(readFileSync(join(home, 'Library/LaunchAgents/direct-agent.plist'), 'utf8')).toContain('<string>run</string>');
  expect(ran.slice(0, 2)).toEqual([
    'launchctl bootout gui/1000/direct-agent',
    'launchctl enable gui/1000/direct-agent',
  ]);
  expect(ran.filter((line) => line.startsWith('launchctl bootstrap gui/1000 '))).toHaveLength(10);
});

test('Windows: the file is in UTF-16 with its mark, and the task runs at once', async () => {
  const { shell, machine, ran } = rig('win32');
  shell.context.env = { ...shell.context.env, USERDOMAIN: 'PC' };
  shell.slept = () => {
    writeState(shell.folder, { pid: 4711, since: shell.time, restarts: 0, last_exit: null });
  };
  expect(await shell.run(installService(shell.context, {}, machine))).toEqual([0]);
  const path = join(shell.folder, 'service.xml');
  const text = readFileSync(path).toString('utf16le');
  expect(text).toMatch(/^\ufeff<\?xml version="1.0" encoding="UTF-16"\?>\n/);
  expect(text).toContain('<UserId>PC\\anna</UserId>');
  expect(ran).toEqual([
    'schtasks /End /TN direct-agent',
    `schtasks /Create /TN direct-agent /XML ${path} /F`,
    'schtasks /Run /TN direct-agent',
    'schtasks /Query /TN direct-agent',
  ]);
});

test('by the supervisor’s file: a process from before the last start of the machine is another one', async () => {
  const { shell, machine } = rig('darwin');
  const last_exit = { code: 70, signal: null, at: shell.time - 5_000 };
  const state = { pid: 4711, since: shell.time - 1_000, restarts: 1, last_exit };
  writeState(shell.folder, state);
  expect(await shell.run(serviceStatus(shell.context, {}, machine))).toEqual([0]);
  expect(shell.stdout.join('\n')).toContain(
    'Last exit:  2026-11-20 23:59:55 UTC, with code 70: a mistake of this program',
  );
  writeState(shell.folder, { ...state, since: shell.time - 90_000_000 });
  expect(await shell.run(serviceStatus(shell.context, {}, machine))).toEqual([75]);
  writeState(shell.folder, { ...state, pid: 4712 });
  expect(await shell.run(serviceStatus(shell.context, {}, machine))).toEqual([75]);
});

test('logs of a file: the last lines, and those to come until Ctrl+C', async () => {
  const { shell, machine } = rig('win32');
  await serviceLogs(shell.context, {}, machine);
  expect(shell.stderr[0]).toContain('There is no log yet');
  const path = join(shell.folder, 'service.log');
  writeFileSync(path, 'one\ntwo\nthree\n');
  shell.slept = () => {
    if (shell.sleeps.length > 1) shell.interrupt.abort();
    else writeFileSync(path, 'four\nfive\n', { flag: 'a' });
  };
  expect(await shell.run(serviceLogs(shell.context, { lines: '2', follow: true }, machine))).toEqual([0]);
  expect(shell.stdout).toEqual(['two', 'three', 'four\nfive']);
});
