/**
 * One response that outlives its reader. It is read from the upstream into a log, and readers copy from that: the first
 * one, and after it whoever comes back and goes on from where it was.
 */
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import type { HeaderList, ResponseHead } from '../shared/head.ts';
import { HELD_AHEAD_BYTES, HELD_BEHIND_BYTES, MAX_HELD_RESPONSE_BYTES, SESSION_SURVIVAL_MS } from '../shared/limits.ts';
import { SendBuffer } from '../shared/send-buffer.ts';

/** Where a response goes: to a client, or into a log. */
export interface ResponseSink {
  sendHead(head: ResponseHead): Promise<void>;
  /** Await it for backpressure. @throws DirectError when nobody wants more. */
  sendData(bytes: Uint8Array): Promise<void>;
  finish(trailers?: HeaderList): void;
  /** Gives up. */
  reset(code: ErrorCode): void;
}

/** Who reads: the client's end of a response. */
export interface HeldReader {
  head(head: ResponseHead): Promise<void>;
  data(bytes: Uint8Array): Promise<void>;
  finish(trailers: HeaderList): void;
  /** Fails whatever waits for the client. */
  breakOff(code: ErrorCode): void;
}

/** What a response needs of those that keep it. */
export interface HeldOwner {
  /** Makes room for so many bytes; false if there is none to be made. */
  makeRoom(bytes: number): boolean;
  timer(ms: number, run: () => void): () => void;
  /** Nobody can come back for it any more. */
  over(response: HeldResponse): void;
}

/**
 * - `asked`: the upstream has not answered yet.
 * - `begun`: its body is coming.
 * - `complete`: it has ended well.
 * - `failed`: it broke off.
 * - `over`: released, revoked, or nobody came in time. There are no bytes any more.
 */
type State =
  | { name: 'asked' }
  | { name: 'begun'; head: ResponseHead }
  | { name: 'complete'; head: ResponseHead; trailers: HeaderList }
  | { name: 'failed'; head: ResponseHead; code: ErrorCode }
  | { name: 'over'; error: DirectError };

/** A piece of the body, as it goes into the log and out of it. */
const PIECE_BYTES = 16 * 1024;
/**
 * A reset overtakes what its receiver has not read (PROTOCOL.md, section 5). The last bytes of a response that broke off
 * have been in the log for a while, so they get a start that they would have had from the upstream.
 */
const RESET_DELAY_MS = 100;

export class HeldResponse implements ResponseSink {
  readonly #owner: HeldOwner;
  readonly #upstream = new AbortController();
  readonly #log = new SendBuffer();
  #state: State = { name: 'asked' };
  #reader: { client: HeldReader; position: number } | undefined;
  /** As far as any reader was given the body. */
  #furthest = 0;
  #change = Promise.withResolvers<void>();
  #cancelEnd: () => void = () => {};

  constructor(owner: HeldOwner) {
    this.#owner = owner;
  }

  /** Aborted when nobody wants the upstream's response any more. */
  get signal(): AbortSignal {
    return this.#upstream.signal;
  }

  /** Bytes in memory. */
  get heldBytes(): number {
    return this.#log.end - this.#log.acknowledged;
  }

