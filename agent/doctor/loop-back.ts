/** Connections from this machine to its own agent, by each path that a client may take, as a client makes them. */
import type { IceServer } from '../../shared/signal.ts';
import { plain } from '../command-error.ts';
import type { Connection } from '../config.ts';
import { type Endpoint, endpointText } from '../datagram.ts';
import { edgeOf } from '../edge-address.ts';
import { causeOf, isTimeout } from './errors.ts';
import { type Finding, failure, ok, skipped, warning } from './finding.ts';
import { unlessAborted, within } from './once.ts';
import type { Pass } from './pass.ts';
import type { TriedWay } from './turn.ts';
import { PROBED } from './visitor.ts';

/** ICE takes a second or two, and TURN over TLS another; a busy machine takes twice that. */
const PATH_MS = 7_000;
/** More at once would measure one another. */
const AT_ONCE = 2;

export interface LoopBackOptions {
  readonly connection: Connection;
  readonly hostKey: string;
  readonly pass: Pass;
  /** Those of the edge, once it is known which work. */
  readonly turn: Promise<readonly TriedWay[]>;
  /** Servers that answer: to gather with those that do not would take longer than all the rest. */
  readonly stun: Promise<readonly Endpoint[]>;
  /** Whether the host takes plain HTTPS; else why not. */
  readonly tunnel: true | string;
  readonly relayOnly: boolean;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal;
}

type Kind = 'direct' | 'turn' | 'relay';

interface Way {
  readonly check: string;
  readonly title: string;
  readonly kind: Kind;
  readonly iceServer?: IceServer;
}

/** Each path in the order of the report. What is not finished when the signal aborts says so. */
export async function checkLoopBack(options: LoopBackOptions): Promise<Finding[]> {
  const relay: Way = { check: 'path.relay', title: 'Relay', kind: 'relay' };
  const [[first, last], tunnel, turn] = await Promise.all([
    Promise.all([options.relayOnly ? undefined : checkDirect(options), checkWay(relay, options)]),
    checkTunnel(options),
    checkTurnWays(options),
  ]);
  return [...(first === undefined ? [] : [first]), ...turn, last, tunnel];
}

async function checkDirect(options: LoopBackOptions): Promise<Finding> {
  const urls = (await options.stun).slice(0, 2).map((server) => `stun:${endpointText(server)}`);
  const iceServer = urls.length === 0 ? {} : { iceServer: { urls } };
  return await checkWay({ check: 'path.direct', title: 'Direct', kind: 'direct', ...iceServer }, options);
}

