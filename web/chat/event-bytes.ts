/**
 * Server-sent events from bytes, with the count of those that need not be read again: an answer goes on after a reload
 * from there, with a new reader that knows nothing.
 */
import { type ServerSentEvent, SseParser } from './sse.ts';

const LF = 10;
const CR = 13;
/** Beyond this a server never ends its event. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;

export class EventBytes {
  readonly #decoder = new TextDecoder();
  /** Begins where an event begins. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  /** Whether the line that comes has nothing in it so far. */
  #lineEmpty = true;
  /** The last byte was a CR: an LF belongs to it. */
  #afterCr = false;
  #consumed = 0;

  /** `from`: where in the body this reader begins. */
  constructor(from = 0) {
    this.#consumed = from;
  }

  /** Bytes of the body up to the end of the last event that was given. */
  get consumed(): number {
    return this.#consumed;
  }

  /** The events that `bytes` completes. @throws RangeError when an event does not end. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    const end = this.#lastBoundary(bytes);
    if (end === 0) {
      this.#rest.push(bytes);
      this.#restBytes += bytes.length;
      if (this.#restBytes > MAX_EVENT_BYTES) throw new RangeError('an event is too long');
      return [];
    }
    const whole = this.#take(bytes.subarray(0, end));
    const rest = bytes.subarray(end);
    this.#rest = rest.length === 0 ? [] : [rest];
    this.#restBytes = rest.length;
    this.#consumed += whole.length;
    return this.#parse(whole);
  }

  /** The event that nothing ended. */
  end(): ServerSentEvent[] {
    const whole = this.#take(new Uint8Array());
    this.#rest = [];
    this.#restBytes = 0;
    this.#consumed += whole.length;
    return this.#parse(whole);
  }

  /** After the last empty line in `bytes`; 0 if there is none. */
  #lastBoundary(bytes: Uint8Array): number {
    let boundary = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      const belongs = byte === LF && this.#afterCr;
      this.#afterCr = byte === CR;
      if (belongs) {
        // Of the boundary just before it, perhaps in the piece before.
        if (boundary === i && (i > 0 || this.#restBytes === 0)) boundary = i + 1;
        continue;
      }
      if (byte !== LF && byte !== CR) {
        this.#lineEmpty = false;
        continue;
      }
      if (this.#lineEmpty) boundary = i + 1;
      this.#lineEmpty = true;
    }
    return boundary;
  }

  #take(last: Uint8Array): Uint8Array {
    if (this.#rest.length === 0) return last;
    const whole = new Uint8Array(this.#restBytes + last.length);
    let at = 0;
    for (const piece of [...this.#rest, last]) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  /** It begins and ends between events, so also between characters. */
  #parse(whole: Uint8Array): ServerSentEvent[] {
    const parser = new SseParser();
    return [...parser.push(this.#decoder.decode(whole)), ...parser.end()];
  }
}
