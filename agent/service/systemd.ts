/** systemd as the manager: a unit of the user, or of the system. */
import { join } from 'node:path';
import { type Manager, type ManagerOptions, NEVER_MIND, type ServiceStatus, type Step } from './manager.ts';
import { SERVICE_NAME } from './program.ts';
import { type Scope, systemdUnit } from './systemd-unit.ts';

const UNIT = `${SERVICE_NAME}.service`;
const PROPERTIES = [
  'LoadState',
  'ActiveState',
  'MainPID',
  'ActiveEnterTimestamp',
  'NRestarts',
  'ExecMainCode',
  'ExecMainStatus',
  'ExecMainExitTimestamp',
];

export function systemd({ machine, env, program, system }: ManagerOptions): Manager {
  const configuration = env.XDG_CONFIG_HOME?.startsWith('/') ? env.XDG_CONFIG_HOME : join(machine.home, '.config');
  const folder = system ? '/etc/systemd/system' : join(configuration, 'systemd', 'user');
  const systemctl = (...args: string[]) => ['systemctl', ...(system ? [] : ['--user']), ...args];
  const scope: Scope = system ? systemScope(machine.ownerOf(program.folder)) : { kind: 'user' };
  const linger: Step = {
    argv: ['loginctl', 'enable-linger', machine.userName],
    otherwise: `So the agent runs only while you are logged in here. As root, run: loginctl enable-linger ${machine.userName}`,
  };
  return {
    name: 'systemd',
    problem: problemOf({ machine, system }),
    file: { path: join(folder, UNIT), text: systemdUnit(program, scope), encoding: 'utf8' },
    install: [
      { argv: systemctl('daemon-reload') },
      { argv: systemctl('enable', UNIT) },
      { argv: systemctl('restart', UNIT) },
      ...(system ? [] : [linger]),
    ],
    uninstall: [{ argv: systemctl('disable', '--now', UNIT), otherwise: NEVER_MIND }],
    afterwards: [
      { argv: systemctl('daemon-reload') },
      { argv: systemctl('reset-failed', UNIT), otherwise: NEVER_MIND },
    ],
    restart: [{ argv: systemctl('restart', UNIT) }],
    async status() {
      const { stdout } = await machine.run(systemctl('show', UNIT, `--property=${PROPERTIES.join(',')}`));
      return parseShow(stdout);
    },
    logs: (lines, follow) => [
      'journalctl',
      // Not “--user”: journals of users exist only where journals are kept on disk.
      system ? `--unit=${UNIT}` : `--user-unit=${UNIT}`,
      `--lines=${lines}`,
      '--output=cat',
      ...(follow ? ['--follow'] : ['--no-pager']),
    ],
  };
}

/** What `systemctl show` prints, with times in UTC. */
export function parseShow(text: string): ServiceStatus {
  const values = new Map(text.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]));
  const number = (name: string) => Number(values.get(name) || 0);
  const running = values.get('ActiveState') === 'active';
  const pid = number('MainPID');
  const exitedAt = timeOf(values.get('ExecMainExitTimestamp'));
  const status = number('ExecMainStatus');
  // CLD_EXITED of waitid(2); else the status is a signal.
  const isExit = number('ExecMainCode') === 1;
  return {
    installed: (values.get('LoadState') ?? 'not-found') !== 'not-found',
    running,
    pid: pid > 0 ? pid : null,
    since: running ? timeOf(values.get('ActiveEnterTimestamp')) : null,
    restarts: number('NRestarts'),
    last_exit:
      exitedAt === null
        ? null
        : { code: isExit ? status : null, signal: isExit ? null : `signal ${status}`, at: exitedAt },
  };
}

/** `Sat 2026-11-21 18:12:54 UTC` */
function timeOf(text: string | undefined): number | null {
  const [, day, time] = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC/.exec(text ?? '') ?? [];
  return day === undefined ? null : Date.parse(`${day}T${time}Z`);
}

function problemOf({ machine, system }: Pick<ManagerOptions, 'machine' | 'system'>): string | undefined {
  // sd_booted(3)
  if (!machine.exists('/run/systemd/system')) {
    return 'systemd does not run here, as in most containers, in WSL unless it is switched on, and on some distributions. Let what starts your programs run “direct-agent up”; a container can restart by itself (docker run --restart unless-stopped).';
  }
  if (system && machine.uid !== 0)
    return 'A service of the system takes root. Run it with sudo, or leave out --system.';
  return undefined;
}

function systemScope({ uid, gid }: { uid: number; gid: number }): Scope {
  return { kind: 'system', uid, gid };
}
