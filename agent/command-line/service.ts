import type { Command } from 'commander';
import { add, addGroup, type Define, type Flags, forPrograms } from './command.ts';

export const defineService: Define = (program, run) => {
  const service = addGroup(
    program,
    'service',
    'The agent as a service of this machine (systemd, launchd, Task Scheduler).',
  );
  /** On Linux there may be one of the user and one of the system. */
  const ofSystem = (command: Command) => command.option('--system', 'of the system, not of this user (Linux, as root)');
  ofSystem(
    add(
      service,
      'install',
      'Start the agent now, and whenever the machine or the user is up.',
      'direct-agent service install --dry-run',
    ),
  )
    .option('--dry-run', 'only print the file and the commands')
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/service.ts')).installService(context, flags)),
    );
  ofSystem(add(service, 'uninstall', 'Stop it, and do not start it again.', 'direct-agent service uninstall')).action(
    (flags: Flags) => run(async (context) => (await import('../commands/service.ts')).uninstallService(context, flags)),
  );
  ofSystem(
    add(service, 'restart', 'Stop it and start it, as after a change of the file.', 'direct-agent service restart'),
  ).action((flags: Flags) =>
    run(async (context) => (await import('../commands/service.ts')).restartService(context, flags)),
  );
  ofSystem(
    add(
      service,
      'status',
      'Show whether it runs, since when, and how it last ended; code 75 while it does not run.',
      'direct-agent service status --json',
    ),
  )
    .option(...forPrograms)
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/service.ts')).serviceStatus(context, flags)),
    );
  ofSystem(add(service, 'logs', 'Show the last lines of its log.', 'direct-agent service logs -f'))
    .option('-n, --lines <n>', 'how many (default: 50)')
    .option('-f, --follow', 'and those to come, until Ctrl+C')
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/service.ts')).serviceLogs(context, flags)),
    );
  // Not for people, so not in the help.
  service
    .command('run', { hidden: true })
    .option('--config <file>')
    .option('--folder <folder>')
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/service-run.ts')).runService(context, flags)),
    );
};
