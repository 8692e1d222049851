import { add, addServing, type Define, type Flags } from './command.ts';

export const defineUp: Define = (program, run) => {
  addServing(
    add(
      program,
      'up',
      'Connect to the edge and serve the local LLM servers; what a bare “direct-agent” does.',
      'direct-agent up --upstream http://127.0.0.1:11434',
    ),
  )
    .option('--signaling-url <url>', 'https://your-edge/_direct/h/<host id>, in place of a login')
    .option('--token-file <file>', 'file with the agent’s token, in place of a login')
    .action((flags: Flags) => run(async (context) => (await import('../commands/up.ts')).up(context, flags)));
};
