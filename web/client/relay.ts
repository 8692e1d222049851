/**
 * Keeps a path through the edge: the first one that a session has, and the one that it falls back to. An idle one
 * costs nothing, so it stays beside the direct path.
 */
import { codeFromNumber, DirectError, type ErrorCode } from '../../shared/errors.ts';
import { verifyAnnouncement } from '../../shared/host-identity.ts';
import { HANDSHAKE_TIMEOUT_MS, LIVENESS_PROBE_MS, RELAY_RETRY_DELAYS_MS } from '../../shared/limits.ts';
import type { PathLink } from '../../shared/path-link.ts';
import { sealedClientPath } from '../../shared/sealed-path.ts';
import type { SessionReady } from '../../shared/signal.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { HostSession } from './host-session.ts';
import { RelayPath } from './relay-path.ts';
import { FIRST_OWN_CLOSE_CODE, SOCKET_PATIENCE_MS } from './signal-socket.ts';
import { createSession, type Signaling } from './signaling.ts';

/**
 * - `off`: this runtime, this edge or this host has no relay.
 * - `connecting`: requests may wait for it.
 * - `open`: there is a path.
 * - `waiting`: it does not work just now, and is tried again.
 * - `failed`: only a person can help.
 * - `closed`: `close()` was called.
 */
export type RelayState = 'off' | 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';

/** Answers of the edge that stay the same until a person changes something. */
const FINAL: readonly ErrorCode[] = ['E_UNAUTHORIZED', 'E_NOT_CONFIGURED', 'E_NOT_FOUND', 'E_VERSION', 'E_HOST_KEY'];

export interface RelayOptions {
  signaling: Signaling;
  diagnostics: Diagnostics;
  host: HostSession;
  /** The state has changed. */
  changed(): void;
}

export class Relay {
  readonly #options: RelayOptions;
  #state: RelayState = 'off';
  #error: DirectError | undefined;
  #attempt: AbortController | undefined;
  #cancelRetry: () => void = () => {};
  #failures = 0;
  #current: { link: PathLink; path: RelayPath } | undefined;

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

  /** Connects, with the signaling session that another path has asked for if `admission` brings one. */
  start(admission?: Promise<SessionReady | undefined>): void {
    const { diagnostics, signaling } = this.#options;
    if (signaling.environment.WebSocket === undefined || globalThis.crypto?.subtle === undefined) {
      diagnostics.log('this runtime has no WebSocket or no WebCrypto: no relay');
      return;
    }
    this.#connect(admission);
  }

