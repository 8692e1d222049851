/** The responses that are kept for their clients to come back for: whose they are, how many, and how much of them. */
import { DirectError } from '../shared/errors.ts';
import { MAX_HELD_BYTES, MAX_HELD_RESPONSES, MAX_HELD_RESPONSES_PER_SUBJECT } from '../shared/limits.ts';
import { RateLimited } from './access.ts';
import { HeldResponse } from './held-response.ts';

interface Held {
  readonly subject: string;
  readonly id: string;
  readonly response: HeldResponse;
}

export interface HeldResponsesOptions {
  /** Runs `run` after `ms`; the returned function cancels that. */
  timer(ms: number, run: () => void): () => void;
}

/** For who asks again at once: others' responses end in their own time. */
const RETRY_MS = 1_000;

export class HeldResponses {
  readonly #options: HeldResponsesOptions;
  /** Oldest first. */
  readonly #held = new Set<Held>();
  #closed = false;

  constructor(options: HeldResponsesOptions) {
    this.#options = options;
  }

  /** Responses that are kept. */
  get size(): number {
    return this.#held.size;
  }

  /** Bytes in memory. */
  get heldBytes(): number {
    return sum([...this.#held], bytesOf);
  }

  /**
   * A new response of `subject`, kept under `id`. One that has the id already is given up: its client has asked again.
   * @throws RateLimited when there are too many that are being read.
   */
  begin(subject: string, id: string): HeldResponse {
    if (this.#closed) throw new DirectError('E_GOING_AWAY');
    this.#find(subject, id)?.response.end(new DirectError('E_CANCELLED', 'asked for again'));
    const theirs = [...this.#held].filter((held) => held.subject === subject);
    if (theirs.length >= MAX_HELD_RESPONSES_PER_SUBJECT && !giveUpOne(theirs)) tooMany();
    if (this.#held.size >= MAX_HELD_RESPONSES && !this.#giveUpFor(subject, () => 1)) tooMany();
    const response = new HeldResponse({
      makeRoom: (bytes) => this.#makeRoom(subject, bytes),
      timer: (ms, run) => this.#options.timer(ms, run),
      over: () => this.#held.delete(held),
    });
    const held = { subject, id, response };
    this.#held.add(held);
    return response;
  }

  /**
   * The response of `subject` that is kept under `id`.
   * @throws DirectError `E_NOT_FOUND`, whether it is over, another's, or never was.
   */
  get(subject: string, id: string): HeldResponse {
    const held = this.#find(subject, id);
    if (held === undefined)
      throw new DirectError('E_NOT_FOUND', 'no such response is kept: it is over, or was given up');
    return held.response;
  }

  /** Ends all responses of `subject` with `E_UNAUTHORIZED`. */
  revoke(subject: string): void {
    for (const held of [...this.#held]) {
      if (held.subject === subject) held.response.end(new DirectError('E_UNAUTHORIZED'));
    }
  }

  /** Ends all, and takes no more. */
  close(): void {
    this.#closed = true;
    for (const { response } of [...this.#held]) response.end(new DirectError('E_GOING_AWAY'));
  }

  #find(subject: string, id: string): Held | undefined {
    return [...this.#held].find((held) => held.subject === subject && held.id === id);
  }

  #makeRoom(subject: string, bytes: number): boolean {
    while (this.heldBytes + bytes > MAX_HELD_BYTES) if (!this.#giveUpFor(subject, bytesOf)) return false;
    return true;
  }

  /**
   * Gives up a response that nobody reads, of the subject that has most of what `weigh` tells. False if there is none, or
   * if `subject` has more itself: nobody's responses go because of another's greed.
   */
  #giveUpFor(subject: string, weigh: (held: Held) => number): boolean {
    const bySubject = Map.groupBy(this.#held, (held) => held.subject);
    const canGive = [...bySubject.values()].filter((theirs) => theirs.some(({ response }) => !response.isRead));
    const [greatest = []] = canGive.sort((a, b) => sum(b, weigh) - sum(a, weigh));
    if (sum(greatest, weigh) < sum(bySubject.get(subject) ?? [], weigh)) return false;
    return giveUpOne(greatest.filter((held) => weigh(held) > 0));
  }
}

/** Gives up the oldest that nobody reads, one that has ended first; false if all are read. */
function giveUpOne(candidates: readonly Held[]): boolean {
  const unread = candidates.filter(({ response }) => !response.isRead);
  const chosen = unread.find(({ response }) => response.hasEnded) ?? unread[0];
  chosen?.response.end(new DirectError('E_PATH_LOST', 'others needed its room'));
  return chosen !== undefined;
}

function tooMany(): never {
  throw new RateLimited(RETRY_MS, 'too many held responses at a time');
}

function bytesOf({ response }: Held): number {
  return response.heldBytes;
}

function sum(held: readonly Held[], weigh: (held: Held) => number): number {
  return held.reduce((total, one) => total + weigh(one), 0);
}
