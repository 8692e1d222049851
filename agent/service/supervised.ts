/** launchd and the Task Scheduler as the manager; the supervisor in them keeps state and log. */
import { join } from 'node:path';
import { launchdAgent } from './launchd-agent.ts';
import type { Machine } from './machine.ts';
import { type Manager, type ManagerOptions, NEVER_MIND, type ServiceStatus } from './manager.ts';
import { SERVICE_NAME } from './program.ts';
import { scheduledTask } from './scheduled-task.ts';
import { readState } from './service-state.ts';

const ONE_USER = 'Here the service is of the user who installs it. Leave out --system.';

export function launchd({ machine, now, program, system }: ManagerOptions): Manager {
  const domain = `gui/${machine.uid}`;
  const target = `${domain}/${SERVICE_NAME}`;
  const path = join(machine.home, 'Library', 'LaunchAgents', `${SERVICE_NAME}.plist`);
  return {
    name: 'launchd',
    problem: system ? ONE_USER : undefined,
    file: { path, text: launchdAgent(program), encoding: 'utf8' },
    install: [
      { argv: ['launchctl', 'bootout', target], otherwise: NEVER_MIND },
      { argv: ['launchctl', 'enable', target] },
      // The old one takes a moment to leave.
      { argv: ['launchctl', 'bootstrap', domain, path], tries: 10 },
    ],
    uninstall: [{ argv: ['launchctl', 'bootout', target], otherwise: NEVER_MIND }],
    afterwards: [],
    restart: [{ argv: ['launchctl', 'kickstart', '-k', target] }],
    status: async () => {
      const { code } = await machine.run(['launchctl', 'print', target]);
      return byState(machine, program.folder, now(), code === 0);
    },
    logs: undefined,
  };
}

export function taskScheduler({ machine, env, now, program, system }: ManagerOptions): Manager {
  const name = `${env.USERDOMAIN === undefined ? '' : `${env.USERDOMAIN}\\`}${machine.userName}`;
  const path = join(program.folder, 'service.xml');
  const schtasks = (verb: string, ...more: string[]) => ['schtasks', verb, '/TN', SERVICE_NAME, ...more];
  return {
    name: 'the Task Scheduler',
    problem: system ? ONE_USER : undefined,
    file: {
      path,
      text: scheduledTask(program, { name, systemRoot: env.SystemRoot ?? 'C:\\Windows' }),
      encoding: 'utf16le',
    },
    install: [
      { argv: schtasks('/End'), otherwise: NEVER_MIND },
      { argv: schtasks('/Create', '/XML', path, '/F') },
      { argv: schtasks('/Run') },
    ],
    uninstall: [
      { argv: schtasks('/End'), otherwise: NEVER_MIND },
      { argv: schtasks('/Delete', '/F'), otherwise: NEVER_MIND },
    ],
    afterwards: [],
    restart: [{ argv: schtasks('/End'), otherwise: NEVER_MIND }, { argv: schtasks('/Run') }],
    status: async () => {
      const { code } = await machine.run(schtasks('/Query'));
      return byState(machine, program.folder, now(), code === 0);
    },
    logs: undefined,
  };
}

function byState(machine: Machine, folder: string, now: number, installed: boolean): ServiceStatus {
  const state = readState(folder);
  const { pid = null, since = null, restarts = 0, last_exit = null } = state ?? {};
  // A process from before the machine was started has left its number to another one.
  const running = pid !== null && (since ?? 0) > now - machine.uptimeMs() && machine.isAlive(pid);
  return { installed, running, pid: running ? pid : null, since: running ? since : null, restarts, last_exit };
}
