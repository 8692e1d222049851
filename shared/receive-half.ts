/** The receiving direction of a stream: what arrived and was not read yet, the credit, and how it ends. */
import { codeFromNumber, DirectError, ProtocolError } from './errors.ts';
import type { Frame, StreamFrame } from './frame.ts';

export interface ReceiveOwner {
  /** Credit that this end grants, in bytes. */
  readonly credit: number;
  /** There is something to send: credit or STOP_SENDING. */
  wake(): void;
  /** New bytes arrived, counted against the session's credit. @throws ProtocolError over the credit. */
  arrived(bytes: number): void;
  /** Bytes were read or dropped: the session may grant new credit for them. */
  consumed(bytes: number): void;
}

/**
 * What waits to be read is copied together if it is smaller: credit counts bytes, and a peer that sends them one by one,
 * each in a message of 64 kB, would make this end hold 64,000 times as much.
 */
const BY_REFERENCE_BYTES = 4 * 1024;

/** Bytes that wait; more may be appended up to `bytes.length` if they are a copy. */
interface Piece {
  readonly bytes: Uint8Array;
  length: number;
  readonly isCopy: boolean;
}

interface Reader {
  resolve(bytes: Uint8Array | null): void;
  reject(error: Error): void;
}

export class ReceiveHalf {
  readonly #id: number;
  readonly #owner: ReceiveOwner;
  #queue: Piece[] = [];
  #received = 0;
  #read = 0;
  /** Known from FIN or RESET_STREAM on. */
  #finalSize: number | undefined;
  /** Why nothing more will be read: the peer's reset, our own stop, or the session's end. */
  #error: DirectError | undefined;
  #stop: { code: number; due: boolean } | undefined;
  #reader: Reader | undefined;
  #granted: number;
  #acknowledged = 0;
  #creditDue = false;

  constructor(id: number, owner: ReceiveOwner) {
    this.#id = id;
    this.#owner = owner;
    this.#granted = owner.credit;
  }

  /** Bytes that arrived and were not read. */
  get heldBytes(): number {
    return this.#received - this.#read;
  }

  /** Everything that the peer will ever send has come and was read or dropped. */
  get isDone(): boolean {
    return this.#finalSize !== undefined && this.#read === this.#finalSize;
  }

