/**
 * The seam to werift: answers an offer and gives a Path over the negotiated data channel. Only this file and those
 * whose names begin like its own know the library.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { RTCDtlsTransport, RTCPeerConnection } from 'werift';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path } from '../shared/path.ts';
import type { Candidate, IceServer } from '../shared/signal.ts';
import { CommandError, EXIT } from './command-error.ts';
import { Gathering, type GatheringOptions } from './gathering.ts';
import { checkUsable, chooseAddresses } from './local-addresses.ts';
import type { LocalAddress, NetworkSettings, PortMapper } from './network-settings.ts';
import { portProblem } from './port-problem.ts';
import { ReflexiveAddresses } from './reflexive-addresses.ts';
import { createNameResolver } from './server-names.ts';
import { NoPortError, UdpMux } from './udp-mux.ts';
import { ChannelPath } from './webrtc-channel.ts';
import { Ice } from './webrtc-ice.ts';
import { checkWerift } from './webrtc-internals.ts';

/** Both ends create this channel themselves, which saves the round trip of DCEP (RFC 8832). */
const CHANNEL = { label: 'direct-agent', id: 0 } as const;

/** How long the last messages may take to leave before the connection is torn down. */
const LINGER_MS = 500;

export interface PeerEvents {
  /** A local candidate was found; an empty `candidate` ends them. */
  candidate(candidate: Candidate): void;
  /** A step in the life of the connection, for the log. */
  step(what: string): void;
  /** The connection is over, whoever ended it; called once. */
  closed(reason: string): void;
}

export interface WebRtcOptions {
  log(line: string): void;
  interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  portMapper?: PortMapper;
  /** Certificate authorities for TURN over TLS, besides those that Node trusts. */
  extraCa?: readonly string[];
}

type Shared = Omit<GatheringOptions, 'iceServers' | 'share' | 'addresses' | 'events'>;

/** What all connections of an agent share: settings, sockets, the certificate. */
export class WebRtc {
  readonly #options: WebRtcOptions;
  readonly #shared: Shared;
  readonly #releasing = new Set<Promise<void>>();

