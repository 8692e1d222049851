/**
 * The session layer (PROTOCOL.md, sections 3 to 5): many streams with credit over paths that come and go, without any
 * I/O of its own. Time and scheduling come in through `SessionEnvironment`, bytes through `Path`.
 *
 * Both ends send on one path at a time. When another one is used, each stream goes on from the last offset that the
 * peer has acknowledged; the peer drops what it has already.
 */

import type { DeviceProof } from './device-identity.ts';
import { DirectError, type ErrorCode, ProtocolError } from './errors.ts';
import type { Frame } from './frame.ts';
import { clientHello, parseAgentHello } from './hello.ts';
import {
  INITIAL_SESSION_CREDIT,
  INITIAL_STREAM_CREDIT,
  LIVENESS_TIMEOUT_MS,
  MAX_CONCURRENT_STREAMS,
  MAX_PATHS,
  MAX_UNACKNOWLEDGED_SESSION_BYTES,
  SESSION_SURVIVAL_MS,
  UNANSWERED_SURVIVAL_MS,
} from './limits.ts';
import { Outbox } from './outbox.ts';
import type { Path, PathKind } from './path.ts';
import { PathChoice } from './path-choice.ts';
import { type LinkOwner, PathLink, type SessionEnvironment, type SessionFrame, type SessionRole } from './path-link.ts';
import { Stream, type StreamOwner } from './stream.ts';

export interface SessionEvents {
  /** The peer opened a stream (agent only). */
  stream?(stream: Stream): void;
  /** The peer has answered HELLO on this path, or said it first. */
  opened?(link: PathLink): void;
  /** A path has ended; the session may go on by another one. */
  lost?(link: PathLink, error: DirectError): void;
  /** Another path is used, or none; see `active`. */
  moved?(): void;
  /** A path came into doubt, is heard again or is of another kind. */
  changed?(): void;
  /** The session has ended; called once, after CONNECTION_CLOSE was handed to the paths. */
  closed?(error: DirectError): void;
  /** A PING on `link` was answered after `ms`. */
  rtt?(ms: number, link: PathLink): void;
}

export interface SessionOptions {
  role: SessionRole;
  /** Names the session in HELLO, on every path. Only its two ends know it; at least 128 random bits. */
  id: string;
  environment: SessionEnvironment;
  events?: SessionEvents;
  /** How long the session lives without any path, in milliseconds. */
  survivalMs?: number;
}

export interface PathOptions {
  /** The signaling session that the path came from; the agent insists on it. */
  sessionId: string;
  kind: PathKind;
  /**
   * 32 bytes that both ends of the path know, and that are others on any other path: who signs them speaks on this
   * path and no other. None where the edge itself is the client.
   */
  binding?: Uint8Array;
  /** Client: of a sealed path, what its first message begins with (`SealedPath`). */
  preface?: Uint8Array | undefined;
  /** Client: makes the proof of its device for this path, when HELLO is due; without one HELLO waits for nothing. */
  prove?(): Promise<DeviceProof | undefined>;
}

export class Session implements LinkOwner {
  readonly role: SessionRole;
  readonly id: string;
  readonly #environment: SessionEnvironment;
  readonly #events: SessionEvents;
  readonly #survivalMs: number;
  readonly #owner: StreamOwner;
  readonly #streams = new Map<number, Stream>();
  readonly #outbox = new Outbox();

