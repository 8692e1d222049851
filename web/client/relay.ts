/**
 * Keeps a path through the edge: the first one that a session has, and the one that it falls back to. An idle one
 * costs nothing, so it stays beside the direct path.
 */
import { DirectError } from '../../shared/errors.ts';
import {
  HANDSHAKE_TIMEOUT_MS,
  LIVENESS_PROBE_MS,
  LIVENESS_TIMEOUT_MS,
  RELAY_RETRY_DELAYS_MS,
  STRANDED_RETRY_MS,
} from '../../shared/limits.ts';
import type { PathLink } from '../../shared/path-link.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { RelayParts } from './environment.ts';
import type { HostSession } from './host-session.ts';
import type { HostTrust } from './host-trust.ts';
import type { Admission } from './relay-attempt.ts';
import type { RelayPath } from './relay-path.ts';
import type { Fact } from './report.ts';
import {
  attemptError,
  boundedPause,
  FINAL_CODES,
  isNewlyRestarted,
  MIN_INTERVAL_MS,
  STABLE_AFTER_MS,
} from './retry.ts';
import { SOCKET_PATIENCE_MS } from './signal-socket.ts';
import type { Signaling } from './signaling.ts';

/**
 * - `off`: this runtime has no relay, or it is not wanted.
 * - `connecting`: requests may wait for it.
 * - `open`: there is a path.
 * - `waiting`: it does not work just now, and is tried again.
 * - `failed`: only a person can help.
 * - `closed`: `close()` was called.
 */
export type RelayState = 'off' | 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';

/**
 * After a change of the network the old socket is dead and does not know it. Who waits for bytes gets another one
 * beside it when the edge has not answered by now, which is several round trips; a needless one costs a request.
 */
const REPLACE_AFTER_MS = 500;

export interface RelayOptions {
  signaling: Signaling;
  diagnostics: Diagnostics;
  host: HostSession;
  trust: HostTrust;
  /** Whether requests may go by HTTPS meanwhile. */
  mayTunnel(): boolean;
  /** The state has changed. */
  changed(): void;
}

interface Attempt {
  readonly abort: AbortController;
  /** Requests wait for it. */
  awaited: boolean;
  cancelTimers(): void;
}

