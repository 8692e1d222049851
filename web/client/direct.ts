/**
 * Keeps a direct path: attempts, retries, the end of paths, and successors: an attempt beside a path that lives, when
 * that is in doubt, the network has changed, or the credentials of its TURN servers end. A failure here is never a
 * failure of a request.
 */
import { DirectError } from '../../shared/errors.ts';
import { RETRY_DELAYS_MS, STRANDED_RETRY_MS } from '../../shared/limits.ts';
import { type AttemptOptions, attempt } from './attempt.ts';
import type { SelectedPair } from './candidate-pair.ts';
import type { DirectPath } from './direct-path.ts';
import type { Fact } from './report.ts';
import {
  attemptError,
  boundedPause,
  FINAL_CODES,
  isNewlyRestarted,
  MIN_INTERVAL_MS,
  STABLE_AFTER_MS,
} from './retry.ts';

/**
 * - `connecting`: an attempt runs, the first one or one in the background.
 * - `connected`: there is a direct path.
 * - `waiting`: the next attempt has its time.
 * - `failed`: only a person can help (`error` says how); no more attempts.
 * - `off`: WebRTC is missing or not wanted, or this runtime cannot check whose answers it gets.
 * - `closed`: `close()` was called.
 */
export type DirectState = 'connecting' | 'connected' | 'waiting' | 'failed' | 'off' | 'closed';

interface Running {
  abort: AbortController;
}

/** What is done about another path beside the one that there is. */
type Successor =
  | { name: 'none' }
  /** The attempt has its time. */
  | { name: 'waiting'; cancel: () => void }
  | { name: 'attempt'; running: Running };

interface Connected {
  name: 'connected';
  path: DirectPath;
  /** The attempt that it came from. */
  running: Running;
  since: number;
  successor: Successor;
  /** Attempts at one in a row that have failed. */
  failures: number;
  /** Its ICE servers' credentials end soon, which matters where it goes through TURN. */
  isDue: boolean;
  /** The network has changed since the last attempt. */
  isElsewhere: boolean;
  cancelRenewal: () => void;
}

type State =
  | { name: 'connecting'; running: Running }
  | Connected
  | { name: 'waiting'; at: number; cancel: () => void }
  | { name: 'failed' | 'off' | 'closed' };

