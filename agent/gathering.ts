/**
 * Gathers one connection's local candidates (RFC 8445, section 5.1.1): host candidates at once, what STUN and TURN
 * servers add as it comes. Nothing here waits for a server that another candidate does not need.
 */
import type { IceServer } from '../shared/signal.ts';
import { type DatagramTransport, type Endpoint, endpointText } from './datagram.ts';
import { stunServers, type TurnEntry, turnEntries } from './ice-urls.ts';
import type { MuxShare, MuxSocket } from './mux-socket.ts';
import type { LocalAddress, NetworkSettings, PortMapper } from './network-settings.ts';
import { pause } from './pause.ts';
import type { ReflexiveAddresses } from './reflexive-addresses.ts';
import type { ResolveName } from './server-names.ts';
import type { Allocation } from './turn-allocation.ts';
import { TurnError } from './turn-client.ts';
import { raceAllocations } from './turn-race.ts';
import type { UdpMux } from './udp-mux.ts';

export interface LocalCandidate {
  readonly type: 'host' | 'srflx' | 'relay';
  readonly endpoint: Endpoint;
  /** Where its packets leave from; what candidates have in common that are alike (RFC 8445, section 5.1.1.3). */
  readonly base: Endpoint;
  /** 0 to 65535; differs between candidates of one type (RFC 8445, section 5.1.2.1). */
  readonly localPreference: number;
}

export interface GatheringEvents {
  /** Checks can be made through `transport`, whose packets leave from `base`. */
  transport(transport: DatagramTransport, base: LocalCandidate): void;
  /** To be told to the other end. */
  candidate(candidate: LocalCandidate): void;
  /** A remark for the log. */
  note(line: string): void;
  /** All servers have answered, or will not. */
  done(): void;
}

export interface GatheringOptions {
  readonly settings: NetworkSettings;
  readonly iceServers: readonly IceServer[];
  readonly mux: UdpMux;
  readonly share: MuxShare;
  /** Chosen for this connection. */
  readonly addresses: readonly LocalAddress[];
  readonly reflexive: ReflexiveAddresses;
  readonly resolve: ResolveName;
  readonly portMapper: PortMapper | undefined;
  readonly extraCa: readonly string[];
  readonly events: GatheringEvents;
}

const MAX_PREFERENCE = 65_535;
/** A router that is asked for a mapping answers in some round trips; a candidate that comes late still helps. */
const MAPPING_POLL_MS = [100, 300, 1000, 2000] as const;

export class Gathering {
  readonly #options: GatheringOptions;
  readonly #stop = new AbortController();
  readonly #allocations = new Set<Allocation>();
  readonly #told = new Set<string>();
  #pending = 0;
  #done = false;
  #wantsIpv6Relay = false;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /** Tells what is known already, before it returns; the rest follows. */
  start(): void {
    const { settings, mux, events, iceServers } = this.#options;
    this.#pending++;
    // IPv6 first: it mostly needs no NAT (RFC 8421, section 4).
    const sockets = settings.relayOnly ? [] : mux.sockets.toSorted((a, b) => b.local.family - a.local.family);
    for (const [i, socket] of sockets.entries()) this.#useSocket(socket, i);
    const entries = turnEntries(iceServers);
    if (settings.relayOnly && entries.length === 0) events.note('relay_only is set, and there is no TURN server');
    for (const [i, entry] of entries.entries()) this.#relay(entry, i, settings.ipFamily === 'ipv6' ? 6 : 4);
    this.#finished();
  }

