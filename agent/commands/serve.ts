/** Runs the agent until somebody ends it: all of `up`, and the second half of `login`. */
import { HINTS } from '../../shared/error-hints.ts';
import { type DirectError, ERRORS } from '../../shared/errors.ts';
import { startAgent } from '../agent.ts';
import { CommandError, EXIT, type ExitCode } from '../command-error.ts';
import type { AgentSettings, Config } from '../config.ts';
import { discoverServers, type LocalServer, localCandidates } from '../discovery.ts';
import { dashboard, edgeOf } from '../edge-address.ts';
import { credentialRefused } from '../edge-api.ts';
import { collectGarbage, keepYoungGenerationSmall } from '../idle-memory.ts';
import { chooseAddresses, describeAddresses, idlePatterns } from '../local-addresses.ts';
import { isJournal, makeLog } from '../log.ts';
import { openMetrics } from '../metrics.ts';
import { aborted } from '../pause.ts';
import type { HostIdentity } from '../store.ts';
import { unidentified } from '../upstreams.ts';
import type { Context } from './context.ts';
import { observe } from './observe.ts';

export interface ServeOptions {
  config: Config;
  /** The agent's own files. */
  folder: string;
  identity: HostIdentity;
  servers: readonly LocalServer[];
  /** The link to the edge came up for the first time. */
  up?(): void;
}

/**
 * Serves until Ctrl+C.
 * @throws CommandError when the edge refuses for good
 */
export async function serve(context: Context, options: ServeOptions): Promise<ExitCode> {
  const { config, folder, identity, servers } = options;
  const { logFormat: format } = config;
  const log = makeLog({
    level: config.logLevel,
    format,
    journal: isJournal(context.env),
    write: (text) => context.err(text.trimEnd()),
    now: context.now,
  });
  // Whoever reads the log as objects reads nothing else.
  if (format === 'json') context.failed = (message) => log('error', message);
  for (const warning of config.warnings) log('warn', `config: ${warning}`);
  const interfaces = context.interfaces();
  for (const idle of idlePatterns(config.network, interfaces)) log('warn', `config: ${idle}`);
  log('info', `network: ${describeAddresses(chooseAddresses(interfaces, config.network))}`);
  for (const { name, url, models } of servers) log('info', `serving ${name} at ${url} (${models.length} models)`);
  if (config.webUi !== undefined) {
    log('info', `serving the web UI at ${config.webUi.base}; the owner of the edge switches it on in the dashboard`);
  }
  if (servers.length === 0) {
    log(
      'warn',
      'no local LLM server found yet; one that starts is noticed within seconds. See “upstream” in the docs.',
    );
  }
  keepYoungGenerationSmall();
  const metrics = config.metrics && (await openMetrics(config.metrics));
  let up = options.up;
  const refused = Promise.withResolvers<DirectError>();
  const agent = await startAgent({
    config,
    servers,
    search: () => findServers(config),
    candidates: config.upstreams.length === 0 ? localCandidates() : [],
    hostKeys: identity.keys,
    folder,
    log,
    interfaces: () => context.interfaces(),
    collect: collectGarbage,
    up: () => {
      up?.();
      up = undefined;
    },
    refused: refused.resolve,
  });
  const observers = await observe(context, { agent, config, folder, log, metrics });
  const ended = await Promise.race([refused.promise, aborted(context.signal)]);
  if (ended === undefined) log('info', 'stopping');
  await observers.close();
  await agent.close();
  if (ended !== undefined) throw new CommandError(EXIT.refused, reasonOf(ended, edgeOf(config.signalingUrl)));
  return EXIT.ok;
}

/** What is configured counts as it stands, also while it does not answer; else whatever runs on this machine. */
export async function findServers(settings: AgentSettings): Promise<LocalServer[]> {
  if (settings.upstreams.length === 0) return discoverServers();
  const found = await discoverServers({ candidates: settings.upstreams });
  return settings.upstreams.map((url) => found.find((server) => server.url === url) ?? unidentified(url));
}

function reasonOf({ code }: DirectError, edge: string): string {
  if (code === 'E_REPLACED') {
    return `Another agent with the same key took over this host (see ${dashboard(edge)}). This one stops.`;
  }
  if (code === 'E_UNAUTHORIZED') return credentialRefused(edge);
  return `${ERRORS[code].message} ${HINTS[code]}`;
}