  get isRead(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether the upstream has said all that it will. */
  get hasEnded(): boolean {
    return this.#state.name !== 'asked' && this.#state.name !== 'begun';
  }

  // ---- from the upstream ----------------------------------------------------------------------

  async sendHead(head: ResponseHead): Promise<void> {
    if (this.#state.name !== 'asked') throw this.#refusal();
    this.#become({ name: 'begun', head });
  }

  async sendData(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) await this.#append(bytes.subarray(at, at + PIECE_BYTES));
  }

  finish(trailers: HeaderList = []): void {
    if (this.#state.name === 'begun') this.#become({ name: 'complete', head: this.#state.head, trailers });
  }

  reset(code: ErrorCode): void {
    if (this.#state.name === 'begun') this.#become({ name: 'failed', head: this.#state.head, code });
    else if (this.#state.name === 'asked') this.end(new DirectError(code));
  }

  // ---- to clients -----------------------------------------------------------------------------

  /**
   * Copies the response to `client`, its body from byte `from` on, in place of who reads it now. `signal` is aborted
   * when the client is gone; the response goes on without it.
   * @throws DirectError `E_BAD_REQUEST` for a byte that is not there yet and `E_NOT_FOUND` for one that is not there any
   * more; the code with which the response broke off; whatever ended the reading before its time.
   */
  async read(from: number, client: HeldReader, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#state.name === 'over') throw this.#state.error;
    if (from > this.#log.end)
      throw new DirectError('E_BAD_REQUEST', `of the response there are ${this.#log.end} bytes`);
    if (from < this.#log.acknowledged) throw new DirectError('E_NOT_FOUND', 'its beginning is not kept any more');
    const before = this.#reader;
    const reader = { client, position: from };
    this.#reader = reader;
    before?.client.breakOff('E_CANCELLED');
    this.#cancelEnd();
    this.#wake();
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake);
    const check = () => {
      signal.throwIfAborted();
      if (this.#state.name === 'over') throw this.#state.error;
      if (this.#reader !== reader) throw new DirectError('E_CANCELLED', 'another reader goes on');
    };
    try {
      for (check(); this.#state.name === 'asked'; check()) await this.#change.promise;
      if ('head' in this.#state) await client.head(headFrom(this.#state.head, from));
      for (;;) {
        check();
        const bytes = this.#log.peek(reader.position, PIECE_BYTES);
        const state = this.#state;
        if (bytes.length > 0) {
          await client.data(bytes);
          reader.position += bytes.length;
          this.#furthest = Math.max(this.#furthest, reader.position);
          this.#wake();
        } else if (state.name === 'complete') {
          return client.finish(state.trailers);
        } else if (state.name === 'failed') {
          if (reader.position > from) await new Promise<void>((resolve) => this.#owner.timer(RESET_DELAY_MS, resolve));
          throw new DirectError(state.code);
        } else {
          await this.#change.promise;
        }
      }
    } finally {
      signal.removeEventListener('abort', wake);
      if (this.#reader === reader) {
        this.#reader = undefined;
        this.#startEnd();
        this.#wake();
      }
    }
  }

  /** Nobody will come for it: ends it at the upstream, for who reads it, and for good. */
  end(error: DirectError): void {
    if (this.#state.name === 'over') return;
    const reader = this.#reader;
    this.#cancelEnd();
    this.#log.clear();
    this.#become({ name: 'over', error });
    this.#upstream.abort(error);
    reader?.client.breakOff(error.code);
    this.#owner.over(this);
  }

  // ---- the log --------------------------------------------------------------------------------

  async #append(piece: Uint8Array): Promise<void> {
    for (;;) {
      const hasRoom = this.#hasRoom(piece.length);
      // To make room, it may have been given up itself.
      if (this.#state.name !== 'begun') throw this.#refusal();
      if (hasRoom) break;
      if (this.#reader === undefined) {
        const error = new DirectError('E_PATH_LOST', 'nobody read the response, and it grew too long to be kept');
        this.reset(error.code);
        this.#upstream.abort(error);
        throw error;
      }
      await this.#change.promise;
    }
    this.#log.append(piece);
    this.#wake();
  }

  #hasRoom(bytes: number): boolean {
    const over = this.heldBytes + bytes - MAX_HELD_RESPONSE_BYTES;
    if (over > 0) this.#forget(this.#log.acknowledged + over, this.#furthest - HELD_BEHIND_BYTES);
    if (this.heldBytes + bytes > MAX_HELD_RESPONSE_BYTES) return false;
    if (this.#owner.makeRoom(bytes)) return true;
    const { position } = this.#reader ?? {};
    if (position === undefined || this.#log.end - position >= HELD_AHEAD_BYTES) return false;
    // That it can be resumed is the lesser thing to lose.
    this.#forget(position, position);
    return true;
  }

  /** Forgets what is before `offset`, but nothing from `needed` on, nor what the reader has yet to get. */
  #forget(offset: number, needed: number): void {
    const unread = this.#reader?.position ?? Number.POSITIVE_INFINITY;
    this.#log.acknowledge(Math.max(0, Math.min(offset, needed, unread)));
  }

  // ---- state ----------------------------------------------------------------------------------

  #become(state: State): void {
    this.#state = state;
    if (this.hasEnded) this.#startEnd();
    this.#wake();
  }

  /** Counts the time that is left, from the last reader's end or the response's own. */
  #startEnd(): void {
    this.#cancelEnd();
    if (this.#reader !== undefined || this.#state.name === 'over') return;
    this.#cancelEnd = this.#owner.timer(SESSION_SURVIVAL_MS, () => this.end(new DirectError('E_PATH_LOST')));
  }

  #wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  #refusal(): DirectError {
    return this.#state.name === 'over' ? this.#state.error : new DirectError('E_CANCELLED');
  }
}

/** The head for a body that begins at `from`: its length is that of what comes. */
function headFrom(head: ResponseHead, from: number): ResponseHead {
  const headers = head.headers.map(([name, value]): [string, string] => {
    const isLength = name === 'content-length' && /^\d{1,15}$/.test(value);
    return [name, isLength ? `${Number(value) - from}` : value];
  });
  return { ...head, headers };
}
