/**
 * What a stream has written and the peer has not acknowledged, addressed by stream offset. Sent bytes stay until
 * they are acknowledged, so that another path can send them again.
 */

/** Small writes are copied together, so that a token does not keep the 64 kB buffer alive that it came in. */
const BLOCK_BYTES = 16 * 1024;
/** From this size on a write is kept by reference: a copy would cost more than the list entry. */
const BY_REFERENCE_BYTES = 4 * 1024;

interface Block {
  /** Stream offset of the first byte. */
  offset: number;
  bytes: Uint8Array;
  /** Bytes in use; more may be appended up to `bytes.length` if the block is ours. */
  length: number;
}

export class SendBuffer {
  #blocks: Block[] = [];
  #acknowledged = 0;
  #end = 0;

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
      this.#blocks.push({ offset: this.#end, bytes, length: bytes.length });
    } else {
      this.#copy(bytes);
    }
    this.#end += bytes.length;
  }

  #copy(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.bytes.length - last.length >= bytes.length) {
      last.bytes.set(bytes, last.length);
      last.length += bytes.length;
      return;
    }
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(bytes);
    this.#blocks.push({ offset: this.#end, bytes: block, length: bytes.length });
  }

  /** Up to `limit` contiguous bytes from `offset` on, not copied; empty when there are none. */
  peek(offset: number, limit: number): Uint8Array {
    // Senders read near the end, where the newest block is; acknowledged blocks are gone.
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i];
      if (block === undefined || block.offset > offset) continue;
      const from = offset - block.offset;
      return block.bytes.subarray(from, Math.min(block.length, from + limit));
    }
    return new Uint8Array(0);
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
    this.#acknowledged = this.#end;
  }
}
