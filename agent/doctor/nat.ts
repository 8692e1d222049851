/** How the network treats UDP, found out as RFC 5780, section 4 does, as far as the servers allow it. */
import { type Endpoint, endpointText } from '../datagram.ts';
import type { StunServer } from '../ice-urls.ts';
import type { ResolveName } from '../server-names.ts';
import { unlessAborted } from './once.ts';
import { CHANGE, StunProbe, type StunReply } from './stun-probe.ts';

/** RFC 4787, section 4.1. `none`: no translation. */
export type NatMapping = 'none' | 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';
/** RFC 4787, section 5. */
export type NatFiltering = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

export interface NatView {
  readonly family: 4 | 6;
  /** Server addresses that were asked, and that answered. */
  readonly asked: readonly Endpoint[];
  readonly answered: readonly { readonly server: Endpoint; readonly ms: number }[];
  /** This machine's address and port as the first one sees it. */
  readonly mapped: Endpoint | undefined;
  /** Undefined: too few servers answered. */
  readonly mapping: NatMapping | undefined;
  /** Undefined: no server can tell. */
  readonly filtering: NatFiltering | undefined;
  /** Whether machines behind the same router meet by its outer address; undefined: it was not tried. */
  readonly hairpin: boolean | undefined;
}

export interface NatOptions {
  readonly family: 4 | 6;
  readonly servers: readonly StunServer[];
  readonly resolve: ResolveName;
  /** All of this machine. */
  readonly ownAddresses: readonly string[];
  readonly signal: AbortSignal;
}

/** Each costs a few packets; two would do. */
const MAX_TARGETS = 6;
const MAX_ADDRESSES_EACH = 2;

/** Undefined: there is no server of this family to ask, or no socket. Rejects only when the signal is aborted. */
export async function observeNat(options: NatOptions): Promise<NatView | undefined> {
  const { family, ownAddresses, signal } = options;
  const asked = await targetsOf(options);
  if (asked.length === 0) return undefined;
  const probes: StunProbe[] = [];
  const open = async () => {
    const probe = await StunProbe.open(family, signal);
    probes.push(probe);
    return probe;
  };
  try {
    const probe = await open();
    const replies = await Promise.all(asked.map((server) => probe.ask(server)));
    signal.throwIfAborted();
    const seen = replies.flatMap((reply, i) => {
      const server = asked[i];
      return reply === undefined || server === undefined ? [] : [{ server, reply }];
    });
    const [first] = seen;
    const answered = seen.map(({ server, reply }) => ({ server, ms: Math.round(reply.ms) }));
    if (first === undefined) {
      return {
        family,
        asked,
        answered,
        mapped: undefined,
        mapping: undefined,
        filtering: undefined,
        hairpin: undefined,
      };
    }
    const { mapped } = first.reply;
    const teller = seen.find(({ reply, server }) => reply.other !== undefined && reply.other[0] !== server[0]);
    const [more, filtering, hairpin] = await Promise.all([
      teller?.reply.other === undefined ? [] : otherAnswers(probe, teller.server, teller.reply.other),
      teller === undefined ? undefined : open().then((fresh) => observeFiltering(fresh, teller.server)),
      ownAddresses.includes(mapped[0]) ? undefined : observeHairpin(open, first.server),
    ]);
    signal.throwIfAborted();
    const mapping = mappingOf([...seen, ...more], ownAddresses, probe.port);
    return { family, asked, answered, mapped, mapping, filtering, hairpin };
  } catch (error) {
    signal.throwIfAborted();
    // No socket of this family: there is nothing to tell.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  } finally {
    for (const probe of probes) probe.close();
  }
}

async function targetsOf({ servers, family, resolve, signal }: NatOptions): Promise<Endpoint[]> {
  const resolved = await Promise.all(
    servers.map(async ({ host, port }) => {
      const addresses = await unlessAborted(resolve(host, family), signal);
      return addresses.slice(0, MAX_ADDRESSES_EACH).map((address): Endpoint => [address, port]);
    }),
  );
  const all = new Map(resolved.flat().map((target) => [endpointText(target), target]));
  return [...all.values()].slice(0, MAX_TARGETS);
}

interface Seen {
  readonly server: Endpoint;
  readonly reply: StunReply;
}

/** RFC 5780, section 4.3: the same socket asks the server's other address, and that one's other port. */
async function otherAnswers(probe: StunProbe, [, port]: Endpoint, other: Endpoint): Promise<Seen[]> {
  const targets: Endpoint[] = [[other[0], port], other];
  const replies = await Promise.all(targets.map((target) => probe.ask(target)));
  return replies.flatMap((reply, i) => {
    const server = targets[i];
    return reply === undefined || server === undefined ? [] : [{ server, reply }];
  });
}

function mappingOf(seen: readonly Seen[], ownAddresses: readonly string[], ownPort: number): NatMapping | undefined {
  const mappings = new Set(seen.map(({ reply }) => endpointText(reply.mapped)));
  const [first] = seen;
  if (first === undefined) return undefined;
  if (mappings.size === 1) {
    if (ownAddresses.includes(first.reply.mapped[0]) && first.reply.mapped[1] === ownPort) return 'none';
    const addresses = new Set(seen.map(({ server: [address] }) => address));
    return addresses.size > 1 ? 'endpoint-independent' : undefined;
  }
  // Another port for each port of one address; or the same for all of them, and another for each address.
  for (const same of Map.groupBy(seen, ({ server: [address] }) => address).values()) {
    if (new Set(same.map(({ reply }) => endpointText(reply.mapped))).size > 1) return 'address-and-port-dependent';
  }
  const ports = [...Map.groupBy(seen, ({ server: [address] }) => address).values()].some((same) => same.length > 1);
  return ports ? 'address-dependent' : 'address-and-port-dependent';
}

/** RFC 5780, section 4.4, with a socket that has sent to `server` alone. */
async function observeFiltering(fresh: StunProbe, server: Endpoint): Promise<NatFiltering | undefined> {
  if ((await fresh.ask(server)) === undefined) return undefined;
  const [both, port] = await Promise.all([fresh.ask(server, CHANGE.both), fresh.ask(server, CHANGE.port)]);
  // An answer from where it was asked: it does not do what it is asked for.
  if (both !== undefined) return both.from[0] === server[0] ? undefined : 'endpoint-independent';
  if (port !== undefined) return port.from[1] === server[1] ? undefined : 'address-dependent';
  return 'address-and-port-dependent';
}

/** Two sockets of this machine send to each other's outer address, so that both filters know both. */
async function observeHairpin(open: () => Promise<StunProbe>, server: Endpoint): Promise<boolean | undefined> {
  const [one, other] = await Promise.all([open(), open()]);
  const [first, second] = await Promise.all([one.ask(server), other.ask(server)]);
  if (first === undefined || second === undefined) return undefined;
  const ways = await Promise.all([one.passes(second.mapped, other), other.passes(first.mapped, one)]);
  return ways.some((arrived) => arrived);
}
