/** Variable-length integers of QUIC (RFC 9000, section 16), limited to Number.MAX_SAFE_INTEGER. */
import { ProtocolError } from './errors.ts';

const TWO_POW_32 = 2 ** 32;

/** Bytes that `value` takes: 1, 2, 4 or 8. */
export function varintLength(value: number): 1 | 2 | 4 | 8 {
  if (value < 0x40) return 1;
  if (value < 0x4000) return 2;
  return value < 0x4000_0000 ? 4 : 8;
}

/** Bytes that a number takes whose first byte is `first`. */
export function varintLengthFrom(first: number): number {
  return 1 << (first >> 6);
}

/** Writes `value` (an integer from 0 to 2^53 - 1) at `at` and returns the position after it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  const length = varintLength(value);
  let rest = value;
  for (let i = at + length - 1; i >= at; i--) {
    target[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  // The two highest bits tell the length: 00, 01, 10 or 11.
  target[at] = (target[at] ?? 0) | (Math.log2(length) << 6);
  return at + length;
}

/** Reads bytes from the front to the back of one message and refuses to read past its end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** @throws ProtocolError when the message ends early or the value is over 2^53 - 1. */
  varint(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw new ProtocolError('a frame ends early');
    const length = varintLengthFrom(first);
    if (this.remaining < length) throw new ProtocolError('a frame ends early');
    let value = first & 0x3f;
    if (length === 8) {
      const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 8);
      value = (view.getUint32(0) & 0x3fff_ffff) * TWO_POW_32 + view.getUint32(4);
      if (value > Number.MAX_SAFE_INTEGER) throw new ProtocolError('a number is over 2^53 - 1');
    } else {
      for (let i = 1; i < length; i++) value = value * 256 + (this.#bytes[this.#at + i] ?? 0);
    }
    this.#at += length;
    return value;
  }

  /** The next `length` bytes, not copied. @throws ProtocolError when fewer are left. */
  bytes(length: number): Uint8Array {
    if (length > this.remaining) throw new ProtocolError('a frame ends early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
