/**
 * HTTP over a stream (PROTOCOL.md, section 6): records in each direction, as in HTTP/3 (RFC 9114, section 7.2): one
 * HEADERS, any number of DATA, at most one HEADERS again for trailers, then FIN.
 */
import { type ErrorCode, ProtocolError } from './errors.ts';
import {
  encodeHead,
  type HeaderList,
  parseRequestHead,
  parseResponseHead,
  parseTrailers,
  type RequestHead,
  type ResponseHead,
} from './head.ts';
import { MAX_HEAD_BYTES } from './limits.ts';
import type { Stream } from './stream.ts';
import { ByteReader, varintLength, varintLengthFrom, writeVarint } from './varint.ts';

const DATA = 0x00;
const HEADERS = 0x01;

function recordPrefix(type: number, length: number): Uint8Array {
  const prefix = new Uint8Array(varintLength(type) + varintLength(length));
  writeVarint(prefix, writeVarint(prefix, 0, type), length);
  return prefix;
}

/** A piece of what one direction carries; a DATA record may come in several pieces. */
export type Piece = { type: 'data'; bytes: Uint8Array } | { type: 'headers'; bytes: Uint8Array };

/** Cuts the bytes of one direction into records, whatever pieces they arrive in. */
export class RecordParser {
  #prefix: number[] = [];
  #record: { type: number; left: number } | undefined;
  #headers: Uint8Array[] = [];

  /** True between two records, where a direction may end. */
  get atBoundary(): boolean {
    return this.#record === undefined && this.#prefix.length === 0;
  }

  /** @throws ProtocolError on an unknown record or a head over MAX_HEAD_BYTES. */
  *push(bytes: Uint8Array): Generator<Piece> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#record === undefined) {
        at = this.#readPrefix(bytes, at);
        if (this.#record === undefined) return;
        if (this.#ended()) yield* this.#finish();
        continue;
      }
      const part = bytes.subarray(at, at + this.#record.left);
      at += part.length;
      this.#record.left -= part.length;
      if (this.#record.type === DATA) yield { type: 'data', bytes: part };
      else this.#headers.push(part);
      if (this.#ended()) yield* this.#finish();
    }
  }

  #ended(): boolean {
    return this.#record?.left === 0;
  }

  #readPrefix(bytes: Uint8Array, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      this.#prefix.push(bytes[at] ?? 0);
      const record = this.#decodePrefix();
      if (record === undefined) continue;
      this.#prefix = [];
      this.#record = record;
      return at + 1;
    }
    return bytes.length;
  }

  #decodePrefix(): { type: number; left: number } | undefined {
    const lengthAt = varintLengthFrom(this.#prefix[0] ?? 0);
    const first = this.#prefix[lengthAt];
    if (first === undefined || this.#prefix.length < lengthAt + varintLengthFrom(first)) return undefined;
    const reader = new ByteReader(Uint8Array.from(this.#prefix));
    const type = reader.varint();
    const left = reader.varint();
    if (type !== DATA && type !== HEADERS) throw new ProtocolError(`unknown record type ${type}`);
    if (type === HEADERS && left > MAX_HEAD_BYTES) throw new ProtocolError(`${left} bytes`, 'E_HEAD_TOO_LARGE');
    return { type, left };
  }

  *#finish(): Generator<Piece> {
    const type = this.#record?.type;
    this.#record = undefined;
    if (type !== HEADERS) return;
    const parts = this.#headers;
    this.#headers = [];
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    yield { type: 'headers', bytes: whole };
  }
}

/** One HTTP request and its response on a stream, seen from either end. */
class Exchange {
  readonly stream: Stream;
  readonly #parser = new RecordParser();
  #pieces: Piece[] = [];
  #trailers: HeaderList = [];
  #headRead = false;

  constructor(stream: Stream) {
    this.stream = stream;
  }

  /** Trailer fields, known after the body was read to its end. */
  get trailers(): HeaderList {
    return this.#trailers;
  }

  /**
   * Sends a piece of the body, which the caller must not change afterwards; await it for backpressure.
   * @throws DirectError when the peer stopped reading or the session ended.
   */
  async sendData(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const prefix = this.stream.write(recordPrefix(DATA, bytes.length));
    // Both writes are queued before anything is awaited: another writer must not come between them.
    await Promise.all([prefix, this.stream.write(bytes)]);
  }

  /** Ends this direction. @throws ProtocolError when the trailers are too large. */
  finish(trailers: HeaderList = []): void {
    // A failing write fails the stream as a whole; whoever reads from it learns why.
    if (trailers.length > 0) this.sendHeaders(encodeHead(trailers)).catch(() => {});
    this.stream.finish();
  }

  /** Gives up both directions. */
  abort(code: ErrorCode): void {
    this.stream.abort(code);
  }

  /**
   * The next piece of the body as it arrived, null at its end.
   * @throws DirectError with the peer's code when it gave up; ProtocolError when the records are malformed.
   */
  async readData(): Promise<Uint8Array | null> {
    if (!this.#headRead) throw new Error('read the head first');
    const piece = await this.#next();
    if (piece === null || piece.type === 'data') return piece?.bytes ?? null;
    this.#trailers = parseTrailers(piece.bytes);
    if ((await this.#next()) !== null) throw new ProtocolError('a record after the trailers');
    return null;
  }

  protected async sendHeaders(head: Uint8Array): Promise<void> {
    await Promise.all([this.stream.write(recordPrefix(HEADERS, head.length)), this.stream.write(head)]);
  }

  protected async readHeaders(): Promise<Uint8Array> {
    const piece = await this.#next();
    if (piece?.type !== 'headers') throw new ProtocolError('the first record must be HEADERS');
    this.#headRead = true;
    return piece.bytes;
  }

  async #next(): Promise<Piece | null> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) return piece;
      const bytes = await this.stream.read();
      if (bytes !== null) {
        this.#pieces.push(...this.#parser.push(bytes));
      } else if (this.#parser.atBoundary) {
        return null;
      } else {
        throw new ProtocolError('a stream ends inside a record');
      }
    }
  }
}

/** The end that asks. */
export class ClientExchange extends Exchange {
  /** @throws ProtocolError `E_HEAD_TOO_LARGE`; DirectError when the session has ended. */
  async sendHead(head: RequestHead): Promise<void> {
    await this.sendHeaders(encodeHead(head));
  }

  /** Waits for the response's head, for as long as the path lives. @throws DirectError */
  async readHead(): Promise<ResponseHead> {
    return parseResponseHead(await this.readHeaders());
  }
}

/** The end that answers. */
export class AgentExchange extends Exchange {
  /** @throws DirectError */
  async readHead(): Promise<RequestHead> {
    return parseRequestHead(await this.readHeaders());
  }

  /** @throws ProtocolError `E_HEAD_TOO_LARGE`; DirectError when the client gave up. */
  async sendHead(head: ResponseHead): Promise<void> {
    await this.sendHeaders(encodeHead(head));
  }
}
