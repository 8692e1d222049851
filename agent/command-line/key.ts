import { Option } from 'commander';
import { add, addGroup, type Define, type Flags, forPrograms, list } from './command.ts';

export const defineKey: Define = (program, run) => {
  const key = addGroup(program, 'key', 'API keys for programs that use this host.');
  add(
    key,
    'create',
    'Make an API key; it is printed once.',
    'direct-agent key create --name laptop --prefix /v1/chat --expires 30d --rpm 60',
  )
    .requiredOption('--name <name>', 'what it is for')
    .addOption(new Option('--prefix <paths>', 'only these paths, such as /v1/chat').argParser(list))
    .addOption(new Option('--model <names>', 'only these models').argParser(list))
    .option('--expires <time>', 'such as 12h, 30d, 1y or 2030-01-31')
    .option('--rpm <n>', 'requests a minute')
    .option(...forPrograms)
    .action((flags: Flags) => run(async (context) => (await import('../commands/key.ts')).createKey(context, flags)));
  add(key, 'list', 'List the API keys of this host.', 'direct-agent key list')
    .option(...forPrograms)
    .action((flags: Flags) => run(async (context) => (await import('../commands/key.ts')).listKeys(context, flags)));
  add(key, 'revoke <key>', 'End an API key, given by id or name, at once.', 'direct-agent key revoke laptop')
    .option(...forPrograms)
    .action((idOrName: string, flags: Flags) =>
      run(async (context) => (await import('../commands/key.ts')).revokeKey(context, idOrName, flags)),
    );
};
