/** The sending direction of a stream: what was written, up to where it was sent, and how it ends. */
import { codeFromNumber, DirectError, ProtocolError } from './errors.ts';
import type { Frame, StreamFrame } from './frame.ts';
import { MAX_UNACKNOWLEDGED_STREAM_BYTES } from './limits.ts';
import { SendBuffer } from './send-buffer.ts';

/** Written but unsent bytes at which `write` starts to wait: enough to fill a message while the next is read. */
const WRITE_HIGH_WATER = 64 * 1024;

/**
 * - `open`: takes writes.
 * - `finished`: FIN follows the last byte; `due` until it has left on the current path, `sent` once it left on any.
 * - `reset`: given up with a code; `due` until RESET_STREAM has left.
 * - `done`: the peer has acknowledged FIN, or RESET_STREAM with its code.
 * - `failed`: the session has ended.
 */
type State =
  | { name: 'open' }
  | { name: 'finished'; due: boolean; sent: boolean }
  | { name: 'reset'; code: number; due: boolean }
  | { name: 'done'; code: number | undefined }
  | { name: 'failed'; error: DirectError };

export class SendHalf {
  readonly #id: number;
  readonly #wake: () => void;
  readonly #buffer = new SendBuffer();
  #state: State = { name: 'open' };
  /** Offset of the next byte to send on the current path. */
  #sent = 0;
  /** The highest offset ever sent: what counts against the session's credit, once. */
  #highest = 0;
  /** The peer's credit. */
  #max: number;
  #writers: { resolve(): void; reject(error: Error): void }[] = [];

  constructor(id: number, credit: number, wake: () => void) {
    this.#id = id;
    this.#max = credit;
    this.#wake = wake;
  }

  /** Bytes that are kept because the peer has not acknowledged them. */
  get heldBytes(): number {
    return this.#buffer.end - this.#buffer.acknowledged;
  }

  get isDone(): boolean {
    return this.#state.name === 'done';
  }

  /** Bytes that were sent and not acknowledged. */
  get unacknowledged(): number {
    return Math.max(0, this.#highest - this.#buffer.acknowledged);
  }

  write(...parts: readonly Uint8Array[]): Promise<void> {
    const state = this.#state;
    if (state.name === 'failed') return Promise.reject(state.error);
    if ('code' in state && state.code !== undefined) {
      return Promise.reject(new DirectError(codeFromNumber(state.code)));
    }
    if (state.name !== 'open') return Promise.reject(new Error('write after finish'));
    for (const bytes of parts) this.#buffer.append(bytes);
    this.#wake();
    if (this.#unsent() <= WRITE_HIGH_WATER) return Promise.resolve();
    return new Promise((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  finish(): void {
    if (this.#state.name !== 'open') return;
    this.#state = { name: 'finished', due: true, sent: false };
    this.#wake();
  }

  /** Gives up; false if there is nothing left to give up. */
  reset(code: number): boolean {
    if (this.#state.name !== 'open' && this.#state.name !== 'finished') return false;
    this.#state = { name: 'reset', code, due: true };
    this.#buffer.clear();
    for (const { reject } of this.#writers.splice(0)) reject(new DirectError(codeFromNumber(code)));
    this.#wake();
    return true;
  }

  /** Another path is used: what the peer has not acknowledged is sent again. */
  rewind(): void {
    const state = this.#state;
    this.#sent = Math.min(this.#sent, this.#buffer.acknowledged);
    if (state.name === 'finished' || state.name === 'reset') state.due = true;
  }

  fail(error: DirectError): void {
    this.#state = { name: 'failed', error };
    this.#buffer.clear();
    for (const { reject } of this.#writers.splice(0)) reject(error);
  }

  /** MAX_STREAM_DATA: acknowledgement and credit. @throws ProtocolError */
  receiveCredit(received: number, max: number): void {
    const state = this.#state;
    // FIN and RESET_STREAM count as one more byte.
    const final = state.name === 'reset' ? this.#highest : this.#buffer.end;
    const ends = state.name === 'reset' || (state.name === 'finished' && state.sent);
    if (received > (ends || state.name === 'done' ? final + 1 : this.#highest)) {
      throw new ProtocolError(`stream ${this.#id} has bytes acknowledged that were not sent`);
    }
    const before = this.#buffer.acknowledged;
    this.#buffer.acknowledge(received);
    this.#sent = Math.max(this.#sent, Math.min(received, this.#buffer.end));
    if (ends && received === final + 1) {
      this.#state = { name: 'done', code: state.name === 'reset' ? state.code : undefined };
    }
    if (max <= this.#max && this.#buffer.acknowledged === before) return;
    this.#max = Math.max(this.#max, max);
    this.#wake();
  }

  /** RESET_STREAM, if it is due. */
  takeReset(): Frame | undefined {
    const state = this.#state;
    if (state.name !== 'reset' || !state.due) return undefined;
    state.due = false;
    return { type: 'RESET_STREAM', id: this.#id, code: state.code, finalSize: this.#highest };
  }

  /** See Stream.takeData. */
  takeData(limit: number, sessionCredit: number): { frame: StreamFrame; fresh: number } | undefined {
    const state = this.#state;
    if (state.name !== 'open' && state.name !== 'finished') return undefined;
    const allowed = Math.min(
      limit,
      this.#max - this.#sent,
      this.#highest - this.#sent + sessionCredit,
      this.#buffer.acknowledged + MAX_UNACKNOWLEDGED_STREAM_BYTES - this.#sent,
    );
    const data = this.#buffer.peek(this.#sent, Math.max(0, allowed));
    const end = this.#sent + data.length;
    const fin = state.name === 'finished' && state.due && end === this.#buffer.end;
    if (data.length === 0 && !fin) return undefined;
    const frame: StreamFrame = { type: 'STREAM', id: this.#id, offset: this.#sent, data, fin };
    const fresh = Math.max(0, end - this.#highest);
    this.#sent = end;
    this.#highest = Math.max(this.#highest, end);
    if (fin) {
      state.due = false;
      state.sent = true;
    }
    if (this.#unsent() <= WRITE_HIGH_WATER) for (const { resolve } of this.#writers.splice(0)) resolve();
    return { frame, fresh };
  }

  #unsent(): number {
    return this.#buffer.end - this.#sent;
  }
}