  /** The network may have changed, or the page came back. */
  wake(): void {
    if (this.#state === 'open') this.#current?.path.probe(LIVENESS_PROBE_MS);
    else if (this.#state === 'waiting') this.#connect();
  }

  /** The path in use does not answer: perhaps another socket does, by another network. */
  replace(): void {
    if (this.#current?.link.doubtful === true && this.#attempt === undefined) this.#connect();
  }

  close(): void {
    this.#cancelRetry();
    this.#attempt?.abort();
    this.#enter('closed');
  }

  #connect(admission?: Promise<SessionReady | undefined>): void {
    const { environment } = this.#options.signaling;
    this.#cancelRetry();
    this.#attempt?.abort(new DirectError('E_CANCELLED'));
    const attempt = new AbortController();
    this.#attempt = attempt;
    if (this.#current === undefined) this.#enter('connecting');
    const cancelPatience = environment.timer(SOCKET_PATIENCE_MS, () => {
      // Requests need not wait any longer; the attempt goes on.
      if (this.#state === 'connecting') this.#enter('waiting');
    });
    const cancelTimeout = environment.timer(HANDSHAKE_TIMEOUT_MS, () => {
      attempt.abort(new DirectError('E_HANDSHAKE_TIMEOUT', 'the relay does not answer'));
    });
    this.#open(attempt.signal, admission)
      .catch((error: unknown) => this.#failed(attempt, error))
      .finally(() => {
        cancelPatience();
        cancelTimeout();
        if (this.#attempt === attempt) this.#attempt = undefined;
      });
  }

  async #open(signal: AbortSignal, admission?: Promise<SessionReady | undefined>): Promise<void> {
    const { signaling, host } = this.#options;
    const ready = (await admission) ?? (await createSession(signaling, undefined, signal));
    const { announcement } = ready.host;
    // An agent says it a moment after it is online.
    if (announcement === undefined) throw new DirectError('E_PATH_LOST', 'the host announces no key');
    const key = await verifyAnnouncement(announcement, { now: Date.now() });
    signal.throwIfAborted();
    const socket = await this.#socket(ready.session_id, signal);
    const path = new RelayPath(socket, signaling.environment);
    const sealed = sealedClientPath(path, key, ready.session_id);
    const opened = Promise.withResolvers<void>();
    const link = host.attach(
      sealed,
      { sessionId: ready.session_id, kind: 'relay' },
      {
        opened: () => opened.resolve(),
        lost: (error) => {
          opened.reject(path.error ?? error);
          this.#lost(link, path.error ?? error);
        },
      },
    );
    signal.addEventListener('abort', () => link.end(signal.reason as DirectError), { once: true });
    await opened.promise;
    const before = this.#current;
    this.#current = { link, path };
    before?.link.end(new DirectError('E_CANCELLED', 'another relay path took its place'));
    this.#failures = 0;
    this.#error = undefined;
    this.#enter('open');
  }

  /** @throws DirectError with the edge's code when it refuses, or `E_PATH_LOST` */
  #socket(sessionId: string, signal: AbortSignal): Promise<WebSocket> {
    const { base, environment } = this.#options.signaling;
    const { WebSocket } = environment;
    if (WebSocket === undefined) throw new DirectError('E_PATH_LOST', 'this runtime has no WebSocket');
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${base.replace(/^http/, 'ws')}/relay?session_id=${sessionId}`);
      const abort = () => {
        reject(signal.reason);
        socket.close();
      };
      signal.addEventListener('abort', abort, { once: true });
      socket.addEventListener('open', () => {
        signal.removeEventListener('abort', abort);
        resolve(socket);
      });
      socket.addEventListener('close', ({ code, reason }: { code: number; reason: string }) => {
        const own = code >= FIRST_OWN_CLOSE_CODE;
        reject(new DirectError(own ? codeFromNumber(code) : 'E_PATH_LOST', reason || `no WebSocket (${code})`));
      });
      // Followed by `close` in every runtime, except for a URL that CSP forbids in some.
      socket.addEventListener('error', () => reject(new DirectError('E_PATH_LOST', 'no WebSocket')));
    });
  }

  #lost(link: PathLink, error: DirectError): void {
    if (this.#current?.link !== link) return;
    this.#current = undefined;
    if (this.#state === 'closed') return;
    this.#error = error;
    this.#options.diagnostics.log(`relay lost: ${error.code} ${error.detail ?? ''}`);
    if (this.#attempt === undefined) this.#wait();
    else this.#enter('connecting');
  }

  #failed(attempt: AbortController, cause: unknown): void {
    if (this.#state === 'closed' || this.#attempt !== attempt) return;
    const error = cause instanceof DirectError ? cause : new DirectError('E_INTERNAL', `${cause}`, { cause });
    this.#options.diagnostics.log(`no relay: ${error.code} ${error.detail ?? ''}`);
    // The path that was to be replaced still stands.
    if (this.#current !== undefined) return;
    this.#error = error;
    this.#failures += 1;
    if (FINAL.includes(error.code)) this.#enter('failed');
    else this.#wait();
  }

  #wait(): void {
    const { environment } = this.#options.signaling;
    const pause = RELAY_RETRY_DELAYS_MS[Math.min(this.#failures, RELAY_RETRY_DELAYS_MS.length - 1)] ?? 0;
    // Jitter: after a deploy all sockets drop at once, and must not all come back at once.
    this.#cancelRetry();
    this.#cancelRetry = environment.timer(pause * (0.5 + environment.random() / 2), () => this.#connect());
    this.#enter('waiting');
  }

  #enter(state: RelayState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.changed();
  }
}
