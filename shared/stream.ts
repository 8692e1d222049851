/**
 * One stream of a session: two independent byte sequences with offsets, credit, acknowledgement and reset.
 * Frames come from and go to the session; the application writes, reads, resets and stops.
 */
import { codeFromNumber, DirectError, ERRORS, type ErrorCode } from './errors.ts';
import type { Frame, StreamFrame } from './frame.ts';
import { ReceiveHalf } from './receive-half.ts';
import { SendHalf } from './send-half.ts';

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
  /** Both directions have ended and the peer knows it. May be called more than once. */
  ended(stream: Stream): void;
}

export class Stream {
  readonly id: number;
  /**
   * Called at most once, when the peer gives up: it reset its direction, stopped ours, or the session ended. An agent
   * aborts the upstream here. A client needs it not: its pending write or read fails, each for its own direction.
   */
  onabort: ((error: DirectError) => void) | undefined;

  readonly #owner: StreamOwner;
  readonly #send: SendHalf;
  readonly #receive: ReceiveHalf;
  #sentAny = false;
  #failed = false;
  #aborted = false;

  constructor(id: number, owner: StreamOwner, peerCredit: number) {
    this.id = id;
    this.#owner = owner;
    this.#send = new SendHalf(id, peerCredit, () => owner.wake(this));
    this.#receive = new ReceiveHalf(id, {
      credit: owner.streamCredit,
      wake: () => owner.wake(this),
      arrived: (bytes) => owner.arrived(bytes),
      consumed: (bytes) => owner.consumed(bytes),
    });
  }

  /** Bytes that this end holds for the stream: unacknowledged ones and unread ones. */
  get heldBytes(): number {
    return this.#send.heldBytes + this.#receive.heldBytes;
  }

  /** True once anything of the stream may have reached the peer: a byte, its end, or that it is given up. */
  get sentAny(): boolean {
    return this.#sentAny;
  }

  /** Bytes that were sent and not acknowledged. */
  get unacknowledged(): number {
    return this.#send.unacknowledged;
  }

  // ---- application ----------------------------------------------------------------------------

  /**
   * Queues `parts` one after the other, which the caller must not change afterwards. The promise is the backpressure: it
   * is pending while more than 64 kB wait for credit or for the path.
   * @throws DirectError with the peer's code after STOP_SENDING, or the session's when that has ended.
   */
  write(...parts: readonly Uint8Array[]): Promise<void> {
    return this.#send.write(...parts);
  }

  /** Ends the send direction after what was written. */
  finish(): void {
    this.#send.finish();
  }

  /**
   * The next bytes as they arrived, or null at the end. Reading is what grants new credit to the peer. One reader
   * at a time.
   * @throws DirectError with the peer's code after a reset, or the session's when that has ended.
   */
  async read(): Promise<Uint8Array | null> {
    const bytes = await this.#receive.read();
    this.#checkEnded();
    return bytes;
  }

  /** Gives up the send direction; what was not sent yet never will be. */
  reset(code: ErrorCode): void {
    this.#send.reset(ERRORS[code].close);
  }

  /** Tells the peer that nothing more will be read; what arrives is dropped. */
  stop(code: ErrorCode): void {
    this.#receive.stop(ERRORS[code].close);
    this.#checkEnded();
  }

  /** Gives up both directions. */
  abort(code: ErrorCode): void {
    this.reset(code);
    this.stop(code);
  }

  // ---- session: incoming frames ---------------------------------------------------------------

  /** STREAM. @throws ProtocolError */
  receive(frame: StreamFrame): void {
    this.#receive.receive(frame);
    this.#checkEnded();
  }

  /** RESET_STREAM. @throws ProtocolError */
  receiveReset(code: number, finalSize: number): void {
    const error = this.#receive.receiveReset(code, finalSize);
    if (error !== undefined) this.#abortedBy(error);
    this.#checkEnded();
  }

  /** STOP_SENDING: the peer reads no more, so the send direction is reset with its code (RFC 9000, section 3.5). */
  receiveStop(code: number): void {
    if (this.#send.reset(code)) this.#abortedBy(new DirectError(codeFromNumber(code)));
  }

  /** MAX_STREAM_DATA. @throws ProtocolError */
  receiveCredit(received: number, max: number): void {
    this.#send.receiveCredit(received, max);
    this.#checkEnded();
  }

  /** The session moves to another path: what the peer has not acknowledged is due again. */
  rewind(): void {
    this.#send.rewind();
    this.#receive.rewind();
  }

  /** The session acknowledges what it has, so that no peer waits because many streams have a little each. */
  acknowledge(): void {
    this.#receive.acknowledge();
  }

  /** The session has ended: everything pending fails with `error`. */
  fail(error: DirectError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#send.fail(error);
    this.#receive.fail(error);
    this.#abortedBy(error);
  }

  // ---- session: outgoing frames ---------------------------------------------------------------

  /** Frames without data that are due now. They are sent even when data has to wait for credit. */
  takeControl(): Frame[] {
    const reset = this.#send.takeReset();
    const frames = this.#receive.takeControl();
    if (reset !== undefined) frames.push(reset);
    this.#sentAny ||= frames.length > 0;
    return frames;
  }

  /**
   * The next STREAM frame of at most `limit` data bytes, of which at most `sessionCredit` are new to the peer
   * (`fresh` says how many are). Undefined when nothing can be sent now.
   */
  takeData(limit: number, sessionCredit: number): { frame: StreamFrame; fresh: number } | undefined {
    const taken = this.#send.takeData(limit, sessionCredit);
    this.#sentAny ||= taken !== undefined;
    return taken;
  }

  #abortedBy(error: DirectError): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.onabort?.(error);
  }

  #checkEnded(): void {
    if (!this.#failed && this.#send.isDone && this.#receive.isDone) this.#owner.ended(this);
  }
}
