import { Option } from 'commander';
import { add, type Define, type Flags, forPrograms, list } from './command.ts';

export const defineConnect: Define = (program, run) => {
  const connect = add(
    program,
    'connect [hosts...]',
    'Make hosts available on a port of this machine, for every program with an OpenAI or Ollama base URL. “hosts” are links that agents print, or names of remembered ones; all of these by default.',
    "direct-agent connect 'https://edge.example/_direct/chat#host=home&key=…'",
  )
    .option('--port <port>', 'local port (default: 11434 or the next free one; 0: any free one)')
    .option('--host <id>', 'the host, where the link names none')
    .option('--name <name>', 'what to call a new host on this machine (default: its id)')
    .option('--key-file <file>', 'file with only the API key (or in the environment: DIRECT_KEY)')
    .option('--merge', 'all hosts behind one port; the model decides which one answers')
    .addOption(new Option('--tunnel', 'the opposite').hideHelp())
    .addOption(new Option('--no-tunnel', 'never plain HTTPS, which the edge could read; is remembered'))
    .option('--trust-first', 'believe the key of an unknown host without asking')
    .option('--listen <address>', 'local address to listen at, such as 192.168.1.5:11434 (default: 127.0.0.1)')
    .option('--allow-remote', 'other machines may use the port, without a key')
    .addOption(new Option('--allow-host <names>', 'further names by which programs may call the port').argParser(list))
    .addOption(new Option('--allow-origin <origins>', 'web pages that may use the port').argParser(list))
    .option('--verbose', 'also tell how each connection is made')
    .option(...forPrograms)
    .helpCommand(false)
    .action((hosts: string[], flags: Flags) =>
      run(async (context) => (await import('../commands/connect.ts')).connect(context, hosts, flags)),
    );
  add(connect, 'list', 'List the hosts that this machine remembers.', 'direct-agent connect list')
    .option(...forPrograms)
    .action((_: Flags, command: { optsWithGlobals(): Flags }) =>
      run(async (context) =>
        (await import('../commands/connect.ts')).listConnections(context, command.optsWithGlobals()),
      ),
    );
  add(
    connect,
    'forget <name>',
    'Forget a host on this machine, with its key.',
    'direct-agent connect forget home',
  ).action((name: string, _: Flags, command: { optsWithGlobals(): Flags }) =>
    run(async (context) =>
      (await import('../commands/connect.ts')).forgetConnection(context, name, command.optsWithGlobals()),
    ),
  );
};
