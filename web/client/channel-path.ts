/** A path (shared/path.ts) over a WebRTC data channel. */
import { MAX_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { Path, PathEvents } from '../../shared/path.ts';
import type { DataChannel } from './webrtc.ts';

/** A longer queue adds delay for every stream and no speed: 256 KiB is 10 ms at 25 MB/s. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** Half, so that the channel does not run dry between the event and the next message. */
const REFILL_AT_BYTES = MAX_QUEUED_BYTES / 2;

export class ChannelPath implements Path {
  readonly maxMessageBytes: number;
  readonly #channel: DataChannel;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #closed: string | undefined;

  /** `maxMessageBytes` is what SCTP allows, if it says so (RFC 8841, section 6). */
  constructor(channel: DataChannel, maxMessageBytes: number | undefined) {
    this.#channel = channel;
    // 0 stands for no limit in SDP, and browsers show that as Infinity.
    this.maxMessageBytes = Math.min(MAX_MESSAGE_BYTES, maxMessageBytes || MAX_MESSAGE_BYTES);
    channel.bufferedAmountLowThreshold = REFILL_AT_BYTES;
    channel.addEventListener('bufferedamountlow', () => {
      if (this.#closed === undefined) this.#events?.drained();
    });
    channel.addEventListener('message', (event: { data: unknown }) => this.#receive(event.data));
    channel.addEventListener('close', () => this.#end('the data channel closed'));
    channel.addEventListener('error', (event: { error?: { message?: string } }) =>
      this.#end(`the data channel failed: ${event.error?.message || 'no reason given'}`),
    );
  }

  capacity(): number {
    if (this.#closed !== undefined || this.#channel.readyState !== 'open') return 0;
    return MAX_QUEUED_BYTES - this.#channel.bufferedAmount;
  }

  send(message: Uint8Array): void {
    if (this.#closed !== undefined) return;
    try {
      this.#channel.send(message);
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
    this.#channel.close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.message(message);
    if (this.#closed !== undefined) events.closed(this.#closed);
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

/** Browsers deliver an ArrayBuffer, werift a Buffer. */
function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return data instanceof Uint8Array ? data : undefined;
}
