/** The report's sections, each with its checks, and what several of them need. */
import { parseIceUrl } from '../../shared/ice-url.ts';
import type { IceServer } from '../../shared/signal.ts';
import { CommandError, EXIT, plain } from '../command-error.ts';
import type { Context, Flags } from '../commands/context.ts';
import { findServers } from '../commands/serve.ts';
import type { AgentSettings, Connection } from '../config.ts';
import { edgeOf } from '../edge-address.ts';
import { type StunServer, stunServers } from '../ice-urls.ts';
import { findGateway } from '../port-mapping/gateways.ts';
import { createNameResolver } from '../server-names.ts';
import type { Store } from '../store.ts';
import { VERSION } from '../version.ts';
import { checkDns, checkPoll, checkTls, checkWebSocket } from './edge.ts';
import type { Check, Section } from './examination.ts';
import { type Finding, ok, skipped } from './finding.ts';
import { clockFindings, credentialFindings, edgeFindings, type Look, lookAtHost, presenceFindings } from './host.ts';
import { checkInterfaces, checkIpv6, checkProxy } from './interfaces.ts';
import { askLocalAgent } from './local-agent.ts';
import { checkLoopBack, noLoopBack } from './loop-back.ts';
import { hostOf, problemOfName, systemLookup } from './names.ts';
import { observeNat } from './nat.ts';
import { natFindings } from './nat-words.ts';
import { once } from './once.ts';
import { checkRouter } from './router.ts';
import { type TriedWay, tryTurn, turnFindings, turnWays } from './turn.ts';
import { checkUpstreams } from './upstreams.ts';
import { checkEdgeVersion, checkNode, checkUpdate } from './versions.ts';
import { Visit } from './visit.ts';

/** What an edge names that has no ICE_SERVERS; for machines that have no edge yet. */
const DEFAULT_ICE_SERVERS: readonly IceServer[] = [{ urls: ['stun:stun.cloudflare.com:3478'] }];

export interface SectionsOptions {
  readonly context: Context;
  readonly flags: Flags;
  readonly store: Store;
  readonly settings: AgentSettings;
  readonly connection: Connection | undefined;
  readonly configuration: readonly Finding[];
}

export interface Sections {
  readonly sections: readonly Section[];
  /** To be ended after the checks. */
  readonly visit: Visit | undefined;
}

