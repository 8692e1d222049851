/** The networks that a client or a host may be in, in the words of RFC 4787. */

/**
 * Which external port a NAT gives to a local one (RFC 4787, section 4.1): the same for all destinations, or another for
 * each. `none`: no translation.
 */
export type Mapping = 'none' | 'endpoint-independent' | 'address-and-port-dependent';

/**
 * Who may send to it (RFC 4787, section 5): everybody, the addresses to which it has sent, or of these only the ports
 * to which it has sent. `none`: no filter.
 */
export type Filtering = 'none' | 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

export interface Nat {
  mapping: Mapping;
  filtering: Filtering;
}

/** What a network's firewall lets out. `edge`: HTTPS to the edge, and to nothing else. */
export type Passes = 'all' | 'tcp' | 'tcp-443' | 'edge';

export interface NetworkType {
  /** For the table. */
  title: string;
  /** Between the machine and the internet, the machine's own router first; empty: a public address. Of IPv4. */
  nats: readonly Nat[];
  families: readonly (4 | 6)[];
  passes: Passes;
  /** Whether the machine has bridges of Docker, whose addresses mean another machine to everybody else. */
  docker: boolean;
}

export const FULL_CONE: Nat = { mapping: 'endpoint-independent', filtering: 'endpoint-independent' };
export const ADDRESS_RESTRICTED: Nat = { mapping: 'endpoint-independent', filtering: 'address-dependent' };
export const PORT_RESTRICTED: Nat = { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' };
export const SYMMETRIC: Nat = { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' };
/** Home routers do not translate IPv6, but let in answers only (RFC 6092, section 3.2.2). */
export const IPV6_FIREWALL: Nat = { mapping: 'none', filtering: 'address-and-port-dependent' };

/** Behind an ordinary home router unless told otherwise. */
function type(title: string, parts: Partial<NetworkType> = {}): NetworkType {
  return { title, nats: [PORT_RESTRICTED], families: [4], passes: 'all', docker: false, ...parts };
}

export const NETWORK_TYPES = {
  none: type('no NAT', { nats: [] }),
  'full-cone': type('full cone', { nats: [FULL_CONE] }),
  'address-restricted': type('address-restricted', { nats: [ADDRESS_RESTRICTED] }),
  'port-restricted': type('port-restricted'),
  symmetric: type('symmetric', { nats: [SYMMETRIC] }),
  // RFC 6888, REQ-1: the carrier's NAT maps like any other that RFC 4787 allows.
  cgnat: type('carrier-grade NAT', { nats: [PORT_RESTRICTED, PORT_RESTRICTED] }),
  'udp-blocked': type('UDP blocked', { passes: 'tcp' }),
  'https-only': type('only 443/tcp', { passes: 'tcp-443' }),
  'edge-only': type('only the edge', { passes: 'edge' }),
  ipv6: type('IPv6 only', { nats: [], families: [6] }),
  dual: type('IPv4 + IPv6', { families: [4, 6] }),
  docker: type('Docker bridges', { docker: true }),
} as const satisfies Record<string, NetworkType>;

export type NetworkName = keyof typeof NETWORK_TYPES;
export const NETWORK_NAMES = Object.keys(NETWORK_TYPES) as NetworkName[];

/** Otherwise the machine is on the internet itself. */
export function hasRouter({ nats, families }: NetworkType): boolean {
  return nats.length > 0 || families.includes(6);
}

/**
 * A client behind the host's own router: in the same LAN, or in another one, from which only the router's external
 * address leads to the host (“hairpinning”, RFC 4787, section 6), if the router does that.
 */
export type Neighbour = 'same-lan' | 'hairpin' | 'no-hairpin';

export const NEIGHBOURS: Record<Neighbour, string> = {
  'same-lan': 'same LAN',
  hairpin: 'same router, hairpin',
  'no-hairpin': 'same router, no hairpin',
};

/** Where a client is: in a network of its own, or with the host. */
export type Place = NetworkName | Neighbour;
export const PLACES: readonly Place[] = [...NETWORK_NAMES, ...(Object.keys(NEIGHBOURS) as Neighbour[])];

export function isNeighbour(place: Place): place is Neighbour {
  return place in NEIGHBOURS;
}

export function titleOf(place: Place): string {
  return isNeighbour(place) ? NEIGHBOURS[place] : NETWORK_TYPES[place].title;
}
