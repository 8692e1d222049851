/**
 * One stream of a session: two independent byte sequences with offsets, credit, acknowledgement and reset.
 * Frames come from and go to the session; the application writes, reads, resets and stops.
 */
import { codeFromNumber, DirectError, ERRORS, type ErrorCode, ProtocolError } from './errors.ts';
import type { Frame, StreamFrame } from './frame.ts';
import { SendBuffer } from './send-buffer.ts';

/** Written but unsent bytes at which `write` starts to wait: enough to fill a message while the next is read. */
const WRITE_HIGH_WATER = 64 * 1024;

/** What a stream needs of its session. */
export interface StreamOwner {
  /** Credit that this end grants to each of the peer's streams, in bytes. */
  readonly streamCredit: number;
  /** This stream has something to send: data, credit or a reset. */
  wake(stream: Stream): void;
  /** New bytes arrived, counted against the session's credit. @throws ProtocolError over the credit. */
  arrived(bytes: number): void;
  /** Bytes left the receive buffer: the session may grant new credit for them. */
  consumed(bytes: number): void;
  /** Both directions have ended and the peer knows it. */
  ended(stream: Stream): void;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class Stream {
  readonly id: number;
  /**
   * Called at most once, when the peer gives up: it reset its direction, stopped ours, or the session ended. An agent
   * aborts the upstream here. A client needs it not: its pending write or read fails, each for its own direction.
   */
  onabort: ((error: DirectError) => void) | undefined;

  readonly #owner: StreamOwner;

  // Send direction.
  readonly #out = new SendBuffer();
  /** Offset of the next byte to send on the current path. */
  #sent = 0;
  /** The highest offset ever sent: what counts against the session's credit, once. */
  #highestSent = 0;
  #sendMax: number;
  #finished = false;
  #finSent = false;
  #sendReset: { code: number; due: boolean } | undefined;
  #sendDone = false;
  #writers: Waiter<void>[] = [];

  // Receive direction.
  #in: Uint8Array[] = [];
  #received = 0;
  #read = 0;
  #finalSize: number | undefined;
  #receiveError: DirectError | undefined;
  #stop: { code: number; due: boolean } | undefined;
  #reader: Waiter<Uint8Array | null> | undefined;
  #grantedMax: number;
  #acknowledged = 0;
  #creditDue = false;

  #sessionError: DirectError | undefined;
  #aborted = false;

  constructor(id: number, owner: StreamOwner, peerCredit: number) {
    this.id = id;
    this.#owner = owner;
    this.#sendMax = peerCredit;
    this.#grantedMax = owner.streamCredit;
  }

  // ---- application: send direction ------------------------------------------------------------

  /** Bytes that this end holds for the stream: unacknowledged ones and unread ones. */
  get heldBytes(): number {
    return this.#out.end - this.#out.acknowledged + (this.#received - this.#read);
  }

  /** True once a byte of the stream may have reached the peer. */
  get sentAny(): boolean {
    return this.#highestSent > 0 || this.#finSent;
  }

  /**
   * Queues `bytes`, which the caller must not change afterwards. The promise is the backpressure: it is pending
   * while more than 64 kB wait for credit or for the path.
   * @throws DirectError with the peer's code after STOP_SENDING, or the session's when that has ended.
   */
  write(bytes: Uint8Array): Promise<void> {
    const error = this.#sendError();
    if (error !== undefined) return Promise.reject(error);
    if (this.#finished) return Promise.reject(new Error('write after finish'));
    this.#out.append(bytes);
    this.#owner.wake(this);
    if (this.#unsent() <= WRITE_HIGH_WATER) return Promise.resolve();
    return new Promise((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  /** Ends the send direction after what was written. */
  finish(): void {
    if (this.#finished || this.#sendError() !== undefined) return;
    this.#finished = true;
    this.#owner.wake(this);
  }

  /** Gives up the send direction; what was not sent yet never will be. */
  reset(code: ErrorCode): void {
    if (this.#sendDone || this.#sendReset !== undefined || this.#sessionError !== undefined) return;
    this.#resetWith(ERRORS[code].close);
    this.#rejectWriters(new DirectError(code));
  }

  /** Tells the peer that nothing more will be read; what arrives is dropped. */
  stop(code: ErrorCode): void {
    if (this.#stop !== undefined || this.#receiveEnded() || this.#sessionError !== undefined) return;
    this.#receiveError = new DirectError(code);
    this.#discard();
    this.#settleReader();
    if (this.#finalSize === undefined) this.#stop = { code: ERRORS[code].close, due: true };
    this.#owner.wake(this);
    this.#checkEnded();
  }

  /** Gives up both directions. */
  abort(code: ErrorCode): void {
    this.reset(code);
    this.stop(code);
  }

  // ---- application: receive direction ---------------------------------------------------------

  /**
   * The next bytes as they arrived, or null at the end. Reading is what grants new credit to the peer. One reader
   * at a time.
   * @throws DirectError with the peer's code after a reset, or the session's when that has ended.
   */
  read(): Promise<Uint8Array | null> {
    if (this.#reader !== undefined) return Promise.reject(new Error('the stream is being read already'));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#settleReader();
    });
  }

  // ---- session: incoming frames ---------------------------------------------------------------

  /** @throws ProtocolError */
  receive(frame: StreamFrame): void {
    const end = frame.offset + frame.data.length;
    if (frame.offset > this.#received) throw new ProtocolError(`stream ${this.id} has a gap at ${this.#received}`);
    if (this.#finalSize !== undefined && (end > this.#finalSize || (frame.fin && end !== this.#finalSize))) {
      throw new ProtocolError(`stream ${this.id} changed its final size`);
    }
    if (frame.fin && end < this.#received) throw new ProtocolError(`stream ${this.id} ends before its data`);
    if (end > this.#grantedMax) throw new ProtocolError(`stream ${this.id} exceeds its credit`, 'E_FLOW_CONTROL');
    const news = end - this.#received;
    if (news > 0) {
      this.#owner.arrived(news);
      this.#received = end;
      if (this.#receiveError === undefined) {
        this.#in.push(frame.data.subarray(frame.data.length - news));
      } else {
        this.#consume(news);
      }
    }
    if (frame.fin && this.#finalSize === undefined) this.#finalSize = end;
    // FIN is acknowledged at once, so that the peer can forget the stream; data when a quarter of the credit came.
    if (frame.fin || this.#received - this.#acknowledged >= this.#owner.streamCredit / 4) this.#dueCredit();
    this.#settleReader();
    this.#checkEnded();
  }

  /** RESET_STREAM. @throws ProtocolError */
  receiveReset(code: number, finalSize: number): void {
    if (finalSize < this.#received || (this.#finalSize !== undefined && this.#finalSize !== finalSize)) {
      throw new ProtocolError(`stream ${this.id} changed its final size`);
    }
    if (finalSize > this.#grantedMax) throw new ProtocolError(`stream ${this.id} exceeds its credit`, 'E_FLOW_CONTROL');
    const complete = this.#finalSize !== undefined;
    this.#owner.arrived(finalSize - this.#received);
    this.#received = finalSize;
    this.#finalSize = finalSize;
    this.#dueCredit();
    if (!complete || this.#receiveError !== undefined) {
      const error = new DirectError(codeFromNumber(code));
      this.#receiveError ??= error;
      this.#discard();
      // After our own STOP_SENDING it is only the peer's confirmation.
      if (this.#stop === undefined) this.#abortedBy(error);
    }
    this.#settleReader();
    this.#checkEnded();
  }

  /** STOP_SENDING: the peer reads no more, so the send direction is reset with its code (RFC 9000, section 3.5). */
  receiveStop(code: number): void {
    if (this.#sendDone || this.#sendReset !== undefined) return;
    this.#resetWith(code);
    const error = new DirectError(codeFromNumber(code));
    this.#rejectWriters(error);
    this.#abortedBy(error);
  }

  /** MAX_STREAM_DATA: acknowledgement and credit. @throws ProtocolError */
  receiveCredit(received: number, max: number): void {
    const ended = this.#finSent || this.#sendReset !== undefined;
    const final = this.#sendReset === undefined ? this.#out.end : this.#highestSent;
    if (received > (ended ? final + 1 : this.#highestSent)) {
      throw new ProtocolError(`stream ${this.id} has bytes acknowledged that were not sent`);
    }
    this.#out.acknowledge(received);
    this.#sent = Math.max(this.#sent, Math.min(received, this.#out.end));
    if (ended && received === final + 1) {
      this.#sendDone = true;
      this.#checkEnded();
    }
    if (max > this.#sendMax) {
      this.#sendMax = max;
      this.#owner.wake(this);
    }
  }

  /** The session has ended: everything pending fails with `error`. */
  fail(error: DirectError): void {
    if (this.#sessionError !== undefined) return;
    this.#sessionError = error;
    this.#receiveError ??= error;
    this.#in = [];
    this.#out.clear();
    this.#settleReader();
    this.#rejectWriters(error);
    this.#abortedBy(error);
  }

  // ---- session: outgoing frames ---------------------------------------------------------------

  /** Frames without data that are due now. Credit and resets are sent even when data has to wait. */
  takeControl(): Frame[] {
    const frames: Frame[] = [];
    if (this.#creditDue) {
      this.#creditDue = false;
      this.#acknowledged = this.#received;
      this.#grantedMax = this.#read + this.#owner.streamCredit;
      const received = this.#received + (this.#received === this.#finalSize ? 1 : 0);
      frames.push({ type: 'MAX_STREAM_DATA', id: this.id, received, max: this.#grantedMax });
    }
    if (this.#stop?.due === true) {
      this.#stop.due = false;
      frames.push({ type: 'STOP_SENDING', id: this.id, code: this.#stop.code });
    }
    if (this.#sendReset?.due === true) {
      this.#sendReset.due = false;
      frames.push({ type: 'RESET_STREAM', id: this.id, code: this.#sendReset.code, finalSize: this.#highestSent });
    }
    return frames;
  }

  /**
   * The next STREAM frame of at most `limit` data bytes, of which at most `sessionCredit` are new to the peer.
   * Undefined when nothing can be sent now.
   */
  takeData(limit: number, sessionCredit: number): { frame: StreamFrame; fresh: number } | undefined {
    if (this.#sendDone || this.#sendReset !== undefined || this.#sessionError !== undefined) return undefined;
    const allowed = Math.min(limit, this.#sendMax - this.#sent, this.#highestSent - this.#sent + sessionCredit);
    const data = this.#out.peek(this.#sent, Math.max(0, allowed));
    const end = this.#sent + data.length;
    const fin = this.#finished && end === this.#out.end && !this.#finSent;
    if (data.length === 0 && !fin) return undefined;
    const frame: StreamFrame = { type: 'STREAM', id: this.id, offset: this.#sent, data, fin };
    const fresh = Math.max(0, end - this.#highestSent);
    this.#sent = end;
    this.#highestSent = Math.max(this.#highestSent, end);
    if (fin) this.#finSent = true;
    if (this.#unsent() <= WRITE_HIGH_WATER) this.#resolveWriters();
    return { frame, fresh };
  }

  // ---- inside ---------------------------------------------------------------------------------

  #unsent(): number {
    return this.#out.end - this.#sent;
  }

  #sendError(): DirectError | undefined {
    if (this.#sessionError !== undefined) return this.#sessionError;
    return this.#sendReset === undefined ? undefined : new DirectError(codeFromNumber(this.#sendReset.code));
  }

  #resetWith(code: number): void {
    this.#sendReset = { code, due: true };
    this.#out.clear();
    this.#owner.wake(this);
  }

  #resolveWriters(): void {
    for (const { resolve } of this.#writers.splice(0)) resolve();
  }

  #rejectWriters(error: DirectError): void {
    for (const { reject } of this.#writers.splice(0)) reject(error);
  }

  #settleReader(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    const next = this.#in.shift();
    if (next !== undefined) {
      this.#reader = undefined;
      this.#consume(next.length);
      reader.resolve(next);
      this.#checkEnded();
    } else if (this.#receiveError !== undefined) {
      this.#reader = undefined;
      reader.reject(this.#receiveError);
    } else if (this.#receiveEnded()) {
      this.#reader = undefined;
      reader.resolve(null);
    }
  }

  #receiveEnded(): boolean {
    return this.#finalSize !== undefined && this.#read === this.#finalSize;
  }

  #consume(bytes: number): void {
    this.#read += bytes;
    this.#owner.consumed(bytes);
    const unannounced = this.#read + this.#owner.streamCredit - this.#grantedMax;
    if (this.#finalSize === undefined && unannounced >= this.#owner.streamCredit / 4) this.#dueCredit();
  }

  #discard(): void {
    this.#in = [];
    const unread = this.#received - this.#read;
    if (unread > 0) this.#consume(unread);
  }

  #dueCredit(): void {
    this.#creditDue = true;
    this.#owner.wake(this);
  }

  #abortedBy(error: DirectError): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.onabort?.(error);
  }

  #checkEnded(): void {
    if (this.#sendDone && this.#receiveEnded() && this.#sessionError === undefined) this.#owner.ended(this);
  }
}