  /** Paths that have not ended, oldest first. */
  readonly #links: PathLink[] = [];
  readonly #choice = new PathChoice();
  #active: PathLink | undefined;
  /** Whether there was an active path before the present one. */
  #moved = false;
  /** Counts the client's choices. */
  #sequence = 0;
  /** Agent: which of the client's choices each path was. */
  readonly #chosen = new WeakMap<PathLink, number>();
  /** Client: the agent has answered HELLO on some path, so it knows the session. */
  #established = false;
  /** A frame of a stream has left on some path. */
  #spoken = false;
  /** Client: the preface of the path on which that was, if it has one. */
  #spokenBehind: Uint8Array | undefined;
  /** Client: of paths that have not ended. */
  readonly #prefaces = new WeakMap<PathLink, Uint8Array>();
  /** Client: the path that said HELLO last. */
  #greeting: PathLink | undefined;
  /** Client: paths whose HELLO needs a proof, which is made when it is due. */
  readonly #proofs = new Map<PathLink, 'in the making' | (() => Promise<DeviceProof | undefined>)>();
  /** Client: where the agent's last frame of the session came from. */
  #heardOn: PathLink | undefined;
  #cancelChoice: () => void = () => {};
  /** While the session ends in time unless a path opens before. */
  #cancelEnd: (() => void) | undefined;
  #cancelPatience: () => void = () => {};

  #nextId = 0;
  /** Ids that the peer skipped: opening a stream opens all lower ones too (RFC 9000, section 2.1). */
  readonly #skipped = new Set<number>();
  #maxStreams = MAX_CONCURRENT_STREAMS;

  #sendMax = INITIAL_SESSION_CREDIT;
  #sentData = 0;
  #grantedMax = INITIAL_SESSION_CREDIT;
  #arrivedData = 0;
  #consumedData = 0;
  /** Bytes that have arrived since all streams were last acknowledged. */
  #sinceAcknowledged = 0;
  /** Streams wait because too much is not acknowledged. */
  #capped = false;

  #error: DirectError | undefined;

