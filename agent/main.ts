#!/usr/bin/env node
/** The command line of the agent: which command there is, and what it takes. Exit codes are in docs/configuration.md. */
import { hostname, networkInterfaces } from 'node:os';
import { Command, CommanderError, Option } from 'commander';
import { CommandError, EXIT, type ExitCode } from './command-error.ts';
import type { Context, Flags } from './commands/context.ts';
import { listPaired, removePaired } from './commands/device.ts';
import { createKey, listKeys, revokeKey } from './commands/key.ts';
import { login } from './commands/login.ts';
import { logout } from './commands/logout.ts';
import { pair } from './commands/pair.ts';
import { status } from './commands/status.ts';
import { up } from './commands/up.ts';
import { ConfigError } from './config.ts';
import { ACCESS_MODES } from './door.ts';
import { LEVELS } from './log.ts';
import { IP_FAMILIES } from './network-values.ts';

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second time somebody means it.
    if (ending.signal.aborted) process.exit(EXIT.interrupted);
    ending.abort();
  });
}

// werift answers some malformed packets with a rejection that nobody awaits; a stranger's packet ends nothing here.
process.on('unhandledRejection', (reason) => {
  say(`unexpected: ${reason instanceof Error ? reason.stack : 'a rejection without an error'}`);
});

// Who reads only the first lines of either has what they want; an agent goes on serving.
for (const output of [process.stdout, process.stderr]) output.on('error', () => {});

const context: Context = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  columns: process.stderr.isTTY ? process.stderr.columns : undefined,
  env: process.env,
  fetch,
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    }),
  signal: ending.signal,
  hostname,
  interfaces: networkInterfaces,
};

function say(line: string): void {
  process.stderr.write(`direct-agent: ${line}\n`);
}

/** Ends the process when everything that was printed has left it. */
function exit(code: number): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}

async function run(command: () => Promise<ExitCode>): Promise<void> {
  try {
    exit(await command());
  } catch (error) {
    if (error instanceof ConfigError) error.problems.forEach(say);
    else if (error instanceof CommandError) say(error.message);
    else if (context.signal.aborted) say('stopped.');
    else say(`unexpected: ${error instanceof Error ? error.message : String(error)}. Please report this.`);
    if (error instanceof ConfigError) exit(EXIT.config);
    else if (error instanceof CommandError) exit(error.exitCode);
    else exit(context.signal.aborted ? EXIT.interrupted : EXIT.unexpected);
  }
}

/** Lists are separated by commas, or the flag is repeated, or both. */
const list = (value: string, before: string[] = []) => [...before, ...value.split(',').map((item) => item.trim())];

const program = new Command('direct-agent')
  .description('Reach the language model on this machine from anywhere.')
  .showHelpAfterError('Run “direct-agent --help” for what there is.')
  .exitOverride();

/** What every command takes. */
function add(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .option('--config <file>', 'configuration file (YAML)')
    .option('--folder <folder>', 'folder of the agent’s files: login, host key, devices');
}

/** What every command that serves takes. */
function addServing(command: Command): Command {
  return command
    .addOption(new Option('--upstream <urls>', 'LLM servers; found by themselves otherwise').argParser(list))
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
    .option('--max-conns <n>', 'simultaneous connections')
    .option('--max-body-bytes <size>', 'largest request body, such as 10MB')
    .addOption(new Option('--allowed-prefixes <paths>', 'further paths to serve').argParser(list))
    .option('--allow-management', 'also serve the routes that pull, load or delete models')
    .option('--web-ui <url>', 'a web UI of this machine, to be opened at the edge')
    .addOption(new Option('--web-ui-https-paths <paths>', 'its paths that stay on plain HTTPS').argParser(list))
    .addOption(
      new Option('--access <who>', 'edge: whom the edge lets in; paired: of these, known devices only').choices(
        ACCESS_MODES,
      ),
    )
    .option('--tunnel <yes|no>', 'serve plain HTTPS requests, which the edge can read')
    .addOption(new Option('--log-level <level>').choices(LEVELS));
}

addServing(add(program, 'login <edge>', 'Make this machine a host of the edge, and serve.'))
  .option('--name <name>', 'what to call this host (default: this machine’s name)')
  .option('--no-serve', 'only log in')
  .addHelpText('after', '\nExample:\n  direct-agent login https://direct-agent.example.workers.dev')
  .action((edge: string, flags: Flags) => run(() => login(context, edge, flags)));

addServing(add(program, 'up', 'Connect to the edge and serve the local LLM server (the default command).'))
  .option('--signaling-url <url>', 'https://your-edge/_direct/h/<host id>, in place of a login')
  .option('--token-file <file>', 'file with the agent’s token, in place of a login')
  .addHelpText('after', '\nExample:\n  direct-agent login https://edge.example --no-serve && direct-agent up')
  .action((flags: Flags) => run(() => up(context, flags)));

add(program, 'status', 'Show this host, its fingerprint, and whether the edge lets it in.')
  .option('--json', 'for programs')
  .action((flags: Flags) => run(() => status(context, flags)));

add(program, 'logout', 'Give the login back to the edge and delete it.')
  .option('--forget-key', 'delete the host’s key, too; devices that know it stop until they open the new link')
  .action((flags: Flags) => run(() => logout(context, flags)));

const key = program.command('key').description('API keys for programs that use this host.');
add(key, 'create', 'Make an API key; it is printed once.')
  .requiredOption('--name <name>', 'what it is for')
  .addOption(new Option('--prefix <paths>', 'only these paths, such as /v1/chat').argParser(list))
  .addOption(new Option('--model <names>', 'only these models').argParser(list))
  .option('--expires <time>', 'such as 12h, 30d, 1y or 2030-01-31')
  .option('--rpm <n>', 'requests a minute')
  .option('--json', 'for programs')
  .addHelpText('after', '\nExample:\n  direct-agent key create --name laptop --prefix /v1/chat --expires 30d --rpm 60')
  .action((flags: Flags) => run(() => createKey(context, flags)));
add(key, 'list', 'List the API keys of this host.')
  .option('--json', 'for programs')
  .action((flags: Flags) => run(() => listKeys(context, flags)));
add(key, 'revoke <key>', 'End an API key, given by id or name, at once.')
  .option('--json', 'for programs')
  .action((idOrName: string, flags: Flags) => run(() => revokeKey(context, idOrName, flags)));

add(program, 'pair', 'Make a link that pairs the device which opens it; see “access” in the docs.')
  .option('--name <name>', 'what to call the device (default: as it calls itself)')
  .option('--no-wait', 'only print the link')
  .action((flags: Flags) => run(() => pair(context, flags)));

const device = program.command('device').description('The devices that are paired with this host.');
add(device, 'list', 'List the paired devices.')
  .option('--json', 'for programs')
  .action((flags: Flags) => run(() => listPaired(context, flags)));
add(device, 'remove <device>', 'Remove a paired device, given by id or name; its sessions end.').action(
  (idOrName: string, flags: Flags) => run(() => removePaired(context, idOrName, flags)),
);

// Not `isDefault`, which would take a mistyped command for an argument of “up”.
const args = process.argv.slice(2);
const bare = args.length === 0 || (args[0]?.startsWith('-') && !['-h', '--help'].includes(args[0]));
try {
  await program.parseAsync(bare ? ['up', ...args] : args, { from: 'user' });
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exit(error.exitCode === 0 ? EXIT.ok : EXIT.usage);
}
