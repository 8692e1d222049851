/** Messages for the other end of an agent's link that polls, until one batch takes them. Pure. */
import { encodePart, type LinkMessage } from './channel.ts';
import { MAX_BATCH_BYTES } from './limits.ts';

export interface Batch {
  bytes: Uint8Array<ArrayBuffer>;
  /** How many messages it holds. */
  count: number;
}

export class LinkQueue {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  push(message: LinkMessage): void {
    const part = encodePart(message);
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Takes as many messages as a batch may hold; undefined when none waits. */
  take(): Batch | undefined {
    let length = 0;
    let count = 0;
    for (const part of this.#parts) {
      if (length + part.length > MAX_BATCH_BYTES) break;
      length += part.length;
      count += 1;
    }
    if (count === 0) return undefined;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of this.#parts.splice(0, count)) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#bytes -= length;
    return { bytes, count };
  }
}