  constructor({ role, id, environment, events = {}, survivalMs = SESSION_SURVIVAL_MS }: SessionOptions) {
    this.role = role;
    this.id = id;
    this.#environment = environment;
    this.#events = events;
    this.#survivalMs = survivalMs;
    this.#owner = {
      streamCredit: INITIAL_STREAM_CREDIT,
      wake: (stream) => {
        this.#outbox.add(stream);
        this.#flushSoon();
      },
      arrived: (bytes) => this.#arrived(bytes),
      consumed: (bytes) => this.#consumed(bytes),
      ended: (stream) => this.#ended(stream),
    };
    if (survivalMs > 0) this.#survive(new DirectError('E_PATH_LOST', 'no path'));
  }

  /** Why the session has ended, undefined while it lives. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  /** The path that this end sends on, if there is one. */
  get active(): PathLink | undefined {
    return this.#active;
  }

  /** Client: whether the agent has taken the session. If not, whoever refused it has run nothing of it. */
  get isEstablished(): boolean {
    return this.#established;
  }

  /** Paths that have not ended. */
  get links(): readonly PathLink[] {
    return this.#links;
  }

  /** Streams that have not ended in both directions. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** A client waits for the peer as long as it has streams; so does an agent, for the client's acknowledgements. */
  awaits(link: PathLink): boolean {
    return this.#streams.size > 0 && link === this.#active;
  }

  /** Bytes held for all streams, in both directions; bounded by credit (PROTOCOL.md, section 5). */
  get heldBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) bytes += stream.heldBytes;
    return bytes;
  }

  /**
   * Opens a stream (client only). Over the peer's limit of streams, it starts to send when an earlier one has ended.
   * @throws DirectError the session's error when it has ended.
   */
  openStream(): Stream {
    if (this.#error !== undefined) throw this.#error;
    if (this.role !== 'client') throw new Error('only clients open streams');
    return this.#newStream(this.#nextId++);
  }

  /**
   * Adds a path (client only), which says HELLO. It is used when the agent has answered; the first one at once, so
   * that the first request leaves together with HELLO.
   * @throws DirectError the session's error when it has ended.
   */
  attach(path: Path, { sessionId, kind, binding, preface, prove }: PathOptions): PathLink {
    if (this.#error !== undefined) throw this.#error;
    const options = { path, kind, sessionId, binding: () => binding };
    const link = new PathLink({ ...options, environment: this.#environment, owner: this });
    this.#cancelPatience();
    this.#links.push(link);
    if (prove !== undefined) this.#proofs.set(link, prove);
    if (preface !== undefined) this.#prefaces.set(link, preface);
    link.start();
    this.#greet();
    return link;
  }

  /**
   * Adds a path whose client has said HELLO for this session (agent only). If there are MAX_PATHS already, the one that
   * was silent for longest ends: the client knows better which of them live.
   */
  adopt(link: PathLink): void {
    if (this.#links.length >= MAX_PATHS) {
      const [stalest] = this.#links.toSorted((a, b) => a.heardAt - b.heardAt);
      stalest?.end(new DirectError('E_PATH_LOST', `more than ${MAX_PATHS} paths`));
    }
    link.owner = this;
    this.#links.push(link);
    this.#opened();
    if (this.#active === undefined) this.#use(link);
  }

  /** Ends the session and tells the peer why. Streams fail with the same code. */
  close(code: ErrorCode, detail?: string): void {
    this.#close(new DirectError(code, detail));
  }

  // ---- paths ----------------------------------------------------------------------------------

  /** A path is open: one that only tries to is no sign of the peer, and must not keep the session for ever. */
  #opened(): void {
    this.#cancelEnd?.();
    this.#cancelEnd = undefined;
    this.#cancelPatience();
  }

  /**
   * Client: says HELLO on the paths that have waited for it. One at a time until the agent knows the session: a path
   * that overtook the first one would meet an agent that has never heard of what it resumes.
   */
  #greet(): void {
    for (const link of this.#links) {
      const proof = this.#proofs.get(link);
      if (link.saidHello || proof === 'in the making') continue;
      if (!this.#established && this.#greeting !== undefined) return;
      this.#greeting = link;
      if (proof === undefined) this.#sayHello(link, undefined);
      else this.#prove(link, proof);
    }
    this.#choose();
  }

  /** Nothing leaves on the path before HELLO, so nothing does while the proof is made. */
  #prove(link: PathLink, prove: () => Promise<DeviceProof | undefined>): void {
    this.#proofs.set(link, 'in the making');
    prove().then(
      (device) => {
        if (link.hasEnded) return;
        this.#proofs.delete(link);
        this.#sayHello(link, device);
        this.#choose();
      },
      (error: unknown) => link.end(error instanceof DirectError ? error : new DirectError('E_INTERNAL', `${error}`)),
    );
  }

  #sayHello(link: PathLink, device: DeviceProof | undefined): void {
    const { sessionId } = link;
    const resumed = this.#established || this.#spoken;
    const preface = this.#established ? undefined : this.#spokenBehind;
    const { lanes } = link.path;
    const hello = { sessionId, session: this.id, resumed, preface, survivalMs: this.#survivalMs, lanes };
    link.sayHello(clientHello(device === undefined ? hello : { ...hello, device }));
    // In one message with HELLO: the answer brings the first round-trip time, and none ends the path.
    link.probe(LIVENESS_TIMEOUT_MS);
  }

  hello(link: PathLink, json: string): void {
    link.openLanes(parseAgentHello(json, link.sessionId));
    this.#established = true;
    this.#opened();
    this.#events.opened?.(link);
    this.#greet();
  }

  changed(): void {
    if (this.#error !== undefined) return;
    this.#choose();
    this.#events.changed?.();
  }

  rtt(link: PathLink, ms: number): void {
    this.#events.rtt?.(ms, link);
  }

  violated(link: PathLink, error: DirectError): void {
    if (this.#links.includes(link)) this.#close(error);
  }

  closedByPeer(link: PathLink, error: DirectError): void {
    // Before HELLO the peer refuses a path; only a host that has forgotten the session refuses the session.
    if (this.role === 'client' && !link.isOpen && error.code !== 'E_HOST_RESTARTED') link.end(error);
    else this.#end(error);
  }

  lost(link: PathLink, error: DirectError): void {
    const index = this.#links.indexOf(link);
    if (index < 0) return;
    this.#links.splice(index, 1);
    this.#proofs.delete(link);
    if (this.#greeting === link) this.#greeting = undefined;
    if (this.#active === link) this.#active = undefined;
    this.#events.lost?.(link, error);
    if (this.#error !== undefined) return;
    if (this.role === 'client') this.#greet();
    else if (this.#active === undefined) this.#use(this.#lastChosen());
    if (this.#links.length === 0) this.#events.moved?.();
    if (!this.#links.some(({ isOpen }) => isOpen)) this.#survive(error);
    if (this.#links.length === 0 && this.#spoken && !this.#established) this.#losePatience(error);
  }

  /** Agent: the path that the client chose last, or else the newest. */
  #lastChosen(): PathLink | undefined {
    const order = (link: PathLink) => this.#chosen.get(link) ?? 0;
    return this.#links.toReversed().toSorted((a, b) => order(b) - order(a))[0];
  }

  /** Ends the session if no path opens in time, counted from when there was an open one. */
  #survive(error: DirectError): void {
    if (this.#survivalMs === 0) {
      if (this.#links.length === 0) this.#end(error);
      return;
    }
    this.#cancelEnd ??= this.#endAfter(this.#survivalMs, error);
  }

  /** Client: ends a session that no agent has answered if there is no further attempt at a path soon. */
  #losePatience(error: DirectError): void {
    if (this.role === 'agent' || this.#error !== undefined) return;
    this.#cancelPatience();
    this.#cancelPatience = this.#endAfter(UNANSWERED_SURVIVAL_MS, error);
  }

  #endAfter(ms: number, { code, detail }: DirectError): () => void {
    const error = new DirectError('E_PATH_LOST', `no path for ${ms} ms; the last one: ${detail ?? code}`);
    return this.#environment.timer(ms, () => this.#end(error));
  }

  /** Client: chooses the path again. */
  #choose(): void {
    if (this.role !== 'client' || this.#error !== undefined) return;
    this.#cancelChoice();
    // An agent that was asked to resume may refuse, and what it has never taken must not look like what may have run.
    const resumed = this.#established || this.#spoken;
    const usable = this.#links.filter((link) => (resumed ? link.isOpen || link === this.#active : link.saidHello));
    const { link, againMs } = this.#choice.choose(usable, this.#environment.now());
    if (againMs !== undefined) this.#cancelChoice = this.#environment.timer(againMs, () => this.#choose());
    if (link === this.#active) return;
    if (this.#sequence++ > 0) link?.use(this.#sequence, this.#streams.keys());
    // It could not open its lanes; whoever heard of its end has chosen another.
    if (link?.hasEnded === true) return;
    // In the same message: an idle relay may have died long ago, and nobody else would ask.
    link?.probe(LIVENESS_TIMEOUT_MS);
    this.#use(link);
  }

  /**
   * From now on this end sends on `link`, and repeats what may have been lost on the one before. Also when it uses
   * `link` already: the client's acknowledgements may have been lost on its own path before.
   */
  #use(link: PathLink | undefined): void {
    this.#active = link;
    if (link === undefined) return;
    if (this.#moved) {
      for (const stream of this.#streams.values()) {
        stream.rewind();
        this.#outbox.add(stream);
      }
      this.#outbox.put({ type: 'MAX_DATA', max: this.#grantedMax });
      if (this.role === 'agent') this.#outbox.put({ type: 'MAX_STREAMS', max: this.#maxStreams });
    }
    this.#moved = true;
    this.#awaitsChanged();
    link.flushSoon();
    this.#events.moved?.();
  }

  // ---- receiving ------------------------------------------------------------------------------

  frame(link: PathLink, frame: SessionFrame, lane: number): void {
    if (this.#error !== undefined) return;
    if (this.role === 'client') this.#follow(link);
    this.#take(link, frame);
    if (this.role === 'client' || !('id' in frame) || !this.#streams.has(frame.id)) return;
    link.keepLane(frame.id, frame.type === 'LANE' ? frame.lane : lane);
  }

  #take(link: PathLink, frame: SessionFrame): void {
    switch (frame.type) {
      case 'STREAM':
        this.#accept(frame.id, frame.offset + frame.data.length + (frame.fin ? 1 : 0))?.receive(frame);
        break;
      case 'RESET_STREAM':
        this.#accept(frame.id, frame.finalSize + 1)?.receiveReset(frame.code, frame.finalSize);
        break;
      case 'STOP_SENDING':
        this.#accept(frame.id)?.receiveStop(frame.code);
        break;
      case 'MAX_STREAM_DATA':
        // It may overtake the data that opens the stream, which went by another path.
        this.#accept(frame.id)?.receiveCredit(frame.received, frame.max);
        if (this.#capped) this.#wakeAll();
        break;
      case 'MAX_DATA':
        if (frame.max <= this.#sendMax) break;
        this.#sendMax = frame.max;
        this.#wakeAll();
        break;
      case 'MAX_STREAMS':
        if (this.role !== 'client') throw new ProtocolError('MAX_STREAMS comes from agents only');
        this.#maxStreams = Math.max(this.#maxStreams, frame.max);
        this.#wakeAll();
        break;
      case 'LANE':
        if (this.role !== 'agent') throw new ProtocolError('LANE comes from clients only');
        break;
      case 'USE_PATH':
        if (this.role !== 'agent') throw new ProtocolError('USE_PATH comes from clients only');
        if (frame.sequence <= this.#sequence) break;
        this.#sequence = frame.sequence;
        this.#chosen.set(link, frame.sequence);
        this.#use(link);
        break;
    }
  }

  /**
   * Client: an agent that begins to use another path than the chosen one has lost that, and only it may have seen it
   * end. Nobody else would ask before the next request, on an idle relay.
   */
  #follow(link: PathLink): void {
    if (link === this.#heardOn) return;
    this.#heardOn = link;
    if (link !== this.#active) this.#active?.probe(LIVENESS_TIMEOUT_MS);
  }

  /** The stream for a frame that may open one; undefined when it has ended, which is said again for `received`. */
  #accept(id: number, received?: number): Stream | undefined {
    if (this.role === 'agent' && id >= this.#nextId) {
      if (id >= this.#maxStreams) throw new ProtocolError(`stream ${id} is over the limit`, 'E_STREAM_LIMIT');
      for (let skipped = this.#nextId; skipped <= id; skipped++) this.#skipped.add(skipped);
      this.#nextId = id + 1;
    }
    if (this.#skipped.delete(id)) {
      const stream = this.#newStream(id);
      this.#events.stream?.(stream);
      return stream;
    }
    const stream = this.#known(id);
    if (stream === undefined && received !== undefined) {
      // The peer repeats itself because our acknowledgement was lost with a path.
      this.#acknowledge(id, received);
    }
    return stream;
  }

  #known(id: number): Stream | undefined {
    if (id >= this.#nextId) throw new ProtocolError(`stream ${id} was never opened`);
    return this.#streams.get(id);
  }

  #newStream(id: number): Stream {
    const stream = new Stream(id, this.#owner, INITIAL_STREAM_CREDIT);
    this.#streams.set(id, stream);
    if (this.#streams.size === 1) this.#awaitsChanged();
    return stream;
  }

  #awaitsChanged(): void {
    for (const link of this.#links) link.awaitsChanged();
  }

  #arrived(bytes: number): void {
    this.#arrivedData += bytes;
    if (this.#arrivedData > this.#grantedMax) {
      throw new ProtocolError('the session exceeds its credit', 'E_FLOW_CONTROL');
    }
    this.#sinceAcknowledged += bytes;
    if (this.#sinceAcknowledged < INITIAL_SESSION_CREDIT / 4) return;
    // No stream may have enough to acknowledge by itself, and the peer waits because it keeps too much for all.
    this.#sinceAcknowledged = 0;
    for (const stream of this.#streams.values()) stream.acknowledge();
  }

  #consumed(bytes: number): void {
    this.#consumedData += bytes;
    const max = this.#consumedData + INITIAL_SESSION_CREDIT;
    // As often as a single stream's: a larger step could be more than streams that nobody reads have left of it.
    if (max - this.#grantedMax < INITIAL_STREAM_CREDIT / 4) return;
    this.#grantedMax = max;
    this.#outbox.put({ type: 'MAX_DATA', max });
    this.#flushSoon();
  }

  #ended(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    // The last acknowledgement leaves before the stream is forgotten.
    for (const frame of stream.takeControl()) {
      if (frame.type === 'MAX_STREAM_DATA') this.#acknowledge(frame.id, frame.received);
    }
    this.#outbox.delete(stream);
    for (const link of this.#links) link.forget(stream.id);
    if (this.role === 'agent') this.#grantStreams();
    if (this.#streams.size === 0) this.#awaitsChanged();
    this.#flushSoon();
  }

  /**
   * Acknowledges a stream that has ended here. A client does it where it hears the agent, which may be on another path
   * because it has lost the chosen one: without streams the client has no reason to find that out. Without a path nobody
   * hears it, and the peer will repeat itself on the next.
   */
  #acknowledge(id: number, received: number): void {
    const link = this.#heardOn?.hasEnded === false ? this.#heardOn : this.#active;
    // Not thrown: an application's own call may have ended the stream.
    if (link?.acknowledge(id, received) === false) this.#close(new ProtocolError('too many frames of ended streams'));
  }

  #grantStreams(): void {
    const max = this.#nextId + MAX_CONCURRENT_STREAMS - (this.#streams.size + this.#skipped.size);
    // Not for every stream: a frame each would be a message each on an idle path.
    if (max - this.#maxStreams < MAX_CONCURRENT_STREAMS / 4) return;
    this.#maxStreams = max;
    this.#outbox.put({ type: 'MAX_STREAMS', max });
  }

  // ---- sending --------------------------------------------------------------------------------

  /** New credit: streams that had to wait for it try again. */
  #wakeAll(): void {
    this.#capped = false;
    for (const stream of this.#streams.values()) this.#outbox.add(stream);
    this.#flushSoon();
  }

  #flushSoon(): void {
    this.#active?.flushSoon();
  }

  flush(link: PathLink): void {
    while (this.#error === undefined && !link.hasEnded) {
      const control = link.path.capacity() > 0 ? link.takeControl() : [];
      const { frames, lane } = link === this.#active ? this.#next(link, control) : { frames: control, lane: 0 };
      if (frames.length === 0) return;
      if (frames.length > control.length && !this.#spoken) {
        this.#spoken = true;
        this.#spokenBehind = this.#prefaces.get(link);
      }
      link.send(frames, lane);
    }
  }

  /** The next message on the active path; `control` comes first in it. */
  #next(link: PathLink, control: readonly Frame[]): { frames: readonly Frame[]; lane: number } {
    // Only clients open streams, and only they have to wait for the peer to allow it.
    const maxStreams = this.role === 'client' ? this.#maxStreams : Number.POSITIVE_INFINITY;
    let unacknowledged = 0;
    for (const stream of this.#streams.values()) unacknowledged += stream.unacknowledged;
    const credit = this.#sendMax - this.#sentData;
    const room = MAX_UNACKNOWLEDGED_SESSION_BYTES - unacknowledged;
    if (room < credit) this.#capped = true;
    const { frames, fresh, lane } = this.#outbox.next(control, link, Math.min(credit, room), maxStreams);
    this.#sentData += fresh;
    return { frames, lane };
  }

  // ---- end ------------------------------------------------------------------------------------

  #close(error: DirectError): void {
    if (this.#error !== undefined) return;
    // Set first: in memory the peer answers before `send` returns.
    this.#error = error;
    this.#release(error, (link) => link.close(error));
  }

  #end(error: DirectError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#release(error, (link) => link.end(error));
  }

  #release(error: DirectError, endLink: (link: PathLink) => void): void {
    this.#active = undefined;
    for (const link of this.#links.splice(0)) {
      endLink(link);
      this.#events.lost?.(link, error);
    }
    this.#cancelChoice();
    this.#cancelEnd?.();
    this.#cancelPatience();
    this.#outbox.clear();
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#streams.clear();
    this.#events.closed?.(error);
  }
}
