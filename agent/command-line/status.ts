import { add, type Define, type Flags, forPrograms } from './command.ts';

export const defineStatus: Define = (program, run) => {
  add(
    program,
    'status',
    'Show this host, its fingerprint, whether the edge lets it in, and the agent that runs here.',
    'direct-agent status --json',
  )
    .option(...forPrograms)
    .option('--once', 'print once, also on a terminal, where it goes on to show the agent until “q” is typed')
    .action((flags: Flags) => run(async (context) => (await import('../commands/status.ts')).status(context, flags)));
};