/** @throws CommandError for flags that make no sense. */
export function sectionsOf(options: SectionsOptions): Sections {
  const { connection, configuration, context, settings, flags } = options;
  const { env, fetch, signal } = context;
  const extra = extraServers(flags.stun);
  const servers = once(() => findServers(settings));
  const known = connection === undefined ? undefined : edgeParts(options, connection, servers);
  const reached = async () => known !== undefined && (await known.look()).unreachable === undefined;
  const edge = connection === undefined ? undefined : edgeOf(connection.signalingUrl);
  const { network } = settings;
  const resolve = createNameResolver();
  const interfaces = () => context.interfaces();
  const nat = (family: 4 | 6) => async (signal: AbortSignal) => {
    if (network.relayOnly) {
      return family === 4 ? [skipped('nat.udp', 'NAT does not matter: relay_only is set, all goes through TURN.')] : [];
    }
    if (network.ipFamily !== 'any' && network.ipFamily !== `ipv${family}`) return [];
    const servers = [...extra, ...(await natServers(network.stunUrls, known?.visit))];
    const ownAddresses = Object.values(interfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
    const view = await observeNat({ family, servers, resolve, ownAddresses, signal });
    return natFindings(view, family, await reached());
  };
  const sections: Section[] = [
    { title: 'Configuration', checks: [{ name: 'configuration', run: async () => configuration }] },
    ...(known?.before ?? [
      {
        title: 'Edge',
        checks: [{ name: 'edge', run: async () => [skipped('edge', 'No edge is known, so none is asked.')] }],
      },
    ]),
    {
      title: 'Network',
      checks: [
        { name: 'network.interfaces', run: async () => checkInterfaces(interfaces(), network) },
        {
          name: 'network.ipv6',
          run: (signal) => checkIpv6({ interfaces: interfaces(), network, edge, look: systemLookup, signal }),
        },
        { name: 'network.proxy', run: edge === undefined ? async () => [] : checkProxy(env, reached) },
      ],
    },
    {
      title: 'NAT and router',
      checks: [
        { name: 'nat.udp', run: nat(4) },
        { name: 'nat.udp6', run: nat(6) },
        {
          name: 'router.port',
          run: (signal) => checkRouter({ interfaces: interfaces(), network, gateway: systemGateway, signal }),
        },
      ],
    },
    ...(known?.after ?? [
      { title: 'Paths', checks: [{ name: 'path', run: async () => noLoopBack('no edge is known') }] },
    ]),
    {
      title: 'LLM servers',
      checks: [
        {
          name: 'upstream',
          run: async (signal) =>
            checkUpstreams({ settings, servers: await servers(), inference: flags.inference !== false, fetch, signal }),
        },
      ],
    },
    {
      title: 'Versions',
      checks: [
        { name: 'version.node', run: async () => checkNode(process.versions.node) },
        ...(known === undefined ? [] : [known.version]),
        {
          name: 'version.update',
          run: (signal) =>
            flags.updateCheck === false
              ? Promise.resolve([
                  ok('version.update', `direct-agent ${VERSION}; --no-update-check.`, { data: { version: VERSION } }),
                ])
              : checkUpdate(VERSION, { fetch, look: systemLookup, signal }),
        },
      ],
    },
  ];
  signal.throwIfAborted();
  return { sections, visit: known?.visit };
}

/** What needs an edge. */
function edgeParts(options: SectionsOptions, connection: Connection, servers: () => ReturnType<typeof findServers>) {
  const { context, store, settings } = options;
  const { fetch, signal, now } = context;
  const edge = edgeOf(connection.signalingUrl);
  const resolve = createNameResolver();
  const nameProblem = once(() => problemOfName(systemLookup, hostOf(edge), signal));
  const lookAgain = () => lookAtHost({ connection, fetch, now, nameProblem, signal });
  const look = once(lookAgain);
  const localAgent = once(() => askLocalAgent(store.folder));
  const config = { ...settings, ...connection };
  const visit = new Visit({
    config,
    store,
    fetch,
    now,
    interfaces: () => context.interfaces(),
    look,
    lookAgain,
    localAgent,
    servers,
    signal,
  });
  const whenNamed =
    (name: string, check: Check): Check =>
    async (signal) =>
      (await nameProblem()) === undefined
        ? check(signal)
        : [skipped(name, 'Not tried, since the edge’s name has no address.')];
  const tried = once(async () => {
    const admitted = await visit.admitted();
    return 'why' in admitted ? [] : await tryTurn({ iceServers: admitted.facts.iceServers, resolve, signal });
  });
  const before: Section[] = [
    {
      title: 'Edge',
      checks: [
        { name: 'edge.dns', run: (signal) => checkDns(edge, systemLookup, signal) },
        { name: 'edge.tls', run: whenNamed('edge.tls', (signal) => checkTls(edge, now(), signal)) },
        { name: 'edge.http', run: async () => edgeFindings(edge, await look()) },
        { name: 'edge.clock', run: async () => clockFindings(await timed(await look(), visit)) },
        {
          name: 'edge.websocket',
          run: whenNamed('edge.websocket', (signal) => checkWebSocket(connection.signalingUrl, signal)),
        },
        {
          name: 'edge.poll',
          run: whenNamed('edge.poll', (signal) => checkPoll(connection.signalingUrl, fetch, signal)),
        },
      ],
    },
    {
      title: 'Host',
      checks: [
        { name: 'host.credential', run: async () => credentialFindings(await look()) },
        { name: 'host.presence', run: async () => presenceFindings(await look(), await localAgent(), now()) },
      ],
    },
  ];
  const after: Section[] = [
    {
      title: 'TURN',
      checks: [
        {
          name: 'turn',
          run: async () => {
            const admitted = await visit.admitted();
            if ('why' in admitted) return [skipped('turn', `TURN was not tried: ${plain(admitted.why)}.`)];
            return turnFindings(await tried());
          },
        },
      ],
    },
    {
      title: 'Paths, from this machine to its own agent',
      checks: [{ name: 'path', run: (signal) => loopBack(options, config, visit, tried(), signal) }],
    },
  ];
  const version = {
    name: 'version.edge',
    run: async () => {
      const [seen, admitted] = await Promise.all([look(), visit.admitted()]);
      const protocol = 'why' in admitted ? undefined : admitted.facts.protocol;
      return checkEdgeVersion(VERSION, { version: seen.version, protocol });
    },
  };
  return { before, after, visit, look, version };
}

/** Cloudflare dates every answer; an edge elsewhere may not, but each session has its times. */
async function timed(seen: Look, visit: Visit): Promise<Pick<Look, 'clockAheadMs' | 'unreachable'>> {
  if (seen.clockAheadMs !== undefined || seen.unreachable !== undefined) return seen;
  const admitted = await visit.admitted();
  return 'why' in admitted ? seen : { ...seen, clockAheadMs: admitted.facts.clockAheadMs };
}

async function loopBack(
  { context: { fetch } }: SectionsOptions,
  config: AgentSettings & Connection,
  visit: Visit,
  turn: Promise<readonly TriedWay[]>,
  signal: AbortSignal,
): Promise<Finding[]> {
  const admitted = await visit.admitted();
  if ('why' in admitted) return noLoopBack(plain(admitted.why));
  const pass = await visit
    .pass(admitted)
    .catch((error: unknown) => ({ why: String(error).replace(/^\w*Error: /, '') }));
  if ('why' in pass) {
    return noLoopBack(`the host takes paired devices only, and ${plain(pass.why).replace(/\.$/, '')}`);
  }
  const { hostKey, isTemporary } = admitted;
  const paired = config.access === 'paired' ? 'access: paired' : undefined;
  const findings = await checkLoopBack({
    connection: config,
    hostKey,
    pass,
    turn,
    tunnel: paired ?? (config.tunnel ? true : 'tunnel: no'),
    relayOnly: config.network.relayOnly,
    fetch,
    signal,
  });
  if (!isTemporary) return findings;
  return [ok('path', 'No agent was online, so one was started for these connections, and ended again.'), ...findings];
}

/** Whoever tells addresses apart: STUN servers, and TURN servers, which speak STUN as well. */
async function natServers(stunUrls: readonly string[], visit: Visit | undefined): Promise<StunServer[]> {
  if (stunUrls.length > 0) return stunServers([{ urls: [...stunUrls] }]);
  const admitted = await visit?.admitted();
  const iceServers = admitted === undefined || 'why' in admitted ? DEFAULT_ICE_SERVERS : admitted.facts.iceServers;
  const turn = turnWays(iceServers).flatMap(({ server }) => (server.transport === 'udp' ? [server] : []));
  return [...stunServers(iceServers), ...turn];
}

/** @throws CommandError */
function extraServers(urls: unknown): StunServer[] {
  if (!Array.isArray(urls)) return [];
  return urls.map((url) => {
    const parsed = parseIceUrl(String(url));
    if (parsed?.scheme !== 'stun') {
      throw new CommandError(
        EXIT.usage,
        `--stun: ${JSON.stringify(url)} is no STUN server. Write stun:stun.example.org:3478.`,
      );
    }
    return { host: parsed.host, port: parsed.port };
  });
}

async function systemGateway(address: string) {
  const found = await findGateway(address);
  return found === undefined ? undefined : { address: found };
}
