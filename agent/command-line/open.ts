import { add, type Define, type Flags } from './command.ts';

export const defineOpen: Define = (program, run) => {
  add(program, 'open', 'Open this host’s page in the browser, and print its address.', 'direct-agent open --print')
    .option('--print', 'only print the address')
    .action((flags: Flags) => run(async (context) => (await import('../commands/open.ts')).open(context, flags)));
};
