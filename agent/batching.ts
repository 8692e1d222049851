/**
 * How often a channel may send: each message to the edge costs money (20 count as a request), and a model makes a
 * hundred tokens a second. So small messages are held back for 50 ms, when there have been some already: the whole of
 * what a token may wait, since each that comes meanwhile travels for nothing.
 */
import type { SessionEnvironment } from '../shared/path-link.ts';

const INTERVAL_MS = 50;
/**
 * Flushes that may leave at once after a pause: HELLO, the response's head, its first token and its end. Waiting
 * between these would delay every answer, and saves nothing.
 */
const BURST = 4;
/** A message of this size is no token: whoever moves bulk, in either direction, does not wait. */
const BULK_BYTES = 8 * 1024;

/** A bucket of BURST flushes. Pauses refill it, by one for each INTERVAL_MS: steady writing does not. */
export class Batching {
  readonly #environment: SessionEnvironment;
  #left = BURST;
  /** When the last flush left, or will. */
  #flushAt: number;

  constructor(environment: SessionEnvironment) {
    this.#environment = environment;
    this.#flushAt = environment.now();
  }

  /** Calls `run` at the end of this turn, or after INTERVAL_MS with what comes until then. Once until it has run. */
  defer(run: () => void): void {
    const now = this.#environment.now();
    // A timer may be early.
    const refills = Math.max(0, Math.floor((now - this.#flushAt) / INTERVAL_MS));
    this.#left = Math.min(BURST, this.#left + refills);
    if (this.#left > 0) {
      this.#left -= 1;
      this.#flushAt = now;
      this.#environment.defer(run);
    } else {
      this.#flushAt = now + INTERVAL_MS;
      this.#environment.timer(INTERVAL_MS, run);
    }
  }

  /** A message of `bytes` left or arrived. */
  moved(bytes: number): void {
    if (bytes >= BULK_BYTES) this.#left = BURST;
  }
}
