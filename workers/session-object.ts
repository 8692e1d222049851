/** The Durable Object of one signaling session: storage, sockets and time around signaling-session.ts. */
import { DurableObject } from 'cloudflare:workers';
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import { HANDSHAKE_TIMEOUT_MS, RELAY_ADMISSION_MS } from '../shared/limits.ts';
import { type IceServer, parseSignals, type SessionReady, type SessionSignal } from '../shared/signal.ts';
import { Arrivals } from './arrivals.ts';
import { batchLength, socketTexts } from './batch.ts';
import type { HostObject } from './host-object.ts';
import { LongPoll } from './long-poll.ts';
import { accepted, type Outcome, refused, unwrap } from './outcome.ts';
import { errorResponse, pollResponse } from './responses.ts';
import { newSession, type SessionEvent, type SessionState, step } from './signaling-session.ts';
import { acceptOnly, closeFor, closeWith, newestSocket, PING, PONG, returnClose, sends } from './socket.ts';

/** WebSockets that wait for one session: its client opens one, and who guesses ids shall hold nothing here. */
const MAX_EARLY_SOCKETS = 2;

export interface SessionCreation {
  id: string;
  host: string;
  /** For the agent. */
  iceServers: IceServer[];
  offer: string | null;
  /** Whether the session may wait for a host that is not there yet. */
  open: boolean;
  /** What who asked for it may do. */
  grant: Grant;
  /** `OfferSignal.from`, if the client's address is known. */
  from: string | null;
}

