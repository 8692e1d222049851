/** A path (shared/path.ts) over WebRTC data channels: one for each lane, the others than the first when they are used. */
import { MAX_LANES, MAX_MESSAGE_BYTES } from '../../shared/limits.ts';
import { Pace } from '../../shared/pace.ts';
import type { Path, PathEvents } from '../../shared/path.ts';
import type { DataChannel } from './webrtc.ts';

interface Lane {
  readonly channel: DataChannel;
  readonly pace: Pace;
}

export class ChannelPath implements Path {
  readonly maxMessageBytes: number;
  readonly lanes = MAX_LANES;
  readonly #lanes: Lane[] = [];
  readonly #open: (lane: number) => DataChannel;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #closed: string | undefined;

  /**
   * `channel` is lane 0, and `open` makes another one. `maxMessageBytes` is what SCTP allows, if it says so (RFC 8841,
   * section 6).
   */
  constructor(channel: DataChannel, maxMessageBytes: number | undefined, open: (lane: number) => DataChannel) {
    this.#open = open;
    // 0 stands for no limit in SDP, and browsers show that as Infinity.
    this.maxMessageBytes = Math.min(MAX_MESSAGE_BYTES, maxMessageBytes || MAX_MESSAGE_BYTES);
    this.#add(0, channel);
  }

  capacity(lane = 0): number {
    if (this.#closed !== undefined) return 0;
    const { channel, pace } = this.#lane(lane) ?? {};
    return channel?.readyState === 'open' ? (pace?.queueBytes ?? 0) - channel.bufferedAmount : 0;
  }

  /** Browsers drop what comes in an SCTP stream without a data channel. */
  openLane(lane: number): void {
    if (this.#closed === undefined) this.#lane(lane);
  }

  chunkBytes(lane: number): number {
    return this.#lane(lane)?.pace.chunkBytes ?? 0;
  }

  send(message: Uint8Array, lane = 0): void {
    if (this.#closed !== undefined) return;
    try {
      const its = this.#lane(lane);
      if (its === undefined) return;
      observe(its);
      its.channel.send(message);
      its.pace.sent(message.length);
    } catch (error) {
      // OperationError when the browser's own queue is full, InvalidStateError when the channel is closing.
      this.fail(`the data channel refused a message: ${error}`);
    }
  }

  close(): void {
    this.fail('closed');
  }

  /** Ends the path because WebRTC has given up. */
  fail(reason: string): void {
    this.#end(reason);
    for (const { channel } of this.#lanes) channel.close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.message(message);
    if (this.#closed !== undefined) events.closed(this.#closed);
  }

  /** Its channel may not be open yet. Undefined when the path has ended. */
  #lane(lane: number): Lane | undefined {
    const known = this.#lanes[lane];
    if (known !== undefined) return known;
    try {
      return this.#add(lane, this.#open(lane));
    } catch (error) {
      this.fail(`no data channel for lane ${lane}: ${error}`);
      return undefined;
    }
  }

  #add(lane: number, channel: DataChannel): Lane {
    const added = { channel, pace: new Pace(() => performance.now()) };
    this.#lanes[lane] = added;
    observe(added);
    const drained = () => {
      observe(added);
      if (this.#closed === undefined) this.#events?.drained();
    };
    channel.addEventListener('bufferedamountlow', drained);
    channel.addEventListener('open', drained);
    channel.addEventListener('message', (event: { data: unknown }) => this.#receive(event.data));
    channel.addEventListener('close', () => this.#end('the data channel closed'));
    channel.addEventListener('error', (event: { error?: { message?: string } }) =>
      this.#end(`the data channel failed: ${event.error?.message || 'no reason given'}`),
    );
    return added;
  }

  #receive(data: unknown): void {
    if (this.#closed !== undefined) return;
    const message = bytesOf(data);
    if (message === undefined) {
      this.fail('the peer sent text');
    } else if (this.#events === undefined) {
      this.#early.push(message);
    } else {
      this.#events.message(message);
    }
  }

  #end(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#events?.closed(reason);
  }
}

/** The event that the queue is low comes when it falls to the threshold, not when it is below; so that is never late. */
function observe({ channel, pace }: Lane): void {
  pace.seen(channel.bufferedAmount);
  channel.bufferedAmountLowThreshold = pace.refillBytes;
}

/** Browsers deliver an ArrayBuffer, werift a Buffer. */
function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return data instanceof Uint8Array ? data : undefined;
}
