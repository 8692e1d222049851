/** The Durable Object of one host: its agent's socket or poll, its presence, what waits for it. */
import { DurableObject } from 'cloudflare:workers';
import { parseChannelControl } from '../shared/channel.ts';
import { DirectError } from '../shared/errors.ts';
import { PROTOCOL_VERSION } from '../shared/limits.ts';
import {
  type ErrorSignal,
  parseSignalJson,
  parseSignalList,
  type ReadySignal,
  type SessionSignal,
} from '../shared/signal.ts';
import { bySession, socketTexts } from './batch.ts';
import { admitOne, checkOnline, isFresh, isPolling, type Presence } from './host-presence.ts';
import { HostQueue } from './host-queue.ts';
import { LongPoll } from './long-poll.ts';
import { accepted, type Outcome, refusalError, refused } from './outcome.ts';
import { errorResponse, pollResponse } from './responses.ts';
import type { SessionObject } from './session-object.ts';
import { acceptOnly, attachment, closeFor, closeWith, newestSocket, PING, PONG, returnClose, sends } from './socket.ts';
import { Tunnel } from './tunnel.ts';
import { TUNNEL_HOSTNAME } from './tunnel-routes.ts';

/** Stubs kept for the order of their calls; a session lasts seconds, so old ones are rarely used again. */
const MAX_KEPT_STUBS = 64;

export class HostObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  readonly #queue: HostQueue;
  /** Of use to tests only; RPC does not show it. */
  readonly poll = new LongPoll();
  #pollTakesAll = false;
  /** Of use to tests only, like `poll`. */
  readonly tunnel = new Tunnel();
  readonly #sessions = new Map<string, DurableObjectStub<SessionObject>>();

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#queue = new HostQueue(ctx.storage.sql);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Counts a new session against the limit and delivers its first messages. */
  async admit(session: { signals: SessionSignal[]; open: boolean }): Promise<Outcome<{ online: boolean }>> {
    try {
      const now = this.now();
      this.ctx.storage.kv.put('admissions', admitOne(this.ctx.storage.kv.get<number[]>('admissions') ?? [], now));
      const { online } = this.presence();
      checkOnline(online, session.open);
      await this.deliver(session.signals);
      return accepted({ online });
    } catch (error) {
      return refused(error);
    }
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

  /** From the Worker: a tunnelled request, or the agent attaches by WebSocket, or polls with `hold` (ms) and `batch`. */
  override async fetch(request: Request): Promise<Response> {
    const { hostname, pathname, searchParams: query } = new URL(request.url);
    if (hostname === TUNNEL_HOSTNAME) return this.#tunnelled(request, pathname);
    if (request.headers.get('upgrade') !== 'websocket') return this.#answerPoll(request.signal, query);
    const host = query.get('host') ?? '';
    const { response, server } = acceptOnly(this.ctx, 'agent', { at: this.now(), host });
    this.poll.end();
    this.tunnel.lost('another agent connected');
    const ready: ReadySignal = { type: 'ready', protocol_version: PROTOCOL_VERSION, host };
    server.send(JSON.stringify(ready));
    for (let texts = this.#take(true); texts.length > 0; texts = this.#take(true)) server.send(`[${texts.join(',')}]`);
    return response;
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      if (typeof message !== 'string') return this.tunnel.message(new Uint8Array(message), socket);
      const raw = parseSignalJson(message);
      const control = parseChannelControl(raw);
      if (control !== undefined) return this.tunnel.control(control);
      const signals = parseSignalList(raw);
      const { host } = attachment(socket);
      const calls = [...bySession(signals)].map(([id, part]) => this.#toSession(id, host, part));
      for (const refusal of await Promise.all(calls)) {
        if (refusal !== undefined) sends(socket, JSON.stringify(refusal));
      }
    } catch (error) {
      closeFor(socket, error);
      this.tunnel.lost('the agent broke the protocol', socket);
    }
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    returnClose(socket, code, reason);
    this.tunnel.lost(`the agent’s socket closed (${code})`, socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.tunnel.lost('the agent’s socket broke', socket);
  }

  override async alarm(): Promise<void> {
    this.#queue.dropExpired(this.now());
    await this.#ensureAlarm();
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
    this.tunnel.lost('the agent was silent for too long', socket);
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

function errorSignal(session_id: string, { code, message }: DirectError): ErrorSignal {
  return { session_id, type: 'error', code, message };
}
