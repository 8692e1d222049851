/** The best path that two networks allow, from what their NATs do (RFC 4787) and what ICE makes of it (RFC 8445). */
import type { PathKind } from '../../shared/path.ts';
import {
  type Filtering,
  hasRouter,
  IPV6_FIREWALL,
  isNeighbour,
  type Mapping,
  type Nat,
  NETWORK_TYPES,
  type Neighbour,
  type NetworkName,
  type NetworkType,
  type Place,
} from './network-types.ts';

const MAPPINGS: readonly Mapping[] = ['none', 'endpoint-independent', 'address-and-port-dependent'];
const FILTERINGS: readonly Filtering[] = [
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
];

/** Undefined: there cannot be such a pair, as there is no router without NAT. */
export function expectedPath(client: Place, host: NetworkName): PathKind | undefined {
  const there: NetworkType = NETWORK_TYPES[host];
  if (!isNeighbour(client)) return pathBetween(NETWORK_TYPES[client], there);
  return hasRouter(there) ? pathToNeighbour(client, there) : undefined;
}

function pathBetween(client: NetworkType, host: NetworkType): PathKind {
  const isDirect = ([4, 6] as const).some((family) => {
    const here = natOf(client, family);
    const there = natOf(host, family);
    return here !== undefined && there !== undefined && (arrives(here, there) || arrives(there, here));
  });
  return isDirect ? 'direct' : pathThroughTurn(client, host);
}

/**
 * Each end allocates an address at the TURN server, over UDP, TCP or TLS on port 443, over IPv4 or IPv6. They are IPv4
 * addresses unless asked for otherwise (RFC 8656, section 7.2), so that two of them always reach each other. An end
 * that gets to the edge only reaches neither the server nor what the other one allocated.
 */
function pathThroughTurn(client: NetworkType, host: NetworkType): PathKind {
  return [client, host].some(({ passes }) => passes === 'edge') ? 'relay' : 'turn';
}

/** The router's firewall and NAT stand between it and the internet only. */
function pathToNeighbour(client: Neighbour, host: NetworkType): PathKind {
  if (client === 'same-lan') return 'direct';
  // The way round leads to the address that STUN tells and back from there, so both ends have the same NATs. Behind a
  // carrier's that address is the carrier's, and carriers must lead back (RFC 6888, REQ-1): the router has no say.
  const leadsBack = client === 'hairpin' || host.nats.length > 1;
  const nat = natOf(host, 4);
  if (leadsBack && nat !== undefined && arrives(nat, nat)) return 'direct';
  return pathThroughTurn(host, host);
}

/** All NATs on the way as one: the worst mapping and the strictest filter. Undefined: no UDP. */
export function natOf(network: NetworkType, family: 4 | 6): Nat | undefined {
  if (!network.families.includes(family) || network.passes !== 'all') return undefined;
  const nats = family === 6 ? [IPV6_FIREWALL] : network.nats;
  return {
    mapping: last(
      MAPPINGS,
      nats.map(({ mapping }) => mapping),
    ),
    filtering: last(
      FILTERINGS,
      nats.map(({ filtering }) => filtering),
    ),
  };
}

/** Of `used`, the one that comes last in `order`; its first without any. */
function last<T>(order: readonly T[], used: readonly T[]): T {
  return order[Math.max(0, ...used.map((one) => order.indexOf(one)))] as T;
}

/**
 * Whether a connectivity check from one end gets through to the other. Then the other end learns the address from which
 * it came (a peer-reflexive candidate, RFC 8445, section 7.3.1.3), answers there, and the pair works both ways.
 *
 * Both send checks to the address that the other's STUN server saw. The check's own source is that address if the
 * sender's mapping does not depend on the destination, else the same address with a port that nobody knows.
 */
function arrives(from: Nat, to: Nat): boolean {
  const isKnownPort = from.mapping !== 'address-and-port-dependent';
  const isMapped = to.mapping !== 'address-and-port-dependent';
  switch (to.filtering) {
    case 'none':
    case 'endpoint-independent':
      // Even a mapping that was made for the STUN server.
      return true;
    case 'address-dependent':
      return isMapped;
    case 'address-and-port-dependent':
      return isMapped && isKnownPort;
  }
}
