/**
 * werift as the engine: sockets and settings, and the answering ends of connections. Only this file and those whose names
 * begin with webrtc- know the library; it is loaded by the first offer.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { IceServer } from '../shared/signal.ts';
import type { Engine } from './engine.ts';
import { chooseAddresses } from './local-addresses.ts';
import type { LocalAddress, NetworkSettings, PortMapper } from './network-settings.ts';
import type { Peer, PeerEvents } from './peer.ts';
import { ReflexiveAddresses } from './reflexive-addresses.ts';
import { createNameResolver } from './server-names.ts';
import { NoPortError, UdpMux } from './udp-mux.ts';
import type { Shared, WeriftPeer } from './webrtc-peer.ts';

export interface WeriftOptions {
  log(line: string): void;
  interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  portMapper?: PortMapper;
  /** Certificate authorities for TURN over TLS, besides those that Node trusts. */
  extraCa?: readonly string[];
}

/** What all connections of an agent share: settings, sockets, the certificate. */
export class WeriftEngine implements Engine {
  readonly #options: WeriftOptions;
  readonly #shared: Shared;
  readonly #releasing = new Set<Promise<void>>();
  #Peer: typeof WeriftPeer | undefined;

  /** Binds sockets at the addresses that `settings` allow. @throws NoPortError when no port can be had at one of them */
  static async open(settings: NetworkSettings, options: WeriftOptions): Promise<WeriftEngine> {
    const engine = new WeriftEngine(settings, options);
    try {
      if (!settings.relayOnly) await engine.#shared.mux.open(chooseAddresses(engine.#interfaces(), settings).used);
    } catch (error) {
      await engine.close();
      throw error;
    }
    return engine;
  }

  private constructor(settings: NetworkSettings, options: WeriftOptions) {
    const { log, portMapper, extraCa = [] } = options;
    this.#options = options;
    const resolve = createNameResolver();
    this.#shared = {
      settings,
      mux: new UdpMux({
        ports: settings.udpPorts,
        log: (line) => log(`webrtc: ${line}`),
        bound: (local) => portMapper?.map(local),
        unbound: (local) => portMapper?.unmap(local),
      }),
      reflexive: new ReflexiveAddresses(resolve),
      resolve,
      portMapper,
      extraCa,
    };
  }

  /**
   * Loads werift: 25 MB and a tenth of a second that an agent does without until somebody connects directly. Idempotent.
   * @throws Error when it is not the version this was made for
   */
  async load(): Promise<void> {
    const { WeriftPeer, prepare } = await import('./webrtc-peer.ts');
    await prepare();
    this.#Peer = WeriftPeer;
  }

  /** The answering end of a new connection. @throws Error before `load` */
  peer(iceServers: readonly IceServer[], events: PeerEvents): Peer {
    if (this.#Peer === undefined) throw new Error('WebRTC is not loaded');
    return new this.#Peer(
      {
        ...this.#shared,
        iceServers,
        addresses: () => this.#addresses(),
        released: (released) => {
          this.#releasing.add(released);
          void released.finally(() => this.#releasing.delete(released));
        },
      },
      events,
    );
  }

  /** Closes the sockets, once relayed addresses of closed connections were given back. */
  async close(): Promise<void> {
    await Promise.all(this.#releasing);
    await this.#shared.mux.close();
  }

  #interfaces(): NodeJS.Dict<NetworkInterfaceInfo[]> {
    return (this.#options.interfaces ?? networkInterfaces)();
  }

  /** The machine's addresses as they are now, with sockets. */
  async #addresses(): Promise<readonly LocalAddress[]> {
    const { settings, mux } = this.#shared;
    const { used } = chooseAddresses(this.#interfaces(), settings);
    try {
      if (!settings.relayOnly) await mux.open(used);
    } catch (error) {
      if (!(error instanceof NoPortError)) throw error;
      this.#options.log(`webrtc: ${error.message}`);
    }
    return used;
  }
}
