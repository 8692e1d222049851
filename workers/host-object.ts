/** The Durable Object of one host: its agent's socket or poll, its presence, what waits for it. */
import { DurableObject } from 'cloudflare:workers';
import { type ChannelControl, decodeEnvelope, parseChannelControl } from '../shared/channel.ts';
import { DirectError, ProtocolError } from '../shared/errors.ts';
import type { Announcement } from '../shared/host-identity.ts';
import { PROTOCOL_VERSION } from '../shared/limits.ts';
import {
  type ErrorSignal,
  parseAnnounce,
  parseSignalJson,
  parseSignalList,
  type ReadySignal,
  type SessionReady,
  type SessionSignal,
} from '../shared/signal.ts';
import { bySession, socketTexts } from './batch.ts';
import { channelOwner } from './channel-number.ts';
import {
  type Admission,
  admitOne,
  checkOnline,
  checkRelay,
  isFresh,
  isPolling,
  type Presence,
} from './host-presence.ts';
import { HostQueue } from './host-queue.ts';
import { LongPoll } from './long-poll.ts';
import { accepted, type Outcome, refusalError, refused } from './outcome.ts';
import { Relay } from './relay.ts';
import { errorResponse, pollResponse } from './responses.ts';
import { sessionKey } from './session-id.ts';
import type { SessionObject } from './session-object.ts';
import { acceptOnly, attachment, closeFor, closeWith, newestSocket, PING, PONG, returnClose, sends } from './socket.ts';
import { Tunnel } from './tunnel.ts';
import { TUNNEL_HOSTNAME } from './tunnel-routes.ts';

/** Stubs kept for the order of their calls; a session lasts seconds, so old ones are rarely used again. */
const MAX_KEPT_STUBS = 64;

/** What a new session's client is told of the host. */
type Admitted = Omit<SessionReady['host'], 'id'>;

