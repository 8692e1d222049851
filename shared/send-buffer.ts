/**
 * What a stream has written and the peer has not acknowledged, addressed by stream offset. Sent bytes stay until
 * they are acknowledged, so that another path can send them again.
 */

/** Small writes are copied together, so that a token does not keep the 64 kB buffer alive that it came in. */
const COPIES_BYTES = 16 * 1024;
/** From this size on a write is kept by reference: a copy would cost more than the list entry. */
const BY_REFERENCE_BYTES = 4 * 1024;

interface Block {
  /** Stream offset of the first byte. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Where the block begins in `bytes`. */
  readonly start: number;
  length: number;
}

const NONE = new Uint8Array(0);

export class SendBuffer {
  #blocks: Block[] = [];
  #acknowledged = 0;
  #end = 0;
  /** Where copies go, and how much of it is used. */
  #copies = NONE;
  #copied = 0;

  /** Offset after the last byte written. */
  get end(): number {
    return this.#end;
  }

  /** Offset of the first byte that the peer has not acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Appends `bytes`; the caller must not change them afterwards. */
  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length >= BY_REFERENCE_BYTES) {
      this.#blocks.push({ offset: this.#end, bytes, start: 0, length: bytes.length });
    } else {
      this.#copy(bytes);
    }
    this.#end += bytes.length;
  }

  #copy(bytes: Uint8Array): void {
    if (this.#copies.length - this.#copied < bytes.length) {
      this.#copies = new Uint8Array(COPIES_BYTES);
      this.#copied = 0;
    }
    this.#copies.set(bytes, this.#copied);
    const last = this.#blocks.at(-1);
    if (last?.bytes === this.#copies) {
      last.length += bytes.length;
    } else {
      this.#blocks.push({ offset: this.#end, bytes: this.#copies, start: this.#copied, length: bytes.length });
    }
    this.#copied += bytes.length;
  }

  /** Up to `limit` contiguous bytes from `offset` on, not copied; empty when there are none. */
  peek(offset: number, limit: number): Uint8Array {
    // Senders read near the end, where the newest block is; acknowledged blocks are gone.
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i];
      if (block === undefined || block.offset > offset) continue;
      const from = offset - block.offset;
      return block.bytes.subarray(block.start + from, block.start + Math.min(block.length, from + limit));
    }
    return NONE;
  }

  /** Forgets everything before `offset`. */
  acknowledge(offset: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, Math.min(offset, this.#end));
    let done = 0;
    for (const block of this.#blocks) {
      if (block.offset + block.length > this.#acknowledged) break;
      done++;
    }
    if (done > 0) this.#blocks.splice(0, done);
  }

  /** Forgets everything, for a stream that was reset. */
  clear(): void {
    this.#blocks = [];
    this.#copies = NONE;
    this.#copied = 0;
    this.#acknowledged = this.#end;
  }
}
