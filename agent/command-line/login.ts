import { add, addServing, type Define, type Flags } from './command.ts';

export const defineLogin: Define = (program, run) => {
  addServing(
    add(
      program,
      'login <edge>',
      'Make this machine a host of the edge, and serve.',
      'direct-agent login https://direct-agent.example.workers.dev',
    ),
  )
    .option('--name <name>', 'what to call this host (default: this machine’s name)')
    .option('--no-serve', 'only log in')
    .action((edge: string, flags: Flags) =>
      run(async (context) => (await import('../commands/login.ts')).login(context, edge, flags)),
    );

  add(program, 'logout', 'Give the login back to the edge and delete it.', 'direct-agent logout')
    .option('--forget-key', 'delete the host’s key, too; devices that know it stop until they open the new link')
    .action((flags: Flags) => run(async (context) => (await import('../commands/logout.ts')).logout(context, flags)));
};
