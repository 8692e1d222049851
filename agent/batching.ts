/**
 * How often a channel may send: each message to the edge costs money (20 count as a request), and a model makes a
 * hundred tokens a second. So small messages are held back for up to 50 ms, when there have been some already.
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

/** A bucket of BURST flushes, refilled by one each INTERVAL_MS. */
export class Batching {
  readonly #environment: SessionEnvironment;
  #left = BURST;
  #refilledAt: number;

  constructor(environment: SessionEnvironment) {
    this.#environment = environment;
    this.#refilledAt = environment.now();
  }

  /** Calls `run` at the end of this turn, or when the next flush may leave. */
  defer(run: () => void): void {
    const wait = this.#take();
    if (wait === 0) this.#environment.defer(run);
    else this.#environment.timer(wait, run);
  }

  /** A message of `bytes` left or arrived. */
  moved(bytes: number): void {
    if (bytes >= BULK_BYTES) this.#left = BURST;
  }

  /** Takes one flush; returns the milliseconds until it may happen. */
  #take(): number {
    const now = this.#environment.now();
    const refills = Math.floor((now - this.#refilledAt) / INTERVAL_MS);
    this.#left = Math.min(BURST, this.#left + refills);
    this.#refilledAt += refills * INTERVAL_MS;
    this.#left -= 1;
    if (this.#left >= 0) return 0;
    // The one that comes next is taken already, so it is not counted again then.
    return this.#refilledAt + INTERVAL_MS - now;
  }
}
