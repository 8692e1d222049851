/**
 * A WebSocket over a stream (PROTOCOL.md, section 6), after a response's head with status 101: in each direction any
 * number of TEXT and BINARY, whole messages each, then CLOSE and FIN. Pings and pongs stay with the sockets at the ends.
 */
import { type ErrorCode, ProtocolError } from './errors.ts';
import { type RecordReader, writeRecord } from './record.ts';
import type { Stream } from './stream.ts';

export type SocketMessage = { type: 'text'; text: string } | { type: 'binary'; bytes: Uint8Array };

/** The end of one direction, as a Close frame says it. */
export interface SocketClose {
  type: 'close';
  /** Undefined when none was given, which APIs show as 1005. */
  code: number | undefined;
  reason: string;
}

const encoder = new TextEncoder();
// A message may begin with U+FEFF, which belongs to it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class SocketExchange {
  readonly stream: Stream;
  readonly #records: RecordReader;
  #closed = false;

  constructor(stream: Stream, records: RecordReader) {
    this.stream = stream;
    this.#records = records;
  }

  /**
   * Sends a message of at most MAX_SOCKET_MESSAGE_BYTES, whose bytes the caller must not change afterwards; await it
   * for backpressure. After `close` it is dropped, as by any WebSocket.
   * @throws DirectError when the peer stopped reading or the session ended.
   */
  async send(message: SocketMessage): Promise<void> {
    if (this.#closed) return;
    await writeRecord(
      this.stream,
      message.type,
      message.type === 'text' ? encoder.encode(message.text) : message.bytes,
    );
  }

  /**
   * Ends this direction, once, with what a socket closed with: 1005 and other codes that no Close frame may carry are
   * sent as none, and `reason` has at most 123 bytes. A socket that closed without a Close frame (1006) is no end, but
   * to be aborted.
   */
  close(code: number | undefined, reason = ''): void {
    if (this.#closed) return;
    this.#closed = true;
    // A failing write fails the stream as a whole; whoever reads from it learns why.
    writeRecord(this.stream, 'close', encodeClose(code, reason)).catch(() => {});
    this.stream.finish();
  }

  /** Gives up both directions: the other end's socket closes as one whose connection broke. */
  abort(code: ErrorCode): void {
    this.stream.abort(code);
  }

  /**
   * The next message, or the end, after which nothing follows.
   * @throws DirectError with the peer's code when it gave up; ProtocolError for an end without CLOSE, and what is none
   * of a WebSocket's records.
   */
  async read(): Promise<SocketMessage | SocketClose> {
    const piece = await this.#records.next();
    switch (piece?.type) {
      case 'text':
        return { type: 'text', text: decode(piece.bytes) };
      case 'binary':
        return { type: 'binary', bytes: piece.bytes };
      case 'close': {
        const close = parseClose(piece.bytes);
        if ((await this.#records.next()) !== null) throw new ProtocolError('a record after CLOSE');
        return close;
      }
      case undefined:
        throw new ProtocolError('a WebSocket ends without CLOSE');
      default:
        throw new ProtocolError('a record that is no WebSocket message');
    }
  }
}

/** RFC 6455, section 7.4, and the IANA registry of close codes: what a Close frame may carry. */
function isSendable(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** The payload of a Close frame (RFC 6455, section 5.5.1). */
function encodeClose(code: number | undefined, reason: string): Uint8Array {
  if (code === undefined || !isSendable(code)) return new Uint8Array(0);
  return Uint8Array.of(code >> 8, code & 0xff, ...encoder.encode(reason));
}

function parseClose(bytes: Uint8Array): SocketClose {
  const [high, low] = bytes;
  if (high === undefined) return { type: 'close', code: undefined, reason: '' };
  const code = high * 256 + (low ?? 0);
  if (low === undefined || !isSendable(code)) throw new ProtocolError('the close code is malformed');
  return { type: 'close', code, reason: decode(bytes.subarray(2)) };
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError('a text is not UTF-8');
  }
}
