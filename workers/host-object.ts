/** The Durable Object of one host: its agent's connection, its presence, what waits for it, and its channels. */
import { DurableObject } from 'cloudflare:workers';
import { decodeBatch, type LinkMessage, parseChannelControl } from '../shared/channel.ts';
import { DirectError } from '../shared/errors.ts';
import { DIRECT_GRANT, decodeGrant } from '../shared/grant.ts';
import type { Announcement } from '../shared/host-identity.ts';
import { type ForgetDeviceSignal, type HostInfo, parseHostInfo } from '../shared/host-info.ts';
import { type AskReportSignal, type HostReport, parseHostReport } from '../shared/host-report.ts';
import { MAX_RELAYS, POLL_PRESENCE_MS, PROTOCOL_VERSION, RELAY_ADMISSION_MS } from '../shared/limits.ts';
import {
  parseAnnounce,
  parseSignalJson,
  parseSignalList,
  type ReadySignal,
  type SessionReady,
  type SessionSignal,
} from '../shared/signal.ts';
import { AgentPolls, type Poll, pollOf } from './agent-polls.ts';
import { Arrivals } from './arrivals.ts';
import { socketTexts } from './batch.ts';
import { Channels } from './channels.ts';
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
import { accepted, type Outcome, refused } from './outcome.ts';
import { errorResponse } from './responses.ts';
import { Revocations } from './revocations.ts';
import { sessionKey } from './session-id.ts';
import { SessionStubs } from './session-stubs.ts';
import {
  acceptOnly,
  attachment,
  closeFor,
  closeWith,
  newestSocket,
  openSockets,
  PING,
  PONG,
  returnClose,
  type Sender,
  sends,
} from './socket.ts';
import type { Tunnel } from './tunnel.ts';
import { TUNNEL_HOSTNAME } from './tunnel-routes.ts';

/** How exact the stored time of the last poll is: polls that carry channels follow each other closely. */
const POLLED_AT_STEP_MS = 5_000;

/** An agent answers in a round trip; one of an earlier version never does. */
const REPORT_PATIENCE_MS = 2_000;
/** Owners who look at a host at the same moment; for others there is nothing to see. */
const MAX_LOOKING = 16;

/** What is stored of an agent, and of no use without it. Limits and revocations count on. */
const TOLD_BY_THE_AGENT = ['announcement', 'info', 'polledAt'];

/** What a new session's client is told of the host. */
type Admitted = Omit<SessionReady['host'], 'id'>;

/** What a new session itself is told besides: it goes on for as long as this stays (`#generation`). */
interface Admittance {
  told: Admitted;
  generation: number;
}

