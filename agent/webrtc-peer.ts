/**
 * The answering end of one WebRTC connection by werift: takes an offer and gives a Path over the negotiated data
 * channel. Loaded with the first offer, because werift comes with it.
 */
import { RTCDtlsTransport, RTCPeerConnection } from 'werift';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path } from '../shared/path.ts';
import type { Candidate, IceServer } from '../shared/signal.ts';
import { Gathering, type GatheringOptions } from './gathering.ts';
import type { LocalAddress } from './network-settings.ts';
import { checkOffer } from './offer.ts';
import { CHANNEL, LINGER_MS, OTHER_CHANNEL, type Peer, type PeerEvents } from './peer.ts';
import { ChannelPath } from './webrtc-channel.ts';
import { Ice } from './webrtc-ice.ts';
import { checkWerift } from './webrtc-internals.ts';

/** What all connections share. */
export type Shared = Omit<GatheringOptions, 'iceServers' | 'share' | 'addresses' | 'events'>;

export interface PeerOptions extends Shared {
  readonly iceServers: readonly IceServer[];
  addresses(): Promise<readonly LocalAddress[]>;
  /** Something is being given back; nobody has to wait for it but the end of the process. */
  released(released: Promise<void>): void;
}

/** To be awaited before the first peer is made. @throws Error when werift is not the version this was made for. */
export async function prepare(): Promise<void> {
  await Promise.all([RTCDtlsTransport.SetupCertificate(), checkWerift()]);
}

export class WeriftPeer implements Peer {
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
  /** As it was told last. */
  #kind: 'direct' | 'turn' | undefined;
  #closed = false;

  /** For WebRtc. */
  constructor(options: PeerOptions, events: PeerEvents) {
    this.#options = options;
    this.#events = events;
    this.#connection = new RTCPeerConnection({ iceServers: [], maxMessageSize: MAX_MESSAGE_BYTES });
    const channel = this.#connection.createDataChannel(CHANNEL.label, { negotiated: true, id: CHANNEL.id });
    this.#channel = new ChannelPath(this.#connection, channel, () => this.close('closed by this end'));
    this.path = this.#channel;
    this.#ice = new Ice(this.#connection, {
      candidate: (line) => {
        if (this.#inAnswer === undefined) this.#tell(line);
        else this.#inAnswer.push(line);
      },
      switched: () => {
        events.step('ICE has changed to another candidate pair');
        this.#tellKind();
      },
      remoteIpv6: () => {
        this.#remoteIpv6 = true;
        this.#gathering?.wantIpv6Relay();
      },
    });
    this.#share = options.mux.join(this.#ice.credentials);
    this.#observe();
  }

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

  addCandidate({ candidate }: Candidate): void {
    // The end of the list says nothing: checks may still come in. The handshake's own time-out ends a hopeless attempt.
    if (this.#closed || candidate === '') return;
    this.#ice.addRemoteCandidate(candidate);
    // It may say what the address is that a check has come from.
    if (this.#kind !== undefined) this.#tellKind();
  }

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

  #tellKind(): void {
    const { kind } = this.#ice;
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#events.kind?.(kind);
  }

  #observe(): void {
    const connection = this.#connection;
    connection.iceConnectionStateChange.subscribe((state) => {
      if (state === 'connected') {
        this.#events.step('ICE connection established');
        this.#tellKind();
      }
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
      if (state !== 'closed') return;
      const { violation } = this.#channel;
      this.close(violation === undefined ? 'data channel closed by the client' : `the client broke SCTP: ${violation}`);
    });
    connection.onDataChannel.subscribe(() => this.close(OTHER_CHANNEL));
  }
}
