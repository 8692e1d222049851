/**
 * Tasks of their own, in order: between two of them the page paints, and whatever else waits has its turn. Not timers:
 * browsers slow those down, in the background to one a second.
 */
export class Tasks {
  readonly #waiting: (() => void)[] = [];
  #channel: MessageChannel | undefined;
  #ended = false;

  /** Resolves when `task` has run, or at once after the end. It must not throw. */
  run(task: () => void): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        task();
        resolve();
      });
      this.#open().port2.postMessage(null);
    });
  }

  /** Those that wait still run, and no others: an open channel keeps Node’s process alive. */
  end(): void {
    this.#ended = true;
    if (this.#waiting.length === 0) this.#close();
  }

  #open(): MessageChannel {
    if (this.#channel === undefined) {
      this.#channel = new MessageChannel();
      this.#channel.port1.onmessage = () => {
        this.#waiting.shift()?.();
        if (this.#ended && this.#waiting.length === 0) this.#close();
      };
    }
    return this.#channel;
  }

  #close(): void {
    this.#channel?.port1.close();
    this.#channel = undefined;
  }
}
