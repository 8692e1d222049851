/** One RTCPeerConnection with the one data channel of ours: the offering end. */
import { MAX_CANDIDATES_PER_SESSION } from '../../shared/limits.ts';
import type { Candidate, IceServer } from '../../shared/signal.ts';
import { candidateLines, laterCandidates, parseCandidate, reflexiveAddress } from './candidate-order.ts';
import { type SelectedPair, selectedPair } from './candidate-pair.ts';
import { ChannelPath } from './channel-path.ts';
import type { Fact } from './report.ts';
import type { DataChannel, PeerConnection, PeerConnectionClass } from './webrtc.ts';

/** Both ends create the channels themselves, which saves the round trip of DCEP (RFC 8832). The agent knows the ids. */
const LABEL = 'direct-agent';

/** `close` on the connection drops what the channel still holds, so the last message gets this long to leave. */
const LINGER_MS = 500;

/** So much later follow the candidates that are less likely to work: browsers try a pair each 48 ms. */
const LATER_MS = 60;

export interface PeerLinkOptions {
  RTCPeerConnection: PeerConnectionClass;
  iceTransportPolicy: RTCIceTransportPolicy;
  timer(ms: number, run: () => void): () => void;
}

export interface PeerLinkEvents {
  /** A local candidate was found; an empty one ends them. */
  candidate(candidate: Candidate): void;
  /** The data channel is open. */
  open(): void;
  /** The connection cannot be made, or has broken for good. */
  failed(reason: string): void;
  /** Nothing is heard just now; it may come back. */
  disconnected(): void;
  /** Another candidate pair was selected. */
  pairChanged(): void;
  /** A step for the log. */
  step(what: string, fact?: Fact): void;
}

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #events: PeerLinkEvents;
  readonly #connection: PeerConnection;
  readonly #channel: DataChannel;
  #offer = '';
  #gathering: Promise<unknown> | undefined;
  /** Candidates that came before the answer. */
  #early: Candidate[] | undefined = [];
  #candidates = 0;
  /** Addresses at which STUN servers see this end. */
  readonly #seenAt = new Set<string>();
  #cancelLater: () => void = () => {};
  #closed = false;

  constructor(options: PeerLinkOptions, events: PeerLinkEvents) {
    this.#options = options;
    this.#events = events;
    // The edge's ICE servers are not known yet; nothing is gathered before `gather`.
    this.#connection = new options.RTCPeerConnection({ iceTransportPolicy: options.iceTransportPolicy });
    this.#channel = this.#lane(0);
    this.#observe();
  }

  /** Creates the offer without candidates, so that it can leave at once. */
  async offer(): Promise<string> {
    const { sdp } = await this.#connection.createOffer();
    this.#offer = sdp ?? '';
    return this.#offer;
  }

  /**
   * Starts gathering with the edge's servers. They may be set between `createOffer` and `setLocalDescription`:
   * gathering begins with the latter (JSEP, RFC 9429, section 4.1.18), and the offer does not depend on them.
   */
  gather(servers: readonly IceServer[]): void {
    const { iceTransportPolicy } = this.#options;
    const iceServers = servers.flatMap(({ urls, ...credentials }) =>
      urls.map((url) => ({ urls: url, ...credentials })),
    );
    this.#connection.setConfiguration({ iceServers, iceTransportPolicy });
    this.#gathering = this.#connection.setLocalDescription({ type: 'offer', sdp: this.#offer });
    this.#gathering.catch((error: unknown) => this.#fail(`setLocalDescription: ${error}`));
  }

  /** Applies the agent's answer. @throws what the browser says about a bad SDP. */
  async answer(sdp: string): Promise<void> {
    await this.#gathering;
    const { sdp: first, later } = laterCandidates(sdp, this.#seenAt);
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: first });
    this.#watchTransport();
    for (const line of candidateLines(sdp)) this.#tell('remote', line);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const candidate of early) this.#apply(candidate);
    if (later.length === 0) return;
    this.#cancelLater = this.#options.timer(LATER_MS, () => {
      for (const candidate of later) this.#apply({ candidate, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null });
    });
  }

  /** A candidate of the agent. One that cannot be used is ignored: others may work. */
  addCandidate(candidate: Candidate): void {
    if (this.#candidates++ >= MAX_CANDIDATES_PER_SESSION) return;
    this.#tell('remote', candidate.candidate);
    if (this.#early === undefined) this.#apply(candidate);
    else this.#early.push(candidate);
  }

  /** The path over the channel, once it is open. */
  path(): ChannelPath {
    return new ChannelPath(this.#channel, this.#connection.sctp?.maxMessageSize, (lane) => this.#lane(lane));
  }

  selectedPair(): Promise<SelectedPair> {
    return selectedPair(this.#connection);
  }

  /** Ends the connection after what was sent has left. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLater();
    const opened = this.#channel.readyState !== 'connecting';
    this.#channel.close();
    if (opened) this.#options.timer(LINGER_MS, () => this.#connection.close());
    else this.#connection.close();
  }

  #apply({ candidate, sdpMid, sdpMLineIndex }: Candidate): void {
    if (this.#closed) return;
    // The end of the candidates needs no m-line named, and a browser that finds neither refuses it.
    const line = sdpMid === null && sdpMLineIndex === null ? '0' : sdpMid;
    this.#connection.addIceCandidate({ candidate, sdpMid: line, sdpMLineIndex }).then(
      () => {
        // Its checks may have come before it did: the pair in use may be one through TURN that looked direct.
        if (this.#channel.readyState === 'open') this.#events.pairChanged();
      },
      (error: unknown) => this.#events.step(`remote candidate refused: ${error}`),
    );
  }

  #lane(id: number): DataChannel {
    const channel = this.#connection.createDataChannel(LABEL, { negotiated: true, id, ordered: true });
    channel.binaryType = 'arraybuffer';
    return channel;
  }

  #observe(): void {
    const connection = this.#connection;
    connection.addEventListener('icecandidate', ({ candidate }: { candidate?: RTCIceCandidateInit | null }) => {
      if (this.#closed) return;
      const line = candidate?.candidate ?? '';
      const seenAt = reflexiveAddress(line);
      if (seenAt !== undefined) this.#seenAt.add(seenAt);
      this.#tell('local', line);
      this.#events.candidate({
        candidate: line,
        sdpMid: candidate?.sdpMid ?? '0',
        sdpMLineIndex: candidate?.sdpMLineIndex ?? 0,
        usernameFragment: candidate?.usernameFragment ?? null,
      });
    });
    connection.addEventListener('iceconnectionstatechange', () => {
      this.#events.step(`ICE ${connection.iceConnectionState}`);
    });
    connection.addEventListener('connectionstatechange', () => {
      const { connectionState } = connection;
      this.#events.step(`connection ${connectionState}`);
      if (this.#closed) return;
      if (connectionState === 'failed' || connectionState === 'closed') this.#fail(`the connection ${connectionState}`);
      if (connectionState === 'disconnected') this.#events.disconnected();
    });
    this.#channel.addEventListener('open', () => {
      this.#events.step('data channel open');
      if (!this.#closed) this.#events.open();
    });
    this.#channel.addEventListener('close', () => {
      this.#events.step('data channel closed');
      this.#fail('the data channel closed');
    });
  }

  /** An empty candidate ends them. */
  #tell(from: 'local' | 'remote', line: string): void {
    const candidate = parseCandidate(line);
    this.#events.step(`${from} candidate: ${line || 'end'}`, { type: 'candidate', from, candidate });
  }

  /** DTLS, where the runtime shows it; and Chromium tells when ICE moves to a better pair, for example away from TURN. */
  #watchTransport(): void {
    type Watched = Partial<EventTarget>;
    const { sctp } = this.#connection as {
      sctp?: { transport?: Watched & { state?: string; iceTransport?: Watched } } | null;
    };
    const dtls = sctp?.transport;
    dtls?.addEventListener?.('statechange', () => this.#events.step(`DTLS ${dtls.state}`));
    dtls?.iceTransport?.addEventListener?.('selectedcandidatepairchange', () => this.#events.pairChanged());
  }

  #fail(reason: string): void {
    if (!this.#closed) this.#events.failed(reason);
  }
}
