/**
 * The agent's sessions: takes paths, and finds by HELLO which session each belongs to. A session outlives its paths,
 * so paths and sessions are counted apart.
 */
import type { DeviceProof } from './device-identity.ts';
import { DirectError, type ErrorCode, ProtocolError } from './errors.ts';
import type { Grant } from './grant.ts';
import { agentHello, parseClientHello } from './hello.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_SESSIONS } from './limits.ts';
import type { Path, PathKind } from './path.ts';
import { type LinkOwner, PathLink, type SessionEnvironment } from './path-link.ts';
import { type PathOptions, Session } from './session.ts';
import type { Stream } from './stream.ts';

/**
 * What the streams of a session may do. `in-heads`: its client is the edge, which says it in each request's head.
 * Undefined: the edge has said nothing, so nothing.
 */
export type SessionGrant = Grant | 'in-heads' | undefined;

export interface SessionsOptions {
  environment: SessionEnvironment;
  /** A client opened a stream. */
  stream(stream: Stream, grant: SessionGrant, session: Session): void;
  /**
   * Whether a client may use the path, asked when it has said HELLO and before anything else of it is looked at.
   * Returns whose the path is, if that was proved: a session takes the paths of one owner only.
   * @throws DirectError to refuse.
   */
  admit?(path: AcceptOptions, device: DeviceProof | undefined): Promise<string | undefined>;
  /** Whether no session has begun by a first message with this preface, anywhere, and none ever will (RelayKeys). */
  neverBegan?(preface: Uint8Array): boolean;
  /** A session goes on by another path, which is none after the last one was lost. For the log. */
  moved?(session: Session): void;
  maxSessions?: number;
  handshakeTimeoutMs?: number;
}

/** As for `Session.attach`, but for the binding. */
export interface AcceptOptions extends Omit<PathOptions, 'binding' | 'prove'> {
  /** The path may be accepted before its keys are there; when HELLO has come they are. */
  binding?(): Uint8Array | undefined;
  /** From the edge, which let the path's client in. */
  grant?: SessionGrant;
  /** A name of the client's address, if the edge gives one: who guesses is told from others by it. */
  from?: string | undefined;
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
  /** ICE may move between direct and TURN. */
  moved(kind: PathKind): void;
}

/** What can be told of a session. */
export interface SessionView {
  readonly session: Session;
  readonly grant: SessionGrant;
  /** The signaling session of its first path, which names it in the log. */
  readonly sessionId: string;
  /** When it began, in monotonic ms. */
  readonly since: number;
}

interface Accepted extends Required<PathEvents> {
  readonly options: AcceptOptions;
  readonly grant: SessionGrant;
  /** Whose it is, once it was admitted as somebody's. */
  owner: string | undefined;
}

/** A session, whose it is, and what it may do: what the edge said with its latest path. */
interface Entry extends SessionView {
  readonly owner: string | undefined;
  grant: SessionGrant;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Entry>();
  #closed: ErrorCode | undefined;
  /** Paths that have not ended, with HELLO or without. */
  readonly #accepted = new Map<PathLink, Accepted>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Sessions that live, with or without a path. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Sessions that live, the newest last but for those that have lost their paths. */
  get all(): readonly SessionView[] {
    return [...this.#sessions.values()];
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
      owner: undefined,
      grant: options.grant,
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
      moved: (kind) => {
        link.kind = kind;
      },
    };
  }

  /** Ends every session, telling the clients why; from now on others are refused with the same code. */
  close(code: ErrorCode): void {
    this.#closed = code;
    for (const { session } of [...this.#sessions.values()]) session.close(code);
  }

  /** Ends the sessions of `subject` and its paths that are none yet with `E_UNAUTHORIZED`. */
  revoke(subject: string): void {
    const isTheirs = ({ grant }: { grant: SessionGrant }) => typeof grant === 'object' && grant.subject === subject;
    for (const entry of [...this.#sessions.values()]) if (isTheirs(entry)) entry.session.close('E_UNAUTHORIZED');
    for (const [link, accepted] of [...this.#accepted]) {
      if (isTheirs(accepted)) this.#refuse(link, new DirectError('E_UNAUTHORIZED'));
    }
  }

  /** Ends the sessions whose paths were admitted as those of `owner`, and tells their clients why. */
  closeOf(owner: string, code: ErrorCode): void {
    for (const entry of [...this.#sessions.values()]) if (entry.owner === owner) entry.session.close(code);
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
      accepted.owner = owner;
    });
  }

  #hello(link: PathLink, json: string): void {
    const { session: id, resumed, preface, survivalMs, lanes = 1 } = parseClientHello(json, link.sessionId);
    if (this.#closed !== undefined) throw new ProtocolError('no more sessions', this.#closed);
    let entry = this.#sessions.get(id);
    if (entry === undefined && resumed && !this.#hasHeardNothing(preface)) {
      throw new ProtocolError('the session is not known here', 'E_HOST_RESTARTED');
    }
    const accepted = this.#accepted.get(link);
    entry ??= this.#create(link, id, survivalMs, accepted);
    if (subjectOf(entry.grant) !== subjectOf(accepted?.grant)) {
      throw new ProtocolError('the session is another’s', 'E_UNAUTHORIZED');
    }
    // Whoever learned the session's id has not learned its owner's key.
    if (entry.owner !== accepted?.owner) throw new ProtocolError('the session is another’s', 'E_DEVICE_UNKNOWN');
    entry.grant = accepted?.grant;
    link.openLanes(lanes);
    entry.session.adopt(link);
    link.sayHello(agentHello(link.sessionId, link.path.lanes));
    accepted?.opened();
  }

  #hasHeardNothing(preface: Uint8Array | undefined): boolean {
    return preface !== undefined && this.#options.neverBegan?.(preface) === true;
  }

  #create({ sessionId }: PathLink, id: string, survivalMs: number, accepted: Accepted | undefined): Entry {
    const { environment, stream, moved, maxSessions = MAX_SESSIONS } = this.#options;
    if (this.#sessions.size >= maxSessions) this.#makeRoom();
    const session = new Session({
      role: 'agent',
      id,
      environment,
      survivalMs,
      events: {
        stream: (opened) => stream(opened, entry.grant, session),
        ...(moved === undefined ? {} : { moved: () => moved(session) }),
        lost: (link, error) => {
          this.#ended(link, error);
          if (session.links.length > 0) return;
          // To the end of the line for `#makeRoom`.
          this.#sessions.delete(id);
          this.#sessions.set(id, entry);
        },
        closed: () => this.#sessions.delete(id),
      },
    });
    const entry: Entry = {
      session,
      owner: accepted?.owner,
      grant: accepted?.grant,
      sessionId,
      since: environment.now(),
    };
    this.#sessions.set(id, entry);
    return entry;
  }

  /** The session that has been without a path for longest is the least likely to be missed. */
  #makeRoom(): void {
    const left = [...this.#sessions.values()].find(({ session }) => session.links.length === 0);
    if (left === undefined) throw new ProtocolError('too many sessions', 'E_HOST_BUSY');
    left.session.close('E_PATH_LOST');
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

/** What all paths of a session have in common. */
function subjectOf(grant: SessionGrant): string | undefined {
  return typeof grant === 'object' ? grant.subject : grant;
}
