/** For tests: a clock that moves when the test says so. */
export class TestClock {
  readonly #settle: () => Promise<void>;
  #now = 0;
  #timers = new Set<{ at: number; run: () => void }>();

  /** `quiet` waits until everything has run that is due now. */
  constructor(quiet: () => Promise<void> = settle) {
    this.#settle = quiet;
  }

  now = (): number => this.#now;
  defer = (run: () => void): void => queueMicrotask(run);
  timer = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Runs what is due within the next `ms`, in order, with everything that it causes. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.#settle();
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
    await this.#settle();
  }

  get pending(): number {
    return this.#timers.size;
  }
}

/** Until nothing is left to do but to wait for a timer: promises, and streams that resolve through several turns. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setTimeout(resolve));
}
