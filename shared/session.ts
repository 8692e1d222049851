/**
 * The session layer (PROTOCOL.md, sections 4 and 5): many streams with credit over one path, without any I/O of its
 * own. Time and scheduling come in through `SessionEnvironment`, bytes through `Path`.
 */
import { codeFromNumber, DirectError, ERRORS, type ErrorCode, ProtocolError } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import {
  INITIAL_SESSION_CREDIT,
  INITIAL_STREAM_CREDIT,
  MAX_CONCURRENT_STREAMS,
  MAX_REASON_BYTES,
  PROTOCOL_VERSION,
} from './limits.ts';
import { Liveness } from './liveness.ts';
import { Outbox } from './outbox.ts';
import type { Path } from './path.ts';
import { Stream, type StreamOwner } from './stream.ts';

/** What a session takes from its runtime; tests give it a simulated one. */
export interface SessionEnvironment {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `run` once after `ms`; the returned function cancels it. */
  timer(ms: number, run: () => void): () => void;
  /** Calls `run` when the current event-loop turn's work is done, so that small writes leave as one message. */
  defer(run: () => void): void;
}

export interface SessionEvents {
  /** The peer opened a stream (agent only). */
  stream?(stream: Stream): void;
  /** The peer's HELLO arrived: it speaks our version of the protocol. */
  open?(): void;
  /** The session has ended; called once, after CONNECTION_CLOSE was handed to the path. */
  closed?(error: DirectError): void;
  /** A PING was answered after `ms`. */
  rtt?(ms: number): void;
}

/** A client opens streams, an agent answers them. */
export type SessionRole = 'client' | 'agent';

export interface SessionOptions {
  role: SessionRole;
  /**
   * The signaling session that the path came from. The client says it in HELLO and the agent insists on it: a path
   * whose other end does not know it was not made by the client that the edge admitted.
   */
  sessionId: string;
  path: Path;
  environment: SessionEnvironment;
  events?: SessionEvents;
}

export class Session {
  readonly role: SessionRole;
  readonly #sessionId: string;
  readonly #environment: SessionEnvironment;
  readonly #events: SessionEvents;
  readonly #path: Path;
  readonly #owner: StreamOwner;
  readonly #streams = new Map<number, Stream>();
  readonly #outbox = new Outbox();
  #flushDue = false;

  #nextId = 0;
  /** Ids that the peer skipped: opening a stream opens all lower ones too (RFC 9000, section 2.1). */
  readonly #skipped = new Set<number>();
  #maxStreams = MAX_CONCURRENT_STREAMS;

  #sendMax = INITIAL_SESSION_CREDIT;
  #sentData = 0;
  #grantedMax = INITIAL_SESSION_CREDIT;
  #arrivedData = 0;
  #consumedData = 0;

  readonly #liveness: Liveness;
  #opened = false;
  #error: DirectError | undefined;

