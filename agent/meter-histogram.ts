/** How often something took how long; as Prometheus wants it, which adds histograms up over time and machines. */

/** Upper ends in seconds: opening a connection takes tens of milliseconds, the first byte of a cold model a minute. */
export const OPEN_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30];
export const FIRST_BYTE_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];

export class Histogram {
  readonly bounds: readonly number[];
  /** For each bound what is at most that, and more than the bound before; one more for what is over all. */
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  /** For each bound, how many were at most that. */
  get cumulative(): number[] {
    let before = 0;
    return this.bounds.map((_, index) => (before += this.#counts[index] ?? 0));
  }

  observe(seconds: number): void {
    const found = this.bounds.findIndex((bound) => seconds <= bound);
    const index = found < 0 ? this.bounds.length : found;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += seconds;
    this.#count++;
  }
}
