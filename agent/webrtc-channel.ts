/** werift's SCTP as a path of the session layer: the negotiated data channel is its first lane, other streams the others. */
import type { RTCPeerConnection } from 'werift';
import { MAX_LANES, MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import { Pace } from '../shared/pace.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import { type SctpStreams, sctpStreamsOf } from './webrtc-internals.ts';

/** Payload protocol identifier of binary messages (RFC 8831, section 8). */
const BINARY = 53;

type Channel = ReturnType<RTCPeerConnection['createDataChannel']>;

interface Lane {
  readonly pace: Pace;
  /** Bytes that have not left yet. */
  queued: number;
  /** Somebody waits for it to drain. */
  isFull: boolean;
}

export class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly lanes = MAX_LANES;
  readonly #channel: Channel;
  readonly #streams: SctpStreams;
  readonly #close: () => void;
  readonly #lanes: Lane[] = [];
  #events: PathEvents | undefined;
  #early: { message: Uint8Array; lane: number }[] = [];
  #ended: string | undefined;

  /** `channel` belongs to `connection`, and is lane 0. */
  constructor(connection: RTCPeerConnection, channel: Channel, close: () => void) {
    this.#channel = channel;
    this.#streams = sctpStreamsOf(connection);
    this.#close = close;
    this.#streams._inboundStreamsMax = MAX_LANES;
    channel.onMessage.subscribe((message) => {
      this.#receive(typeof message === 'string' ? Buffer.from(message) : message, 0);
    });
    // Data channels that are not there cost nothing: their messages are taken from below.
    this.#streams.onReceive.subscribe((stream, protocol, message) => {
      if (stream > 0 && stream < MAX_LANES && protocol === BINARY) this.#receive(message, stream);
    });
  }

  onState(listener: (state: string) => void): void {
    this.#channel.stateChanged.subscribe((state) => {
      listener(state);
      if (state === 'open') this.#events?.drained();
    });
  }

  /** What the client did, if SCTP was ended for it. */
  get violation(): string | undefined {
    return this.#streams.violation;
  }

  capacity(lane = 0): number {
    if (this.#ended !== undefined || this.#channel.readyState !== 'open') return 0;
    const its = this.#lane(lane);
    const capacity = its.pace.queueBytes - its.queued;
    its.isFull = capacity <= 0;
    return capacity;
  }

  chunkBytes(lane: number): number {
    return this.#lane(lane).pace.chunkBytes;
  }

  send(message: Uint8Array, lane = 0): void {
    if (this.#channel.readyState !== 'open') return;
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    const its = this.#lane(lane);
    its.queued += bytes.length;
    its.pace.sent(bytes.length);
    this.#streams.enqueue(lane, BINARY, bytes, { ordered: true }, () => {
      its.queued -= bytes.length;
      its.pace.seen(its.queued);
      if (!its.isFull || its.queued > its.pace.refillBytes) return;
      its.isFull = false;
      this.#events?.drained();
    });
  }

  close(): void {
    this.#close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const { message, lane } of this.#early.splice(0)) events.message(message, lane);
    if (this.#ended !== undefined) events.closed(this.#ended);
  }

  /** Resolves when everything queued has left, after `ms` at the latest. */
  async drain(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    const waits = () => this.#lanes.some(({ queued }) => queued > 0);
    while (this.#channel.readyState === 'open' && waits() && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#events?.closed(reason);
  }

  #lane(lane: number): Lane {
    this.#lanes[lane] ??= { pace: new Pace(() => performance.now()), queued: 0, isFull: false };
    return this.#lanes[lane];
  }

  #receive(message: Uint8Array, lane: number): void {
    if (this.#events === undefined) this.#early.push({ message, lane });
    else this.#events.message(message, lane);
  }
}