  /** The other end has an IPv6 address: a relayed one of ours may be what it can reach. */
  wantIpv6Relay(): void {
    const { settings, iceServers } = this.#options;
    if (this.#wantsIpv6Relay || settings.ipFamily !== 'any') return;
    this.#wantsIpv6Relay = true;
    for (const [i, entry] of turnEntries(iceServers).entries()) this.#relay(entry, i, 6);
  }

  /** Stops asking, and gives relayed addresses back; resolves when the servers know. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const allocation of this.#allocations) void allocation.close();
    await Promise.all([...this.#allocations].map(({ released }) => released));
  }

  #useSocket(socket: MuxSocket, index: number): void {
    const { settings, share, events, reflexive, iceServers, portMapper } = this.#options;
    const { local, port } = socket;
    const base: Endpoint = [local.address, port];
    const localPreference = MAX_PREFERENCE - index * 256;
    const make = (type: LocalCandidate['type'], endpoint: Endpoint): LocalCandidate => ({
      type,
      endpoint,
      base,
      localPreference,
    });
    events.transport(share.use(socket), make('host', base));
    for (const address of local.advertised) this.#tell(make('host', [address, port]));
    const servers = stunServers(settings.stunUrls.length > 0 ? [{ urls: [...settings.stunUrls] }] : iceServers);
    for (const endpoint of reflexive.known(socket, servers)) this.#tell(make('srflx', endpoint));
    for (const server of servers) {
      this.#await(async () => {
        const endpoint = await reflexive.ask(socket, server, this.#stop.signal);
        if (endpoint !== undefined) this.#tell(make('srflx', endpoint));
      });
    }
    if (portMapper === undefined) return;
    const mapped = () => portMapper.external({ address: local.address, port });
    const tellMapped = () => {
      const external = mapped();
      if (external !== undefined) this.#tell(make('srflx', [external.address, external.port]));
      return external !== undefined;
    };
    if (!tellMapped()) this.#await(() => untilMapped(tellMapped, this.#stop.signal));
  }

  #relay(entry: TurnEntry, index: number, family: 4 | 6): void {
    const { settings, addresses, events, resolve, extraCa } = this.#options;
    const allowed = ([4, 6] as const).filter(
      (each) => settings.ipFamily === 'any' || settings.ipFamily === `ipv${each}`,
    );
    const there = allowed.filter((each) => addresses.some((local) => local.family === each));
    this.#await(async () => {
      try {
        const { allocation, server } = await raceAllocations(entry, {
          resolve,
          family,
          carrierFamilies: there.length > 0 ? there : allowed,
          localAddress: (carrierFamily) => this.#carrierAddress(carrierFamily),
          extraCa,
          signal: this.#stop.signal,
          ended: () => events.note('the TURN server has ended the relayed address'),
        });
        if (this.#stop.signal.aborted) {
          void allocation.close();
          return;
        }
        this.#allocations.add(allocation);
        const endpoint: Endpoint = [allocation.host, allocation.port];
        const streams = { udp: 0, tcp: 1, tls: 2 }[server.transport];
        const candidate: LocalCandidate = {
          type: 'relay',
          endpoint,
          base: allocation.mapped ?? endpoint,
          localPreference: MAX_PREFERENCE - streams * 8192 - index * 256 - (family === 4 ? 1 : 0),
        };
        events.note(`relayed address through TURN over ${server.transport.toUpperCase()}`);
        events.transport(allocation, candidate);
        this.#tell(candidate);
      } catch (error) {
        if (!this.#stop.signal.aborted && !isUnsupportedFamily(error)) {
          events.note(`no relayed IPv${family} address: ${reasons(error)}`);
        }
      }
    });
  }

  /** Where interfaces were chosen by name, TURN must not leave by another one. */
  #carrierAddress(family: 4 | 6): string | undefined {
    const { settings, addresses } = this.#options;
    if (settings.interfaces.length === 0 && settings.excludeInterfaces.length === 0) return undefined;
    return addresses.find((local) => local.family === family)?.address;
  }

  #await(work: () => Promise<void>): void {
    this.#pending++;
    void work().finally(() => this.#finished());
  }

  #finished(): void {
    this.#pending--;
    if (this.#pending > 0 || this.#done || this.#stop.signal.aborted) return;
    this.#done = true;
    this.#options.events.done();
  }

  #tell(candidate: LocalCandidate): void {
    const key = endpointText(candidate.endpoint);
    // A reflexive address that equals the host's says nothing new.
    if (this.#told.has(key) || this.#stop.signal.aborted) return;
    this.#told.add(key);
    this.#options.events.candidate(candidate);
  }
}

/** Asks `found` again until it says yes, for as long as a late answer of the router's helps. Never rejects. */
export async function untilMapped(found: () => boolean, signal: AbortSignal): Promise<void> {
  for (const ms of MAPPING_POLL_MS) {
    await pause(ms, signal);
    if (signal.aborted || found()) return;
  }
}

/** Without credentials, names and addresses, which the log need not have. */
function reasons(error: unknown): string {
  const all = error instanceof AggregateError ? error.errors : [error];
  const texts = all.map((each: unknown) => {
    if (each instanceof TurnError) return each.message;
    if (each instanceof Error) return 'code' in each ? String(each.code) : each.message;
    return 'unknown';
  });
  return [...new Set(texts)].join(', ');
}

/** 440: the server has no addresses of that family (RFC 8656, section 19), which is usual for IPv6. */
function isUnsupportedFamily(error: unknown): boolean {
  const all: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return all.some((each) => each instanceof TurnError && each.code === 440);
}
