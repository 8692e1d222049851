/** A session over a data channel, with what belongs to its life: signaling for late candidates, liveness, the end. */
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import { LIVENESS_PROBE_MS, LIVENESS_TIMEOUT_MS } from '../../shared/limits.ts';
import { Session, type SessionEnvironment, type SessionEvents } from '../../shared/session.ts';
import type { DirectKind } from './candidate-pair.ts';
import type { ChannelPath } from './channel-path.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { PeerLink } from './peer-link.ts';
import type { SignalTransport } from './signal-transport.ts';

/** Candidates may still come after the first pair works; a later one may be better than TURN. */
const SIGNALING_LINGER_MS = 3_000;

export interface DirectConnectionEvents {
  /** The connection, once ready, has ended; called once. */
  closed(error: DirectError): void;
  /** A PING was answered after `ms`. */
  rtt(ms: number): void;
  /** ICE moved to another kind of pair. */
  kindChanged(): void;
}

export class DirectConnection {
  readonly session: Session;
  /** Resolves when the agent has answered HELLO and the kind is known. @throws DirectError */
  readonly ready: Promise<void>;
  readonly #link: PeerLink;
  readonly #diagnostics: Diagnostics;
  readonly #events: DirectConnectionEvents;
  readonly #path: ChannelPath;
  #kind: DirectKind = 'direct';
  #isReady = false;

  constructor(
    sessionId: string,
    link: PeerLink,
    signaling: SignalTransport,
    environment: SessionEnvironment,
    diagnostics: Diagnostics,
    events: DirectConnectionEvents,
  ) {
    this.#link = link;
    this.#diagnostics = diagnostics;
    this.#events = events;
    const opened = Promise.withResolvers<void>();
    const stopSignaling = environment.timer(SIGNALING_LINGER_MS, () => signaling.close());
    const path = link.path();
    this.#path = path;
    const sessionEvents: SessionEvents = {
      open: () => {
        diagnostics.log('session open');
        opened.resolve();
      },
      closed: (error) => {
        diagnostics.log(`session closed: ${error.code} ${error.detail ?? ''}`);
        stopSignaling();
        signaling.close();
        // Later: the session’s own last message is sent after this call.
        environment.defer(() => link.close());
        opened.reject(error);
        if (this.#isReady) events.closed(error);
      },
      rtt: (ms) => events.rtt(ms),
    };
    this.session = new Session({ role: 'client', sessionId, path, environment, events: sessionEvents });
    // In one turn with HELLO: the answer brings the first round-trip time.
    this.session.probe(LIVENESS_TIMEOUT_MS);
    this.ready = Promise.all([opened.promise, this.#readPair()]).then(() => {
      this.#isReady = true;
    });
  }

  /** Whether packets go through a TURN server. */
  get kind(): DirectKind {
    return this.#kind;
  }

  /** Asks now whether the path still works; it is given up soon if nothing is heard. */
  probe(reason: string): void {
    this.#diagnostics.log(`probe: ${reason}`);
    this.session.probe(LIVENESS_PROBE_MS);
  }

  /** ICE may have moved to another pair. */
  checkPair(): void {
    const before = this.#kind;
    void this.#readPair().then(() => {
      if (this.#kind !== before) this.#events.kindChanged();
    });
  }

  /** WebRTC has given up. */
  broken(reason: string): void {
    if (this.session.error !== undefined) return;
    this.#path.fail(reason);
  }

  /** Ends the session and tells the agent why. */
  close(code: ErrorCode): void {
    this.session.close(code);
  }

  /** Never fails: without statistics the path counts as direct. */
  async #readPair(): Promise<void> {
    try {
      const { kind, description } = await this.#link.selectedPair();
      this.#kind = kind;
      this.#diagnostics.log(`candidate pair: ${description}`);
    } catch (error) {
      this.#diagnostics.log(`no statistics: ${error instanceof DirectError ? error.code : error}`);
    }
  }
}
