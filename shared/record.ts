/** Records: what a stream carries in each direction (PROTOCOL.md, section 6). Type, length, payload, as in HTTP/3. */
import { ProtocolError } from './errors.ts';
import { MAX_HEAD_BYTES, MAX_SOCKET_MESSAGE_BYTES } from './limits.ts';
import type { Stream } from './stream.ts';
import { ByteReader, varintLength, varintLengthFrom, writeVarint } from './varint.ts';

/** HTTP/3's numbers (RFC 9114, section 7.2), and WebSocket's opcodes (RFC 6455, section 5.2) plus 0x10. */
const NUMBERS = { data: 0x00, headers: 0x01, text: 0x11, binary: 0x12, close: 0x18 } as const;

export type RecordType = keyof typeof NUMBERS;

const TYPES = new Map<number, RecordType>(
  (Object.keys(NUMBERS) as RecordType[]).map((type) => [NUMBERS[type], type] as const),
);

/** A body has no end that must be known; the others are handed on whole. 125: RFC 6455, section 5.5. */
const MAX_BYTES: Readonly<Record<RecordType, number>> = {
  data: Number.POSITIVE_INFINITY,
  headers: MAX_HEAD_BYTES,
  text: MAX_SOCKET_MESSAGE_BYTES,
  binary: MAX_SOCKET_MESSAGE_BYTES,
  close: 125,
};

/** A piece of what one direction carries: a whole record, except that a DATA record may come in several pieces. */
export interface Piece {
  type: RecordType;
  bytes: Uint8Array;
}

/**
 * Sends a record, whose bytes the caller must not change afterwards; await it for backpressure.
 * @throws DirectError when the peer stopped reading or the session ended.
 */
export function writeRecord(stream: Stream, type: RecordType, bytes: Uint8Array): Promise<void> {
  const number = NUMBERS[type];
  const prefix = new Uint8Array(varintLength(number) + varintLength(bytes.length));
  writeVarint(prefix, writeVarint(prefix, 0, number), bytes.length);
  // At once: another writer must not come between them.
  return stream.write(prefix, bytes);
}

interface Incoming {
  type: RecordType;
  left: number;
  whole: Collected;
}

/** Cuts the bytes of one direction into records, whatever pieces they arrive in. */
export class RecordParser {
  #prefix: number[] = [];
  #record: Incoming | undefined;

  /** True between two records, where a direction may end. */
  get atBoundary(): boolean {
    return this.#record === undefined && this.#prefix.length === 0;
  }

  /** @throws ProtocolError on an unknown record, or one over its limit. */
  *push(bytes: Uint8Array): Generator<Piece> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#record === undefined) at = this.#readPrefix(bytes, at);
      const record = this.#record;
      if (record === undefined) return;
      const part = bytes.subarray(at, at + record.left);
      at += part.length;
      record.left -= part.length;
      if (record.type !== 'data') record.whole.append(part, record.left);
      else if (part.length > 0) yield { type: 'data', bytes: part };
      if (record.left > 0) continue;
      this.#record = undefined;
      if (record.type !== 'data') yield { type: record.type, bytes: record.whole.bytes };
    }
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

  #decodePrefix(): Incoming | undefined {
    const lengthAt = varintLengthFrom(this.#prefix[0] ?? 0);
    const first = this.#prefix[lengthAt];
    if (first === undefined || this.#prefix.length < lengthAt + varintLengthFrom(first)) return undefined;
    const reader = new ByteReader(Uint8Array.from(this.#prefix));
    const number = reader.varint();
    const left = reader.varint();
    const type = TYPES.get(number);
    if (type === undefined) throw new ProtocolError(`unknown record type ${number}`);
    if (left > MAX_BYTES[type]) {
      throw new ProtocolError(`${left} bytes`, type === 'headers' ? 'E_HEAD_TOO_LARGE' : 'E_PROTOCOL');
    }
    return { type, left, whole: new Collected() };
  }
}

/** A record that comes in parts. It takes memory for what has come, whatever length was announced. */
class Collected {
  #buffer = new Uint8Array(0);
  #length = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** `left`: how much follows. Parts are copied, as each may be a small view of a large message. */
  append(part: Uint8Array, left: number): void {
    const length = this.#length + part.length;
    if (length > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(length + left, Math.max(length, 2 * this.#buffer.length)));
      grown.set(this.bytes);
      this.#buffer = grown;
    }
    this.#buffer.set(part, this.#length);
    this.#length = length;
  }
}

/** Reads the records of one direction of a stream, one reader at a time. */
export class RecordReader {
  readonly #stream: Stream;
  readonly #parser = new RecordParser();
  #pieces: Piece[] = [];

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /**
   * The next piece, null at the end.
   * @throws DirectError with the peer's code when it gave up; ProtocolError when the records are malformed.
   */
  async next(): Promise<Piece | null> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) return piece;
      const bytes = await this.#stream.read();
      if (bytes !== null) {
        this.#pieces = [...this.#parser.push(bytes)];
      } else if (this.#parser.atBoundary) {
        return null;
      } else {
        throw new ProtocolError('a stream ends inside a record');
      }
    }
  }
}
