import { add, addServing, type Define, type Flags } from './command.ts';

export const defineUp: Define = (program, run) => {
  addServing(
    add(
      program,
      'up',
      'Connect to the edge and serve the local LLM servers (the default command).',
      'direct-agent login https://edge.example --no-serve && direct-agent up',
    ),
  )
    .option('--signaling-url <url>', 'https://your-edge/_direct/h/<host id>, in place of a login')
    .option('--token-file <file>', 'file with the agent’s token, in place of a login')
    .action((flags: Flags) => run(async (context) => (await import('../commands/up.ts')).up(context, flags)));
};
