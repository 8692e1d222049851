/** Those who wait for something that is on its way to the same object, by its name. In memory: nobody waits long. */
export class Arrivals {
  readonly #limit: number;
  readonly #waiting = new Map<string, Set<() => void>>();
  #count = 0;

  /** So many may wait at once; others do not wait at all. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves when `name` has arrived, after `ms` at the latest. */
  async wait(name: string, ms: number): Promise<void> {
    if (this.#count >= this.#limit) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting.add(resolve));
    this.#count += 1;
    const timer = setTimeout(resolve, ms);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#count -= 1;
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiting.delete(name);
    }
  }

  arrived(name: string): void {
    for (const resolve of this.#waiting.get(name) ?? []) resolve();
  }
}
