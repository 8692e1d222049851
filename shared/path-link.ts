/** One path of a session, seen from one end: HELLO, liveness, and the frames that belong to the path itself. */
import { codeFromNumber, DirectError, ERRORS, ProtocolError } from './errors.ts';
import { CONTROL_BYTES, decodeFrames, encodeFrames, type Frame } from './frame.ts';
import type { HelloFrame } from './hello.ts';
import {
  BUSY_DIRECT_IDLE_MS,
  BUSY_RELAY_IDLE_MS,
  LIVENESS_IDLE_MS,
  MAX_QUEUED_ACKNOWLEDGEMENTS,
  MAX_REASON_BYTES,
  MAX_UNADMITTED_BYTES,
  RESTING_DIRECT_IDLE_MS,
  UNOPENED_MESSAGE_BYTES,
} from './limits.ts';
import { Liveness } from './liveness.ts';
import type { Path, PathKind } from './path.ts';

/** What a session takes from its runtime; tests give it a simulated one. */
export interface SessionEnvironment {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` once after `ms`; the returned function cancels it. */
  timer(ms: number, run: () => void): () => void;
  /** Calls `run` when the current event-loop turn's work is done, so that small writes leave as one message. */
  defer(run: () => void): void;
}

/** A client opens streams, an agent answers them. */
export type SessionRole = 'client' | 'agent';

/** Frames of the path itself, of which only the newest of each type counts. */
type LinkFrame = Extract<Frame, { type: 'HELLO' | 'PING' | 'PONG' | 'USE_PATH' }>;

/** Frames of the session, which may come on any of its paths. */
export type SessionFrame = Exclude<Frame, { type: 'HELLO' | 'PING' | 'PONG' | 'CONNECTION_CLOSE' }>;

/** What a link tells: to its session, or before that to whoever finds out which session it belongs to. */
export interface LinkOwner {
  readonly role: SessionRole;
  /** True while the session waits for something from the peer. */
  awaits(link: PathLink): boolean;
  /**
   * Whether the peer's HELLO may open the path. While that is decided, what follows it waits.
   * @throws ProtocolError at once for what is malformed, or rejects with a DirectError to refuse.
   */
  admit?(link: PathLink, json: string): Promise<void> | undefined;
  /** The peer's HELLO, when it was admitted; the owner says `openLanes`. @throws ProtocolError */
  hello(link: PathLink, json: string): void;
  /** @throws ProtocolError */
  frame(link: PathLink, frame: SessionFrame, lane: number): void;
  /** The link takes messages now. */
  flush(link: PathLink): void;
  /** It came into doubt or is heard again, or its kind is another one. */
  changed(link: PathLink): void;
  rtt(link: PathLink, ms: number): void;
  /** The peer broke the protocol on this link. */
  violated(link: PathLink, error: DirectError): void;
  /** The peer ended the session, or refused the path. */
  closedByPeer(link: PathLink, error: DirectError): void;
  /** The path has ended; called once, and nothing comes after it. */
  lost(link: PathLink, error: DirectError): void;
}

export interface PathLinkOptions {
  path: Path;
  kind: PathKind;
  /** The signaling session that the path came from. */
  sessionId: string;
  /** See `PathOptions`; asked when HELLO has come. */
  binding?: (() => Uint8Array | undefined) | undefined;
  environment: SessionEnvironment;
  owner: LinkOwner;
}

export class PathLink {
  readonly path: Path;
  readonly sessionId: string;
  /** Whom the link tells; another one when the link's session is found. */
  owner: LinkOwner;
  readonly #environment: SessionEnvironment;
  readonly #binding: () => Uint8Array | undefined;
  readonly #liveness: Liveness;
  readonly #control = new Map<LinkFrame['type'], LinkFrame>();
  /** Of streams that have ended, by stream. */
  readonly #acknowledgements = new Map<number, Extract<Frame, { type: 'MAX_STREAM_DATA' }>>();
  #kind: PathKind;
  #rtt: number | undefined;
  #state: 'greeting' | 'admitting' | 'open' | 'ended' = 'greeting';
  /** What came after HELLO in its message, and the messages after that, until the path is admitted. */
  #rest: readonly Frame[] = [];
  readonly #held: { message: Uint8Array; lane: number }[] = [];
  #heldBytes = 0;
  /** As many as both ends have; known with the peer's HELLO. */
  #lanes = 1;
  /** By stream: the lane that this end sends its frames in. */
  readonly #laneOf = new Map<number, number>();
  /** Client: that this path is used, and the lanes in which that was said. */
  #use: Extract<Frame, { type: 'USE_PATH' }> | undefined;
  readonly #usedLanes = new Set<number>();
  /** Client: lanes of streams that are there already, to be said together with it. */
  #lanesToSay: Frame[] = [];
  #provenAt: number;
  #heardAt: number;
  #sentBytes = 0;
  #flushDue = false;
  #saidHello = false;

  constructor({ path, kind, sessionId, binding, environment, owner }: PathLinkOptions) {
    this.path = path;
    this.sessionId = sessionId;
    this.#binding = binding ?? (() => undefined);
    this.owner = owner;
    this.#kind = kind;
    this.#environment = environment;
    this.#provenAt = environment.now();
    this.#heardAt = environment.now();
    this.#liveness = new Liveness({
      now: () => environment.now(),
      timer: (ms, run) => environment.timer(ms, run),
      idleMs: () => this.#idleMs(),
      left: () => this.#sentBytes + path.capacity(),
      ping: (nonce) => this.put({ type: 'PING', nonce }),
      doubt: (doubtful) => {
        if (!doubtful) this.#provenAt = environment.now();
        this.owner.changed(this);
      },
      dead: (silentMs) => this.end(new DirectError('E_PATH_LOST', `nothing heard for ${silentMs} ms`)),
    });
  }

  /** Starts to listen; called once, when the owner is ready for what comes. */
  start(): void {
    this.path.start({
      message: (message, lane = 0) => this.#receive(message, lane),
      drained: () => this.owner.flush(this),
      closed: (reason) => this.end(new DirectError('E_PATH_LOST', reason)),
    });
  }

  /** See `PathOptions`. At the agent there is one when HELLO has come, if ever. */
  get binding(): Uint8Array | undefined {
    return this.#binding();
  }

  get kind(): PathKind {
    return this.#kind;
  }

  /** ICE may move between direct and TURN. */
  set kind(kind: PathKind) {
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.owner.changed(this);
  }

  /** The peer's HELLO has arrived on this path, and was admitted. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** The path does not answer just now. */
  get doubtful(): boolean {
    return this.#liveness.doubtful;
  }

  /** Since when the path has worked without a doubt, in monotonic ms. */
  get provenAt(): number {
    return this.#provenAt;
  }

  /** This path takes the place of `before`: it need not prove itself where that one had done so. */
  inherit(before: PathLink): void {
    if (!before.doubtful) this.#provenAt = Math.min(this.#provenAt, before.provenAt);
  }

  /** When something last arrived, in monotonic ms. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** The last measured round-trip time in ms. */
  get rtt(): number | undefined {
    return this.#rtt;
  }

  /** This end has said HELLO, or is about to. */
  get saidHello(): boolean {
    return this.#saidHello;
  }

  /** Says HELLO. Only from now on the path is watched: no frame may come before, so PING may not either. */
  sayHello(hello: HelloFrame): void {
    this.#saidHello = true;
    this.put(hello);
    this.#liveness.start();
  }

  /**
   * Client: from now on both ends send on this path. It is the first that the agent hears in any lane, and with it come
   * the lanes of `streams`, since the agent goes on with them at once.
   */
  use(sequence: number, streams: Iterable<number>): void {
    this.#use = { type: 'USE_PATH', sequence };
    this.#usedLanes.clear();
    this.#lanesToSay = [];
    if (this.#lanes > 1) for (const id of streams) this.#lanesToSay.push({ type: 'LANE', id, lane: this.laneOf(id) });
    this.put(this.#use);
  }

  /** So many lanes the peer takes. */
  openLanes(lanes: number): void {
    this.#lanes = Math.min(this.path.lanes ?? 1, lanes);
  }

  /** Sends one message in `lane`. */
  send(frames: readonly Frame[], lane = 0): void {
    const isFirst = lane !== 0 && this.#use !== undefined && !this.#usedLanes.has(lane);
    if (isFirst) this.#usedLanes.add(lane);
    const message = encodeFrames(isFirst && this.#use !== undefined ? [this.#use, ...frames] : frames);
    if (frames.some(({ type }) => type === 'PING')) this.#liveness.asks(message.length);
    this.#sentBytes += message.length;
    this.path.send(message, lane);
  }

  /**
   * The lane for what this end sends of a stream. A client gives each stream one of its own, as far as they reach, once
   * it knows that the agent takes them; an agent answers in the lane in which the client has spoken.
   */
  laneOf(stream: number): number {
    const known = this.#laneOf.get(stream);
    if (known !== undefined) return known;
    if (this.owner.role === 'agent' || this.#lanes === 1) return 0;
    const lane = this.#freeLane();
    // The agent may send in it as soon as it is named, and no sooner than this end hears it.
    this.path.openLane?.(lane);
    this.keepLane(stream, lane);
    return lane;
  }

  #freeLane(): number {
    const taken = new Set(this.#laneOf.values());
    for (let lane = 1; lane < this.#lanes; lane++) if (!taken.has(lane)) return lane;
    return 1 + (this.#laneOf.size % (this.#lanes - 1));
  }

  /** Frames of an open stream leave in `lane` from now on, whatever comes: on one path they keep their order. */
  keepLane(stream: number, lane: number): void {
    if (lane < this.#lanes && !this.#laneOf.has(stream)) this.#laneOf.set(stream, lane);
  }

  /** The stream has ended. */
  forget(stream: number): void {
    this.#laneOf.delete(stream);
  }

  /** Sends `frame`, in place of one of its type that has not left yet. */
  put(frame: LinkFrame): void {
    this.#control.set(frame.type, frame);
    this.flushSoon();
  }

  /** Acknowledges everything up to `received` on a stream that has ended here; false when too many wait already. */
  acknowledge(id: number, received: number): boolean {
    const waiting = this.#acknowledgements.get(id);
    if (waiting === undefined && this.#acknowledgements.size >= MAX_QUEUED_ACKNOWLEDGEMENTS) return false;
    // A slow path may repeat the beginning of a stream whose end is to be acknowledged.
    const most = Math.max(received, waiting?.received ?? 0);
    this.#acknowledgements.set(id, { type: 'MAX_STREAM_DATA', id, received: most, max: 0 });
    this.flushSoon();
    return true;
  }

  /** The link's own frames for the next message, as many as fit. */
  takeControl(): Frame[] {
    const frames: Frame[] = [...this.#control.values()];
    const room = this.#control.has('HELLO') ? 0 : Math.floor(this.path.maxMessageBytes / CONTROL_BYTES);
    this.#control.clear();
    frames.push(...this.#lanesToSay.slice(0, Math.max(0, room - frames.length)));
    this.#lanesToSay = [];
    for (const [id, frame] of this.#acknowledgements) {
      if (frames.length >= room) break;
      this.#acknowledgements.delete(id);
      frames.push(frame);
    }
    return frames;
  }

  /** Calls the owner's `flush` when this path's messages may leave. */
  flushSoon(): void {
    if (this.#flushDue || this.hasEnded) return;
    this.#flushDue = true;
    const flush = () => {
      this.#flushDue = false;
      if (!this.hasEnded) this.owner.flush(this);
    };
    if (this.path.defer === undefined) this.#environment.defer(flush);
    else this.path.defer(flush);
  }

  /** Asks now whether the path still works; it is given up if no answer comes within `ms`. */
  probe(ms: number): void {
    this.#liveness.probe(ms);
  }

  /** The session began or ceased to wait for the peer on this path. */
  awaitsChanged(): void {
    this.#liveness.update();
  }

  /** Tells the peer why on this path, and ends it. */
  close({ code, detail = '' }: DirectError): void {
    if (this.hasEnded) return;
    this.#ended();
    const reason = detail.slice(0, MAX_REASON_BYTES / 4);
    // With HELLO, if that has not left yet: without it the client would take this for the refusal of one path.
    this.send([...this.takeControl(), { type: 'CONNECTION_CLOSE', code: ERRORS[code].close, reason }]);
    this.path.close();
  }

  /** Ends the path without a word to the peer. */
  end(error: DirectError): void {
    if (this.hasEnded) return;
    this.#ended();
    this.path.close();
    this.owner.lost(this, error);
  }

  #ended(): void {
    this.#state = 'ended';
    this.#rest = [];
    this.#held.length = 0;
    this.#liveness.stop();
  }

  /** An agent may take its time to notice a dead client; a person who waits for an answer may not. */
  #idleMs(): number {
    const { role } = this.owner;
    // On the relay each message costs, and one that is idle or in reserve must let the HostObject sleep.
    if (!this.owner.awaits(this)) {
      if (this.#kind === 'relay') return Number.POSITIVE_INFINITY;
      return role === 'client' ? RESTING_DIRECT_IDLE_MS : LIVENESS_IDLE_MS;
    }
    if (role === 'agent') return LIVENESS_IDLE_MS;
    return this.#kind === 'relay' ? BUSY_RELAY_IDLE_MS : BUSY_DIRECT_IDLE_MS;
  }

  #receive(message: Uint8Array, lane: number): void {
    if (this.hasEnded) return;
    this.#heardAt = this.#environment.now();
    this.#liveness.heard();
    this.#run(() => {
      if (this.#state === 'admitting') this.#hold(message, lane);
      else this.#handleAll(decodeFrames(message), lane);
    });
  }

  /** Does what a message of the peer asks for; what is wrong with it is a violation. */
  #run(work: () => void): void {
    try {
      work();
    } catch (error) {
      const known = error instanceof ProtocolError ? error : new DirectError('E_INTERNAL', undefined, { cause: error });
      this.owner.violated(this, known);
    }
  }

  #hold(message: Uint8Array, lane: number): void {
    this.#heldBytes += message.length + UNOPENED_MESSAGE_BYTES;
    if (this.#heldBytes > MAX_UNADMITTED_BYTES) {
      throw new ProtocolError('too much before the path was admitted', 'E_FLOW_CONTROL');
    }
    this.#held.push({ message, lane });
  }

  #handleAll(frames: readonly Frame[], lane: number): void {
    for (const [index, frame] of frames.entries()) {
      this.#handle(frame, lane);
      if (this.hasEnded) return;
      if (this.#state === 'admitting') {
        this.#rest = frames.slice(index + 1);
        return;
      }
    }
  }

  /** The peer has said HELLO. */
  #greeted(json: string): void {
    const admission = this.owner.admit?.(this, json);
    if (admission === undefined) {
      this.#open(json);
      return;
    }
    this.#state = 'admitting';
    admission.then(
      () => {
        if (!this.hasEnded) this.#run(() => this.#admitted(json));
      },
      (error: unknown) => {
        if (this.hasEnded) return;
        const known = error instanceof DirectError ? error : new DirectError('E_INTERNAL', undefined, { cause: error });
        this.owner.violated(this, known);
      },
    );
  }

  #admitted(json: string): void {
    this.#open(json);
    this.#handleAll(this.#rest, 0);
    this.#rest = [];
    for (const { message, lane } of this.#held.splice(0)) {
      if (this.hasEnded) return;
      this.#handleAll(decodeFrames(message), lane);
    }
  }

  #open(json: string): void {
    this.#state = 'open';
    this.#provenAt = this.#environment.now();
    this.owner.hello(this, json);
  }

  #handle(frame: Frame, lane: number): void {
    switch (frame.type) {
      case 'CONNECTION_CLOSE': {
        const reason = frame.reason === '' ? undefined : frame.reason;
        this.owner.closedByPeer(this, new DirectError(codeFromNumber(frame.code), reason));
        return;
      }
      case 'HELLO':
        if (this.isOpen) throw new ProtocolError('a second HELLO');
        this.#greeted(frame.json);
        return;
    }
    if (!this.isOpen) throw new ProtocolError('the first frame must be HELLO');
    if (frame.type === 'PING') {
      this.put({ type: 'PONG', nonce: frame.nonce });
    } else if (frame.type === 'PONG') {
      const rtt = this.#liveness.pong(frame.nonce);
      if (rtt === undefined) return;
      this.#rtt = rtt;
      this.owner.rtt(this, rtt);
    } else {
      this.owner.frame(this, frame, lane);
    }
  }
}
