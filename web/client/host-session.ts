/** The client's session with its host: one that lives, made anew when the last one has ended. */
import type { DeviceProof } from '../../shared/device-identity.ts';
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import type { Path } from '../../shared/path.ts';
import type { PathLink } from '../../shared/path-link.ts';
import type { PathOptions, Session } from '../../shared/session.ts';
import { isDeviceRefusal } from './device.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { ClientEnvironment, SessionParts } from './environment.ts';

/** Requests wait so long for the next path, before they go by HTTPS: a network that is gone for longer has changed. */
const BETWEEN_PATHS_MS = 10_000;

/** What becomes of one path. */
export interface PathListener {
  /** The agent has answered HELLO. */
  opened(): void;
  /** The path has ended; called once, and nothing comes after it. */
  lost(error: DirectError): void;
  /** Whether anything was sent on the path. */
  sentAny(): boolean;
}

export interface HostSessionEvents {
  /** Makes the proof of this device for a path; absent where no device is to be proved. */
  prove?: ((sessionId: string, binding: Uint8Array) => Promise<DeviceProof | undefined>) | undefined;
  /** The agent has accepted a path, and whatever device it was shown. */
  accepted?(): void;
  /** The agent does not accept this device, on any path. */
  refused?(error: DirectError): void;
  /** The session goes on by another path, or by none. */
  moved(): void;
  /** A path came into doubt, or is heard again. */
  changed(): void;
  /** The last open path has ended while requests run. */
  stranded(): void;
  /** A PING was answered on the path in use after `ms`. */
  rtt(ms: number): void;
}

export class HostSession {
  readonly #environment: ClientEnvironment;
  readonly #diagnostics: Diagnostics;
  readonly #events: HostSessionEvents;
  readonly #listeners = new Map<PathLink, PathListener>();
  #loading: Promise<void> | undefined;
  #parts: SessionParts | undefined;
  #session: Session | undefined;
  /** Something of the session may have reached the agent. */
  #begun = false;
  #betweenPaths = false;
  #cancelPatience: () => void = () => {};

  constructor(environment: ClientEnvironment, diagnostics: Diagnostics, events: HostSessionEvents) {
    this.#environment = environment;
    this.#diagnostics = diagnostics;
    this.#events = events;
    // Before any path asks: those take longer.
    this.load().catch(() => {});
  }

  /** Makes `attach` possible. @throws DirectError `E_PATH_LOST`: an edge that is out of reach sends no files either. */
  load(): Promise<void> {
    this.#loading ??= this.#environment.sessionParts().then(
      (parts) => {
        this.#parts = parts;
      },
      (cause: unknown) => {
        this.#loading = undefined;
        throw new DirectError('E_PATH_LOST', 'the files for the session do not come', { cause });
      },
    );
    return this.#loading;
  }

  /** The session if it has a path: the first request leaves together with HELLO. */
  get ready(): Session | undefined {
    return this.#session?.active === undefined ? undefined : this.#session;
  }

  /** The session has lost its last path, so lately that another one may come soon. */
  get isBetweenPaths(): boolean {
    return this.#session !== undefined && this.#betweenPaths;
  }

  /** Requests run. */
  get isBusy(): boolean {
    return this.#session !== undefined && this.#session.streamCount > 0;
  }

  /** Requests run, and no path is open: the session lives for SESSION_SURVIVAL_MS. */
  get isStranded(): boolean {
    return this.isBusy && this.#session?.links.every(({ isOpen }) => !isOpen) === true;
  }

  /** The path in use; a session's first one is used before the agent has answered on it. */
  get active(): PathLink | undefined {
    return this.#session?.active;
  }

  /** Adds a path to the session, or begins one with it; after `load`. */
  attach(path: Path, options: PathOptions, listener: PathListener): PathLink {
    if (this.#parts === undefined) throw new DirectError('E_INTERNAL', 'the session layer is not there yet');
    this.#session ??= this.#begin(this.#parts);
    const { prove } = this.#events;
    const { sessionId, binding } = options;
    const proof = prove && binding && { prove: () => prove(sessionId, binding) };
    const link = this.#session.attach(path, { ...options, ...proof });
    // A path may have ended before its time.
    if (link.hasEnded) this.#environment.defer(() => this.#lost(link, undefined));
    this.#listeners.set(link, listener);
    return link;
  }

  /** Ends the session, and tells the agent why. */
  close(code: ErrorCode): void {
    this.#session?.close(code);
  }

  #begin({ Session }: SessionParts): Session {
    this.#begun = false;
    const session: Session = new Session({
      role: 'client',
      id: this.#environment.newId(),
      environment: this.#environment,
      events: {
        opened: (link) => {
          this.#diagnostics.log(`session open on the ${link.kind} path`);
          this.#events.accepted?.();
          this.#listeners.get(link)?.opened();
          this.#events.moved();
        },
        // The session goes on by another path first: in between there would be none for a moment.
        lost: (link, error) => this.#environment.defer(() => this.#lost(link, error)),
        moved: () => {
          this.#wait(session);
          this.#diagnostics.log(
            `session uses ${session.active === undefined ? 'no' : `the ${session.active.kind}`} path`,
          );
          this.#events.moved();
        },
        changed: () => this.#events.changed(),
        rtt: (ms, link) => {
          if (link === session.active) this.#events.rtt(ms);
        },
        closed: (error) => {
          this.#diagnostics.log(`session closed: ${error.code} ${error.detail ?? ''}`);
          this.#cancelPatience();
          if (this.#session === session) this.#session = undefined;
          if (isDeviceRefusal(error)) this.#events.refused?.(error);
          this.#events.moved();
        },
      },
    });
    return session;
  }

  #wait(session: Session): void {
    this.#cancelPatience();
    this.#betweenPaths = session.links.length === 0;
    if (!this.#betweenPaths) return;
    this.#cancelPatience = this.#environment.timer(BETWEEN_PATHS_MS, () => {
      this.#betweenPaths = false;
      this.#events.moved();
    });
  }

  #lost(link: PathLink, error: DirectError | undefined): void {
    const listener = this.#listeners.get(link);
    this.#listeners.delete(link);
    if (listener === undefined) return;
    const known = error ?? new DirectError('E_PATH_LOST', 'it ended before it began');
    this.#begun ||= listener.sentAny();
    listener.lost(known);
    if (isDeviceRefusal(known)) this.#events.refused?.(known);
    // What no agent has heard of need not wait for another path of this session: it may go any way.
    if (!this.#begun && this.#session?.links.length === 0) this.#session.close('E_PATH_LOST', known.detail);
    if (this.isStranded) this.#events.stranded();
  }
}
