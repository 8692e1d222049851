/**
 * The ways to one TURN server, raced: UDP at once, TCP and TLS when UDP has not answered after a moment, as RFC 8305
 * staggers connection attempts. The first relayed address wins; the others' attempts end.
 */
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from './datagram.ts';
import type { TurnEntry, TurnServer } from './ice-urls.ts';
import { isGlobal, isPrivate } from './port-mapping/ip-address.ts';
import type { ResolveName } from './server-names.ts';
import { Allocation } from './turn-allocation.ts';
import { openCarrier } from './turn-carrier.ts';
import { TurnError } from './turn-client.ts';

/** UDP answers in two round trips; where it is blocked, this is what the relay costs more. */
const STREAMS_AFTER_MS = 500;
/** Between attempts of one kind (RFC 8305, section 5, has 250 ms). */
const STAGGER_MS = 250;
/** TCP, TLS and allocating take 5 round trips at most. */
const ATTEMPT_TIMEOUT_MS = 10_000;

export interface TurnRaceOptions {
  readonly resolve: ResolveName;
  /** Of the address that is asked for. */
  readonly family: 4 | 6;
  /** Of the way to the server, in the order of preference. */
  readonly carrierFamilies: readonly (4 | 6)[];
  /** Local address for a carrier of this family; undefined: the system's choice. */
  readonly localAddress: (family: 4 | 6) => string | undefined;
  readonly extraCa: readonly string[];
  readonly signal: AbortSignal;
  /** The allocation has ended against our will. */
  readonly ended: () => void;
}

export interface WonAllocation {
  readonly allocation: Allocation;
  readonly server: TurnServer;
}

/** @throws AggregateError whose `errors` say why each way failed. */
export async function raceAllocations(entry: TurnEntry, options: TurnRaceOptions): Promise<WonAllocation> {
  const won = new AbortController();
  const signal = AbortSignal.any([options.signal, won.signal]);
  let winner: Allocation | undefined;
  let failedUdp = 0;
  const udp = attemptsOf(entry, options, (server) => server.transport === 'udp');
  const streams = attemptsOf(entry, options, (server) => server.transport !== 'udp');
  const udpFailed = new AbortController();
  if (udp.length === 0) udpFailed.abort();
  const run = async ({ server, family }: Attempt, delayMs: number, early?: AbortSignal): Promise<WonAllocation> => {
    await waitFor(delayMs, early, signal);
    const allocation = await attempt(entry, server, family, options, signal);
    if (winner !== undefined || options.signal.aborted) {
      void allocation.close();
      throw new Error('another way was faster');
    }
    winner = allocation;
    return { allocation, server };
  };
  const racing = [
    ...udp.map((each, i) =>
      run(each, i * STAGGER_MS).catch((error: unknown) => {
        failedUdp++;
        // A refused port or an unresolvable name need not be waited for.
        if (failedUdp === udp.length) udpFailed.abort();
        throw error;
      }),
    ),
    ...streams.map((each, i) => run(each, STREAMS_AFTER_MS + i * STAGGER_MS, i === 0 ? udpFailed.signal : undefined)),
  ];
  try {
    return await Promise.any(racing);
  } finally {
    won.abort();
  }
}

interface Attempt {
  readonly server: TurnServer;
  readonly family: 4 | 6;
}

function attemptsOf(
  { servers }: TurnEntry,
  options: TurnRaceOptions,
  which: (server: TurnServer) => boolean,
): Attempt[] {
  return servers.filter(which).flatMap((server) => {
    const literal = isIP(server.host);
    return options.carrierFamilies
      .filter((family) => literal === 0 || literal === family)
      .map((family): Attempt => ({ server, family }));
  });
}

async function waitFor(ms: number, early: AbortSignal | undefined, signal: AbortSignal): Promise<void> {
  if (ms > 0) {
    const either = early === undefined ? signal : AbortSignal.any([early, signal]);
    await sleep(ms, undefined, { signal: either }).catch(() => {});
  }
  signal.throwIfAborted();
}

async function attempt(
  entry: TurnEntry,
  server: TurnServer,
  family: 4 | 6,
  options: TurnRaceOptions,
  signal: AbortSignal,
): Promise<Allocation> {
  const [address] = await options.resolve(server.host, family);
  if (address === undefined) throw new Error(`the TURN server has no IPv${family} address`);
  const allocate = async (target: Endpoint) => {
    const carrier = await openCarrier({
      transport: server.transport,
      server: target,
      host: server.host,
      localAddress: options.localAddress(family),
      extraCa: options.extraCa,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]),
    });
    const abort = () => {
      carrier.close();
      carrier.closed('another way was faster');
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await Allocation.create(carrier, entry, { family: options.family, ended: options.ended });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  };
  try {
    return await allocate([address, server.port]);
  } catch (error) {
    // RFC 8656, section 7.3: a server under load names another one; once, so that two cannot play ping-pong.
    if (!(error instanceof TurnError) || error.alternate === undefined) throw error;
    if (!acceptsAlternate([address, server.port], error.alternate)) throw error;
    return await allocate(error.alternate);
  }
}

/**
 * Nobody but the network's own server may send the agent to an address inside it, and none to this machine; the family
 * is the one that the settings allow (RFC 8656, section 7.3, asks for the same one as well).
 */
export function acceptsAlternate([server]: Endpoint, [alternate, port]: Endpoint): boolean {
  if (port === 0 || isIP(alternate) !== isIP(server)) return false;
  return isGlobal(alternate) || (!isGlobal(server) && isPrivate(alternate));
}
