/**
 * Keeps a direct path: attempts, retries, the end of paths, and which way a request goes now. A failure here is never
 * a failure of a request; without a direct path requests go over HTTPS.
 */
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import { DIRECT_DEADLINE_MS, RETRY_DELAYS_MS } from '../../shared/limits.ts';
import type { Session } from '../../shared/session.ts';
import { type AttemptOptions, attempt } from './attempt.ts';
import type { DirectKind } from './candidate-pair.ts';
import type { DirectConnection } from './direct-connection.ts';

/** Which way requests go: `tunnel` is plain HTTPS, `offline` is HTTPS too, with little hope. */
export type ClientPath = DirectKind | 'tunnel' | 'offline';

/**
 * - `connecting`: an attempt runs, the first one or one in the background.
 * - `connected`: there is a direct path.
 * - `waiting`: the next attempt has its time.
 * - `failed`: only a person can help (`error` says how); no more attempts.
 * - `off`: WebRTC is missing or not wanted.
 * - `closed`: `close()` was called.
 */
export type ClientState = 'connecting' | 'connected' | 'waiting' | 'failed' | 'off' | 'closed';

type State =
  | { name: 'connecting'; abort: AbortController }
  | { name: 'connected'; connection: DirectConnection; since: number }
  | { name: 'waiting'; cancel: () => void }
  | { name: 'failed' | 'off' | 'closed' };

/** Answers of the edge that stay the same until a person changes something. */
const FINAL: readonly ErrorCode[] = ['E_UNAUTHORIZED', 'E_NOT_CONFIGURED', 'E_NOT_FOUND', 'E_VERSION'];
/** A path that ends sooner did not work: the pauses go on growing, so that it does not become a loop. */
const STABLE_AFTER_MS = 10_000;
/** Events of page and network come in bursts; so much time lies between the beginnings of two attempts. */
const MIN_INTERVAL_MS = 1_000;

export interface ConnectorEvents {
  state(state: ClientState): void;
  path(path: ClientPath): void;
  rtt(ms: number): void;
}