  /**
   * Binds sockets at the addresses that `settings` allow. No network at all is no error, since there may be one later.
   * @throws ConfigError when the settings leave none of the machine's addresses; CommandError when no port can be had.
   */
  static async open(settings: NetworkSettings, options: WebRtcOptions): Promise<WebRtc> {
    await Promise.all([RTCDtlsTransport.SetupCertificate(), checkWerift()]);
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

  /** The answering end of a new connection. */
  peer(iceServers: readonly IceServer[], events: PeerEvents): Peer {
    return new Peer(
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

interface PeerOptions extends Shared {
  readonly iceServers: readonly IceServer[];
  addresses(): Promise<readonly LocalAddress[]>;
  /** Something is being given back; nobody has to wait for it but the end of the process. */
  released(released: Promise<void>): void;
}

/** The answering end of one WebRTC connection. Its path is there from the start and takes messages once open. */
export class Peer {
  readonly path: Path;
  readonly #options: PeerOptions;
  readonly #events: PeerEvents;
  readonly #connection: RTCPeerConnection;
  readonly #channel: ChannelPath;
  readonly #ice: Ice;
  readonly #share: GatheringOptions['share'];
  #gathering: Gathering | undefined;
  /** Candidates that go into the answer; undefined: it was made, they go by themselves. */
  #inAnswer: string[] | undefined = [];
  #remoteIpv6 = false;
  #closed = false;

  /** For WebRtc. */
  constructor(options: PeerOptions, events: PeerEvents) {
    this.#options = options;
    this.#events = events;
    this.#connection = new RTCPeerConnection({ iceServers: [], maxMessageSize: MAX_MESSAGE_BYTES });
    const channel = this.#connection.createDataChannel(CHANNEL.label, { negotiated: true, id: CHANNEL.id });
    this.#channel = new ChannelPath(channel, () => this.close('closed by this end'));
    this.path = this.#channel;
    this.#ice = new Ice(this.#connection, {
      candidate: (line) => {
        if (this.#inAnswer === undefined) this.#tell(line);
        else this.#inAnswer.push(line);
      },
      switched: () => events.step('ICE has changed to another candidate pair'),
      remoteIpv6: () => {
        this.#remoteIpv6 = true;
        this.#gathering?.wantIpv6Relay();
      },
    });
    this.#share = options.mux.join(this.#ice.credentials);
    this.#observe();
  }

  /**
   * The SDP answer to `offer`, with the candidates that are known already; the others follow as events.
   * @throws Error when the offer cannot be answered.
   */
  async answer(offer: string): Promise<string> {
    checkOffer(offer);
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: 'offer', sdp: this.#ice.takeCandidates(offer) });
    const addresses = await this.#options.addresses();
    if (this.#closed) throw new Error('the connection was closed');
    this.#gather(addresses);
    const { sdp } = await connection.createAnswer();
    // As DTLS server the agent is ready for SCTP a round trip earlier: the client's last flight makes it so, and
    // with its own last flight the agent sends INIT.
    const answer = sdp.replaceAll('a=setup:active', 'a=setup:passive');
    const candidates = this.#inAnswer ?? [];
    this.#inAnswer = undefined;
    // Connecting starts here; the SDP is complete already.
    connection
      .setLocalDescription({ type: 'answer', sdp: answer })
      .catch((error: unknown) => this.close(`setLocalDescription: ${error}`));
    // There is one section, so its lines may come last.
    return answer + candidates.map((line) => `a=${line}\r\n`).join('');
  }

  /** A candidate of the other end. Candidates that cannot be used are ignored, as browsers ignore them. */
  addCandidate({ candidate }: Candidate): void {
    // The end of the list says nothing: checks may still come in. The handshake's own time-out ends a hopeless attempt.
    if (!this.#closed && candidate !== '') this.#ice.addRemoteCandidate(candidate);
  }

  /** Ends the connection after what was queued has left. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.closed(reason);
    const closed = this.#channel
      .drain(LINGER_MS)
      .then(() => {
        this.#ice.close();
        return this.#connection.close();
      })
      .catch(() => {})
      .finally(() => this.#channel.end(reason))
      .then(() => {
        this.#share.close();
        return this.#gathering?.close();
      });
    this.#options.released(closed);
  }

  #gather(addresses: readonly LocalAddress[]): void {
    this.#gathering = new Gathering({
      ...this.#options,
      share: this.#share,
      addresses,
      events: {
        transport: (transport, base) => this.#ice.addTransport(transport, base),
        candidate: (candidate) => this.#ice.addLocalCandidate(candidate),
        note: (line) => this.#events.step(line),
        done: () => this.#tell(''),
      },
    });
    this.#gathering.start();
    if (this.#remoteIpv6) this.#gathering.wantIpv6Relay();
  }

  #tell(candidate: string): void {
    if (this.#closed) return;
    this.#events.candidate({ candidate, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null });
  }

  #observe(): void {
    const connection = this.#connection;
    connection.iceConnectionStateChange.subscribe((state) => {
      if (state === 'connected') this.#events.step('ICE connection established');
      if (state === 'failed' || state === 'disconnected') this.close(`ICE ${state}`);
    });
    connection.connectionStateChange.subscribe((state) => {
      if (state === 'failed' || state === 'closed') this.close(`connection ${state}`);
    });
    for (const dtls of connection.dtlsTransports) {
      dtls.onStateChange.subscribe((state) => {
        // In a later turn its handshake is there.
        if (state === 'connecting') queueMicrotask(() => this.#ice.dtlsStarts());
        if (state === 'connected') this.#events.step('DTLS handshake complete');
        if (state === 'failed' || state === 'closed') this.close(`DTLS ${state}`);
      });
    }
    connection.sctpTransport?.sctp.stateChanged.connected.subscribe(() => {
      this.#events.step('SCTP association established');
    });
    this.#channel.onState((state) => {
      if (state === 'open') this.#events.step('data channel open');
      if (state === 'closed') this.close('data channel closed by the client');
    });
  }
}

/** RFC 8839, section 5.4: each check carries the user name, so a long one would make small packets large. */
const ATTRIBUTES: readonly (readonly [name: string, form: RegExp])[] = [
  ['ice-ufrag', /^[A-Za-z0-9+/]{4,256}$/],
  ['ice-pwd', /^[A-Za-z0-9+/]{22,256}$/],
  ['fingerprint', /^\S/],
];

/**
 * One data-channel section with ICE credentials and a fingerprint is all that our clients offer. What else an SDP may
 * hold makes werift allocate: a transport and transceivers for each section.
 */
function checkOffer(sdp: string): void {
  const sections = sdp.match(/^m=.*$/gm) ?? [];
  if (sections.length !== 1 || !/^m=application \d+ UDP\/DTLS\/SCTP webrtc-datachannel\s*$/.test(sections[0] ?? '')) {
    throw new Error('the offer must have one section, for a data channel');
  }
  for (const [attribute, form] of ATTRIBUTES) {
    const values = [...sdp.matchAll(new RegExp(`^a=${attribute}:(.*?)\\r?$`, 'gm'))].map(([, value = '']) => value);
    if (values.length === 0 || !values.every((value) => form.test(value))) {
      throw new Error(`the offer has no usable ${attribute}`);
    }
  }
}