export class SessionObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  #state: SessionState | undefined;
  #saved: SessionState | undefined;
  #stub: DurableObjectStub<HostObject> | undefined;
  #alarmIsSet: boolean;
  /** The host has not said yet whether it admits the session. */
  #isAsking = false;
  readonly #early = new Arrivals(MAX_EARLY_SOCKETS);
  /** Of use to tests only; RPC does not show it. */
  readonly poll = new LongPoll();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#state = ctx.storage.kv.get<SessionState>('session');
    this.#saved = this.#state;
    this.#alarmIsSet = this.#state !== undefined;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Begins the session if the host admits it, and hands over the offer in the same call. */
  async create(creation: SessionCreation): Promise<Outcome<{ expiresAt: number; host: SessionReady['host'] }>> {
    const { id, host, offer, open, grant, from } = creation;
    if (this.#state !== undefined) return refused(new DirectError('E_BAD_REQUEST', 'the session exists already'));
    // In memory first: the answer may come before the host's reply, and a refused session leaves nothing in storage.
    const created = newSession(creation, this.now());
    this.#state = created;
    this.#isAsking = true;
    let admitted = false;
    try {
      const first = { session_id: id, type: 'offer', sdp: offer ?? '' } as const;
      const { signals, refusal } =
        offer === null ? { signals: [] } : this.#apply({ type: 'client', host, signals: [first] });
      if (refusal !== undefined) return refused(refusal);
      const { told, generation } = unwrap(await this.#host(host).admit({ id, signals, open, grant, from }));
      admitted = true;
      this.#state = { ...this.#state, generation };
      await this.#save();
      return accepted({ expiresAt: created.expiresAt, host: { id: host, ...told } });
    } catch (error) {
      return refused(error);
    } finally {
      if (!admitted) this.#state = undefined;
      this.#isAsking = false;
      this.#early.arrived('');
    }
  }

  /** Messages from the client, which named `host` in the address. */
  fromClient(host: string, signals: SessionSignal[]): Promise<Outcome<null>> {
    return this.#receive({ type: 'client', host, signals });
  }

  /** Messages from the agent of `host`. */
  fromAgent(host: string, signals: SessionSignal[]): Promise<Outcome<null>> {
    return this.#receive({ type: 'agent', host, signals });
  }

  /**
   * From the Worker: the client attaches by WebSocket, or polls with `hold` (ms) and `batch`. A WebSocket may come a
   * moment before its session: its client need not wait for the one to begin the other.
   */
  override async fetch(request: Request): Promise<Response> {
    const query = new URL(request.url).searchParams;
    const isSocket = request.headers.get('upgrade') === 'websocket';
    if (isSocket && (this.#state === undefined || this.#isAsking)) {
      await this.#early.wait('', RELAY_ADMISSION_MS);
      if (this.#isAsking) return errorResponse(new DirectError('E_SESSION_UNKNOWN'));
    }
    if (this.#state === undefined || this.#state.host !== query.get('host') || this.#state.expiresAt <= this.now()) {
      return errorResponse(new DirectError('E_SESSION_UNKNOWN'));
    }
    if (!isSocket) return this.#answerPoll(request.signal, query);
    const { response } = acceptOnly(this.ctx, 'client', { at: this.now(), host: this.#state.host });
    this.poll.end();
    this.#flush();
    await this.#save();
    return response;
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      if (typeof message !== 'string') throw new DirectError('E_PROTOCOL', 'binary messages are reserved');
      if (this.#state === undefined) throw new DirectError('E_SESSION_UNKNOWN');
      unwrap(await this.fromClient(this.#state.host, parseSignals(message)));
    } catch (error) {
      closeFor(socket, error);
    }
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    returnClose(socket, code, reason);
  }

  override async alarm(): Promise<void> {
    if (this.#state !== undefined && this.#state.expiresAt > this.now()) return this.#setAlarm(this.#state);
    this.#state = undefined;
    this.#alarmIsSet = false;
    for (const socket of this.ctx.getWebSockets()) closeWith(socket, 'E_SESSION_UNKNOWN');
    this.poll.end();
    await this.ctx.storage.deleteAll();
  }

  async #receive(event: SessionEvent): Promise<Outcome<null>> {
    const host = this.#state?.host;
    if (host === undefined) return refused(new DirectError('E_SESSION_UNKNOWN'));
    const { signals, refusal } = this.#apply(event);
    // No await before this line: messages keep their order on the way to the host.
    const delivery = signals.length > 0 ? this.#deliver(host, signals) : undefined;
    this.#flush();
    try {
      await Promise.all([this.#save(), delivery]);
    } catch (error) {
      return refused(error);
    }
    return refusal === undefined ? accepted(null) : refused(refusal);
  }

  /** Takes the step in memory; `#save` makes it last. */
  #apply(event: SessionEvent): { signals: SessionSignal[]; refusal?: DirectError } {
    if (this.#state === undefined) return { signals: [], refusal: new DirectError('E_SESSION_UNKNOWN') };
    const { state, effects } = step(this.#state, event, this.now());
    this.#state = state;
    const signals = effects.flatMap((effect) => (effect.type === 'to-host' ? effect.signals : []));
    const refusal = effects.find((effect) => effect.type === 'refuse')?.error;
    return refusal === undefined ? { signals } : { signals, refusal };
  }

  /** Hands what waits to the client's socket, or wakes its poll. */
  #flush(): void {
    const waiting = this.#state?.waiting ?? [];
    if (waiting.length === 0) return;
    const socket = newestSocket(this.ctx, 'client');
    if (socket === undefined) this.poll.wake();
    // A socket that fails half-way keeps all of it waiting: a repeated candidate does no harm, a missing one does.
    else if (socketTexts(waiting).every((text) => sends(socket, text))) {
      this.#apply({ type: 'taken', count: waiting.length });
    }
  }

  async #answerPoll(signal: AbortSignal, query: URLSearchParams): Promise<Response> {
    if (this.#state?.waiting.length === 0) await this.poll.wait(Number(query.get('hold')), signal);
    if (this.#state === undefined) return errorResponse(new DirectError('E_SESSION_UNKNOWN'));
    // An aborted poll must not take what its client cannot get any longer.
    const texts = signal.aborted ? [] : this.#state.waiting.map((waiting) => JSON.stringify(waiting));
    const count = Math.min(texts.length, query.has('batch') ? batchLength(texts) : 1);
    if (count > 0) {
      this.#apply({ type: 'taken', count });
      await this.#save();
    }
    return pollResponse(texts.slice(0, count), query.has('batch'));
  }

  async #deliver(host: string, signals: SessionSignal[]): Promise<void> {
    try {
      unwrap(await this.#host(host).deliver(signals, this.#state?.generation ?? null));
    } catch (error) {
      // A stub that has thrown may stay broken.
      if (!(error instanceof DirectError)) this.#stub = undefined;
      throw error;
    }
  }

  /** One stub for all calls, because only calls on the same stub are sure to arrive in order. */
  #host(id: string): DurableObjectStub<HostObject> {
    this.#stub ??= this.env.HOSTS.getByName(id);
    return this.#stub;
  }

  async #save(): Promise<void> {
    // States are never changed in place, so the same object is the same state.
    if (this.#state === undefined || this.#state === this.#saved) return;
    this.ctx.storage.kv.put('session', this.#state);
    this.#saved = this.#state;
    if (this.#alarmIsSet) return;
    this.#alarmIsSet = true;
    await this.#setAlarm(this.#state);
  }

  /**
   * Messages move the end without moving the alarm, which would cost a row each. They come while the client tries to
   * connect, so an alarm that is late by that much need not ring twice, which would cost a request.
   */
  #setAlarm({ expiresAt }: SessionState): Promise<void> {
    return this.ctx.storage.setAlarm(expiresAt + HANDSHAKE_TIMEOUT_MS);
  }
}
