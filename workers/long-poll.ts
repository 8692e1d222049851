/** One peer's waiting request. Its time-out, its abort and its successor all release it; nothing is left behind. */
export type Released = 'woken' | 'elapsed' | 'aborted' | 'replaced';

export class LongPoll {
  #release: ((why: Released) => void) | undefined;

  get waiting(): boolean {
    return this.#release !== undefined;
  }

  /** Waits for `wake`, at most `holdMs`. A poll that waits already is `replaced`: its client has moved on. */
  async wait(holdMs: number, signal: AbortSignal): Promise<Released> {
    this.#release?.('replaced');
    if (signal.aborted) return 'aborted';
    const { promise, resolve } = Promise.withResolvers<Released>();
    const onAbort = () => resolve('aborted');
    const timer = setTimeout(() => resolve('elapsed'), holdMs);
    signal.addEventListener('abort', onAbort);
    this.#release = resolve;
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (this.#release === resolve) this.#release = undefined;
    }
  }

  /** There is something for the peer. */
  wake(): void {
    this.#release?.('woken');
  }

  /** The peer has come by another way, or is not wanted any longer. */
  end(): void {
    this.#release?.('replaced');
  }
}
