/** libdatachannel's data channels as a path of the session layer: a negotiated channel for each lane. */
import type { Path, PathEvents } from '../shared/path.ts';
import type { NativeChannel, NativeConnection } from './native-types.ts';
import { CHANNEL } from './peer.ts';

/**
 * Fewer than werift's: what comes on a stream without a channel is refused, so all have to be there from the start, and
 * each has handles that Node looks through whenever any of them has something. With 10 connections a round trip takes
 * three times as long with 128 of them as with one, with 32 half as long again.
 */
export const NATIVE_LANES = 33;

/**
 * As much as goes into one SCTP chunk of the library's packets (MTU 1280). usrsctp serves its streams in turn only where
 * their messages are not longer: one that always has longer ones to send keeps all others waiting for as long as it
 * does. Measured at 3 MB/s beside a bulk transfer: with messages of 1140 bytes tokens of another lane come after 44 ms,
 * the way's own delay, with 1160 or 16 KiB they never do.
 */
const CHUNK_BYTES = 1120;
/** More is delay, and no speed: 256 KiB is 10 ms at 25 MB/s. */
const MAX_QUEUED_BYTES = 256 * 1024;

export class NativePath implements Path {
  readonly maxMessageBytes = CHUNK_BYTES;
  readonly lanes = NATIVE_LANES;
  readonly #close: () => void;
  #channels: NativeChannel[] = [];
  #isOpen = false;
  #events: PathEvents | undefined;
  #early: { message: Uint8Array; lane: number }[] = [];
  #ended: string | undefined;
  /** Lanes with messages in the library's queue, which is one for all of them. */
  readonly #waiting = new Set<number>();
  /** Lanes that tell when theirs have left it. */
  readonly #watched = new Set<number>();

  constructor(close: () => void) {
    this.#close = close;
  }

  /** Creates the channels. `opened` and `closed` are told of the first. */
  open(connection: NativeConnection, events: { opened(): void; closed(): void }): void {
    for (let lane = 0; lane < NATIVE_LANES; lane++) {
      const channel = connection.createDataChannel(CHANNEL.label, { negotiated: true, id: CHANNEL.id + lane });
      channel.onMessage((message) => this.#receive(bytesOf(message), lane));
      // Without a listener the library keeps what it holds for the channel for ever.
      channel.onClosed(lane === 0 ? events.closed : () => {});
      this.#channels.push(channel);
    }
    const [first] = this.#channels;
    first?.onOpen(() => this.#opened(events.opened));
  }

  capacity(): number {
    // The library sends what is in its queue in the order in which it came, whatever the lane: so nothing is to wait
    // there that the session layer would send later. Before it comes SCTP's own buffer, which serves the lanes in turn.
    return this.#isOpen && this.#ended === undefined && this.#waiting.size === 0 ? MAX_QUEUED_BYTES : 0;
  }

  send(message: Uint8Array, lane = 0): void {
    const channel = this.#channels[lane];
    if (channel === undefined || !this.#isOpen || this.#ended !== undefined) return;
    try {
      const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
      if (channel.sendMessageBinary(bytes)) return;
    } catch {
      // It has closed, and the event is on its way; or the client takes only shorter messages than all of ours do.
      this.#close();
      return;
    }
    this.#waiting.add(lane);
    if (this.#watched.has(lane)) return;
    this.#watched.add(lane);
    channel.onBufferedAmountLow(() => this.#left(lane));
    // It may have left before somebody listened.
    setImmediate(() => {
      if (channel.bufferedAmount() === 0) this.#left(lane);
    });
  }

  close(): void {
    this.#close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    this.#deliverEarly();
    if (this.#ended !== undefined) events.closed(this.#ended);
  }

  /** Resolves when nothing waits in the library's queue, after `ms` at the latest. */
  async drain(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.#isOpen && this.#waiting.size > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Closes the first channel, which the client hears after all that was sent in it. False: there is none. */
  sayGoodbye(): boolean {
    const [first] = this.#channels;
    if (!this.#isOpen || first?.isOpen() !== true) return false;
    first.close();
    return true;
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#events?.closed(reason);
  }

  /** The library opens all of them one after the other, on its own thread. */
  #opened(told: () => void): void {
    if (this.#ended !== undefined) return;
    if (!this.#channels.every((channel) => channel.isOpen())) {
      const [first] = this.#channels;
      if (first?.isOpen() === true) setTimeout(() => this.#opened(told), 1);
      return;
    }
    this.#isOpen = true;
    told();
    this.#deliverEarly();
    this.#events?.drained();
  }

  #left(lane: number): void {
    if (this.#waiting.delete(lane) && this.#waiting.size === 0) this.#events?.drained();
  }

  /** A message may overtake the event that the channels are open; what answers it could not be sent yet. */
  #receive(message: Uint8Array, lane: number): void {
    if (this.#ended !== undefined) return;
    if (this.#events === undefined || !this.#isOpen) this.#early.push({ message, lane });
    else this.#events.message(message, lane);
  }

  #deliverEarly(): void {
    if (this.#events === undefined || !this.#isOpen) return;
    for (const { message, lane } of this.#early.splice(0)) this.#events.message(message, lane);
  }
}

function bytesOf(message: string | Buffer | ArrayBuffer): Uint8Array {
  if (typeof message === 'string') return Buffer.from(message);
  return message instanceof ArrayBuffer ? new Uint8Array(message) : message;
}