export type ConnectorOptions = Omit<AttemptOptions, 'events' | 'signal' | 'RTCPeerConnection'> & {
  /** False: never try. */
  enabled: boolean;
};

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #events: ConnectorEvents;
  readonly #unwatch: () => void;
  readonly #decided = Promise.withResolvers<void>();
  readonly #cancelDeadline: () => void;
  #state: State = { name: 'off' };
  #isDecided = false;
  #path: ClientPath = 'tunnel';
  #error: DirectError | undefined;
  #rtt: number | undefined;
  /** Attempts without success since the last stable path. */
  #failures = 0;
  #started = Number.NEGATIVE_INFINITY;
  /** Something changed while an attempt ran: if it fails, the next one does not wait. */
  #woken = false;

  constructor(options: ConnectorOptions, events: ConnectorEvents) {
    this.#options = options;
    this.#events = events;
    const { environment } = options.signaling;
    this.#cancelDeadline = environment.timer(DIRECT_DEADLINE_MS, () => this.#decide('no direct path in time'));
    this.#unwatch = environment.network.watch({
      wake: (reason) => this.#wake(reason),
      leave: () => this.#leave(),
    });
    if (!options.enabled || environment.RTCPeerConnection === undefined) {
      options.diagnostics.log(options.enabled ? 'this runtime has no WebRTC: HTTPS only' : 'HTTPS only, as asked for');
      this.#decide('off');
    } else {
      this.#attempt();
    }
  }

  get state(): ClientState {
    return this.#state.name;
  }

  get path(): ClientPath {
    return this.#path;
  }

  /** Why the last attempt failed or the last path ended; undefined while a path is up. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  /** Round-trip time of the direct path in ms, if there is one and it was measured. */
  get rtt(): number | undefined {
    return this.#rtt;
  }

  /** Resolves when requests need not wait: a path is up, the first attempt has failed, or the deadline has passed. */
  get decided(): Promise<void> {
    return this.#decided.promise;
  }

  /** The session for a new request, or undefined: HTTPS. @throws the signal's reason. */
  async route(signal: AbortSignal | undefined): Promise<Session | undefined> {
    if (this.#state.name !== 'connected') await unlessAborted(this.#decided.promise, signal);
    return this.#state.name === 'connected' ? this.#state.connection.session : undefined;
  }

  /** Ends the path and all attempts. Requests that run on the path fail with `E_CANCELLED`. */
  close(): void {
    const state = this.#state;
    if (state.name === 'closed') return;
    this.#unwatch();
    this.#enter({ name: 'closed' });
    this.#decide('closed');
    if (state.name === 'connecting') state.abort.abort(new DirectError('E_CANCELLED'));
    if (state.name === 'connected') state.connection.close('E_CANCELLED');
    if (state.name === 'waiting') state.cancel();
  }

  #attempt(): void {
    const { signaling, diagnostics } = this.#options;
    const { environment } = signaling;
    const { RTCPeerConnection } = environment;
    if (RTCPeerConnection === undefined) return;
    const abort = new AbortController();
    this.#woken = false;
    this.#started = environment.now();
    this.#enter({ name: 'connecting', abort });
    diagnostics.log(`attempt ${this.#failures + 1}`);
    attempt({
      ...this.#options,
      RTCPeerConnection,
      signal: abort.signal,
      events: {
        closed: (error) => this.#lost(error),
        rtt: (ms) => {
          this.#rtt = ms;
          this.#events.rtt(ms);
        },
        kindChanged: () => this.#showPath(),
      },
    }).then(
      (connection) => this.#connected(connection, abort.signal),
      (error: unknown) => this.#failed(error, abort.signal),
    );
  }

  #connected(connection: DirectConnection, signal: AbortSignal): void {
    const { error } = connection.session;
    // Either may have ended between its success and this turn.
    if (signal.aborted || error !== undefined) {
      connection.close('E_CANCELLED');
      this.#failed(error, signal);
      return;
    }
    this.#error = undefined;
    this.#enter({ name: 'connected', connection, since: this.#options.signaling.environment.now() });
    this.#decide(`${connection.kind} path`);
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#error = error instanceof DirectError ? error : new DirectError('E_INTERNAL', `${error}`, { cause: error });
    this.#failures += 1;
    this.#options.diagnostics.log(`attempt failed: ${this.#error.code} ${this.#error.detail ?? ''}`);
    if (FINAL.includes(this.#error.code)) this.#enter({ name: 'failed' });
    else this.#waitForNext();
    this.#decide('the attempt failed');
  }

  #lost(error: DirectError): void {
    if (this.#state.name !== 'connected') return;
    const { now } = this.#options.signaling.environment;
    this.#error = error;
    this.#rtt = undefined;
    this.#failures = now() - this.#state.since >= STABLE_AFTER_MS ? 0 : this.#failures + 1;
    this.#woken = false;
    this.#waitForNext();
  }

  #waitForNext(): void {
    const { environment } = this.#options.signaling;
    const pause = RETRY_DELAYS_MS[Math.min(Math.max(this.#failures - 1, 0), RETRY_DELAYS_MS.length - 1)] ?? 0;
    this.#wait(this.#woken ? this.#started + MIN_INTERVAL_MS - environment.now() : pause);
  }

  #wait(ms: number): void {
    const { environment } = this.#options.signaling;
    const cancel = environment.timer(Math.max(0, ms), () => {
      // Without a network an attempt is in vain; `online` comes by itself.
      if (environment.network.online()) this.#attempt();
      else this.#waitForNext();
    });
    this.#enter({ name: 'waiting', cancel });
  }

  #wake(reason: string): void {
    const { diagnostics, signaling } = this.#options;
    diagnostics.log(`event: ${reason}`);
    if (this.#state.name === 'connected') {
      this.#state.connection.probe(reason);
    } else if (this.#state.name === 'connecting') {
      this.#woken = true;
    } else if (this.#state.name === 'waiting') {
      this.#state.cancel();
      this.#wait(this.#started + MIN_INTERVAL_MS - signaling.environment.now());
    }
    this.#showPath();
  }

  /** Frees the agent's slot at once, rather than when it notices; `pageshow` brings the path back. */
  #leave(): void {
    if (this.#state.name === 'connected') this.#state.connection.close('E_GOING_AWAY');
  }

  #decide(why: string): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    this.#cancelDeadline();
    this.#options.diagnostics.log(`requests go by ${this.#path}: ${why}`);
    this.#decided.resolve();
  }

  #enter(state: State): void {
    const before = this.#state.name;
    this.#state = state;
    this.#showPath();
    if (state.name !== before) this.#events.state(state.name);
  }

  #showPath(): void {
    const { network } = this.#options.signaling.environment;
    const path = this.#currentPath(network.online());
    if (path === this.#path) return;
    this.#path = path;
    this.#options.diagnostics.log(`path: ${path}`);
    this.#events.path(path);
  }

  #currentPath(online: boolean): ClientPath {
    if (this.#state.name === 'connected') return this.#state.connection.kind;
    return online && this.#error?.code !== 'E_HOST_OFFLINE' ? 'tunnel' : 'offline';
  }
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
