/** The sections of the report that need an edge, and what they share. */

import { plain } from '../command-error.ts';
import type { Context } from '../commands/context.ts';
import type { AgentSettings, Config, Connection } from '../config.ts';
import type { LocalServer } from '../discovery.ts';
import { edgeOf } from '../edge-address.ts';
import { lookUp, type ResolveName } from '../server-names.ts';
import type { Store } from '../store.ts';
import { VERSION } from '../version.ts';
import { checkDns, checkPoll, checkTls, checkWebSocket } from './edge.ts';
import type { Check, NamedCheck, Section } from './examination.ts';
import { type Finding, ok, skipped } from './finding.ts';
import { clockFindings, credentialFindings, edgeFindings, type Look, lookAtHost, presenceFindings } from './host.ts';
import { askLocalAgent, type LocalAgent } from './local-agent.ts';
import { checkLoopBack, noLoopBack } from './loop-back.ts';
import { hostOf, problemOfName } from './names.ts';
import type { NatSection } from './nat-section.ts';
import { once } from './once.ts';
import { type TriedWay, tryTurn, turnFindings } from './turn.ts';
import { checkEdgeVersion, checkRunning } from './versions.ts';
import { Visit } from './visit.ts';

export interface EdgeOptions {
  readonly context: Context;
  readonly store: Store;
  readonly settings: AgentSettings;
  readonly connection: Connection;
  readonly servers: () => Promise<readonly LocalServer[]>;
  readonly resolve: ResolveName;
}

/** What several checks ask the edge, each thing once. */
export interface Met {
  readonly edge: string;
  readonly config: Config;
  readonly context: Context;
  readonly nameProblem: () => Promise<string | undefined>;
  readonly look: () => Promise<Look>;
  readonly localAgent: () => Promise<LocalAgent | undefined>;
  readonly visit: Visit;
  readonly turn: () => Promise<readonly TriedWay[]>;
}

export function meetEdge({ context, store, settings, connection, servers, resolve }: EdgeOptions): Met {
  const { fetch, signal, now } = context;
  const edge = edgeOf(connection.signalingUrl);
  const config: Config = { ...settings, ...connection };
  const nameProblem = once(() => problemOfName(lookUp, hostOf(edge), signal));
  const lookAgain = () => lookAtHost({ connection, fetch, now, nameProblem, signal });
  const look = once(lookAgain);
  const localAgent = once(() => askLocalAgent(store.folder, signal));
  const interfaces = () => context.interfaces();
  const visit = new Visit({ config, store, fetch, now, interfaces, look, lookAgain, localAgent, servers, signal });
  const turn = once(async () => {
    const admitted = await visit.admitted();
    return 'why' in admitted ? [] : await tryTurn({ iceServers: admitted.facts.iceServers, resolve, signal });
  });
  return { edge, config, context, nameProblem, look, localAgent, visit, turn };
}

export function edgeSections({ edge, config, context, nameProblem, look, localAgent, visit }: Met): Section[] {
  const { fetch, now } = context;
  const { signalingUrl } = config;
  const whenNamed =
    (name: string, what: string, check: Check): Check =>
    async (signal) =>
      (await nameProblem()) === undefined
        ? check(signal)
        : [skipped(name, `${what} not tried: the edge’s name has no address.`)];
  return [
    {
      title: 'Edge',
      checks: [
        { name: 'edge.dns', run: (signal) => checkDns(edge, lookUp, signal) },
        { name: 'edge.tls', run: whenNamed('edge.tls', 'TLS was', (signal) => checkTls(edge, now(), signal)) },
        { name: 'edge.http', run: async () => edgeFindings(edge, await look()) },
        { name: 'edge.clock', run: async () => clockFindings(await timed(await look(), visit)) },
        {
          name: 'edge.websocket',
          run: whenNamed('edge.websocket', 'WebSockets were', (signal) => checkWebSocket(signalingUrl, signal)),
        },
        {
          name: 'edge.poll',
          run: whenNamed('edge.poll', 'Polling was', (signal) => checkPoll(signalingUrl, fetch, signal)),
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
}

export function pathSections(met: Met, nat: Pick<NatSection, 'answering'>): Section[] {
  const turn = async () => {
    const admitted = await met.visit.admitted();
    if ('why' in admitted) return [skipped('turn', `TURN was not tried: ${plain(admitted.why)}.`)];
    return turnFindings(await met.turn());
  };
  return [
    { title: 'TURN', checks: [{ name: 'turn', run: turn }] },
    {
      title: 'Paths, from this machine to its own agent',
      checks: [{ name: 'path', run: (signal) => loopBack(met, nat, signal) }],
    },
  ];
}

export function versionChecks({ look, localAgent, visit }: Met): NamedCheck[] {
  const ofEdge = async () => {
    const [seen, admitted] = await Promise.all([look(), visit.admitted()]);
    const protocol = 'why' in admitted ? undefined : admitted.facts.protocol;
    return checkEdgeVersion(VERSION, { version: seen.version, protocol });
  };
  return [
    { name: 'version.running', run: async () => checkRunning(VERSION, (await localAgent())?.version) },
    { name: 'version.edge', run: ofEdge },
  ];
}

/** Cloudflare dates every answer; an edge elsewhere may not, but each session has its times. */
async function timed(seen: Look, visit: Visit): Promise<Pick<Look, 'clockAheadMs' | 'unreachable'>> {
  if (seen.clockAheadMs !== undefined || seen.unreachable !== undefined) return seen;
  const admitted = await visit.admitted();
  return 'why' in admitted ? seen : { ...seen, clockAheadMs: admitted.facts.clockAheadMs };
}

async function loopBack(met: Met, nat: Pick<NatSection, 'answering'>, signal: AbortSignal): Promise<Finding[]> {
  const { visit, config, context } = met;
  const admitted = await visit.admitted();
  if ('why' in admitted) return noLoopBack(plain(admitted.why));
  const pass = await visit.pass(admitted).catch((error: unknown) => ({
    why: plain(error instanceof Error ? error.message : String(error)).replace(/\.$/, ''),
  }));
  if ('why' in pass) return noLoopBack(`the host takes paired devices only, and ${pass.why}`);
  const { hostKey, isTemporary } = admitted;
  const paired = config.access === 'paired' ? 'access: paired' : undefined;
  const findings = await checkLoopBack({
    connection: config,
    hostKey,
    pass,
    turn: met.turn(),
    stun: nat.answering(),
    tunnel: paired ?? (config.tunnel ? true : 'tunnel: no'),
    relayOnly: config.network.relayOnly,
    fetch: context.fetch,
    signal,
  });
  if (!isTemporary) return findings;
  return [ok('path', 'No agent was online, so one was started for these connections, and ended again.'), ...findings];
}
