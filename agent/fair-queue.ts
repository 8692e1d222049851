/**
 * Who may run now, where only so many requests run at a time: each upstream serves its clients by turns, whoever has
 * asked how often. It knows no clock and no socket.
 */
import { RateLimited } from './access.ts';

export interface QueueLimits {
  /** Requests that may wait, of one client and of all. One subject has half of all at most. */
  readonly perClient: number;
  readonly total: number;
}

/** As many as one session may have open (MAX_CONCURRENT_STREAMS), and a few clients that do so. */
export const DEFAULT_QUEUE: QueueLimits = { perClient: 128, total: 512 };

export interface Asking {
  readonly upstream: string;
  /** Requests that run at the upstream at a time; absent: any number. */
  readonly capacity?: number | undefined;
  /** Whose turn it is, and of whose subject's clients: who opens an invitation a hundred times has no more turns. */
  readonly client: string;
  readonly subject: string;
  /** Requests of the client that run at a time, wherever; absent: any number. */
  readonly share?: number | undefined;
}

interface Waiting extends Asking {
  start(): void;
}

/** One upstream: what runs there, and who waits for it, in the order of their turns. */
interface Lane {
  running: number;
  readonly waiting: Map<string, Waiting[]>;
}

/** For who asks again at once: an answer takes seconds, and nobody knows how many. */
const RETRY_MS = 5_000;

export class FairQueue {
  readonly #limits: QueueLimits;
  readonly #lanes = new Map<string, Lane>();
  /** What runs of each client. */
  readonly #running = new Map<string, number>();
  #waiting = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** What runs at `upstream`, and what waits for it. */
  at(upstream: string): { running: number; waiting: number } {
    const lane = this.#lanes.get(upstream);
    const waiting = [...(lane?.waiting.values() ?? [])].reduce((sum, { length }) => sum + length, 0);
    return { running: lane?.running ?? 0, waiting };
  }

  /** Whether a request would have to wait. */
  isBusy(asking: Asking): boolean {
    return !this.#fits(asking);
  }

  /**
   * Calls `start` when it is the request's turn, which may be at once. The returned function ends the request, whether
   * it runs or waits; each must be ended, and may be more than once.
   * @throws RateLimited when too many wait
   */
  enter(asking: Asking, start: () => void): () => void {
    const waiting: Waiting = { ...asking, start };
    const lane = this.#lane(asking.upstream);
    if (this.#fits(asking)) {
      this.#run(waiting, lane);
      return this.#endOf(waiting);
    }
    const line = lane.waiting.get(asking.client) ?? [];
    const { perClient, total } = this.#limits;
    if (this.#waitingOf((other) => other.client === asking.client) >= perClient)
      throw tooMany(`${perClient} requests of this client wait already`);
    const ofSubject = this.#waitingOf((other) => other.subject === asking.subject);
    if (ofSubject >= Math.max(perClient, total / 2)) throw tooMany(`${ofSubject} requests like this wait already`);
    if (this.#waiting >= total) throw tooMany(`${total} requests wait already`);
    line.push(waiting);
    lane.waiting.set(asking.client, line);
    this.#waiting += 1;
    return this.#endOf(waiting);
  }

  /** As `enter`, for who waits here. @throws RateLimited; why `signal` was aborted */
  async turn(asking: Asking, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = this.enter(asking, resolve);
    const gone = () => {
      leave();
      reject(signal.reason);
    };
    signal.addEventListener('abort', gone, { once: true });
    try {
      await promise;
      return leave;
    } finally {
      signal.removeEventListener('abort', gone);
    }
  }

  #lane(upstream: string): Lane {
    const lane = this.#lanes.get(upstream) ?? { running: 0, waiting: new Map<string, Waiting[]>() };
    this.#lanes.set(upstream, lane);
    return lane;
  }

  /** Nobody who waits could run in its place: he would run already. */
  #fits({ upstream, capacity = Number.POSITIVE_INFINITY, client, share = Number.POSITIVE_INFINITY }: Asking): boolean {
    return (this.#lanes.get(upstream)?.running ?? 0) < capacity && (this.#running.get(client) ?? 0) < share;
  }

  #run(request: Waiting, lane: Lane): void {
    lane.running += 1;
    this.#running.set(request.client, (this.#running.get(request.client) ?? 0) + 1);
    request.start();
  }

  #endOf(request: Waiting): () => void {
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const lane = this.#lane(request.upstream);
      if (!this.#leave(lane, request)) {
        lane.running -= 1;
        const rest = (this.#running.get(request.client) ?? 1) - 1;
        if (rest === 0) this.#running.delete(request.client);
        else this.#running.set(request.client, rest);
        // Also elsewhere: the client may have waited for its own share.
        for (const other of [...this.#lanes.values()]) this.#next(other);
      }
      for (const [name, { running, waiting }] of this.#lanes) {
        if (running === 0 && waiting.size === 0) this.#lanes.delete(name);
      }
    };
  }

  /** Takes a request out of the line; false if it runs. */
  #leave(lane: Lane, request: Waiting): boolean {
    const line = lane.waiting.get(request.client) ?? [];
    const index = line.indexOf(request);
    if (index === -1) return false;
    line.splice(index, 1);
    if (line.length === 0) lane.waiting.delete(request.client);
    this.#waiting -= 1;
    return true;
  }

  /** Starts all that may run; whoever had a turn goes to the end, behind the other clients of the subject. */
  #next(lane: Lane): void {
    for (;;) {
      // A client's first request that fits: another one of its may ask for more at a time, but came later.
      const turn = [...lane.waiting].find(([, [first]]) => first !== undefined && this.#fits(first));
      if (turn === undefined) return;
      const [client, line] = turn;
      const request = line.shift();
      lane.waiting.delete(client);
      for (const [other, others] of [...lane.waiting]) {
        if (others[0]?.subject !== request?.subject) continue;
        lane.waiting.delete(other);
        lane.waiting.set(other, others);
      }
      if (line.length > 0) lane.waiting.set(client, line);
      this.#waiting -= 1;
      if (request !== undefined) this.#run(request, lane);
    }
  }

  #waitingOf(isOne: (first: Waiting) => boolean): number {
    const lines = [...this.#lanes.values()].flatMap(({ waiting }) => [...waiting.values()]);
    return lines.reduce((sum, line) => sum + (line[0] !== undefined && isOne(line[0]) ? line.length : 0), 0);
  }
}

function tooMany(detail: string): RateLimited {
  return new RateLimited(RETRY_MS, detail);
}