  read(): Promise<Uint8Array | null> {
    if (this.#reader !== undefined) return Promise.reject(new Error('the stream is being read already'));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#settle();
    });
  }

  /** Reads no more; what arrives is dropped. The peer is told unless it has ended by itself. */
  stop(code: number): void {
    if (this.#stop !== undefined || this.isDone || this.#error !== undefined) return;
    this.#error = new DirectError(codeFromNumber(code));
    this.#drop();
    if (this.#finalSize === undefined) this.#stop = { code, due: true };
    this.#settle();
    this.#owner.wake();
  }

  /**
   * Another path is used: what was said last may be lost, and the peer needs to know where to go on. It needs not if
   * nothing has come, and then it may not even know the stream.
   */
  rewind(): void {
    if (this.#received > 0 || this.#finalSize !== undefined) this.#creditDue = true;
    if (this.#stop !== undefined && this.#finalSize === undefined) this.#stop.due = true;
  }

  /** Acknowledges what has come, however little. */
  acknowledge(): void {
    if (this.#received > this.#acknowledged) this.#dueCredit();
  }

  fail(error: DirectError): void {
    this.#error ??= error;
    this.#queue = [];
    this.#settle();
  }

  /** STREAM. @throws ProtocolError */
  receive({ offset, data, fin }: StreamFrame): void {
    const end = offset + data.length;
    if (offset > this.#received) throw new ProtocolError(`stream ${this.#id} has a gap at ${this.#received}`);
    if (this.#finalSize !== undefined && (end > this.#finalSize || (fin && end !== this.#finalSize))) {
      throw new ProtocolError(`stream ${this.#id} changed its final size`);
    }
    if (fin && end < this.#received) throw new ProtocolError(`stream ${this.#id} ends before its data`);
    this.#checkCredit(end);
    const news = end - this.#received;
    if (news > 0) {
      this.#owner.arrived(news);
      this.#received = end;
      if (this.#error === undefined) this.#keep(data.subarray(data.length - news));
      else this.#consume(news);
    }
    if (fin) this.#finalSize = end;
    // FIN is acknowledged at once, so that the peer can forget the stream; data when a quarter of the credit came.
    if (fin || this.#received - this.#acknowledged >= this.#owner.credit / 4) this.#dueCredit();
    this.#settle();
  }

  /** RESET_STREAM. Returns the error if it is news to the application. @throws ProtocolError */
  receiveReset(code: number, finalSize: number): DirectError | undefined {
    if (finalSize < this.#received || (this.#finalSize ?? finalSize) !== finalSize) {
      throw new ProtocolError(`stream ${this.#id} changed its final size`);
    }
    this.#checkCredit(finalSize);
    // After FIN nothing is missing, so what waits to be read is still good.
    const complete = this.#finalSize !== undefined && this.#error === undefined;
    this.#owner.arrived(finalSize - this.#received);
    this.#received = finalSize;
    this.#finalSize = finalSize;
    this.#dueCredit();
    if (complete) return undefined;
    this.#error ??= new DirectError(codeFromNumber(code));
    this.#drop();
    this.#settle();
    // After our own STOP_SENDING it is only the peer's confirmation.
    return this.#stop === undefined ? this.#error : undefined;
  }

  /** Credit and STOP_SENDING, as far as they are due. */
  takeControl(): Frame[] {
    const frames: Frame[] = [];
    if (this.#creditDue) {
      this.#creditDue = false;
      this.#acknowledged = this.#received;
      this.#granted = this.#read + this.#owner.credit;
      const received = this.#received + (this.#received === this.#finalSize ? 1 : 0);
      frames.push({ type: 'MAX_STREAM_DATA', id: this.#id, received, max: this.#granted });
    }
    if (this.#stop?.due === true) {
      this.#stop.due = false;
      frames.push({ type: 'STOP_SENDING', id: this.#id, code: this.#stop.code });
    }
    return frames;
  }

  #keep(bytes: Uint8Array): void {
    const isLarge = bytes.length >= BY_REFERENCE_BYTES;
    // Who waits takes it at once.
    if (this.#reader !== undefined || (isLarge && 2 * bytes.length >= bytes.buffer.byteLength)) {
      this.#queue.push({ bytes, length: bytes.length, isCopy: false });
      return;
    }
    const last = this.#queue.at(-1);
    if (last?.isCopy === true && last.bytes.length - last.length >= bytes.length) {
      last.bytes.set(bytes, last.length);
      last.length += bytes.length;
      return;
    }
    const copy = new Uint8Array(Math.max(bytes.length, BY_REFERENCE_BYTES));
    copy.set(bytes);
    this.#queue.push({ bytes: copy, length: bytes.length, isCopy: true });
  }

  #checkCredit(end: number): void {
    if (end > this.#granted) throw new ProtocolError(`stream ${this.#id} exceeds its credit`, 'E_FLOW_CONTROL');
  }

  #settle(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    const piece = this.#queue.shift();
    const next = piece?.bytes.subarray(0, piece.length);
    if (next === undefined && this.#error === undefined && !this.isDone) return;
    this.#reader = undefined;
    if (next !== undefined) {
      this.#consume(next.length);
      reader.resolve(next);
    } else if (this.#error !== undefined) {
      reader.reject(this.#error);
    } else {
      reader.resolve(null);
    }
  }

  #drop(): void {
    this.#queue = [];
    if (this.heldBytes > 0) this.#consume(this.heldBytes);
  }

  #consume(bytes: number): void {
    this.#read += bytes;
    this.#owner.consumed(bytes);
    const unannounced = this.#read + this.#owner.credit - this.#granted;
    if (this.#finalSize === undefined && unannounced >= this.#owner.credit / 4) this.#dueCredit();
  }

  #dueCredit(): void {
    this.#creditDue = true;
    this.#owner.wake();
  }
}
