/** node-datachannel as the engine: what all connections of an agent share. Loaded where it is chosen. */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { IceServer } from '../shared/signal.ts';
import type { Engine } from './engine.ts';
import { type StunServer, stunServers, turnEntries } from './ice-urls.ts';
import { chooseAddresses } from './local-addresses.ts';
import { NativePeer, type NativeWay } from './native-peer.ts';
import type { NativeLibrary, NativeServer } from './native-types.ts';
import type { LocalAddress, NetworkSettings, PortMapper } from './network-settings.ts';
import { placed } from './network-values.ts';
import { pause } from './pause.ts';
import type { Peer, PeerEvents } from './peer.ts';
import { createNameResolver } from './server-names.ts';
import { NoPortError, UdpMux } from './udp-mux.ts';

export interface NativeEngineOptions {
  readonly library: NativeLibrary;
  log(line: string): void;
  readonly interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  readonly portMapper?: PortMapper;
}

/** The library wants addresses of STUN and TURN servers, at the start; the client waits no longer for a name server. */
const RESOLVE_MS = 250;
/** As many as the library asks (libdatachannel, icetransport.cpp). */
const MAX_TURN_SERVERS = 2;

/** What is on its way and what waits for that, of one connection: 13 MB/s at 40 ms. More is delay for tokens beside it. */
const SEND_BUFFER_BYTES = 512 * 1024;
/** 26 MB/s at 40 ms; the library's own default. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** Engines of this process: the library is one for all of them. */
let open = 0;

export class NativeEngine implements Engine {
  readonly #settings: NetworkSettings;
  readonly #options: NativeEngineOptions;
  readonly #resolve = createNameResolver();
  readonly #peers = new Set<Peer>();
  readonly #releasing = new Set<Promise<void>>();
  /** Where routers pass packets to the shared port. */
  readonly #mapped = new Set<string>();
  #port: number | undefined;
  /** Counts STUN servers that did not answer: the library asks one only. */
  #silent = 0;
  #closing: Promise<void> | undefined;

  /** @throws NoPortError when none of the ports that the settings name can be had */
  static async open(settings: NetworkSettings, options: NativeEngineOptions): Promise<NativeEngine> {
    const engine = new NativeEngine(settings, options);
    await engine.#choosePort(engine.#addresses());
    engine.#tellLimits();
    options.library.setSctpSettings({ sendBufferSize: SEND_BUFFER_BYTES, recvBufferSize: RECEIVE_BUFFER_BYTES });
    options.library.preload();
    open++;
    return engine;
  }

  private constructor(settings: NetworkSettings, options: NativeEngineOptions) {
    this.#settings = settings;
    this.#options = options;
  }

  async load(): Promise<void> {}