export class HostObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  readonly #queue: HostQueue;
  /** Of use to tests only; RPC does not show it. */
  readonly poll = new LongPoll();
  #pollTakesAll = false;
  /** Of use to tests only, like `poll`. */
  readonly tunnel = new Tunnel();
  readonly #relay: Relay;
  readonly #sessions = new Map<string, DurableObjectStub<SessionObject>>();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#queue = new HostQueue(ctx.storage.sql);
    this.#relay = new Relay(ctx);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Counts a new session against the limit and delivers its first messages. */
  async admit(session: {
    id: string;
    signals: SessionSignal[];
    open: boolean;
    owner: boolean;
  }): Promise<Outcome<Admitted>> {
    const { kv } = this.ctx.storage;
    const key = await sessionKey(session.id);
    try {
      kv.put('admitted', admitOne(this.#admissions(), { at: this.now(), sessionKey: key, owner: session.owner }));
      const { online } = this.presence();
      checkOnline(online, session.open);
      await this.deliver(session.signals);
      const announcement = kv.get<Announcement>('announcement');
      return accepted({ online, ...(announcement === undefined ? {} : { announcement }) });
    } catch (error) {
      return refused(error);
    }
  }

  /** From an agent that polls: the keys that its clients are told from now on. */
  announce(announcement: Announcement): void {
    this.ctx.storage.kv.put('announcement', announcement);
  }

  /** Hands messages to the agent, or keeps them until it comes. */
  async deliver(signals: SessionSignal[]): Promise<void> {
    if (signals.length === 0) return;
    const socket = this.#socket();
    // A poll first: an agent that polls beside an open socket has found the socket dead before we did.
    if (!this.poll.waiting && socket !== undefined) {
      if (socketTexts(signals).every((text) => sends(socket, text))) return;
    }
    this.#queue.push(signals, this.now());
    if (!this.poll.waiting) return this.#ensureAlarm();
    if (this.#pollTakesAll || signals.some((signal) => signal.type === 'offer')) this.poll.wake();
  }

  presence(): Presence {
    const socket = this.#socket();
    if (socket !== undefined) return { online: true, since: attachment(socket).at };
    const polledAt = this.ctx.storage.kv.get<number>('polledAt') ?? Number.NEGATIVE_INFINITY;
    return { online: this.poll.waiting || isPolling(polledAt, this.now()) };
  }

  /**
   * From the Worker: a tunnelled request, or a client attaches to the relay with its session's id, or the agent attaches
   * by WebSocket, or polls with `hold` (ms) and `batch`.
   */
  override async fetch(request: Request): Promise<Response> {
    const { hostname, pathname, searchParams: query } = new URL(request.url);
    if (hostname === TUNNEL_HOSTNAME) return this.#tunnelled(request, pathname);
    if (request.headers.get('upgrade') !== 'websocket') return this.#answerPoll(request.signal, query);
    const host = query.get('host') ?? '';
    const relayed = query.get('relay');
    if (relayed !== null) return this.#attachRelay(relayed, host);
    const { response, server } = acceptOnly(this.ctx, 'agent', { at: this.now(), host });
    this.poll.end();
    this.tunnel.lost('another agent connected');
    this.#relay.lost();
    const ready: ReadySignal = { type: 'ready', protocol_version: PROTOCOL_VERSION, host };
    server.send(JSON.stringify(ready));
    for (let texts = this.#take(true); texts.length > 0; texts = this.#take(true)) server.send(`[${texts.join(',')}]`);
    return response;
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    if (isRelayed(socket)) return this.#relay.fromClient(socket, message, this.#socket());
    try {
      if (typeof message !== 'string') return this.#fromAgent(socket, new Uint8Array(message));
      const raw = parseSignalJson(message);
      const control = parseChannelControl(raw);
      if (control !== undefined) return this.#control(control);
      const announcement = parseAnnounce(raw);
      if (announcement !== undefined) return this.announce(announcement);
      const signals = parseSignalList(raw);
      const { host } = attachment(socket);
      const calls = [...bySession(signals)].map(([id, part]) => this.#toSession(id, host, part));
      for (const refusal of await Promise.all(calls)) {
        if (refusal !== undefined) sends(socket, JSON.stringify(refusal));
      }
    } catch (error) {
      closeFor(socket, error);
      this.#lost('the agent broke the protocol', socket);
    }
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    returnClose(socket, code, reason);
    this.#closed(socket, `the agent’s socket closed (${code})`);
  }

  override webSocketError(socket: WebSocket): void {
    this.#closed(socket, 'the agent’s socket broke');
  }

  override async alarm(): Promise<void> {
    this.#queue.dropExpired(this.now());
    await this.#ensureAlarm();
  }

  /** A binary message of the agent. @throws ProtocolError when it is no channel's. */
  #fromAgent(socket: WebSocket, bytes: Uint8Array): void {
    const envelope = decodeEnvelope(bytes);
    const { channel } = envelope;
    if (this.#ownerOf(channel).fromAgent(envelope)) return;
    // Late ones of a channel that was just closed, or of one that an object before this one had.
    sends(socket, JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl));
  }

  /** @throws ProtocolError */
  #control({ type, channel }: ChannelControl): void {
    if (type !== 'channel_close') throw new ProtocolError('only the edge opens channels');
    this.#ownerOf(channel).closedByAgent(channel);
  }

  #ownerOf(channel: number): Tunnel | Relay {
    return channelOwner(channel) === 'relay' ? this.#relay : this.tunnel;
  }

  /** The agent's `socket` is gone. Relays are the newest agent's: those of earlier ones ended when it came. */
  #lost(reason: string, socket: WebSocket): void {
    this.tunnel.lost(reason, socket);
    if (newestSocket(this.ctx, 'agent') === undefined) this.#relay.lost();
  }

  #closed(socket: WebSocket, reason: string): void {
    if (isRelayed(socket)) this.#relay.closedByClient(socket, this.#socket());
    else this.#lost(reason, socket);
  }

  async #attachRelay(sessionId: string, host: string): Promise<Response> {
    const key = await sessionKey(sessionId);
    try {
      const at = this.now();
      checkRelay(this.#admissions(), key, at);
      const agent = this.#socket();
      if (agent === undefined) throw new DirectError('E_HOST_OFFLINE');
      return this.#relay.attach({ sessionId, sessionKey: key, host, at }, agent);
    } catch (error) {
      return errorResponse(error);
    }
  }

  #admissions(): Admission[] {
    return this.ctx.storage.kv.get<Admission[]>('admitted') ?? [];
  }

  /** Passes messages on; a refusal comes back as a message about that session, which the others survive. */
  async #toSession(id: string, host: string, signals: SessionSignal[]): Promise<ErrorSignal | undefined> {
    try {
      const outcome = await this.#session(id).fromAgent(host, signals);
      return outcome.ok ? undefined : errorSignal(id, refusalError(outcome));
    } catch {
      // A stub that has thrown may stay broken.
      this.#sessions.delete(id);
      return errorSignal(id, new DirectError('E_INTERNAL'));
    }
  }

  #session(id: string): DurableObjectStub<SessionObject> {
    const known = this.#sessions.get(id);
    if (known !== undefined) return known;
    if (this.#sessions.size >= MAX_KEPT_STUBS) this.#sessions.clear();
    const stub = this.env.SESSIONS.getByName(id);
    this.#sessions.set(id, stub);
    return stub;
  }

  /** The agent's socket if it gave a sign of life lately. */
  #socket(): WebSocket | undefined {
    const socket = newestSocket(this.ctx, 'agent');
    if (socket === undefined) return undefined;
    const pingedAt = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    if (isFresh(Math.max(pingedAt, attachment(socket).at), this.now())) return socket;
    // A machine that slept finds out this way at once and connects again.
    closeWith(socket, 'E_PATH_LOST');
    this.#lost('the agent was silent for too long', socket);
    return undefined;
  }

  async #tunnelled(request: Request, path: string): Promise<Response> {
    const socket = this.#socket();
    if (socket !== undefined) return this.tunnel.fetch(request, socket);
    const detail = this.presence().online ? 'it can only poll, and the tunnel needs its WebSocket' : undefined;
    return errorResponse(new DirectError('E_HOST_OFFLINE', detail), path);
  }

  async #answerPoll(signal: AbortSignal, query: URLSearchParams): Promise<Response> {
    const batch = query.has('batch');
    let texts = this.#take(batch, signal);
    if (texts.length === 0) {
      this.#pollTakesAll = batch;
      if ((await this.poll.wait(Number(query.get('hold')), signal)) === 'woken') texts = this.#take(batch, signal);
    }
    this.ctx.storage.kv.put('polledAt', this.now());
    await this.#ensureAlarm();
    return pollResponse(texts, batch);
  }

  #take(batch: boolean, signal?: AbortSignal): string[] {
    // An aborted poll must not take what its agent cannot get any longer.
    if (signal?.aborted === true) return [];
    return batch ? this.#queue.takeBatch(this.now()) : this.#queue.takeOffer(this.now());
  }

  /** For what still waits: addresses of clients (in the SDP) shall not lie around until the agent comes back. */
  async #ensureAlarm(): Promise<void> {
    const next = this.#queue.nextExpiry();
    if (next !== undefined && (await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(next);
  }
}

function isRelayed(socket: WebSocket): boolean {
  return attachment(socket).channel !== undefined;
}

function errorSignal(session_id: string, { code, message }: DirectError): ErrorSignal {
  return { session_id, type: 'error', code, message };
}
