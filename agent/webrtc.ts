/**
 * The seam to werift: answers an offer and gives a Path over the negotiated data channel. No other file of the
 * agent knows the library.
 */
import { RTCDtlsTransport, RTCPeerConnection } from 'werift';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import type { Candidate, IceServer } from '../shared/signal.ts';

/** Both ends create this channel themselves, which saves the round trip of DCEP (RFC 8832). */
const CHANNEL = { label: 'direct-agent', id: 0 } as const;

/** werift's queue gets slower as it gets longer; 256 kB is two round trips at 25 MB/s on 5 ms. */
const MAX_QUEUED_BYTES = 256 * 1024;

/** STUN answers within one round trip or not at all; a silent server must not hold up the rest. */
const STUN_TIMEOUT_S = 2;

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

/** Makes the certificate that all connections share, so that the first one does not wait for it. */
export async function prepareWebRtc(): Promise<void> {
  await RTCDtlsTransport.SetupCertificate();
}

/** The answering end of one WebRTC connection. Its path is there from the start and takes messages once open. */
export class Peer {
  readonly path: Path;
  readonly #connection: RTCPeerConnection;
  readonly #events: PeerEvents;
  readonly #channel: ChannelPath;
  #closed = false;

  constructor(iceServers: readonly IceServer[], events: PeerEvents) {
    this.#events = events;
    this.#connection = new RTCPeerConnection({
      iceServers: iceServers.flatMap(({ urls, username, credential }) =>
        urls.map((url) => ({
          urls: url,
          ...(username === undefined ? {} : { username }),
          ...(credential === undefined ? {} : { credential }),
        })),
      ),
      iceStunGatherTimeout: STUN_TIMEOUT_S,
      maxMessageSize: MAX_MESSAGE_BYTES,
    });
    const channel = this.#connection.createDataChannel(CHANNEL.label, { negotiated: true, id: CHANNEL.id });
    this.#channel = new ChannelPath(channel, () => this.close('closed by this end'));
    this.path = this.#channel;
    this.#observe();
  }

  /**
   * The SDP answer to `offer`, without waiting for candidates: those follow as events.
   * @throws Error when the offer cannot be answered.
   */
  async answer(offer: string): Promise<string> {
    checkOffer(offer);
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: 'offer', sdp: offer });
    gatherInBackground(connection);
    const { sdp } = await connection.createAnswer();
    // As DTLS server the agent leaves the first word to the browser, which speaks the moment that its side of ICE is
    // ready. As client werift speaks too early and repeats itself: 108 instead of 50 ms on loopback, median of 3.
    const answer = { type: 'answer' as const, sdp: sdp.replaceAll('a=setup:active', 'a=setup:passive') };
    // Gathering and connecting start here; the SDP is complete already.
    connection.setLocalDescription(answer).catch((error: unknown) => this.close(`setLocalDescription: ${error}`));
    return answer.sdp;
  }

  /** A candidate of the other end. Candidates that cannot be used are ignored, as browsers ignore them. */
  addCandidate(candidate: Candidate): void {
    if (this.#closed) return;
    // werift gives up when the list ends before a check has worked, but checks may still come in from a browser
    // that hides its addresses behind mDNS names. The handshake's own time-out ends a hopeless attempt.
    if (candidate.candidate === '') return;
    // A browser's mDNS name is known to its own network only; its checks reach the addresses that we advertise.
    if (/ [0-9a-f-]+\.local /i.test(candidate.candidate)) return;
    const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
    this.#connection
      .addIceCandidate({
        candidate: line,
        ...(sdpMid === null ? {} : { sdpMid }),
        ...(sdpMLineIndex === null ? {} : { sdpMLineIndex }),
      })
      .catch(() => {});
  }

  /** Ends the connection after what was queued has left. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.closed(reason);
    this.#channel
      .drain(LINGER_MS)
      .then(() => this.#connection.close())
      .catch(() => {})
      .finally(() => this.#channel.end(reason));
  }

  #observe(): void {
    const connection = this.#connection;
    connection.onIceCandidate.subscribe((candidate) => {
      if (this.#closed) return;
      const { candidate: line = '', sdpMid, sdpMLineIndex } = candidate?.toJSON() ?? {};
      this.#events.candidate({
        candidate: line,
        sdpMid: sdpMid ?? '0',
        sdpMLineIndex: sdpMLineIndex ?? 0,
        usernameFragment: null,
      });
    });
    connection.iceConnectionStateChange.subscribe((state) => {
      if (state === 'connected') this.#events.step('ICE connection established');
      if (state === 'failed' || state === 'disconnected') this.close(`ICE ${state}`);
    });
    connection.connectionStateChange.subscribe((state) => {
      if (state === 'failed' || state === 'closed') this.close(`connection ${state}`);
    });
    for (const dtls of connection.dtlsTransports) {
      dtls.onStateChange.subscribe((state) => {
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

/**
 * One data-channel section with ICE credentials and a fingerprint is all that our clients offer. What else an SDP may
 * hold makes werift allocate: a transport and transceivers for each section.
 */
function checkOffer(sdp: string): void {
  const sections = sdp.match(/^m=.*$/gm) ?? [];
  if (sections.length !== 1 || !/^m=application \d+ UDP\/DTLS\/SCTP webrtc-datachannel\s*$/.test(sections[0] ?? '')) {
    throw new Error('the offer must have one section, for a data channel');
  }
  for (const attribute of ['ice-ufrag', 'ice-pwd', 'fingerprint']) {
    if (!new RegExp(`^a=${attribute}:\\S+`, 'm').test(sdp)) throw new Error(`the offer has no ${attribute}`);
  }
}

/**
 * werift starts its connectivity checks only after all candidates were gathered, so one silent STUN server would
 * delay every connection by its time-out. Checks need no more than the first candidate.
 */
function gatherInBackground(connection: RTCPeerConnection): void {
  const internals = connection as unknown as { gatherCandidates(): Promise<void> };
  const gather = internals.gatherCandidates.bind(connection);
  internals.gatherCandidates = async () => {
    gather().catch(() => {});
  };
}

type Channel = ReturnType<RTCPeerConnection['createDataChannel']>;

class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly #channel: Channel;
  readonly #close: () => void;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #ended: string | undefined;

  constructor(channel: Channel, close: () => void) {
    this.#channel = channel;
    this.#close = close;
    channel.bufferedAmountLowThreshold = MAX_QUEUED_BYTES / 2;
    channel.bufferedAmountLow.subscribe(() => this.#events?.drained());
    channel.onMessage.subscribe((message) => {
      const bytes = typeof message === 'string' ? Buffer.from(message) : message;
      if (this.#events === undefined) this.#early.push(bytes);
      else this.#events.message(bytes);
    });
  }

  onState(listener: (state: string) => void): void {
    this.#channel.stateChanged.subscribe((state) => {
      listener(state);
      if (state === 'open') this.#events?.drained();
    });
  }

  capacity(): number {
    if (this.#ended !== undefined || this.#channel.readyState !== 'open') return 0;
    return MAX_QUEUED_BYTES - this.#channel.bufferedAmount;
  }

  send(message: Uint8Array): void {
    if (this.#channel.readyState !== 'open') return;
    this.#channel.send(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
  }

  close(): void {
    this.#close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.message(message);
    if (this.#ended !== undefined) events.closed(this.#ended);
  }

  /** Resolves when everything queued has left, after `ms` at the latest. */
  async drain(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.#channel.readyState === 'open' && this.#channel.bufferedAmount > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#events?.closed(reason);
  }
}
