/**
 * How fast one lane of a path takes bytes, and from that how long a message and a queue may be: on a fast path few long
 * messages, on a slow one short ones, because a message that has begun to leave holds up what other lanes have to say.
 */
import { MAX_MESSAGE_BYTES } from './limits.ts';

/** One chunk is this long on its way. Lanes take turns, so a token waits for about this in all, however many are busy. */
const CHUNK_MS = 5;
/** More is delay for what comes after it in the lane, and no speed. */
const QUEUE_MS = 50;
/** Shorter ones say more of the event loop than of the path. */
const SAMPLE_MS = 10;
/** Three packets: shorter chunks cost more than they help. */
const MIN_CHUNK_BYTES = 4 * 1024;
const MIN_QUEUE_BYTES = 32 * 1024;
/** 256 KiB is 10 ms at 25 MB/s. */
const MAX_QUEUE_BYTES = 256 * 1024;
/** In bytes per ms, before anything is known: chunks of 16 KiB, and a queue of 160. */
const FIRST_RATE = (16 * 1024) / CHUNK_MS;

export class Pace {
  readonly #now: () => number;
  #rate = FIRST_RATE;
  /** Bytes that wait, as last told. */
  #queued = 0;
  /** Since when the lane has been busy without a pause, as far as it was not sampled yet. */
  #since = 0;
  /** Bytes that left in the time that counts for the next sample, which is `#busyMs` and what is since `#since`. */
  #left = 0;
  #busyMs = 0;

  /** `now`: monotonic ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Data that one message should carry at most. */
  get chunkBytes(): number {
    return clamp(this.#rate * CHUNK_MS, MIN_CHUNK_BYTES, MAX_MESSAGE_BYTES);
  }

  /** Bytes that should wait in the lane at most. */
  get queueBytes(): number {
    return clamp(this.#rate * QUEUE_MS, MIN_QUEUE_BYTES, MAX_QUEUE_BYTES);
  }

  /** Down to here the queue drains before there is more: half, so that the lane does not run dry meanwhile. */
  get refillBytes(): number {
    return this.queueBytes / 2;
  }

  /** `bytes` were put into the queue. */
  sent(bytes: number): void {
    if (this.#queued === 0) this.#since = this.#now();
    this.#queued += bytes;
  }

  /** `queued` bytes wait now. */
  seen(queued: number): void {
    if (this.#queued === 0) return;
    const now = this.#now();
    const left = this.#left + this.#queued - queued;
    const ms = this.#busyMs + now - this.#since;
    this.#queued = queued;
    // Nobody knows for how long it has been empty: a slow end says nothing.
    if (queued === 0 && left <= this.#rate * ms) return;
    const isSample = ms >= SAMPLE_MS;
    if (isSample) this.#rate = (this.#rate + left / ms) / 2;
    this.#since = now;
    this.#left = isSample ? 0 : left;
    this.#busyMs = isSample ? 0 : ms;
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, value)));
}
