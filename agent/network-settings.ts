/** How the agent's WebRTC uses this machine's network; what the owner may set, checked. */
import type { EngineSetting } from './engine.ts';

/** A static NAT: what reaches `external` from outside arrives at `local`, on the same port. */
export interface AddressMapping {
  /** IPv4 or IPv6, without brackets. */
  readonly external: string;
  /** Of the same family; undefined: every local address of that family. */
  readonly local: string | undefined;
}

/** UDP ports, both inclusive; `min` and `max` are equal for one pinned port. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

export interface NetworkSettings {
  /** Names with `*` and `?` as wildcards; empty: all but virtual ones. */
  readonly interfaces: readonly string[];
  /** Likewise; these are never used. */
  readonly excludeInterfaces: readonly string[];
  /** Advertised in place of host candidates. */
  readonly nat1to1: readonly AddressMapping[];
  /** Undefined: whichever port the system gives. */
  readonly udpPorts: PortRange | undefined;
  readonly ipFamily: 'any' | 'ipv4' | 'ipv6';
  /** Only through TURN. */
  readonly relayOnly: boolean;
  /** In place of the STUN servers that the edge names; empty: those. */
  readonly stunUrls: readonly string[];
  /** Whether to ask the router for a port: UPnP-IGD, NAT-PMP, PCP. */
  readonly portMapping: boolean;
  /** The library that makes the connections. */
  readonly engine: EngineSetting;
  /** Where each of these keys is set, for messages: `config.yaml:3`, `--udp-ports`. */
  readonly places?: Readonly<Record<string, string>>;
}

/** An address of this machine that the agent listens at. */
export interface LocalAddress {
  readonly interface: string;
  /** Without a zone. */
  readonly address: string;
  readonly family: 4 | 6;
  /** What clients are told: the address itself, or what NAT 1:1 puts in its place. Never empty. */
  readonly advertised: readonly string[];
}

/** What a NAT maps a local UDP address to. */
export interface MappedAddress {
  readonly address: string;
  readonly port: number;
}

/** Asks the router to pass packets on (UPnP-IGD, NAT-PMP, PCP). */
export interface PortMapper {
  /** Begins to ask for this local UDP address, and keeps the mapping alive; returns at once. */
  map(local: MappedAddress): void;
  /** What the router has agreed to; undefined: nothing, or nothing yet. */
  external(local: MappedAddress): MappedAddress | undefined;
  /** Takes the mapping back. */
  unmap(local: MappedAddress): void;
  /** Takes all mappings back; resolves when the router has answered or did not in a second. */
  close(): Promise<void>;
}