  peer(iceServers: readonly IceServer[], events: PeerEvents): Peer {
    const { library, portMapper } = this.#options;
    const peer = new NativePeer(
      {
        library,
        portMapper,
        way: (note) => this.#way(iceServers, note),
        released: (released) => {
          this.#peers.delete(peer);
          this.#releasing.add(released);
          void released.finally(() => this.#releasing.delete(released));
        },
      },
      events,
    );
    this.#peers.add(peer);
    return peer;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const peer of [...this.#peers]) peer.close('the agent ends');
    await Promise.all(this.#releasing);
    this.#forgetPort();
    open--;
    // Its threads must not run into the end of the process.
    if (open === 0) this.#options.library.cleanup();
  }

  #addresses(): readonly LocalAddress[] {
    const interfaces = (this.#options.interfaces ?? networkInterfaces)();
    return chooseAddresses(interfaces, this.#settings).used;
  }

  /** Connections without TURN share one port; with it, each needs a socket of its own. */
  async #way(iceServers: readonly IceServer[], note: (line: string) => void): Promise<NativeWay> {
    const { stunUrls, udpPorts } = this.#settings;
    const [stun, turn] = await Promise.all([
      this.#stun(stunServers(stunUrls.length > 0 ? [{ urls: [...stunUrls] }] : iceServers)),
      udpPorts === undefined ? this.#turn(iceServers) : [],
    ]);
    const relays = turnEntries(iceServers);
    if (relays.length > 0 && turn.length === 0) {
      const why = udpPorts === undefined ? 'it knows TURN over UDP only' : 'not with udp_ports';
      note(`no relayed address by node-datachannel: ${why}`);
    }
    const addresses = this.#addresses();
    const port = turn.length > 0 ? undefined : await this.#sharedPort(addresses);
    const silent = () => {
      this.#silent++;
    };
    const lost = () => {
      if (this.#port === port) this.#forgetPort();
    };
    return { addresses, servers: [...stun, ...turn], port, silent, lost };
  }

  /** One server whose address is known; after one that was silent, the next. */
  async #stun(servers: readonly StunServer[]): Promise<NativeServer[]> {
    const found = await Promise.all(servers.map((server) => this.#located(server)));
    const known = found.flatMap((server) => server ?? []);
    const one = known[this.#silent % known.length];
    return one === undefined ? [] : [one];
  }

  async #turn(iceServers: readonly IceServer[]): Promise<NativeServer[]> {
    const found = await Promise.all(
      turnEntries(iceServers).map(async ({ servers, username, credential }) => {
        const first = servers.find(({ transport }) => transport === 'udp');
        const located = first && (await this.#located(first));
        return located && { ...located, username, password: credential, relayType: 'TurnUdp' as const };
      }),
    );
    return found.flatMap((server) => server ?? []).slice(0, MAX_TURN_SERVERS);
  }

  async #located({ host, port }: StunServer): Promise<NativeServer | undefined> {
    const { ipFamily } = this.#settings;
    const families = ([4, 6] as const).filter((family) => ipFamily === 'any' || ipFamily === `ipv${family}`);
    const limit = new AbortController();
    const known = Promise.all(families.map((family) => this.#resolve(host, family))).then((lists) => lists.flat());
    const addresses = await Promise.race([known, pause(RESOLVE_MS, limit.signal)]);
    limit.abort();
    const [hostname] = addresses ?? [];
    return hostname === undefined ? undefined : { hostname, port };
  }

  /** Kept as long as the agent runs, whether or not there is a connection. */
  async #sharedPort(addresses: readonly LocalAddress[]): Promise<number | undefined> {
    if (this.#port === undefined) {
      try {
        await this.#choosePort(addresses);
      } catch (error) {
        if (!(error instanceof NoPortError)) throw error;
        this.#options.log(`webrtc: ${error.message}`);
      }
    }
    this.#map(addresses);
    return this.#port;
  }

  /** A port that is free at all addresses, or at one; it is bound when there is a connection. */
  async #choosePort(addresses: readonly LocalAddress[]): Promise<void> {
    const probe = new UdpMux({ ports: this.#settings.udpPorts, log: () => {} });
    try {
      await probe.open(addresses);
      this.#port = probe.sockets[0]?.port ?? this.#settings.udpPorts?.min;
    } finally {
      await probe.close();
    }
    this.#map(addresses);
  }

  #map(addresses: readonly LocalAddress[]): void {
    const { portMapper } = this.#options;
    if (portMapper === undefined || this.#port === undefined) return;
    for (const address of this.#mapped) if (!addresses.some((local) => local.address === address)) this.#unmap(address);
    for (const { address } of addresses) {
      if (this.#mapped.has(address)) continue;
      this.#mapped.add(address);
      portMapper.map({ address, port: this.#port });
    }
  }

  #forgetPort(): void {
    for (const address of this.#mapped) this.#unmap(address);
    this.#port = undefined;
  }

  #unmap(address: string): void {
    this.#mapped.delete(address);
    if (this.#port !== undefined) this.#options.portMapper?.unmap({ address, port: this.#port });
  }

  /** What somebody who chose this engine by name should know of the other settings. */
  #tellLimits(): void {
    const { interfaces, excludeInterfaces, udpPorts } = this.#settings;
    const chosen = [
      ...(interfaces.length > 0 ? [placed('interfaces', this.#settings)] : []),
      ...(excludeInterfaces.length > 0 ? [placed('exclude_interfaces', this.#settings)] : []),
    ];
    if (chosen.length > 0 && this.#addresses().length > 1) {
      this.#options.log(
        `webrtc: ${chosen.join(', ')}: node-datachannel has one socket for all addresses, so packets may leave by ` +
          'another interface, and a client may see its address. With engine: werift they do not.',
      );
    }
    if (udpPorts !== undefined) {
      this.#options.log(
        `webrtc: ${placed('udp_ports', this.#settings)}: node-datachannel then has no relayed addresses (TURN) of its own. With engine: werift it has both.`,
      );
    }
  }
}