export class HostObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock and times here. */
  now: () => number = Date.now;
  pollPresenceMs = POLL_PRESENCE_MS;
  readonly #queue: HostQueue;
  #polledAt = 0;
  /** Fields, so that tests see them and RPC does not. */
  readonly poll: AgentPolls;
  readonly tunnel: Tunnel;
  readonly #channels: Channels;
  /** Clients of the relay whose sessions are not known yet. */
  readonly #admitting = new Arrivals(MAX_RELAYS);
  /** Who waits for a report, and the last one. */
  readonly #looking = new Arrivals(MAX_LOOKING);
  #report: HostReport | undefined;
  readonly #sessions: SessionStubs;
  readonly #revocations: Revocations;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#queue = new HostQueue(ctx.storage.sql);
    this.#revocations = new Revocations(ctx.storage.kv);
    this.#channels = new Channels(ctx);
    this.tunnel = this.#channels.tunnel;
    this.poll = new AgentPolls({
      queue: this.#queue,
      now: () => this.now(),
      absenceMs: () => this.pollPresenceMs,
      socketAt: () => {
        const socket = this.#socket();
        return socket === undefined ? undefined : attachment(socket).at;
      },
      begun: () => this.#channels.renewed('the agent polls'),
      opened: (connection) => this.#revocations.tell(connection),
      ended: (reason, connection) => this.#channels.lost(reason, connection, true),
    });
    this.#sessions = new SessionStubs(env.SESSIONS);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Counts a new session against the limit and delivers its first messages. */
  async admit(
    session: Pick<Admission, 'grant' | 'from'> & { id: string; signals: SessionSignal[]; open: boolean },
  ): Promise<Outcome<Admittance>> {
    const { kv } = this.ctx.storage;
    const { grant, from } = session;
    const key = await sessionKey(session.id);
    try {
      this.#revocations.check(grant);
      kv.put('admissions', admitOne(this.#admissions(), { at: this.now(), sessionKey: key, grant, from }));
      this.#admitting.arrived(key);
      const { online } = this.presence();
      checkOnline(online, session.open);
      await this.#deliver(session.signals);
      const announcement = kv.get<Announcement>('announcement');
      const told = { online, ...(announcement === undefined ? {} : { announcement }) };
      return accepted({ told, generation: this.#generation });
    } catch (error) {
      return refused(error);
    }
  }

  /** From an agent that polls: the keys that its clients are told from now on. */
  announce(announcement: Announcement): void {
    this.ctx.storage.kv.put('announcement', announcement);
  }

  /** From an agent that polls: what it says of itself. */
  inform(info: HostInfo): void {
    this.ctx.storage.kv.put('info', info);
  }

  /** What the agent has said of itself last; null before it did. */
  info(): HostInfo | null {
    return this.ctx.storage.kv.get<HostInfo>('info') ?? null;
  }

  /** Asks the agent to remove a device, whose sessions it ends. It says so by other information. */
  forgetDevice(id: string): Outcome<null> {
    const forget: ForgetDeviceSignal = { type: 'forget_device', id };
    const agent = this.#agent();
    if (agent !== undefined && sends(agent, JSON.stringify(forget))) return accepted(null);
    return refused(new DirectError('E_HOST_OFFLINE', 'devices are removed by the host itself'));
  }

  /** How the host is just now, as its agent says; null when none answers. */
  async report(): Promise<HostReport | null> {
    const agent = this.#agent();
    const ask: AskReportSignal = { type: 'ask_report' };
    if (agent === undefined || !sends(agent, JSON.stringify(ask))) return null;
    this.#report = undefined;
    await this.#looking.wait('report', REPORT_PATIENCE_MS);
    return this.#report ?? null;
  }

  /**
   * Hands messages to the agent, or keeps them until it comes. `generation` is what the session was told, null while it
   * is not yet.
   */
  async deliver(signals: SessionSignal[], generation: number | null): Promise<Outcome<null>> {
    try {
      if (generation !== null && generation !== this.#generation) throw new DirectError('E_SESSION_UNKNOWN');
      // A session that began before may make offers for as long as it lives.
      for (const signal of signals) if (signal.type === 'offer') this.#revocations.check(signal.grant);
      await this.#deliver(signals);
      return accepted(null);
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Ends what goes on for a subject (`Grant.subject`): its relays here, and by the agent its sessions and tunnelled
   * requests. Nothing of it is let through later, except for those that are not revoked for good (`Revocations`).
   */
  revoke(subject: string): void {
    this.#revocations.add(subject, this.#agent());
    this.#queue.revoke(subject);
    this.ctx.storage.kv.put(
      'admissions',
      this.#admissions().filter(({ grant }) => grant.subject !== subject),
    );
    this.#channels.relay.revoke(subject);
  }

  async #deliver(signals: SessionSignal[]): Promise<void> {
    if (signals.length === 0) return;
    // A poll first: an agent that polls beside an open socket has found the socket dead before we did.
    const polls = this.poll.waiting || this.poll.connection !== undefined;
    const socket = polls ? undefined : this.#socket();
    if (socket !== undefined && socketTexts(signals).every((text) => sends(socket, text))) return;
    this.#queue.push(signals, this.now());
    if (this.poll.waiting) this.poll.wake(signals);
    else await this.#ensureAlarm();
  }

  /** The agent's credential is void: its link ends, and what was kept of the host and for it goes. */
  forget(): void {
    // Polls have no connection to close: the Worker refuses the next one.
    this.poll.end('the credential is void');
    for (const socket of openSockets(this.ctx, 'agent')) {
      closeWith(socket, 'E_UNAUTHORIZED', 'the host was removed, or has logged out');
    }
    this.#channels.renewed('the host was removed, or has logged out');
    this.#queue.clear();
    const { kv } = this.ctx.storage;
    for (const key of TOLD_BY_THE_AGENT) kv.delete(key);
    // Who was let in to this host was not let in to the one that may have its id next.
    kv.put('generation', this.#generation + 1);
    kv.put(
      'admissions',
      this.#admissions().map((admission) => ({ ...admission, sessionKey: '' })),
    );
  }

  presence(): Presence {
    const socket = this.#socket();
    if (socket !== undefined) return { online: true, since: attachment(socket).at };
    const polledAt = this.ctx.storage.kv.get<number>('polledAt') ?? Number.NEGATIVE_INFINITY;
    return { online: this.poll.waiting || isPolling(polledAt, this.now()) };
  }

  /**
   * From the Worker: a tunnelled request; or a client attaches to the relay with its session's id; or the agent attaches
   * by WebSocket, or polls.
   */
  override async fetch(request: Request): Promise<Response> {
    const { hostname, pathname, searchParams: query } = new URL(request.url);
    if (hostname === TUNNEL_HOSTNAME) return this.#tunnelled(request, pathname);
    if (request.headers.get('upgrade') !== 'websocket') return this.#answerPoll(pollOf(query), request.signal);
    const host = query.get('host') ?? '';
    const relayed = query.get('relay');
    return relayed === null ? this.#attachAgent(host) : this.#attachRelay(relayed, host);
  }

  /** From the Worker: what an agent that polls sends by its connection `id`; `number` counts from 1. */
  async post(host: string, id: string, number: number, batch: Uint8Array): Promise<Outcome<null>> {
    const { connection } = this.poll;
    try {
      if (connection?.id !== id) throw new DirectError('E_SESSION_UNKNOWN', 'the connection is over');
      if (!connection.isNew(number)) return accepted(null);
      for (const message of decodeBatch(batch)) await this.#fromAgent(message, connection, host);
      return accepted(null);
    } catch (error) {
      if (connection?.id === id) connection.end('the agent broke the protocol');
      return refused(error);
    }
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    if (isRelayed(socket)) return this.#channels.relay.fromClient(socket, message, this.#agent());
    try {
      const { host } = attachment(socket);
      await this.#fromAgent(typeof message === 'string' ? message : new Uint8Array(message), socket, host);
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

  // ---- the agent ------------------------------------------------------------------------------

  #attachAgent(host: string): Response {
    const { response, server } = acceptOnly(this.ctx, 'agent', { at: this.now(), host });
    this.poll.end('the agent came back by WebSocket');
    this.#channels.renewed('another agent connected');
    const ready: ReadySignal = { type: 'ready', protocol_version: PROTOCOL_VERSION, host };
    server.send(JSON.stringify(ready));
    this.#revocations.tell(server);
    this.#queue.handOver(server, this.now());
    return response;
  }

  /** A message of the agent, by whatever connection. @throws DirectError */
  async #fromAgent(message: LinkMessage, connection: Sender, host: string): Promise<void> {
    if (typeof message !== 'string') return this.#channels.message(message, connection);
    const raw = parseSignalJson(message);
    const control = parseChannelControl(raw);
    if (control !== undefined) return this.#channels.control(control);
    const announcement = parseAnnounce(raw);
    if (announcement !== undefined) return this.announce(announcement);
    const info = parseHostInfo(raw);
    if (info !== undefined) return this.inform(info);
    const report = parseHostReport(raw);
    if (report !== undefined) {
      this.#report = report;
      return this.#looking.arrived('report');
    }
    for (const refusal of await this.#sessions.fromAgent(host, parseSignalList(raw))) {
      sends(connection, JSON.stringify(refusal));
    }
  }

  /** What reaches the agent now. */
  #agent(): Sender | undefined {
    return this.poll.connection ?? this.#socket();
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

  #closed(socket: WebSocket, reason: string): void {
    if (isRelayed(socket)) this.#channels.relay.closedByClient(socket, this.#agent());
    else this.#lost(reason, socket);
  }

  #lost(reason: string, socket: WebSocket): void {
    const current = this.#agent();
    this.#channels.lost(reason, socket, current === undefined || current === socket);
  }

  async #answerPoll(poll: Poll, signal: AbortSignal): Promise<Response> {
    const response = await this.poll.answer(poll, signal);
    const now = this.now();
    // Polls that carry channels follow each other closely, and each row that is written counts.
    if (this.poll.connection === undefined || now - this.#polledAt > POLLED_AT_STEP_MS) {
      this.#polledAt = now;
      this.ctx.storage.kv.put('polledAt', now);
    }
    await this.#ensureAlarm();
    return response;
  }

  /** For what still waits: addresses of clients (in the SDP) shall not lie around until the agent comes back. */
  async #ensureAlarm(): Promise<void> {
    const next = this.#queue.nextExpiry();
    if (next !== undefined && (await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(next);
  }

  // ---- its clients ----------------------------------------------------------------------------

  async #tunnelled(request: Request, path: string): Promise<Response> {
    try {
      this.#revocations.check(decodeGrant(request.headers.get(DIRECT_GRANT) ?? ''));
    } catch (error) {
      return errorResponse(error, path);
    }
    const agent = this.#agent();
    if (agent !== undefined) return this.tunnel.fetch(request, agent);
    const detail = this.presence().online ? 'it can only poll, and is too old to take requests that way' : undefined;
    return errorResponse(new DirectError('E_HOST_OFFLINE', detail), path);
  }

  async #attachRelay(sessionId: string, host: string): Promise<Response> {
    const key = await sessionKey(sessionId);
    try {
      // A client attaches while it still asks for its session, which comes by way of another object.
      if (!this.#isAdmitted(key)) await this.#admitting.wait(key, RELAY_ADMISSION_MS);
      const at = this.now();
      const admission = checkRelay(this.#admissions(), key, at);
      const agent = this.#agent();
      if (agent === undefined) throw new DirectError('E_HOST_OFFLINE');
      return this.#channels.relay.attach({ sessionId, admission, host, at }, agent);
    } catch (error) {
      return errorResponse(error);
    }
  }

  /** How many hosts have had this id before, or how often this one was logged out. */
  get #generation(): number {
    return this.ctx.storage.kv.get<number>('generation') ?? 0;
  }

  #isAdmitted(key: string): boolean {
    return this.#admissions().some(({ sessionKey: known }) => known === key);
  }

  #admissions(): Admission[] {
    return this.ctx.storage.kv.get<Admission[]>('admissions') ?? [];
  }
}

function isRelayed(socket: WebSocket): boolean {
  return attachment(socket).channel !== undefined;
}