async function checkTurnWays(options: LoopBackOptions): Promise<Finding[]> {
  const tried = await options.turn;
  const waiting = tried.map((each, index) => ({ ...each, index }));
  const findings: Finding[] = [];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { entry, server, url } = next.way;
      const check = `path.turn-${server.transport}`;
      const iceServer = { urls: [url], username: entry.username, credential: entry.credential };
      const way: Way = { check, title: `TURN, ${url}`, kind: 'turn', iceServer };
      findings[next.index] =
        'ms' in next.result
          ? await checkWay(way, options)
          : skipped(check, `TURN, ${url}: not tried, since that server gives no address (see above).`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return findings;
}

async function checkWay(way: Way, options: LoopBackOptions): Promise<Finding> {
  const { signal, connection, hostKey, pass } = options;
  const { check, title, kind } = way;
  const limit = within(PATH_MS, signal);
  // The client brings werift, and is none of what other commands need.
  const { connect } = await import('#client');
  const client = connect({
    url: connection.signalingUrl,
    token: pass.key,
    hostKey,
    tunnel: false,
    webrtc: kind !== 'relay',
    ...(pass.device === undefined ? {} : { device: pass.device }),
    ...(kind === 'turn' ? { iceTransportPolicy: 'relay' as const } : {}),
    ...(way.iceServer === undefined ? {} : { iceServers: [way.iceServer] }),
  });
  const start = performance.now();
  try {
    await unlessAborted(arrives(client, kind), limit);
    const openMs = Math.round(performance.now() - start);
    const asked = performance.now();
    const response = await client.fetch(PROBED, { signal: limit });
    await response.arrayBuffer();
    const requestMs = Math.round(performance.now() - asked);
    const rtt = client.rtt === undefined ? null : Math.round(client.rtt);
    const data = { path: client.path, open_ms: openMs, request_ms: requestMs, rtt_ms: rtt, status: response.status };
    const latency = rtt === null ? '' : `, RTT ${rtt} ms`;
    const meaning =
      kind === 'direct'
        ? { meaning: 'That is within this machine; whether it works through the router say the lines about NAT.' }
        : {};
    return ok(check, `${title}: open after ${openMs} ms, a request takes ${requestMs} ms${latency}.`, {
      ...meaning,
      data,
    });
  } catch (error) {
    if (signal.aborted) return unfinished(check, title);
    const { code, message } = client.error ?? {};
    const why =
      message === undefined
        ? isTimeout(error)
          ? 'no connection in time'
          : causeOf(error)
        : plain(`${code}: ${message}`);
    return broken(way, why, client.path);
  } finally {
    client.close();
  }
}

interface PathSource {
  readonly path: string;
  readonly error: { readonly code: string } | undefined;
  on(name: 'path', listener: () => void): () => void;
}

/** Resolves when the client uses that path; rejects when the host refuses it for good. */
async function arrives(client: PathSource, kind: Kind): Promise<void> {
  const arrived = Promise.withResolvers<void>();
  const look = () => {
    if (client.path === kind) arrived.resolve();
    else if (client.path === 'offline' && isFinal(client.error?.code)) arrived.reject(client.error);
  };
  const forget = client.on('path', look);
  try {
    look();
    await arrived.promise;
  } finally {
    forget();
  }
}

function isFinal(code: string | undefined): boolean {
  return code === 'E_HOST_KEY_CHANGED' || code === 'E_HOST_KEY' || code === 'E_DEVICE_UNKNOWN' || code === 'E_PAIRING';
}

function broken({ check, title, kind }: Way, why: string, path: string): Finding {
  const what = `${title}: no connection (${why}).`;
  const data = { path, problem: why };
  switch (kind) {
    case 'direct':
      return warning(check, what, {
        meaning: 'WebRTC does not even work within this machine: clients use TURN or the relay.',
        fix: 'A local firewall may block UDP to this program: allow it; see also the lines about interfaces.',
        data,
      });
    case 'turn':
      return warning(check, what, {
        meaning: 'Clients that depend on this way to TURN use the relay.',
        fix: 'See the line about this server above; if that is right, see the server’s log: it may refuse to relay between these addresses.',
        data,
      });
    case 'relay':
      return failure(check, what, {
        meaning: 'The relay is the way that always works; clients without a direct path have the tunnel at most.',
        fix: 'See the lines about the edge and its WebSockets.',
        data,
      });
  }
}

async function checkTunnel({ connection, pass, tunnel, fetch, signal }: LoopBackOptions): Promise<Finding> {
  const check = 'path.tunnel';
  if (tunnel !== true) return ok(check, `Tunnel: off, as configured (${tunnel}).`, { data: { status: null } });
  const start = performance.now();
  const meaning = 'Programs that use the edge’s address as their base URL do not reach this host.';
  try {
    const response = await fetch(`${edgeOf(connection.signalingUrl)}${PROBED}`, {
      headers: { authorization: `Bearer ${pass.key}`, 'direct-host': connection.hostId, accept: 'application/json' },
      redirect: 'manual',
      signal: within(PATH_MS, signal),
    });
    await response.arrayBuffer();
    const ms = Math.round(performance.now() - start);
    const data = { request_ms: ms, status: response.status };
    if (response.ok) return ok(check, `Tunnel: a request takes ${ms} ms.`, { data });
    const fix = 'See the lines about the LLM server and the edge.';
    return warning(check, `Tunnel: the request is answered with status ${response.status}.`, { meaning, fix, data });
  } catch (error) {
    if (signal.aborted) return unfinished(check, 'Tunnel');
    const why = isTimeout(error) ? 'no answer in time' : causeOf(error);
    return failure(check, `Tunnel: no answer (${why}).`, {
      meaning,
      fix: 'See the lines about the edge.',
      data: { problem: why },
    });
  }
}

function unfinished(check: string, title: string): Finding {
  return warning(check, `${title}: not finished in time.`, {
    fix: 'Run direct-agent doctor again when this machine and its network are less busy.',
  });
}

/** Where there is no connection to be made. */
export function noLoopBack(why: string): Finding[] {
  return [skipped('path', `No connection to this host was tried: ${why}.`)];
}
