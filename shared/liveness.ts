/**
 * Whether a path is alive, by listening first: a path that is idle is asked with PING, and one that stays silent
 * after that is dead. It belongs to the path, not to requests: a model may think for as long as it likes.
 */
import { LIVENESS_IDLE_MS, LIVENESS_TIMEOUT_MS } from './limits.ts';

export interface LivenessOptions {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` once after `ms`; the returned function cancels it. */
  timer(ms: number, run: () => void): () => void;
  /** Sends PING with this nonce. */
  ping(nonce: number): void;
  /** The path is dead; called once. */
  dead(silentMs: number): void;
}

export class Liveness {
  readonly #options: LivenessOptions;
  #heard: number;
  #nonce = 0;
  #pinged: { nonce: number; at: number } | undefined;
  #cancel: () => void;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#heard = options.now();
    this.#cancel = options.timer(LIVENESS_IDLE_MS, () => this.#check());
  }

  /** Something arrived on the path. */
  heard(): void {
    this.#heard = this.#options.now();
  }

  /** PONG arrived; returns the round-trip time in ms, or undefined when nobody asked. */
  pong(nonce: number): number | undefined {
    if (this.#pinged?.nonce !== nonce) return undefined;
    const { at } = this.#pinged;
    this.#pinged = undefined;
    this.#watch(LIVENESS_IDLE_MS);
    return this.#options.now() - at;
  }

  /** Asks now; the path is dead if nothing is heard within `timeout` ms. */
  probe(timeout: number): void {
    this.#nonce += 1;
    this.#pinged = { nonce: this.#nonce, at: this.#options.now() };
    this.#options.ping(this.#nonce);
    this.#watch(timeout);
  }

  stop(): void {
    this.#cancel();
  }

  #watch(ms: number): void {
    this.#cancel();
    this.#cancel = this.#options.timer(ms, () => this.#check());
  }

  #check(): void {
    const silent = this.#options.now() - this.#heard;
    if (this.#pinged !== undefined && this.#heard <= this.#pinged.at) {
      this.#options.dead(Math.round(silent));
      return;
    }
    this.#pinged = undefined;
    if (silent < LIVENESS_IDLE_MS) this.#watch(LIVENESS_IDLE_MS - silent);
    else this.probe(LIVENESS_TIMEOUT_MS);
  }
}
