/**
 * Whether a path is alive, by listening first: a path that is silent is asked with PING; one that does not answer is
 * in doubt, and after longer silence dead. It belongs to the path, not to requests: a model may think for as long as
 * it likes.
 */
import { LIVENESS_DOUBT_MS, LIVENESS_IDLE_MS, LIVENESS_TIMEOUT_MS } from './limits.ts';

export interface LivenessOptions {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` once after `ms`; the returned function cancels it. */
  timer(ms: number, run: () => void): () => void;
  /** Silence in ms after which the path is asked; Infinity: never. Say `update` when it changes. */
  idleMs(): number;
  /** Bytes that have left so far, give or take a constant: while it grows, the path is slow and not dead. */
  left(): number;
  /** Sends PING with this nonce. */
  ping(nonce: number): void;
  /** The path does not answer, or does so again. */
  doubt(doubtful: boolean): void;
  /** The path is dead; called once. */
  dead(silentMs: number): void;
}

interface Ping {
  nonce: number;
  at: number;
  /** What had left when that was last looked at, and when it was last seen to grow. */
  left: number;
  movedAt: number;
  /** When the path counts as dead, in ms after `movedAt`. */
  deadMs: number;
}

export class Liveness {
  readonly #options: LivenessOptions;
  #heard: number;
  #nonce = 0;
  #ping: Ping | undefined;
  /** The question before it. */
  #asked: Ping | undefined;
  #doubtful = false;
  #watching = false;
  #cancel: () => void = () => {};

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#heard = options.now();
  }

  /** Begins to watch: from now on the path may carry PING. */
  start(): void {
    this.#watching = true;
    this.update();
  }

  /** True while the path does not answer. */
  get doubtful(): boolean {
    return this.#doubtful;
  }

  /** Something arrived on the path. */
  heard(): void {
    this.#heard = this.#options.now();
    if (!this.#doubtful) return;
    this.#doubtful = false;
    this.#watch(this.#idleMs());
    this.#options.doubt(false);
  }

  /** PONG arrived; returns the round-trip time in ms, or undefined when nobody asked. */
  pong(nonce: number): number | undefined {
    // The path may have been asked again while the answer was on its way; only the newest question is still open.
    if (this.#asked?.nonce === nonce) {
      const { at } = this.#asked;
      this.#asked = undefined;
      return this.#options.now() - at;
    }
    if (this.#ping?.nonce !== nonce) return undefined;
    const { at } = this.#ping;
    this.#ping = undefined;
    this.#watch(this.#options.idleMs());
    return this.#options.now() - at;
  }

  /** Asks now; the path is dead if nothing is heard within `deadMs`, or sooner if it was asked before. */
  probe(deadMs: number): void {
    if (!this.#watching) return;
    const at = this.#options.now();
    const asked = this.#ping;
    if (asked !== undefined && this.#isSilent(asked)) {
      asked.deadMs = Math.min(asked.deadMs, at + deadMs - asked.movedAt);
      this.#checkPing(asked, at);
      return;
    }
    this.#nonce += 1;
    this.#asked = asked;
    this.#ping = { nonce: this.#nonce, at, left: this.#options.left(), movedAt: at, deadMs };
    this.#options.ping(this.#nonce);
    this.#watch(Math.min(LIVENESS_DOUBT_MS, deadMs));
  }

  /** The message that asks leaves now, and is `bytes` long: that it leaves says nothing about the path. */
  asks(bytes: number): void {
    const ping = this.#ping;
    if (ping === undefined) return;
    const left = this.#options.left();
    if (left > ping.left) ping.movedAt = this.#options.now();
    ping.left = left + bytes;
  }

  /** `idleMs` has changed; silence counts from now on. */
  update(): void {
    if (!this.#watching) return;
    if (this.#ping !== undefined && this.#isSilent(this.#ping)) return;
    this.#heard = this.#options.now();
    this.#watch(this.#idleMs());
  }

  stop(): void {
    this.#watching = false;
    this.#cancel();
  }

  /** Nothing was heard since the path was asked. */
  #isSilent(ping: Ping): boolean {
    return this.#heard <= ping.at;
  }

  /** What was on its way may arrive on a dead path after the question: one that owes PONG is asked again in any case. */
  #idleMs(): number {
    const idleMs = this.#options.idleMs();
    return this.#ping === undefined ? idleMs : Math.min(idleMs, LIVENESS_IDLE_MS);
  }

  #watch(ms: number): void {
    this.#cancel();
    // The listener of a doubt may have ended the path.
    if (!this.#watching || ms === Number.POSITIVE_INFINITY) return;
    this.#cancel = this.#options.timer(ms, () => this.#check());
  }

  #check(): void {
    const now = this.#options.now();
    if (this.#ping !== undefined && this.#isSilent(this.#ping)) {
      this.#checkPing(this.#ping, now);
      return;
    }
    const idleMs = this.#idleMs();
    const silent = now - this.#heard;
    if (silent < idleMs) this.#watch(idleMs - silent);
    else this.probe(LIVENESS_TIMEOUT_MS);
  }

  #checkPing(ping: Ping, now: number): void {
    const left = this.#options.left();
    if (left > ping.left) {
      ping.movedAt = now;
      ping.left = left;
    }
    const quiet = now - ping.movedAt;
    if (quiet >= ping.deadMs) {
      this.stop();
      this.#options.dead(Math.round(now - this.#heard));
      return;
    }
    if (quiet >= LIVENESS_DOUBT_MS && !this.#doubtful) {
      this.#doubtful = true;
      this.#options.doubt(true);
    }
    const next = this.#doubtful ? Number.POSITIVE_INFINITY : LIVENESS_DOUBT_MS - quiet;
    this.#watch(Math.min(ping.deadMs - quiet, next));
  }
}
