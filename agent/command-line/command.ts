/** What the definitions of the commands have in common. Each is light: what a command does is loaded when it runs. */
import { type Command, Option } from 'commander';
import { ACCESS_MODES } from '../access-mode.ts';
import type { ExitCode } from '../command-error.ts';
import type { Context, Flags } from '../commands/context.ts';
import { LEVELS } from '../log.ts';
import { IP_FAMILIES } from '../network-values.ts';

/** Runs a command to its exit code; what it throws becomes a message and a code. */
export type Run = (command: (context: Context) => Promise<ExitCode>) => Promise<void>;

/** Adds one command, or one with its subcommands. */
export type Define = (program: Command, run: Run) => void;

export type { Context, ExitCode, Flags };

/** Lists are separated by commas, or the flag is repeated, or both. */
export const list = (value: string, before: string[] = []) => [
  ...before,
  ...value.split(',').map((item) => item.trim()),
];

const EXAMPLES = new WeakMap<Command, string>();

/** A command line that shows the use of a command, without the prompt; undefined for groups of commands. */
export function exampleOf(command: Command): string | undefined {
  return EXAMPLES.get(command);
}

/** What every command takes. `example` is a command line without the prompt. */
export function add(parent: Command, usage: string, description: string, example: string): Command {
  const command = parent
    .command(usage)
    .description(description)
    .option('--config <file>', 'configuration file (YAML)')
    .option('--folder <folder>', 'folder of the agent’s files: login, host key, devices')
    .addHelpText('after', `\nExample:\n  ${example}`);
  EXAMPLES.set(command, example);
  return command.showHelpAfterError(`Run “${pathOf(command)} --help” for what there is.`);
}

/** A command that has only subcommands, each with its own example. */
export function addGroup(parent: Command, name: string, description: string): Command {
  const command = parent.command(name).usage('[command]').description(description);
  return command.showHelpAfterError(`Run “${pathOf(command)} --help” for what there is.`);
}

/** As a person types it: `direct-agent key create`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

export const forPrograms = ['--json', 'for programs'] as const;

/** What every command that serves takes. */
export function addServing(command: Command): Command {
  return command
    .optionsGroup('What is served:')
    .addOption(new Option('--upstream <urls>', 'LLM servers; found by themselves otherwise').argParser(list))
    .addOption(new Option('--allowed-prefixes <paths>', 'further paths to serve').argParser(list))
    .option('--allow-management', 'also serve the routes that pull, load or delete models')
    .option('--web-ui <url>', 'a web UI of this machine, to be opened at the edge')
    .addOption(new Option('--web-ui-https-paths <paths>', 'its paths that stay on plain HTTPS').argParser(list))
    .option('--max-conns <n>', 'simultaneous connections')
    .option('--max-body-bytes <size>', 'largest request body, such as 10MB')
    .optionsGroup('To whom:')
    .addOption(
      new Option('--access <who>', 'edge: whom the edge lets in; paired: of these, known devices only').choices(
        ACCESS_MODES,
      ),
    )
    .option('--tunnel <yes|no>', 'serve plain HTTPS requests, which the edge can read')
    .optionsGroup('Network:')
    .addOption(new Option('--interfaces <names>', 'network interfaces to use, such as eth0 or wl*').argParser(list))
    .addOption(new Option('--exclude-interfaces <names>', 'network interfaces not to use').argParser(list))
    .addOption(
      new Option(
        '--nat-1to1 <addresses>',
        'what to tell clients in place of local addresses: external or external/local',
      ).argParser(list),
    )
    .option('--udp-ports <ports>', 'UDP port or ports for direct connections, such as 50000 or 50000-50100')
    .addOption(new Option('--ip-family <family>', 'which addresses to use').choices(IP_FAMILIES))
    .option('--relay-only', 'connect through TURN servers only')
    .addOption(new Option('--stun-urls <urls>', 'STUN servers, in place of the edge’s').argParser(list))
    .option('--port-mapping <yes|no>', 'ask the router for a port (UPnP-IGD, NAT-PMP, PCP)')
    .optionsGroup('Options:')
    .addOption(new Option('--log-level <level>', 'how much to log').choices(LEVELS));
}
