/**
 * HTTP over a stream (PROTOCOL.md, section 6): records in each direction, as in HTTP/3 (RFC 9114, section 7.2): one
 * HEADERS, any number of DATA, at most one HEADERS again for trailers, then FIN. Or a WebSocket after the heads.
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
import { RecordReader, writeRecord } from './record.ts';
import { SocketExchange } from './socket-exchange.ts';
import type { Stream } from './stream.ts';

/** One HTTP request and its response on a stream, seen from either end. */
class Exchange {
  readonly stream: Stream;
  readonly #records: RecordReader;
  #trailers: HeaderList = [];
  #headRead = false;
  #hasEnded = false;

  constructor(stream: Stream) {
    this.stream = stream;
    this.#records = new RecordReader(stream);
  }

  /** Trailer fields, known after the body was read to its end. */
  get trailers(): HeaderList {
    return this.#trailers;
  }

  /** Whether all that the other end sends was read. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Sends a piece of the body, which the caller must not change afterwards; await it for backpressure.
   * @throws DirectError when the peer stopped reading or the session ended.
   */
  sendData(bytes: Uint8Array): Promise<void> {
    return bytes.length === 0 ? Promise.resolve() : writeRecord(this.stream, 'data', bytes);
  }

  /** Ends this direction. @throws ProtocolError when the trailers are too large. */
  finish(trailers: HeaderList = []): void {
    // A failing write fails the stream as a whole; whoever reads from it learns why.
    if (trailers.length > 0) this.sendHeaders(encodeHead(trailers)).catch(() => {});
    this.stream.finish();
  }

  /** Gives up this direction. */
  reset(code: ErrorCode): void {
    this.stream.reset(code);
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
    const piece = await this.#records.next();
    this.#hasEnded = piece === null;
    if (piece === null || piece.type === 'data') return piece?.bytes ?? null;
    if (piece.type !== 'headers') throw new ProtocolError('a WebSocket message in a body');
    this.#trailers = parseTrailers(piece.bytes);
    if ((await this.#records.next()) !== null) throw new ProtocolError('a record after the trailers');
    this.#hasEnded = true;
    return null;
  }

  /** The WebSocket that the stream carries after a response's head with status 101. */
  socket(): SocketExchange {
    if (!this.#headRead) throw new Error('read the head first');
    return new SocketExchange(this.stream, this.#records);
  }

  protected async sendHeaders(head: Uint8Array): Promise<void> {
    await writeRecord(this.stream, 'headers', head);
  }

  protected async readHeaders(): Promise<Uint8Array> {
    const piece = await this.#records.next();
    if (piece?.type !== 'headers') throw new ProtocolError('the first record must be HEADERS');
    this.#headRead = true;
    return piece.bytes;
  }
}

/** The end that asks. */
export class ClientExchange extends Exchange {
  #upgrades = false;

  /** @throws ProtocolError `E_HEAD_TOO_LARGE`; DirectError when the session has ended. */
  async sendHead(head: RequestHead): Promise<void> {
    this.#upgrades = head.protocol !== undefined;
    await this.sendHeaders(encodeHead(head));
  }

  /**
   * Waits for the response's head, for as long as the path lives. 101 comes only if the request asked for a WebSocket.
   * @throws DirectError
   */
  async readHead(): Promise<ResponseHead> {
    const head = parseResponseHead(await this.readHeaders());
    if (head.status === 101 && !this.#upgrades) throw new ProtocolError('an upgrade that nobody asked for');
    return head;
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
