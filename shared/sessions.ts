/**
 * The agent's sessions: takes paths, and finds by HELLO which session each belongs to. A session outlives its paths,
 * so paths and sessions are counted apart.
 */
import type { DeviceProof } from './device-identity.ts';
import { DirectError, type ErrorCode, ProtocolError } from './errors.ts';
import { agentHello, parseClientHello } from './hello.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_SESSIONS } from './limits.ts';
import type { Path } from './path.ts';
import { type LinkOwner, PathLink, type SessionEnvironment } from './path-link.ts';
import { type PathOptions, Session } from './session.ts';
import type { Stream } from './stream.ts';

export interface SessionsOptions {
  environment: SessionEnvironment;
  /** A client opened a stream. */
  stream(stream: Stream): void;
  /**
   * Whether a client may use the path, asked when it has said HELLO and before anything else of it is looked at.
   * Returns whose the path is, if that was proved: a session takes the paths of one owner only.
   * @throws DirectError to refuse.
   */
  admit?(path: AcceptOptions, device: DeviceProof | undefined): Promise<string | undefined>;
  /** A session goes on by another path, which is none after the last one was lost. For the log. */
  moved?(session: Session): void;
  maxSessions?: number;
  handshakeTimeoutMs?: number;
}

/** As for `Session.attach`, but for the binding. */
export interface AcceptOptions extends Omit<PathOptions, 'binding' | 'prove'> {
  /** The path may be accepted before its keys are there; when HELLO has come they are. */
  binding?(): Uint8Array | undefined;
  /** The client is the edge itself. */
  tunnel?: boolean;
  /** A name of the client's address, if the edge gives one: who guesses is told from others by it. */
  from?: string;
}

export interface PathEvents {
  /** The client has said HELLO and was admitted: the path is part of a session. */
  opened?(): void;
  /** The path has ended. */
  ended?(error: DirectError): void;
}

/** A path that was accepted. */
export interface AcceptedPath {
  /** Whether the client has said HELLO. */
  readonly isOpen: boolean;
  /** Refuses the path, and tells the client why; one that is open already ends, and its session goes on without it. */
  close(code: ErrorCode): void;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  #closed: ErrorCode | undefined;
  readonly #accepted = new WeakMap<PathLink, Required<PathEvents> & { options: AcceptOptions }>();
  /** Whose paths were admitted as somebody's. */
  readonly #owners = new WeakMap<PathLink | Session, string>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Sessions that live, with or without a path. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Takes a path. A client that does not say HELLO in time is refused with `E_HANDSHAKE_TIMEOUT`. */
  accept(path: Path, options: AcceptOptions, events: PathEvents = {}): AcceptedPath {
    const { environment, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS } = this.#options;
    const link = new PathLink({ ...options, path, environment, owner: this.#door });
    const cancel = environment.timer(handshakeTimeoutMs, () => {
      this.#refuse(link, new DirectError('E_HANDSHAKE_TIMEOUT'));
    });
    this.#accepted.set(link, {
      options,
      opened: () => {
        cancel();
        events.opened?.();
      },
      ended: (error) => {
        cancel();
        events.ended?.(error);
      },
    });
    link.start();
    return {
      get isOpen() {
        return link.isOpen;
      },
      close: (code) => {
        if (link.isOpen) link.end(new DirectError(code));
        else this.#refuse(link, new DirectError(code));
      },
    };
  }

  /** Ends every session, telling the clients why; from now on others are refused with the same code. */
  close(code: ErrorCode): void {
    this.#closed = code;
    for (const session of [...this.#sessions.values()]) session.close(code);
  }

  /** Ends the sessions whose paths were admitted as those of `owner`, and tells their clients why. */
  closeOf(owner: string, code: ErrorCode): void {
    for (const session of [...this.#sessions.values()]) {
      if (this.#owners.get(session) === owner) session.close(code);
    }
  }

  /** Owns the links that belong to no session yet. */
  readonly #door: LinkOwner = {
    role: 'agent',
    awaits: () => false,
    admit: (link, json) => this.#admit(link, json),
    hello: (link, json) => this.#hello(link, json),
    frame: () => {},
    flush: () => {},
    changed: () => {},
    rtt: () => {},
    violated: (link, error) => this.#refuse(link, error),
    closedByPeer: (link, error) => link.end(error),
    lost: (link, error) => this.#ended(link, error),
  };

  #admit(link: PathLink, json: string): Promise<void> | undefined {
    const { admit } = this.#options;
    const accepted = this.#accepted.get(link);
    if (admit === undefined || accepted === undefined) return undefined;
    const { device } = parseClientHello(json, link.sessionId);
    return admit(accepted.options, device).then((owner) => {
      if (owner !== undefined) this.#owners.set(link, owner);
    });
  }

  #hello(link: PathLink, json: string): void {
    const { session: id, resumed, survivalMs } = parseClientHello(json, link.sessionId);
    if (this.#closed !== undefined) throw new ProtocolError('no more sessions', this.#closed);
    let session = this.#sessions.get(id);
    if (session === undefined && resumed) throw new ProtocolError('the session is not known here', 'E_HOST_RESTARTED');
    const owner = this.#owners.get(link);
    // Whoever learned the session's id has not learned its owner's key.
    if (session !== undefined && this.#owners.get(session) !== owner) {
      throw new ProtocolError('the session is another one’s', 'E_DEVICE_UNKNOWN');
    }
    session ??= this.#create(id, survivalMs);
    if (owner !== undefined) this.#owners.set(session, owner);
    session.adopt(link);
    link.sayHello(agentHello(link.sessionId));
    this.#accepted.get(link)?.opened();
  }

  #create(id: string, survivalMs: number): Session {
    const { environment, stream, moved, maxSessions = MAX_SESSIONS } = this.#options;
    if (this.#sessions.size >= maxSessions) this.#makeRoom();
    const session = new Session({
      role: 'agent',
      id,
      environment,
      survivalMs,
      events: {
        stream,
        ...(moved === undefined ? {} : { moved: () => moved(session) }),
        lost: (link, error) => {
          this.#ended(link, error);
          if (session.links.length > 0) return;
          // To the end of the line for `#makeRoom`.
          this.#sessions.delete(id);
          this.#sessions.set(id, session);
        },
        closed: () => this.#sessions.delete(id),
      },
    });
    this.#sessions.set(id, session);
    return session;
  }

  /** The session that has been without a path for longest is the least likely to be missed. */
  #makeRoom(): void {
    const left = [...this.#sessions.values()].find(({ links }) => links.length === 0);
    if (left === undefined) throw new ProtocolError('too many sessions', 'E_HOST_BUSY');
    left.close('E_PATH_LOST');
  }

  #refuse(link: PathLink, error: DirectError): void {
    link.close(error);
    this.#ended(link, error);
  }

  #ended(link: PathLink, error: DirectError): void {
    const events = this.#accepted.get(link);
    this.#accepted.delete(link);
    events?.ended(error);
  }
}