export class Relay {
  readonly #options: RelayOptions;
  #state: RelayState = 'off';
  #error: DirectError | undefined;
  #attempt: Attempt | undefined;
  /** When the last attempt began. */
  #startedAt = Number.NEGATIVE_INFINITY;
  #cancelRetry: () => void = () => {};
  /** When the next attempt is due, while it waits for its time. */
  #retryAt = 0;
  /** The next attempt waits for the person who was asked about the host's key. */
  #held = false;
  #cancelReplacement: (() => void) | undefined;
  /** Attempts without success since the last stable path. */
  #failures = 0;
  #canSeal: Promise<boolean> | undefined;
  #current: { link: PathLink; socket: RelayPath; since: number } | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  get state(): RelayState {
    return this.#state;
  }

  /** Why there is no path; undefined while there is one. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  /** Connects, with the signaling session that another path asks for, if one does. */
  start(admission: Admission | undefined): void {
    if (this.#options.signaling.environment.WebSocket === undefined) {
      this.#options.diagnostics.log('this runtime has no WebSocket: no relay');
      return;
    }
    this.#connect(true, admission);
  }

  /** The network may have changed, or the page came back. */
  wake(): void {
    if (this.#current !== undefined) this.#ask(this.#current.socket, LIVENESS_PROBE_MS);
    else if (this.#state === 'waiting') this.#wait(this.#soonestMs());
  }

  /** The path in use does not answer: perhaps another socket does, by another network. */
  replace(): void {
    if (this.#current?.link.doubtful === true && this.#attempt === undefined) this.#connect(false);
  }

  /** The session goes on by the relay, which may have rested for long: it may have died with the path before. */
  used(): void {
    const { host, signaling } = this.#options;
    const current = this.#current;
    if (current === undefined || current.link !== host.active) return;
    const silentMs = signaling.environment.now() - current.link.heardAt;
    if (silentMs >= REPLACE_AFTER_MS) this.#ask(current.socket, LIVENESS_TIMEOUT_MS);
  }

  /** Requests have no path any more, so the next attempt is due sooner than it was. */
  hurry(): void {
    const { now } = this.#options.signaling.environment;
    if (this.#state !== 'waiting' || this.#attempt !== undefined || this.#retryAt <= now() + STRANDED_RETRY_MS) return;
    this.#wait(this.#soonestMs());
  }

  /** The person who was asked about the host's key has agreed: requests wait for what comes of it. */
  resume(): void {
    if (this.#held && this.#state === 'waiting') this.#connect(true);
  }

  /** Ends the path and all attempts: only a person can help. */
  fail(error: DirectError): void {
    if (this.#state === 'closed' || this.#state === 'off') return;
    this.#error = error;
    this.#end('failed', error);
  }

  /** Ends the path and all attempts. */
  close(): void {
    this.#end('closed', new DirectError('E_CANCELLED'));
  }

  #end(state: 'failed' | 'closed', error: DirectError): void {
    const current = this.#current;
    this.#current = undefined;
    this.#cancelRetry();
    this.#cancelReplacement?.();
    this.#enter(state);
    this.#endAttempt(error);
    current?.link.end(error);
  }

  /** Asks the edge, and opens another socket if the answer takes long and somebody waits. */
  #ask(socket: RelayPath, ms: number): void {
    const { host, signaling } = this.#options;
    socket.probe(ms);
    // Events of the network come in bursts, and must not put it off.
    this.#cancelReplacement ??= signaling.environment.timer(REPLACE_AFTER_MS, () => {
      this.#cancelReplacement = undefined;
      const isSilent = this.#current?.socket.isAsked === true;
      if (isSilent && host.isBusy && this.#attempt === undefined) this.#connect(false);
    });
  }

  #connect(awaited: boolean, admission?: Admission): void {
    const { timer, now } = this.#options.signaling.environment;
    this.#cancelRetry();
    this.#held = false;
    this.#endAttempt(new DirectError('E_CANCELLED', 'another attempt took its place'));
    const cancelPatience = timer(SOCKET_PATIENCE_MS, () => {
      if (!this.#options.mayTunnel()) return;
      // Requests need not wait any longer; the attempt goes on.
      attempt.awaited = false;
      if (this.#state === 'connecting') this.#enter('waiting');
    });
    const cancelTimeout = timer(HANDSHAKE_TIMEOUT_MS, () => {
      this.#failed(attempt, new DirectError('E_HANDSHAKE_TIMEOUT', 'the relay does not answer'));
    });
    const cancelTimers = () => {
      cancelPatience();
      cancelTimeout();
    };
    const attempt: Attempt = { abort: new AbortController(), awaited, cancelTimers };
    this.#attempt = attempt;
    this.#startedAt = now();
    if (this.#current === undefined) this.#enter(awaited ? 'connecting' : 'waiting');
    this.#open(attempt, admission).catch((error: unknown) => this.#failed(attempt, error));
  }

  /** @throws DirectError `E_PATH_LOST`: an edge that is out of reach sends no files either. */
  async #parts(): Promise<RelayParts> {
    try {
      return await this.#options.signaling.environment.relay();
    } catch (cause) {
      throw new DirectError('E_PATH_LOST', 'the files for the relay do not come', { cause });
    }
  }

  /** From here on the session's listener tells what becomes of the attempt. */
  async #open(attempt: Attempt, admission: Admission | undefined): Promise<void> {
    const { signaling, host, trust } = this.#options;
    const { signal } = attempt.abort;
    // Beside the first round trips, which take longer.
    const [{ openRelay, sealingIsSupported }, canVerify] = await Promise.all([
      this.#parts(),
      trust.canVerify(),
      host.load(),
    ]);
    this.#canSeal ??= sealingIsSupported();
    if (!canVerify || !(await this.#canSeal)) {
      if (this.#attempt !== attempt) return;
      this.#endAttempt(new DirectError('E_CANCELLED'));
      this.#enter('off');
      return;
    }
    const { sessionId, socket, path, binding, preface } = await openRelay({ signaling, trust, admission, signal });
    if (signal.aborted) {
      path.close();
      return;
    }
    const link = host.attach(
      path,
      { sessionId, kind: 'relay', binding, preface },
      {
        opened: () => this.#opened(attempt, link, socket),
        sentAny: () => socket.sentAny,
        lost: (error) => {
          // What the agent said tells more than how the edge closed the socket after it, and that more than nothing.
          const known = error.code === 'E_PATH_LOST' ? (socket.error ?? error) : error;
          this.#failed(attempt, known);
          this.#lost(link, known);
        },
      },
    );
    signal.addEventListener('abort', () => link.end(signal.reason as DirectError), { once: true });
  }

  #opened(attempt: Attempt, link: PathLink, socket: RelayPath): void {
    if (this.#attempt !== attempt) return;
    this.#attempt = undefined;
    attempt.cancelTimers();
    const before = this.#current;
    this.#current = { link, socket, since: this.#options.signaling.environment.now() };
    this.#error = undefined;
    this.#enter('open');
    before?.link.end(new DirectError('E_CANCELLED', 'another relay path took its place'));
  }

  #lost(link: PathLink, error: DirectError): void {
    if (this.#current?.link !== link) return;
    const { since } = this.#current;
    this.#current = undefined;
    this.#options.diagnostics.log(`relay lost: ${error.code} ${error.detail ?? ''}`, failure(error));
    const { now } = this.#options.signaling.environment;
    this.#failures = now() - since >= STABLE_AFTER_MS ? 0 : this.#failures + 1;
    if (this.#attempt === undefined) {
      this.#retryUnlessFinal(error);
    } else {
      this.#error = error;
      this.#enter(this.#attempt.awaited ? 'connecting' : 'waiting');
    }
  }

  #failed(attempt: Attempt, cause: unknown): void {
    if (this.#attempt !== attempt) return;
    const error = attemptError(cause);
    this.#endAttempt(error);
    this.#options.diagnostics.log(`no relay: ${error.code} ${error.detail ?? ''}`, failure(error));
    // The path that was to be replaced still stands.
    if (this.#current !== undefined) return;
    this.#failures += 1;
    this.#retryUnlessFinal(error);
  }

  #endAttempt(reason: DirectError): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.cancelTimers();
    attempt?.abort.abort(reason);
  }

  #retryUnlessFinal(error: DirectError): void {
    if (FINAL_CODES.includes(error.code)) {
      this.#error = error;
      this.#enter('failed');
    } else {
      this.#retry(error);
    }
  }

  #retry(error: DirectError): void {
    const restarted = isNewlyRestarted(error, this.#error);
    this.#error = error;
    if (restarted) this.#connect(true);
    else this.#wait(this.#pause());
  }

  /** With jitter: after a deploy all sockets drop at once, and must not all come back at once. */
  #pause(): number {
    const { host, signaling } = this.#options;
    const pause = RELAY_RETRY_DELAYS_MS[Math.min(this.#failures, RELAY_RETRY_DELAYS_MS.length - 1)] ?? 0;
    return boundedPause(pause, host.isStranded) * (0.5 + signaling.environment.random() / 2);
  }

  /** Events come in bursts, and attempts do not. */
  #soonestMs(): number {
    return this.#startedAt + MIN_INTERVAL_MS - this.#options.signaling.environment.now();
  }

  #wait(ms: number): void {
    const { timer, network, now } = this.#options.signaling.environment;
    this.#cancelRetry();
    this.#held = this.#options.trust.isAsking;
    if (this.#held) {
      this.#enter('waiting');
      return;
    }
    this.#retryAt = now() + ms;
    this.#cancelRetry = timer(Math.max(0, ms), () => {
      if (network.online()) {
        // Who has just lost a working path waits for the next one; where it fails, requests go by HTTPS meanwhile.
        this.#connect(this.#failures === 0);
      } else {
        // An attempt is in vain; `online` comes by itself.
        this.#failures += 1;
        this.#wait(this.#pause());
      }
    });
    this.#enter('waiting');
  }

  #enter(state: RelayState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.changed();
  }
}

function failure({ code }: DirectError): Fact {
  return { type: 'failed', way: 'relay', code };
}
