/** Each way to each TURN server: whether it gives an address, and how far away it is. */
import { isIP } from 'node:net';
import type { IceServer } from '../../shared/signal.ts';
import { plain } from '../command-error.ts';
import type { Endpoint } from '../datagram.ts';
import { type TurnEntry, type TurnServer, type TurnTransport, turnEntries } from '../ice-urls.ts';
import type { ResolveName } from '../server-names.ts';
import { Allocation } from '../turn-allocation.ts';
import { openCarrier } from '../turn-carrier.ts';
import { TurnError } from '../turn-client.ts';
import { codeOf } from './errors.ts';
import { type Finding, failure, ok, skipped, warning } from './finding.ts';
import { unlessAborted, within } from './once.ts';

const ATTEMPT_MS = 4_000;
/** Of all entries together; providers name under 6. */
const MAX_SERVERS = 8;

export interface TurnOptions {
  readonly iceServers: readonly IceServer[];
  readonly resolve: ResolveName;
  readonly signal: AbortSignal;
}

/** One way to one server, as a URL of the edge names it. */
export interface TurnWay {
  readonly entry: TurnEntry;
  readonly server: TurnServer;
  /** For people and for `RTCIceServer.urls`. */
  readonly url: string;
}

export function turnWays(iceServers: readonly IceServer[]): TurnWay[] {
  return turnEntries(iceServers)
    .flatMap((entry) => entry.servers.map((server) => ({ entry, server, url: urlOf(server) })))
    .slice(0, MAX_SERVERS);
}

export interface TriedWay {
  readonly way: TurnWay;
  readonly result: Result;
}

/** Takes ATTEMPT_MS at most. */
export async function tryTurn({ iceServers, resolve, signal }: TurnOptions): Promise<TriedWay[]> {
  const ways = turnWays(iceServers);
  return await Promise.all(ways.map(async (way) => ({ way, result: await attempt(way, resolve, signal) })));
}

export function turnFindings(tried: readonly TriedWay[]): Finding[] {
  if (tried.length === 0) {
    return [
      skipped('turn', 'The edge names no TURN server.', {
        meaning:
          'Where no direct connection is possible, all goes through the edge’s relay: encrypted end to end, but slower, and it counts against the edge’s daily limits.',
        fix: 'Set up TURN at the edge; Cloudflare’s has a free part. See “TURN” in the documentation.',
      }),
    ];
  }
  const works = tried.some(({ result }) => 'ms' in result);
  return tried.map(({ way, result }) => finding(way, result, works));
}

export type Result =
  | { readonly ms: number; readonly relayed: string }
  | { readonly problem: string; readonly code?: number };

function finding({ server, url }: TurnWay, result: Result, works: boolean): Finding {
  const check = `turn.${server.transport}`;
  if ('ms' in result) {
    const data = { url, transport: server.transport, rtt_ms: result.ms, relayed: result.relayed };
    return ok(check, `TURN over ${TITLES[server.transport]} works: ${url} (RTT about ${result.ms} ms).`, { data });
  }
  const data = { url, transport: server.transport, problem: result.problem };
  const what = `TURN over ${TITLES[server.transport]} does not work: ${url} (${result.problem}).`;
  const refused = result.code !== undefined && result.code !== 0;
  const meaning = works
    ? 'Another way to TURN works, and is used.'
    : 'Clients that cannot connect directly have only the edge’s relay.';
  const fix = refused ? refusalFix(result.code) : FIXES[server.transport];
  return works && !refused
    ? warning(check, what, { meaning, fix, data })
    : failure(check, what, { meaning, fix, data });
}

const TITLES: Record<TurnTransport, string> = { udp: 'UDP', tcp: 'TCP', tls: 'TLS' };
const FIXES: Record<TurnTransport, string> = {
  udp: 'A firewall may block UDP; else check that the server runs and that its address and port are right.',
  tcp: 'A firewall may block that port; else check that the server listens for TCP there.',
  tls: 'A firewall may block that port; else check that the server listens for TLS there with a certificate for that name.',
};

function refusalFix(code: number | undefined): string {
  if (code === 401 || code === 441) {
    return 'The server does not accept the credentials that the edge makes: compare TURN_SECRET, or the provider’s key, at both.';
  }
  if (code === 486 || code === 508) return 'The server has no room for another one now: raise its quota.';
  return 'See the server’s log.';
}

async function attempt(way: TurnWay, resolve: ResolveName, signal: AbortSignal): Promise<Result> {
  const limit = within(ATTEMPT_MS, signal);
  let allocation: Allocation | undefined;
  try {
    const target = await addressOf(way.server, resolve, limit);
    if (target === undefined) return { problem: 'its name has no address' };
    const allocated = allocate(way, target, limit);
    // One that comes too late is given back all the same.
    void allocated.then(
      ({ made }) => (limit.aborted ? made.close() : undefined),
      () => {},
    );
    const { made, ms } = await unlessAborted(allocated, limit);
    allocation = made;
    return { ms, relayed: made.address.address };
  } catch (error) {
    if (error instanceof TurnError) return { problem: error.message.replace('the TURN server ', ''), code: error.code };
    if (limit.aborted) return { problem: 'no answer in time' };
    return { problem: plain(codeOf(error)) };
  } finally {
    await allocation?.close();
  }
}

async function allocate(
  { entry, server }: TurnWay,
  target: Endpoint,
  signal: AbortSignal,
): Promise<{ made: Allocation; ms: number }> {
  const carrier = await openCarrier({
    transport: server.transport,
    server: target,
    host: server.host,
    localAddress: undefined,
    extraCa: [],
    signal,
  });
  const start = performance.now();
  const made = await Allocation.create(carrier, entry, { family: 4 });
  // One round trip for the challenge and one for the address.
  return { made, ms: Math.max(1, Math.round((performance.now() - start) / 2)) };
}

async function addressOf(
  { host, port }: TurnServer,
  resolve: ResolveName,
  signal: AbortSignal,
): Promise<Endpoint | undefined> {
  if (isIP(host) !== 0) return [host, port];
  const [v4, v6] = await unlessAborted(Promise.all([resolve(host, 4), resolve(host, 6)]), signal);
  const address = v4[0] ?? v6[0];
  return address === undefined ? undefined : [address, port];
}

function urlOf({ host, port, transport }: TurnServer): string {
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return transport === 'tls' ? `turns:${at}?transport=tcp` : `turn:${at}?transport=${transport}`;
}