export type DirectOptions = Omit<AttemptOptions, 'signal' | 'RTCPeerConnection' | 'isHopeful' | 'lost'> & {
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

  /** The candidate pair of the path; undefined without a path, or where the browser tells nothing. */
  async pair(): Promise<SelectedPair | undefined> {
    return this.#state.name === 'connected' ? this.#state.path.pair() : undefined;
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

  /** The page came back, or the network may have changed; `isElsewhere`: it has. */
  wake(reason: string, isElsewhere: boolean): void {
    const state = this.#state;
    if (state.name === 'connected') {
      state.path.probe(reason);
      state.isElsewhere ||= isElsewhere;
      if (isElsewhere && state.successor.name === 'attempt') this.#woken = true;
      if (state.successor.name === 'waiting') this.#wantSuccessor(state, this.#soonestMs());
      else this.#look(state);
    } else if (state.name === 'connecting') {
      this.#woken = true;
    } else if (state.name === 'waiting') {
      state.cancel();
      this.#wait(this.#soonestMs());
    }
  }

  /** Requests have no path any more, so the next attempt is due sooner than it was. */
  hurry(): void {
    const state = this.#state;
    const { now } = this.#options.signaling.environment;
    if (state.name !== 'waiting' || state.at <= now() + STRANDED_RETRY_MS) return;
    state.cancel();
    this.#wait(this.#soonestMs());
  }

  /** A path of the session came into doubt, is heard again or is of another kind. */
  look(): void {
    if (this.#state.name === 'connected') this.#look(this.#state);
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
    if (state.name === 'connecting') state.running.abort.abort(error);
    if (state.name === 'connected') {
      this.#endSuccessor(state, error);
      state.cancelRenewal();
      state.path.close(error);
    }
    if (state.name === 'waiting') state.cancel();
  }

  #attempt(): void {
    this.#held = false;
    this.#options.diagnostics.log(`attempt ${this.#failures + 1}`, { type: 'attempt' });
    const running = this.#run(this.#failures === 0);
    if (running !== undefined) this.#enter({ name: 'connecting', running });
  }

  /** One attempt, whose end is told to `#connected` or `#failed`. */
  #run(isHopeful: boolean): Running | undefined {
    const { environment } = this.#options.signaling;
    const { RTCPeerConnection } = environment;
    if (RTCPeerConnection === undefined) return undefined;
    const running: Running = { abort: new AbortController() };
    this.#woken = false;
    this.#started = environment.now();
    attempt({
      ...this.#options,
      RTCPeerConnection,
      isHopeful,
      signal: running.abort.signal,
      lost: (error) => this.#lost(running, error),
    }).then(
      (path) => this.#connected(path, running),
      (error: unknown) => this.#failed(error, running),
    );
    return running;
  }

  #connected(path: DirectPath, running: Running): void {
    // Either may have ended between its success and this turn.
    if (running.abort.signal.aborted || path.ended !== undefined) {
      path.close(new DirectError('E_CANCELLED'));
      this.#failed(path.ended, running);
      return;
    }
    const before = this.#state.name === 'connected' ? this.#state : undefined;
    if (before !== undefined && !before.path.isDoubtful && before.path.kind === 'direct' && path.kind === 'turn') {
      path.close(new DirectError('E_CANCELLED', 'the path before is better'));
      this.#failed(new DirectError('E_CANCELLED', 'no better path'), running);
      return;
    }
    const { environment } = this.#options.signaling;
    const renewal = () => {
      state.isDue = true;
      this.#look(state);
    };
    const cancelRenewal =
      path.renewAt === undefined ? () => {} : environment.timer(Math.max(0, path.renewAt - environment.now()), renewal);
    const state: Connected = {
      name: 'connected',
      path,
      running,
      since: environment.now(),
      successor: { name: 'none' },
      failures: 0,
      isDue: false,
      isElsewhere: false,
      cancelRenewal,
    };
    this.#error = undefined;
    before?.cancelRenewal();
    this.#enter(state);
    if (before !== undefined) path.succeed(before.path);
  }

  #failed(error: unknown, running: Running): void {
    if (running.abort.signal.aborted) return;
    const known = attemptError(error);
    this.#options.diagnostics.log(`attempt failed: ${known.code} ${known.detail ?? ''}`, failure(known));
    if (this.#state.name === 'connected') {
      this.#successorFailed(this.#state, known);
      return;
    }
    const before = this.#error;
    this.#error = known;
    this.#failures += 1;
    if (isNewlyRestarted(known, before)) this.#woken = true;
    if (this.#options.trust.isUnable) this.#enter({ name: 'off' });
    else this.#waitUnlessFinal(known);
  }

  #lost(running: Running, error: DirectError): void {
    const state = this.#state;
    // Of a path that has a successor nobody wants to hear.
    if (state.name !== 'connected' || state.running !== running) return;
    const { now } = this.#options.signaling.environment;
    this.#options.diagnostics.log(`${state.path.kind} path lost: ${error.code} ${error.detail ?? ''}`, failure(error));
    this.#error = error;
    this.#failures = now() - state.since >= STABLE_AFTER_MS ? 0 : this.#failures + 1;
    state.cancelRenewal();
    if (state.successor.name === 'attempt' && !FINAL_CODES.includes(error.code)) {
      this.#enter({ name: 'connecting', running: state.successor.running });
      return;
    }
    this.#endSuccessor(state, error);
    this.#woken = error.code === 'E_HOST_RESTARTED';
    this.#waitUnlessFinal(error);
  }

  // ---- successors -----------------------------------------------------------------------------

  /** Begins an attempt beside the path, or ends it, by what is known of the path. */
  #look(state: Connected): void {
    if (this.#state !== state) return;
    const { successor } = state;
    const isWanted = wantsSuccessor(state);
    if (isWanted && successor.name === 'none') this.#wantSuccessor(state, this.#soonestMs());
    if (!isWanted && successor.name !== 'none') {
      this.#options.diagnostics.log('the path is heard again: no other one is needed');
      this.#endSuccessor(state, new DirectError('E_CANCELLED', 'not needed'));
    }
  }

  #wantSuccessor(state: Connected, ms: number): void {
    const { environment } = this.#options.signaling;
    if (state.successor.name === 'waiting') state.successor.cancel();
    const cancel = environment.timer(Math.max(0, ms), () => {
      // Without a network an attempt is in vain; `online` comes by itself.
      if (!environment.network.online()) return this.#wantSuccessor(state, pauseMs(1));
      const { path, isElsewhere } = state;
      const why = path.isDoubtful
        ? 'it does not answer'
        : isElsewhere
          ? 'the network has changed'
          : 'TURN credentials end';
      this.#options.diagnostics.log(`another path beside the ${path.kind} one: ${why}`, { type: 'attempt' });
      const running = this.#run(state.failures === 0);
      state.successor = running === undefined ? { name: 'none' } : { name: 'attempt', running };
    });
    state.successor = { name: 'waiting', cancel };
  }

  /** The path stays in use for as long as it works. */
  #successorFailed(state: Connected, { code }: DirectError): void {
    state.successor = { name: 'none' };
    // It may have been made on a network that is gone.
    state.isElsewhere = this.#woken;
    state.failures += 1;
    if (!wantsSuccessor(state) || FINAL_CODES.includes(code)) return;
    this.#wantSuccessor(state, this.#woken ? this.#soonestMs() : pauseMs(state.failures));
  }

  #endSuccessor(state: Connected, error: DirectError): void {
    const { successor } = state;
    state.successor = { name: 'none' };
    if (successor.name === 'waiting') successor.cancel();
    if (successor.name === 'attempt') successor.running.abort.abort(error);
  }

  // ---- attempts without a path ----------------------------------------------------------------

  #waitUnlessFinal({ code }: DirectError): void {
    if (FINAL_CODES.includes(code)) this.#enter({ name: 'failed' });
    else this.#waitForNext();
  }

  #waitForNext(): void {
    const pause = boundedPause(pauseMs(this.#failures), this.#options.host.isStranded);
    this.#wait(this.#woken ? this.#soonestMs() : pause);
  }

  /** Events come in bursts, and attempts do not. */
  #soonestMs(): number {
    return this.#started + MIN_INTERVAL_MS - this.#options.signaling.environment.now();
  }

  #wait(ms: number): void {
    const { trust, signaling } = this.#options;
    const { environment } = signaling;
    const at = environment.now() + ms;
    if (trust.isAsking) {
      this.#held = true;
      this.#enter({ name: 'waiting', at, cancel: () => {} });
      return;
    }
    const cancel = environment.timer(Math.max(0, ms), () => {
      // Without a network an attempt is in vain; `online` comes by itself.
      if (environment.network.online()) this.#attempt();
      else this.#waitForNext();
    });
    this.#enter({ name: 'waiting', at, cancel });
  }

  #enter(state: State): void {
    const before = this.#state.name;
    this.#state = state;
    if (state.name !== before) this.#options.changed();
  }
}

/** Whether the path that there is may soon be none. */
function wantsSuccessor({ path, isElsewhere, isDue }: Connected): boolean {
  return path.isDoubtful || isElsewhere || (isDue && path.kind === 'turn');
}

function failure({ code }: DirectError): Fact {
  return { type: 'failed', way: 'direct', code };
}

/** How long to wait after so many failures in a row. */
function pauseMs(failures: number): number {
  return RETRY_DELAYS_MS[Math.min(Math.max(failures - 1, 0), RETRY_DELAYS_MS.length - 1)] ?? 0;
}
