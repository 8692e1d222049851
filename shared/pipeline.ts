/**
 * Asynchronous work on messages whose results are wanted in the order of the messages. Several are in work at a time,
 * because each waits for the runtime's threads most of its time.
 */

export interface PipelineEvents {
  result(result: Uint8Array): void;
  /** The work on the next message has failed: nothing follows. */
  failed(): void;
}

type Work = (message: Uint8Array) => Promise<Uint8Array>;

interface Job {
  readonly size: number;
  outcome?: Uint8Array | 'failed';
}

/** Enough to keep all threads busy; the rest can still be thrown away. */
const MAX_IN_WORK = 16;

export class Pipeline {
  readonly #events: PipelineEvents;
  #work: Work | undefined;
  #waiting: Uint8Array[] = [];
  #jobs: Job[] = [];
  #bytes = 0;
  #onEmpty: (() => void) | undefined;

  constructor(events: PipelineEvents) {
    this.#events = events;
  }

  /** Bytes of the messages without a result. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages without a result. */
  get length(): number {
    return this.#waiting.length + this.#jobs.length;
  }

  /** From now on there is something to do the work. */
  run(work: Work): void {
    this.#work = work;
    this.#advance();
  }

  /** The message must not be changed any more. */
  push(message: Uint8Array): void {
    this.#bytes += message.length;
    this.#waiting.push(message);
    this.#advance();
  }

  /** Calls `done` once when every message has its result, at once if all have. */
  whenEmpty(done: () => void): void {
    if (this.length === 0) done();
    else this.#onEmpty = done;
  }

  /** Forgets everything; no event follows. */
  stop(): void {
    this.#work = undefined;
    this.#waiting = [];
    this.#jobs = [];
    this.#bytes = 0;
    this.#onEmpty = undefined;
  }

  #advance(): void {
    while (this.#work !== undefined && this.#jobs.length < MAX_IN_WORK) {
      const message = this.#waiting.shift();
      if (message === undefined) return;
      const job: Job = { size: message.length };
      this.#jobs.push(job);
      void this.#work(message)
        .then(
          (result) => {
            job.outcome = result;
          },
          () => {
            job.outcome = 'failed';
          },
        )
        .then(() => this.#settle());
    }
  }

  /** Hands over the results whose turn it is. An event may push or stop. */
  #settle(): void {
    for (let outcome = this.#jobs[0]?.outcome; outcome !== undefined; outcome = this.#jobs[0]?.outcome) {
      if (outcome === 'failed') {
        this.stop();
        this.#events.failed();
        return;
      }
      this.#bytes -= this.#jobs.shift()?.size ?? 0;
      this.#advance();
      this.#events.result(outcome);
    }
    if (this.length === 0) {
      const done = this.#onEmpty;
      this.#onEmpty = undefined;
      done?.();
    }
  }
}
