/** How many per second, of late. It needs no timer: old counts are dropped when somebody counts or asks. */

const SLOT_MS = 500;
const SLOTS = 10;
/** Over a shorter time than this a rate says nothing. */
const MIN_MS = 1_000;

export class Rate {
  readonly #now: () => number;
  readonly #slots = new Float64Array(SLOTS);
  /** The newest slot, counted from the beginning of time. */
  #newest = Number.NEGATIVE_INFINITY;
  /** When the present run of counts began. */
  #since = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(count: number): void {
    const now = this.#now();
    if (this.#forget(now)) this.#since = now;
    const at = this.#newest % SLOTS;
    this.#slots[at] = (this.#slots[at] ?? 0) + count;
  }

  /** Over the last five seconds, or since it began if that is less. */
  get perSecond(): number {
    const now = this.#now();
    if (this.#forget(now)) return 0;
    const sum = this.#slots.reduce((before, count) => before + count, 0);
    const from = Math.max(this.#since, (this.#newest - SLOTS + 1) * SLOT_MS);
    return (sum * 1000) / Math.max(MIN_MS, now - from);
  }

  /** Drops what is too old; true when nothing is left. */
  #forget(now: number): boolean {
    const newest = Math.floor(now / SLOT_MS);
    const passed = newest - this.#newest;
    if (passed >= SLOTS) this.#slots.fill(0);
    else for (let slot = this.#newest + 1; slot <= newest; slot++) this.#slots[slot % SLOTS] = 0;
    this.#newest = newest;
    return this.#slots.every((count) => count === 0);
  }
}
