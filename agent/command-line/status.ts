import { add, type Define, type Flags, forPrograms } from './command.ts';

export const defineStatus: Define = (program, run) => {
  add(
    program,
    'status',
    'Show this host, its fingerprint, and whether the edge lets it in.',
    'direct-agent status --json',
  )
    .option(...forPrograms)
    .action((flags: Flags) => run(async (context) => (await import('../commands/status.ts')).status(context, flags)));
};
