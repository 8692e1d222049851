/**
 * What a session has to send, and in which order: its own control frames first, then the streams by turns. It holds
 * the newest state of each, not a queue, so that a blocked path cannot make it grow.
 */
import { CONTROL_BYTES, type Frame, MAX_STREAM_HEADER_BYTES } from './frame.ts';
import type { Stream } from './stream.ts';

/** Data of one stream in a row, when several want to send: a token waits behind at most this much per stream. */
const QUANTUM_BYTES = 16 * 1024;
/** The most that one stream adds besides data: credit, stop, reset and the header of STREAM. */
const TURN_BYTES = 3 * CONTROL_BYTES + MAX_STREAM_HEADER_BYTES;

/** Frames of the session itself, of which only the newest of each type counts. */
type SessionFrame = Extract<Frame, { type: 'MAX_DATA' | 'MAX_STREAMS' }>;

export class Outbox {
  readonly #session = new Map<SessionFrame['type'], SessionFrame>();
  /** Streams with something to send, in the order in which they get their turn. */
  readonly #ready = new Set<Stream>();

  /** Sends `frame`, in place of one of its type that has not left yet. */
  put(frame: SessionFrame): void {
    this.#session.set(frame.type, frame);
  }

  /** Gives the stream a turn, after those that wait already. */
  add(stream: Stream): void {
    this.#ready.add(stream);
  }

  delete(stream: Stream): void {
    this.#ready.delete(stream);
  }

  clear(): void {
    this.#session.clear();
    this.#ready.clear();
  }

  /**
   * The frames of the next message of at most `maxBytes`, after `first`, those of the path itself; empty when nothing
   * can be sent. At most `sessionCredit` bytes of data are new to the peer (`fresh` says how many are), and streams
   * from `maxStreams` on have to wait.
   */
  next(
    first: readonly Frame[],
    maxBytes: number,
    sessionCredit: number,
    maxStreams: number,
  ): { frames: Frame[]; fresh: number } {
    const frames: Frame[] = [...first, ...this.#session.values()];
    this.#session.clear();
    let room = maxBytes;
    for (const frame of frames) room -= CONTROL_BYTES + (frame.type === 'HELLO' ? 3 * frame.json.length : 0);
    let fresh = 0;
    for (const stream of this.#ready) {
      if (room <= TURN_BYTES) break;
      // Whoever gets a turn goes to the end of the line, if there is more to send.
      this.#ready.delete(stream);
      if (stream.id >= maxStreams) continue;
      const control = stream.takeControl();
      frames.push(...control);
      room -= control.length * CONTROL_BYTES;
      const limit = Math.min(this.#ready.size === 0 ? room : QUANTUM_BYTES, room - MAX_STREAM_HEADER_BYTES);
      const taken = stream.takeData(limit, sessionCredit - fresh);
      if (taken === undefined) continue;
      fresh += taken.fresh;
      frames.push(taken.frame);
      room -= MAX_STREAM_HEADER_BYTES + taken.frame.data.length;
      this.#ready.add(stream);
    }
    return { frames, fresh };
  }
}
