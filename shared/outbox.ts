/**
 * What a session has to send, and in which order: its own control frames first, then the streams by turns. It holds
 * the newest state of each, not a queue, so that a blocked path cannot make it grow.
 */
import { CONTROL_BYTES, type Frame, MAX_STREAM_HEADER_BYTES } from './frame.ts';
import type { Path } from './path.ts';
import type { Stream } from './stream.ts';

/** Data of one stream in a row, when several share a lane: a token waits behind at most this much per stream. */
const QUANTUM_BYTES = 16 * 1024;
/** The most that one stream adds besides data: credit, stop, reset and the header of STREAM. */
const TURN_BYTES = 3 * CONTROL_BYTES + MAX_STREAM_HEADER_BYTES;

/** Frames of the session itself, of which only the newest of each type counts. */
type SessionFrame = Extract<Frame, { type: 'MAX_DATA' | 'MAX_STREAMS' }>;

/** Where messages go: a path and its lanes. */
interface Way {
  readonly path: Pick<Path, 'capacity' | 'chunkBytes' | 'maxMessageBytes'>;
  laneOf(stream: number): number;
  keepLane(stream: number, lane: number): void;
}

interface Next {
  frames: Frame[];
  fresh: number;
  lane: number;
}

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
   * The frames of the next message by `way`, in one lane; empty when nothing can be sent now. `first`, the frames of the
   * path itself, come in the first lane, and so do the session's. At most `sessionCredit` bytes of data are new to the
   * peer (`fresh` says how many are), and streams from `maxStreams` on have to wait.
   */
  next(first: readonly Frame[], way: Way, sessionCredit: number, maxStreams: number): Next {
    const isOpen = (lane: number) => way.path.capacity(lane) > 0;
    const frames: Frame[] = [...first];
    // USE_PATH may come before it.
    let room = way.path.maxMessageBytes - CONTROL_BYTES;
    if (isOpen(0)) {
      frames.push(...this.#session.values());
      this.#session.clear();
    }
    for (const frame of frames) room -= CONTROL_BYTES + (frame.type === 'HELLO' ? 3 * frame.json.length : 0);
    /** The message's lane: that of the first frame. */
    let lane = frames.length > 0 ? 0 : undefined;
    let fresh = 0;
    /** Bytes of data in it, and the most that there should be. */
    let data = 0;
    let chunk: number | undefined;
    for (const stream of this.#ready) {
      if (room <= TURN_BYTES || (chunk !== undefined && data >= chunk)) break;
      const its = way.laneOf(stream.id);
      if (lane === undefined ? !isOpen(its) : its !== lane) continue;
      // Whoever gets a turn goes to the end of the line, if there is more to send.
      this.#ready.delete(stream);
      if (stream.id >= maxStreams) continue;
      const control = stream.takeControl();
      frames.push(...control);
      if (control.length > 0) {
        lane = its;
        way.keepLane(stream.id, its);
      }
      chunk ??= way.path.chunkBytes?.(its) ?? room;
      room -= control.length * CONTROL_BYTES;
      const turn = this.#ready.size === 0 ? room : QUANTUM_BYTES;
      const limit = Math.min(turn, chunk - data, room - MAX_STREAM_HEADER_BYTES);
      const taken = stream.takeData(limit, sessionCredit - fresh);
      if (taken === undefined) continue;
      fresh += taken.fresh;
      lane = its;
      way.keepLane(stream.id, its);
      frames.push(taken.frame);
      room -= MAX_STREAM_HEADER_BYTES + taken.frame.data.length;
      data += taken.frame.data.length;
      this.#ready.add(stream);
    }
    return { frames, fresh, lane: lane ?? 0 };
  }
}
