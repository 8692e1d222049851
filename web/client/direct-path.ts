/** A data channel as a path of the session, with what belongs to its life: signaling for late candidates, its kind. */
import { DirectError } from '../../shared/errors.ts';
import { LIVENESS_PROBE_MS } from '../../shared/limits.ts';
import type { PathLink, SessionEnvironment } from '../../shared/path-link.ts';
import type { DirectKind, SelectedPair } from './candidate-pair.ts';
import type { ChannelPath } from './channel-path.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { HostSession } from './host-session.ts';
import type { PeerLink } from './peer-link.ts';
import type { SignalTransport } from './signal-transport.ts';

/** Candidates may still come after the first pair works; a later one may be better than TURN. */
const SIGNALING_LINGER_MS = 3_000;

/** Chromium answers `getStats` from a cache for 50 ms (libwebrtc, RTCStatsCollector), and what it says is of before. */
const STATS_AGE_MS = 60;

export interface DirectPathOptions {
  /** The signaling session. */
  sessionId: string;
  /** See `PathOptions`. */
  binding: Uint8Array;
  /** Its channel is open. */
  peer: PeerLink;
  signaling: SignalTransport;
  /** When the credentials of its TURN servers are to be renewed, in monotonic ms; undefined if they last. */
  renewAt: number | undefined;
  host: HostSession;
  environment: SessionEnvironment;
  diagnostics: Diagnostics;
  /** The path, once ready, has ended; called once. */
  lost(error: DirectError): void;
}

export class DirectPath {
  /** Resolves when the agent has answered HELLO. @throws DirectError */
  readonly ready: Promise<void>;
  readonly #options: DirectPathOptions;
  readonly #path: ChannelPath;
  readonly #stopSignaling: () => void;
  readonly #opened = Promise.withResolvers<void>();
  #link: PathLink | undefined;
  #isReady = false;
  #ended: DirectError | undefined;

  constructor(options: DirectPathOptions) {
    this.#options = options;
    const { peer, signaling, environment } = options;
    this.#path = peer.path();
    this.#stopSignaling = environment.timer(SIGNALING_LINGER_MS, () => signaling.close());
    this.ready = this.#opened.promise;
    void this.#attach();
  }

  async #attach(): Promise<void> {
    const { host, sessionId, binding } = this.#options;
    // First, so that the path is shown as what it is from the start.
    const kind = await this.#readPair();
    if (this.#ended !== undefined) return;
    this.#link = host.attach(
      this.#path,
      { sessionId, kind, binding },
      {
        opened: () => {
          this.#isReady = true;
          this.#opened.resolve();
        },
        lost: (error) => this.#end(error),
        // HELLO left when the path was attached, if it was not broken by then.
        sentAny: () => true,
      },
    );
  }

  /** Why the path has ended, undefined while it lives. */
  get ended(): DirectError | undefined {
    return this.#ended;
  }

  /** See the option. */
  get renewAt(): number | undefined {
    return this.#options.renewAt;
  }

  get kind(): DirectKind {
    return this.#link?.kind === 'turn' ? 'turn' : 'direct';
  }

  /** It does not answer just now. */
  get isDoubtful(): boolean {
    return this.#link?.doubtful === true;
  }

  /** What it goes by; undefined where the browser tells nothing. */
  pair(): Promise<SelectedPair | undefined> {
    return this.#options.peer.selectedPair().catch(() => undefined);
  }

  /** Takes the place of `before`, and with it the trust that it has earned: the session moves here. */
  succeed(before: DirectPath): void {
    if (this.#link !== undefined && before.#link !== undefined) this.#link.inherit(before.#link);
    before.close(new DirectError('E_CANCELLED', 'a newer path took its place'));
  }

  /** Asks now whether the path still works; it is given up soon if nothing is heard. */
  probe(reason: string): void {
    this.#options.diagnostics.log(`probe: ${reason}`);
    this.#link?.probe(LIVENESS_PROBE_MS);
  }

  /** ICE may have moved to another pair. */
  checkPair(): void {
    this.#options.environment.timer(STATS_AGE_MS, () => {
      if (this.#ended !== undefined) return;
      void this.#readPair().then((kind) => {
        if (this.#link !== undefined) this.#link.kind = kind;
      });
    });
  }

  /** WebRTC has given up, or is not wanted any longer. */
  close(error: DirectError): void {
    if (this.#link === undefined) this.#end(error);
    else this.#link.end(error);
  }

  #end(error: DirectError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    const { signaling, environment, peer } = this.#options;
    this.#stopSignaling();
    signaling.close();
    // Later: the session's own last message is sent after this call.
    environment.defer(() => peer.close());
    if (this.#isReady) this.#options.lost(error);
    else this.#opened.reject(error);
  }

  /** Never fails: without statistics the path counts as direct. */
  async #readPair(): Promise<DirectKind> {
    const { peer, diagnostics } = this.#options;
    try {
      const { kind, description } = await peer.selectedPair();
      diagnostics.log(`candidate pair: ${description}`);
      return kind;
    } catch (error) {
      diagnostics.log(`no statistics: ${error instanceof DirectError ? error.code : error}`);
      return 'direct';
    }
  }
}