  constructor({ role, sessionId, path, environment, events = {} }: SessionOptions) {
    this.role = role;
    this.#sessionId = sessionId;
    this.#path = path;
    this.#environment = environment;
    this.#events = events;
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
    // A client speaks first; an agent answers the client's HELLO with its own.
    if (role === 'client') this.#sayHello();
    this.#liveness = new Liveness({
      now: () => environment.now(),
      timer: (ms, run) => environment.timer(ms, run),
      ping: (nonce) => {
        this.#outbox.put({ type: 'PING', nonce });
        this.#flushSoon();
      },
      dead: (silentMs) => {
        this.#end(new DirectError('E_PATH_LOST', `nothing heard for ${silentMs} ms`));
        path.close();
      },
    });
    path.start({
      message: (message) => this.#receive(message),
      drained: () => this.#flush(),
      closed: (reason) => this.#end(new DirectError('E_PATH_LOST', reason)),
    });
  }

  /** Why the session has ended, undefined while it lives. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  /** True once the peer's HELLO has arrived. */
  get opened(): boolean {
    return this.#opened;
  }

  /** Streams that have not ended in both directions. */
  get streamCount(): number {
    return this.#streams.size;
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
    const stream = new Stream(this.#nextId++, this.#owner, INITIAL_STREAM_CREDIT);
    this.#streams.set(stream.id, stream);
    return stream;
  }

  /** Asks now whether the path still works; it is given up if no answer comes within `ms`. */
  probe(ms: number): void {
    if (this.#error === undefined) this.#liveness.probe(ms);
  }

  /** Ends the session and tells the peer why. Streams fail with the same code. */
  close(code: ErrorCode, detail?: string): void {
    this.#close(new DirectError(code, detail));
  }

  // ---- receiving ------------------------------------------------------------------------------

  #receive(message: Uint8Array): void {
    if (this.#error !== undefined) return;
    this.#liveness.heard();
    try {
      for (const frame of decodeFrames(message)) {
        this.#handle(frame);
        if (this.#error !== undefined) return;
      }
    } catch (error) {
      this.#close(error instanceof ProtocolError ? error : new DirectError('E_INTERNAL', undefined, { cause: error }));
    }
  }

  #handle(frame: Frame): void {
    if (!this.#opened && frame.type !== 'HELLO' && frame.type !== 'CONNECTION_CLOSE') {
      throw new ProtocolError('the first frame must be HELLO');
    }
    switch (frame.type) {
      case 'HELLO':
        this.#handleHello(frame.json);
        break;
      case 'PING':
        this.#outbox.put({ type: 'PONG', nonce: frame.nonce });
        this.#flushSoon();
        break;
      case 'PONG':
        this.#handlePong(frame.nonce);
        break;
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
        this.#known(frame.id)?.receiveCredit(frame.received, frame.max);
        break;
      case 'MAX_DATA':
        this.#sendMax = Math.max(this.#sendMax, frame.max);
        this.#wakeAll();
        break;
      case 'MAX_STREAMS':
        if (this.role !== 'client') throw new ProtocolError('MAX_STREAMS comes from agents only');
        this.#maxStreams = Math.max(this.#maxStreams, frame.max);
        this.#wakeAll();
        break;
      case 'CONNECTION_CLOSE':
        this.#end(new DirectError(codeFromNumber(frame.code), frame.reason === '' ? undefined : frame.reason));
        this.#path.close();
        break;
    }
  }

  #handleHello(json: string): void {
    if (this.#opened) throw new ProtocolError('a second HELLO');
    let hello: { protocol_version?: unknown; session_id?: unknown };
    try {
      hello = Object(JSON.parse(json)) as typeof hello;
    } catch {
      throw new ProtocolError('HELLO is not JSON');
    }
    const version = hello.protocol_version;
    if (version !== PROTOCOL_VERSION) {
      throw new ProtocolError(
        `the peer has ${String(version).slice(0, 20)}, this end ${PROTOCOL_VERSION}`,
        'E_VERSION',
      );
    }
    if (hello.session_id !== this.#sessionId) throw new ProtocolError('HELLO is for another one', 'E_SESSION_UNKNOWN');
    this.#opened = true;
    if (this.role === 'agent') this.#sayHello();
    this.#events.open?.();
  }

  #handlePong(nonce: number): void {
    const rtt = this.#liveness.pong(nonce);
    if (rtt !== undefined) this.#events.rtt?.(rtt);
  }

  /** The stream for a frame that may open one; undefined when it has ended, which is said again for `received`. */
  #accept(id: number, received?: number): Stream | undefined {
    if (this.role === 'agent' && id >= this.#nextId) {
      if (id >= this.#maxStreams) throw new ProtocolError(`stream ${id} is over the limit`, 'E_STREAM_LIMIT');
      for (let skipped = this.#nextId; skipped <= id; skipped++) this.#skipped.add(skipped);
      this.#nextId = id + 1;
    }
    if (this.#skipped.delete(id)) {
      const stream = new Stream(id, this.#owner, INITIAL_STREAM_CREDIT);
      this.#streams.set(id, stream);
      this.#events.stream?.(stream);
      return stream;
    }
    const stream = this.#known(id);
    if (stream === undefined && received !== undefined) {
      // The peer repeats itself because our acknowledgement was lost with a path.
      this.#outbox.acknowledge(id, received);
      this.#flushSoon();
    }
    return stream;
  }

  #known(id: number): Stream | undefined {
    if (id >= this.#nextId) throw new ProtocolError(`stream ${id} was never opened`);
    return this.#streams.get(id);
  }

  #arrived(bytes: number): void {
    this.#arrivedData += bytes;
    if (this.#arrivedData > this.#grantedMax) {
      throw new ProtocolError('the session exceeds its credit', 'E_FLOW_CONTROL');
    }
  }

  #consumed(bytes: number): void {
    this.#consumedData += bytes;
    const max = this.#consumedData + INITIAL_SESSION_CREDIT;
    if (max - this.#grantedMax < INITIAL_SESSION_CREDIT / 4) return;
    this.#grantedMax = max;
    this.#outbox.put({ type: 'MAX_DATA', max });
    this.#flushSoon();
  }

  #ended(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    // The last acknowledgement leaves before the stream is forgotten.
    for (const frame of stream.takeControl()) {
      if (frame.type === 'MAX_STREAM_DATA') this.#outbox.acknowledge(frame.id, frame.received);
    }
    this.#outbox.delete(stream);
    if (this.role === 'agent') this.#grantStreams();
    this.#flushSoon();
  }

  #grantStreams(): void {
    const max = this.#nextId + MAX_CONCURRENT_STREAMS - (this.#streams.size + this.#skipped.size);
    // Not for every stream: a frame each would be a message each on an idle path.
    if (max - this.#maxStreams < MAX_CONCURRENT_STREAMS / 4) return;
    this.#maxStreams = max;
    this.#outbox.put({ type: 'MAX_STREAMS', max });
  }

  // ---- sending --------------------------------------------------------------------------------

  #sayHello(): void {
    const json = JSON.stringify({ protocol_version: PROTOCOL_VERSION, session_id: this.#sessionId });
    this.#outbox.put({ type: 'HELLO', json });
    this.#flushSoon();
  }

  /** New session credit: streams that had to wait for it try again. */
  #wakeAll(): void {
    for (const stream of this.#streams.values()) this.#outbox.add(stream);
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushDue || this.#error !== undefined) return;
    this.#flushDue = true;
    this.#environment.defer(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    // Only clients open streams, and only they have to wait for the peer to allow it.
    const maxStreams = this.role === 'client' ? this.#maxStreams : Number.POSITIVE_INFINITY;
    while (this.#error === undefined && this.#path.capacity() > 0) {
      const credit = this.#sendMax - this.#sentData;
      const { frames, fresh } = this.#outbox.next(this.#path.maxMessageBytes, credit, maxStreams);
      if (frames.length === 0) return;
      this.#sentData += fresh;
      this.#path.send(encodeFrames(frames));
    }
  }

  // ---- end ------------------------------------------------------------------------------------

  #close(error: DirectError): void {
    if (this.#error !== undefined) return;
    // Set first: in memory the peer answers before `send` returns.
    this.#error = error;
    const reason = (error.detail ?? '').slice(0, MAX_REASON_BYTES / 4);
    this.#path.send(encodeFrames([{ type: 'CONNECTION_CLOSE', code: ERRORS[error.code].close, reason }]));
    this.#release(error);
    this.#path.close();
  }

  #end(error: DirectError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#release(error);
  }

  #release(error: DirectError): void {
    this.#liveness.stop();
    this.#outbox.clear();
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#streams.clear();
    this.#events.closed?.(error);
  }
}
