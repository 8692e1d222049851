/** The report's sections in their order, each with its checks. */
import { parseIceUrl } from '../../shared/ice-url.ts';
import { CommandError, EXIT } from '../command-error.ts';
import type { Context, Flags } from '../commands/context.ts';
import { findServers } from '../commands/serve.ts';
import type { AgentSettings, Connection } from '../config.ts';
import type { StunServer } from '../ice-urls.ts';
import { findGateway } from '../port-mapping/gateways.ts';
import { createNameResolver, lookUp } from '../server-names.ts';
import type { Store } from '../store.ts';
import { VERSION } from '../version.ts';
import { edgeSections, meetEdge, pathSections, versionChecks } from './edge-sections.ts';
import type { Section } from './examination.ts';
import { type Finding, ok, skipped } from './finding.ts';
import { checkEngine, checkInterfaces, checkIpv6, checkProxy } from './interfaces.ts';
import { noLoopBack } from './loop-back.ts';
import { natSection } from './nat-section.ts';
import { once } from './once.ts';
import { checkRouter } from './router.ts';
import { checkUpstreams, namedUpstreams } from './upstreams.ts';
import { checkNode, checkUpdate } from './versions.ts';
import type { Visit } from './visit.ts';

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
  const { connection, configuration, context, store, settings, flags } = options;
  const { env, fetch, signal } = context;
  const { network } = settings;
  const extra = extraServers(flags.stun);
  const upstreams = once(() => namedUpstreams(settings, lookUp, signal));
  const servers = once(async () => {
    const { settings: named, findings } = await upstreams();
    // Without any it would look for others than those that were meant.
    return named.upstreams.length === 0 && findings.length > 0 ? [] : await findServers(named);
  });
  const resolve = createNameResolver();
  const interfaces = () => context.interfaces();
  const met =
    connection === undefined ? undefined : meetEdge({ context, store, settings, connection, servers, resolve });
  const reached = async () => met !== undefined && (await met.look()).unreachable === undefined;
  const nat = natSection({ network, extra, visit: met?.visit, interfaces, resolve, reached, signal });
  const sections: Section[] = [
    { title: 'Configuration', checks: [{ name: 'configuration', run: async () => configuration }] },
    ...(met === undefined
      ? [withoutEdge('Edge', [skipped('edge', 'No edge is known, so none is asked.')])]
      : edgeSections(met)),
    {
      title: 'Network',
      checks: [
        { name: 'network.interfaces', run: async () => checkInterfaces(interfaces(), network) },
        { name: 'network.engine', run: async () => checkEngine(network) },
        {
          name: 'network.ipv6',
          run: (signal) => checkIpv6({ interfaces: interfaces(), network, edge: met?.edge, look: lookUp, signal }),
        },
        { name: 'network.proxy', run: async () => (met === undefined ? [] : await checkProxy(env, reached)) },
      ],
    },
    {
      title: 'NAT and router',
      checks: [
        { name: 'nat.udp', run: () => nat.check(4) },
        { name: 'nat.udp6', run: () => nat.check(6) },
        {
          name: 'router.port',
          run: (signal) => checkRouter({ interfaces: interfaces(), network, gateway: systemGateway, signal }),
        },
      ],
    },
    ...(met === undefined ? [withoutEdge('Paths', noLoopBack('no edge is known'))] : pathSections(met, nat)),
    {
      title: 'LLM servers',
      checks: [
        {
          name: 'upstream',
          run: async (signal) => {
            const { findings } = await upstreams();
            const inference = flags.inference !== false;
            const found = await servers();
            if (found.length === 0 && findings.length > 0) return findings;
            return [...findings, ...(await checkUpstreams({ settings, servers: found, inference, fetch, signal }))];
          },
        },
      ],
    },
    {
      title: 'Versions',
      checks: [
        { name: 'version.node', run: async () => checkNode(process.versions.node) },
        ...(met === undefined ? [] : versionChecks(met)),
        {
          name: 'version.update',
          run: async (signal) =>
            flags.updateCheck === false
              ? [ok('version.update', `direct-agent ${VERSION}.`, { data: { version: VERSION } })]
              : await checkUpdate(VERSION, { fetch, look: lookUp, signal }),
        },
      ],
    },
  ];
  return { sections, visit: met?.visit };
}

function withoutEdge(title: string, findings: readonly Finding[]): Section {
  return { title, checks: [{ name: title.toLowerCase(), run: async () => findings }] };
}

/** @throws CommandError */
function extraServers(urls: unknown): StunServer[] {
  if (!Array.isArray(urls)) return [];
  return urls.map((url) => {
    const parsed = parseIceUrl(String(url));
    if (parsed?.scheme === 'stun') return { host: parsed.host, port: parsed.port };
    throw new CommandError(
      EXIT.usage,
      `--stun: ${JSON.stringify(url)} is no STUN server. Write stun:stun.example.org:3478.`,
    );
  });
}

async function systemGateway(address: string) {
  const found = await findGateway(address);
  return found === undefined ? undefined : { address: found };
}
