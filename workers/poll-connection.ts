/**
 * The connection of an agent that polls (shared/PROTOCOL.md, section 7): what its WebSocket would carry goes to it in
 * the answers of its polls, and comes from it in POSTs. Both are numbered, so that one that was lost is repeated and
 * none is taken twice. It lives in memory only, and ends when the polls stop.
 */
import { DirectError } from '../shared/errors.ts';
import { MAX_POLL_QUEUE_BYTES } from '../shared/limits.ts';
import { LinkQueue } from '../shared/link-queue.ts';
import type { Sender } from './socket.ts';

/** A waiting poll is answered after this long, so that what one event causes leaves as one answer. */
const GATHER_MS = 5;

export interface PollConnectionOptions {
  /** The agent's name for it. */
  id: string;
  /** How long it lasts without a poll, in milliseconds. */
  absenceMs: number;
  /** Something waits for the next poll. */
  waiting(): void;
  /** It is over; called once. */
  ended(reason: string): void;
}

export class PollConnection implements Sender {
  readonly id: string;
  readonly #options: PollConnectionOptions;
  readonly #queue = new LinkQueue();
  #open = true;
  #replaced = false;
  /** The last answer, until the agent says that it has it. */
  #answer: Uint8Array<ArrayBuffer> | undefined;
  #answers = 0;
  #posts = 0;
  #gathering: ReturnType<typeof setTimeout> | null = null;
  #absence: ReturnType<typeof setTimeout> | null = null;

  constructor(options: PollConnectionOptions) {
    this.id = options.id;
    this.#options = options;
    this.polled();
  }

  /** @throws DirectError `E_PATH_LOST` when it is over, because of this message perhaps. */
  send(message: string | Uint8Array): void {
    if (this.#open && this.#queue.bytes + message.length > MAX_POLL_QUEUE_BYTES) this.end('too much waits for a poll');
    if (!this.#open) throw new DirectError('E_PATH_LOST');
    this.#queue.push(message);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      this.#options.waiting();
    }, GATHER_MS);
  }

  /**
   * What the poll of an agent that has `after` answers gets: the last answer again if that was lost, else what waits,
   * or undefined.
   * @throws DirectError `E_SESSION_UNKNOWN` when it has lost more than that, which ends the connection.
   */
  answer(after: number): Uint8Array<ArrayBuffer> | undefined {
    if (this.#answer !== undefined && after === this.#answers - 1) return this.#answer;
    if (after !== this.#answers) this.#fail('answers were lost');
    this.#answer = this.#queue.take()?.bytes;
    if (this.#answer !== undefined) this.#answers += 1;
    // What is left goes with the next poll at once, so that nothing has to wake it.
    clearTimeout(this.#gathering);
    this.#gathering = null;
    return this.#answer;
  }

  /**
   * Whether POST `number` (from 1) is new; one that is repeated was taken already.
   * @throws DirectError `E_SESSION_UNKNOWN` when there is one missing between, which ends the connection.
   */
  isNew(number: number): boolean {
    if (number === this.#posts) return false;
    if (number !== this.#posts + 1) this.#fail('a POST was lost');
    this.#posts = number;
    return true;
  }

  /** A poll has begun or ended. */
  polled(): void {
    clearTimeout(this.#absence);
    if (this.#open) this.#absence = setTimeout(() => this.end('the agent stopped polling'), this.#options.absenceMs);
  }

  /** Whether it is over because another agent polls. */
  get replaced(): boolean {
    return this.#replaced;
  }

  /** Another connection begins. */
  replace(): void {
    this.#replaced = true;
    this.end('another connection of the agent');
  }

  end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#absence);
    clearTimeout(this.#gathering);
    this.#options.ended(reason);
  }

  #fail(reason: string): never {
    this.end(reason);
    throw new DirectError('E_SESSION_UNKNOWN', reason);
  }
}
