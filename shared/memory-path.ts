/** Two paths joined in memory: what one end sends, the other receives. For tests and for peers in one process. */
import { MAX_MESSAGE_BYTES } from './limits.ts';
import type { Path, PathEvents } from './path.ts';

export interface MemoryPathOptions {
  maxMessageBytes?: number;
  /** Bytes in flight in one direction before `capacity()` reaches 0. */
  queueBytes?: number;
  /** Delivers a message of so many bytes later: calls `deliver` once, in order. At once when absent. */
  carry?(deliver: () => void, bytes: number): void;
}

class MemoryPath implements Path {
  readonly maxMessageBytes: number;
  readonly #queueBytes: number;
  readonly #carry: (deliver: () => void, bytes: number) => void;
  #peer: MemoryPath | undefined;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #inFlight = 0;
  #closed: string | undefined;

  constructor(options: MemoryPathOptions) {
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.#queueBytes = options.queueBytes ?? 256 * 1024;
    this.#carry = options.carry ?? ((deliver) => deliver());
  }

  join(peer: MemoryPath): void {
    this.#peer = peer;
  }

  capacity(): number {
    return this.#closed === undefined ? this.#queueBytes - this.#inFlight : 0;
  }

  send(message: Uint8Array): void {
    if (this.#closed !== undefined) return;
    if (message.length > this.maxMessageBytes) throw new RangeError(`a message of ${message.length} bytes`);
    this.#inFlight += message.length;
    this.#carry(() => {
      const blocked = this.capacity() <= 0;
      this.#inFlight -= message.length;
      this.#peer?.deliver(message);
      if (blocked && this.capacity() > 0) this.#events?.drained();
    }, message.length);
  }

  close(): void {
    this.end('closed');
    this.#carry(() => this.#peer?.end('closed by the peer'), 0);
  }

  /** Breaks the path as a network does, for this end only. */
  end(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#events?.closed(reason);
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) this.deliver(message);
    if (this.#closed !== undefined) events.closed(this.#closed);
  }

  deliver(message: Uint8Array): void {
    if (this.#closed !== undefined) return;
    if (this.#events === undefined) this.#early.push(message);
    else this.#events.message(message);
  }
}

/** The two ends of a path. */
export function memoryPaths(options: MemoryPathOptions = {}): [Path, Path] {
  const left = new MemoryPath(options);
  const right = new MemoryPath(options);
  left.join(right);
  right.join(left);
  return [left, right];
}
