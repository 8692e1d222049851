#!/usr/bin/env node
/** The command line of the agent. People read stderr; exit codes are in docs/configuration.md. */
import { Command, Option } from 'commander';
import envPaths from 'env-paths';
import { startAgent } from './agent.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { discoverServers, type LocalServer } from './discovery.ts';
import { ACCESS_MODES } from './door.ts';
import { LEVELS, makeLog } from './log.ts';

/** Exit codes: the edge refused us for good, or the configuration is wrong (as in sysexits.h). */
const EX_REFUSED = 69;
const EX_CONFIG = 78;

/** Lists are separated by commas, or the flag is repeated, or both. */
const list = (value: string, before: string[] = []) => [...before, ...value.split(',')];

async function up(flags: Record<string, unknown>): Promise<void> {
  const config = readConfig(flags);
  const log = makeLog(config.logLevel);
  for (const warning of config.warnings) log('warn', `config: ${warning}`);
  // werift answers some malformed packets with a rejection that nobody awaits; a stranger's packet ends nothing here.
  process.on('unhandledRejection', (reason) => {
    log('error', `unexpected: ${reason instanceof Error ? reason.stack : 'a rejection without an error'}`);
  });
  const search = () => findServers(config);
  const servers = await search();
  for (const { name, url, models } of servers) log('info', `serving ${name} at ${url} (${models.length} models)`);
  if (servers.length === 0) {
    log('warn', 'no local LLM server found yet; it is looked for again with each request. See “upstream” in the docs.');
  }
  const agent = await startAgent({
    config,
    servers,
    search,
    folder: envPaths('direct-agent', { suffix: '' }).config,
    log,
    refused: () => process.exit(EX_REFUSED),
  });
  const stop = () => {
    log('info', 'stopping');
    void agent.close().finally(() => process.exit(0));
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

/** What is configured counts as it stands, also while it does not answer; else whatever runs on this machine. */
async function findServers(config: Config): Promise<LocalServer[]> {
  if (config.upstreams.length === 0) return discoverServers();
  const found = await discoverServers({ candidates: config.upstreams });
  return config.upstreams.map(
    (url) =>
      found.find((server) => server.url === url) ?? { kind: 'openai', name: url, url, models: [], needsKey: false },
  );
}

function readConfig(flags: Record<string, unknown>): Config {
  try {
    return loadConfig({ flags });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) process.stderr.write(`direct-agent: ${problem}\n`);
    process.exit(EX_CONFIG);
  }
}

const program = new Command('direct-agent')
  .description('Reach the language model on this machine from anywhere.')
  .showHelpAfterError('Run “direct-agent --help” for what there is.');

program
  .command('up', { isDefault: true })
  .description('Connect to the edge and serve the local LLM server.')
  .option('--config <file>', 'configuration file (YAML)')
  .option('--signaling-url <url>', 'https://your-edge/_direct/h/<host id>')
  .option('--token-file <file>', 'file with the agent’s token')
  .addOption(new Option('--upstream <urls>', 'LLM servers; found by themselves otherwise').argParser(list))
  .addOption(new Option('--stun-urls <urls>', 'STUN servers, in place of the edge’s').argParser(list))
  .option('--max-conns <n>', 'simultaneous connections')
  .option('--max-body-bytes <size>', 'largest request body, such as 10MB')
  .addOption(new Option('--allowed-prefixes <paths>', 'further paths to serve').argParser(list))
  .option('--allow-management', 'also serve the routes that pull, load or delete models')
  .addOption(
    new Option('--access <who>', 'edge: whom the edge lets in; paired: of these, known devices only').choices(
      ACCESS_MODES,
    ),
  )
  .option('--tunnel <yes|no>', 'serve plain HTTPS requests, which the edge can read')
  .addOption(new Option('--log-level <level>').choices(LEVELS))
  .addHelpText(
    'after',
    '\nExample:\n  DIRECT_AGENT_TOKEN=… direct-agent up --signaling-url https://edge.example/_direct/h/home',
  )
  .action(up);

await program.parseAsync();
