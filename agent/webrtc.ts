/**
 * The seam to werift: sockets and settings, and the answering ends of connections. Only this file and those whose names
 * begin like its own know the library; it is loaded by the first offer.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { IceServer } from '../shared/signal.ts';
import { CommandError, EXIT } from './command-error.ts';
import { checkUsable, chooseAddresses } from './local-addresses.ts';
import type { LocalAddress, NetworkSettings, PortMapper } from './network-settings.ts';
import { portProblem } from './port-problem.ts';
import { ReflexiveAddresses } from './reflexive-addresses.ts';
import { createNameResolver } from './server-names.ts';
import { NoPortError, UdpMux } from './udp-mux.ts';
import type { Peer, PeerEvents, Shared } from './webrtc-peer.ts';

export type { Peer, PeerEvents } from './webrtc-peer.ts';

export interface WebRtcOptions {
  log(line: string): void;
  interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  portMapper?: PortMapper;
  /** Certificate authorities for TURN over TLS, besides those that Node trusts. */
  extraCa?: readonly string[];
}

/** What all connections of an agent share: settings, sockets, the certificate. */
export class WebRtc {
  readonly #options: WebRtcOptions;
  readonly #shared: Shared;
  readonly #releasing = new Set<Promise<void>>();
  #Peer: typeof Peer | undefined;

  /**
   * Binds sockets at the addresses that `settings` allow. No network at all is no error, since there may be one later.
   * @throws ConfigError when the settings leave none of the machine's addresses; CommandError when no port can be had.
   */
  static async open(settings: NetworkSettings, options: WebRtcOptions): Promise<WebRtc> {
    const webRtc = new WebRtc(settings, options);
    const interfaces = webRtc.#interfaces();
    checkUsable(settings, interfaces);
    const { used } = chooseAddresses(interfaces, settings);
    if (used.length === 0) options.log('webrtc: there is no network; direct connections have to wait for one');
    try {
      if (!settings.relayOnly) await webRtc.#shared.mux.open(used);
    } catch (error) {
      await webRtc.close();
      throw error instanceof NoPortError ? new CommandError(EXIT.config, portProblem(error, settings)) : error;
    }
    return webRtc;
  }

  private constructor(settings: NetworkSettings, options: WebRtcOptions) {
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
    const { Peer, prepare } = await import('./webrtc-peer.ts');
    await prepare();
    this.#Peer = Peer;
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
