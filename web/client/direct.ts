/** Keeps a direct path: attempts, retries, the end of paths. A failure here is never a failure of a request. */
import { DirectError } from '../../shared/errors.ts';
import { RETRY_DELAYS_MS } from '../../shared/limits.ts';
import { type AttemptOptions, attempt } from './attempt.ts';
import type { DirectPath } from './direct-path.ts';
import { attemptError, FINAL_CODES, isNewlyRestarted, MIN_INTERVAL_MS, STABLE_AFTER_MS } from './retry.ts';

/**
 * - `connecting`: an attempt runs, the first one or one in the background.
 * - `connected`: there is a direct path.
 * - `waiting`: the next attempt has its time.
 * - `failed`: only a person can help (`error` says how); no more attempts.
 * - `off`: WebRTC is missing or not wanted, or this runtime cannot check whose answers it gets.
 * - `closed`: `close()` was called.
 */
export type DirectState = 'connecting' | 'connected' | 'waiting' | 'failed' | 'off' | 'closed';

type State =
  | { name: 'connecting'; abort: AbortController }
  | { name: 'connected'; path: DirectPath; since: number }
  | { name: 'waiting'; cancel: () => void }
  | { name: 'failed' | 'off' | 'closed' };

export type DirectOptions = Omit<AttemptOptions, 'signal' | 'RTCPeerConnection' | 'lost'> & {
  /** The state has changed. */
  changed(): void;
};

export class Direct {
  readonly #options: DirectOptions;
  #state: State = { name: 'off' };
  #error: DirectError | undefined;
  /** Attempts without success since the last stable path. */
  #failures = 0;
  #started = Number.NEGATIVE_INFINITY;
  /** Something changed while an attempt ran: if it fails, the next one does not wait. */
  #woken = false;
  /** The next attempt waits for the person who was asked about the host's key. */
  #held = false;

  constructor(options: DirectOptions) {
    this.#options = options;
  }

  get state(): DirectState {
    return this.#state.name;
  }

  /** Why the last attempt failed or the last path ended; undefined while a path is up. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  /** Begins to try; false where there is no WebRTC. */
  start(): boolean {
    const { diagnostics, signaling } = this.#options;
    if (signaling.environment.RTCPeerConnection === undefined) {
      diagnostics.log('this runtime has no WebRTC: no direct path');
      return false;
    }
    this.#attempt();
    return true;
  }

  /** The network may have changed, or the page came back. */
  wake(reason: string): void {
    const { environment } = this.#options.signaling;
    if (this.#state.name === 'connected') {
      this.#state.path.probe(reason);
    } else if (this.#state.name === 'connecting') {
      this.#woken = true;
    } else if (this.#state.name === 'waiting') {
      this.#state.cancel();
      this.#wait(this.#started + MIN_INTERVAL_MS - environment.now());
    }
  }

  /** The person who was asked about the host's key has agreed. */
  resume(): void {
    if (this.#held && this.#state.name === 'waiting') this.#attempt();
  }

  /** Ends the path and all attempts: only a person can help. */
  fail(error: DirectError): void {
    if (this.#state.name === 'closed' || this.#state.name === 'off') return;
    this.#error = error;
    this.#end('failed', error);
  }

  /** Ends the path and all attempts. */
  close(): void {
    if (this.#state.name !== 'closed') this.#end('closed', new DirectError('E_CANCELLED'));
  }

  #end(name: 'failed' | 'closed', error: DirectError): void {
    const state = this.#state;
    this.#enter({ name });
    if (state.name === 'connecting') state.abort.abort(error);
    if (state.name === 'connected') state.path.close(error);
    if (state.name === 'waiting') state.cancel();
  }

  #attempt(): void {
    const { signaling, diagnostics } = this.#options;
    const { environment } = signaling;
    const { RTCPeerConnection } = environment;
    if (RTCPeerConnection === undefined) return;
    const abort = new AbortController();
    this.#woken = false;
    this.#held = false;
    this.#started = environment.now();
    this.#enter({ name: 'connecting', abort });
    diagnostics.log(`attempt ${this.#failures + 1}`);
    attempt({
      ...this.#options,
      RTCPeerConnection,
      signal: abort.signal,
      lost: (error) => this.#lost(error),
    }).then(
      (path) => this.#connected(path, abort.signal),
      (error: unknown) => this.#failed(error, abort.signal),
    );
  }

  #connected(path: DirectPath, signal: AbortSignal): void {
    // Either may have ended between its success and this turn.
    if (signal.aborted || path.ended !== undefined) {
      path.close(new DirectError('E_CANCELLED'));
      this.#failed(path.ended, signal);
      return;
    }
    this.#error = undefined;
    this.#enter({ name: 'connected', path, since: this.#options.signaling.environment.now() });
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const before = this.#error;
    this.#error = attemptError(error);
    this.#failures += 1;
    if (isNewlyRestarted(this.#error, before)) this.#woken = true;
    this.#options.diagnostics.log(`attempt failed: ${this.#error.code} ${this.#error.detail ?? ''}`);
    if (this.#options.trust.isUnable) this.#enter({ name: 'off' });
    else this.#waitUnlessFinal(this.#error);
  }

  #lost(error: DirectError): void {
    if (this.#state.name !== 'connected') return;
    const { now } = this.#options.signaling.environment;
    this.#error = error;
    this.#failures = now() - this.#state.since >= STABLE_AFTER_MS ? 0 : this.#failures + 1;
    this.#woken = error.code === 'E_HOST_RESTARTED';
    this.#waitUnlessFinal(error);
  }

  #waitUnlessFinal({ code }: DirectError): void {
    if (FINAL_CODES.includes(code)) this.#enter({ name: 'failed' });
    else this.#waitForNext();
  }

  #waitForNext(): void {
    const { environment } = this.#options.signaling;
    const pause = RETRY_DELAYS_MS[Math.min(Math.max(this.#failures - 1, 0), RETRY_DELAYS_MS.length - 1)] ?? 0;
    this.#wait(this.#woken ? this.#started + MIN_INTERVAL_MS - environment.now() : pause);
  }

  #wait(ms: number): void {
    const { trust, signaling } = this.#options;
    const { environment } = signaling;
    if (trust.isAsking) {
      this.#held = true;
      this.#enter({ name: 'waiting', cancel: () => {} });
      return;
    }
    const cancel = environment.timer(Math.max(0, ms), () => {
      // Without a network an attempt is in vain; `online` comes by itself.
      if (environment.network.online()) this.#attempt();
      else this.#waitForNext();
    });
    this.#enter({ name: 'waiting', cancel });
  }

  #enter(state: State): void {
    const before = this.#state.name;
    this.#state = state;
    if (state.name !== before) this.#options.changed();
  }
}
