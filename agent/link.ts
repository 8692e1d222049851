/**
 * The agent's link to the edge: one WebSocket, kept up with jittered backoff. Where WebSockets are blocked it polls
 * by HTTPS and goes back to the WebSocket by itself.
 */
import WebSocket, { type ClientOptions } from 'ws';
import { type ChannelControl, parseChannelControl } from '../shared/channel.ts';
import { codeFromNumber, DirectError, type ErrorCode } from '../shared/errors.ts';
import type { Announcement } from '../shared/host-identity.ts';
import { parseForgetDevice } from '../shared/host-info.ts';
import { isAskReport } from '../shared/host-report.ts';
import { AGENT_PING_INTERVAL_MS, MAX_ENVELOPE_BYTES, POLL_HOLD_MS } from '../shared/limits.ts';
import { ofType } from '../shared/message-fields.ts';
import {
  type AnnounceSignal,
  parseRevoked,
  parseSignalJson,
  parseSignalList,
  type SessionSignal,
} from '../shared/signal.ts';
import type { LinkSocket } from './channels.ts';
import { agentFetch } from './fetch.ts';
import { Heartbeat } from './heartbeat.ts';
import { pause } from './pause.ts';
import { PollConnection } from './poll-connection.ts';
import { readText, refusal } from './refusal.ts';
import { nodeEnvironment } from './runtime.ts';

export interface LinkOptions {
  /** `https://edge/_direct/h/{host id}`, without a slash at the end. */
  url: string;
  token: string;
  /** A message of a client arrived. */
  signal(signal: SessionSignal): void;
  /** Whatever goes on for this subject must end (`Grant.subject`). */
  revoked(subject: string): void;
  /** What arrives besides signals, and the end of what it arrived by. */
  channels: LinkChannels;
  /** The keys that clients of the relay shall use; asked each time when the link comes up. */
  announcement?(): Announcement | undefined;
  /** What the edge shows of the host, as a message; asked each time when the link comes up. */
  info?(): string;
  /** What the owner is shown who looks now, as a message. */
  report?(): string;
  /** The owner removes a device, by its id. */
  forgetDevice?(id: string): void;
  /** The link is up (again), by this transport. */
  up(transport: Transport): void;
  /** The link is down; it is tried again after `retryMs`. */
  down(reason: string, retryMs: number): void;
  /** Trying again cannot help: wrong token, or another agent took over. Called once, the link has stopped. */
  refused(error: DirectError): void;
  /** From 0 to 1, exclusive; for jitter. */
  random?(): number;
  fetch?: typeof fetch;
  timing?: Partial<typeof TIMING>;
}

export interface LinkChannels {
  control(control: ChannelControl, socket: LinkSocket): void;
  message(bytes: Uint8Array, socket: LinkSocket): void;
  /** The socket has closed, or what stood for one. */
  lost(reason: string): void;
}

export type Transport = 'websocket' | 'polling';

const TIMING = {
  pingMs: AGENT_PING_INTERVAL_MS,
  /** A pong takes one round trip; a socket that stays silent for this long is dead. */
  pongTimeoutMs: 10_000,
  handshakeTimeoutMs: 10_000,
  /** First and longest pause between attempts; the pause doubles and is drawn at random up to that. */
  backoffMs: 1_000,
  maxBackoffMs: 60_000,
  /** While polling, the WebSocket is tried again this often. */
  webSocketRetryMs: 60_000,
  /** Pause after the first poll or POST that fails; it doubles with each. */
  pollRetryMs: 1_000,
  /** While polling, small messages leave at most this often: each POST is a request that the edge's owner pays. */
  postIntervalMs: 200,
};

/** The edge keeps the channels of an agent that does not poll for POLL_PRESENCE_MS; this many pauses fit in. */
const MAX_POLL_RETRIES = 3;

const CLOSE_TIMEOUT_MS = 1_000;

/** Codes after which only a person can help. */
const FINAL: readonly ErrorCode[] = ['E_UNAUTHORIZED', 'E_FORBIDDEN', 'E_REPLACED', 'E_NOT_FOUND', 'E_NOT_CONFIGURED'];

/** What an edge knows whose link has just come up. */
const NOTHING_TOLD = { keys: false, info: false };

/** How an attempt by WebSocket ended. */
type SocketEnd = { opened: boolean; error: DirectError };

export class Link {
  readonly #options: LinkOptions;
  readonly #timing: typeof TIMING;
  readonly #stop = new AbortController();
  #socket: WebSocket | undefined;
  #outbox: SessionSignal[] = [];
  #running: Promise<void> | undefined;
  #polling: Promise<void> | undefined;
  /** True while polls are answered. */
  #polls = false;
  /** What stands for the WebSocket meanwhile. */
  #polled: PollConnection | undefined;
  /** What the edge has heard of the keys and of the host, for as long as the link is up. */
  readonly #told = { ...NOTHING_TOLD };

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** Connects and stays connected until `close`. */
  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    await this.#polled?.flushed(CLOSE_TIMEOUT_MS);
    this.#stop.abort();
    this.#socket?.close(1000);
    await this.#running;
    await this.#polling;
  }

  /** Sends a message to the client of a session. What is sent in one turn leaves together. */
  send(signal: SessionSignal): void {
    if (this.#outbox.push(signal) === 1) setImmediate(() => this.#flush());
  }

  /** Tells the edge the keys again, which have changed. */
  announce(): void {
    this.#told.keys = false;
    this.#tellWhatIsDue();
  }

  /** Tells the edge about the host again, of which something has changed. */
  inform(): void {
    this.#told.info = false;
    this.#tellWhatIsDue();
  }

  #tellWhatIsDue(): void {
    const announcement = this.#told.keys ? undefined : this.#options.announcement?.();
    if (announcement !== undefined) {
      this.#tell('keys', JSON.stringify({ type: 'announce', announcement } satisfies AnnounceSignal));
    }
    const info = this.#told.info ? undefined : this.#options.info?.();
    if (info !== undefined) this.#tell('info', info);
  }

  #tell(what: 'keys' | 'info', body: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(body);
    else if (this.#polls) {
      this.#post(body).catch(() => {
        // With the next poll.
        this.#told[what] = false;
      });
    } else return;
    this.#told[what] = true;
  }

  #flush(): void {
    const signals = this.#outbox.splice(0);
    const body = JSON.stringify(signals.length === 1 ? signals[0] : signals);
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(body);
      return;
    }
    // The session has a few seconds only, so what cannot be posted now is not worth keeping.
    this.#post(body).catch(() => {});
  }

  async #post(body: string): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const response = await this.#fetch('/signal', { method: 'POST', body, headers });
    await response.body?.cancel();
    if (response.status >= 500) throw new DirectError('E_PATH_LOST', `answered with status ${response.status}`);
  }

  /** `path` begins after the link's URL. */
  #fetch(path: string, init: RequestInit): Promise<Response> {
    const { url, token, fetch: request = agentFetch } = this.#options;
    const signals = [this.#stop.signal, AbortSignal.timeout(POLL_HOLD_MS + this.#timing.pongTimeoutMs)];
    return request(`${url}${path}`, {
      ...init,
      headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` },
      redirect: 'error',
      signal: AbortSignal.any(init.signal ? [...signals, init.signal] : signals),
    });
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const { opened, error } = await this.#bySocket();
      if (this.#stop.signal.aborted || this.#refuse(error)) return;
      failures = opened ? 0 : failures + 1;
      // A socket that never opened may be blocked by a proxy that lets HTTPS through.
      if (!opened) this.#polling ??= this.#poll();
      const retryMs = this.#polls ? this.#timing.webSocketRetryMs : this.#backoff(failures);
      if (!this.#polls) this.#options.down(error.detail ?? error.message, retryMs);
      await pause(retryMs, this.#stop.signal);
    }
  }

  #refuse(error: DirectError): boolean {
    if (!FINAL.includes(error.code)) return false;
    this.#stop.abort();
    this.#options.refused(error);
    return true;
  }

  #backoff(failures: number): number {
    const longest = Math.min(this.#timing.maxBackoffMs, this.#timing.backoffMs * 2 ** Math.min(failures, 16));
    return Math.round(longest * (this.#options.random ?? Math.random)());
  }

  /** Runs one WebSocket from connect to close. */
  #bySocket(): Promise<SocketEnd> {
    return new Promise((resolve) => {
      // `closeTimeout` is newer than the types of ws.
      const socketOptions: ClientOptions & { closeTimeout: number } = {
        headers: { authorization: `Bearer ${this.#options.token}` },
        handshakeTimeout: this.#timing.handshakeTimeoutMs,
        // The edge's runtime answers a close at once but keeps TCP open until the object is evicted.
        closeTimeout: CLOSE_TIMEOUT_MS,
        perMessageDeflate: false,
        // Texts of signals are shorter.
        maxPayload: MAX_ENVELOPE_BYTES,
      };
      const socket = new WebSocket(`${this.#options.url.replace(/^http/, 'ws')}/signal`, socketOptions);
      let opened = false;
      let error = new DirectError('E_PATH_LOST', 'the edge closed the connection');
      const heartbeat = new Heartbeat(socket, this.#timing, nodeEnvironment);
      const onStop = () => socket.terminate();
      this.#stop.signal.addEventListener('abort', onStop, { once: true });
      socket.on('unexpected-response', (_request, response) => {
        void readText(response).then((body) => {
          error = refusal(response.statusCode ?? 0, body);
          socket.terminate();
        });
      });
      socket.on('open', () => {
        opened = true;
        this.#socket = socket;
        this.#polled?.end('the link has a WebSocket again');
        heartbeat.start();
      });
      socket.on('message', (data, isBinary) => {
        heartbeat.heard();
        // `binaryType` is nodebuffer, so it is a Buffer.
        if (isBinary) this.#options.channels.message(data as Buffer, socket);
        else this.#receive(data.toString(), socket);
      });
      socket.on('error', (cause) => {
        if (error.code === 'E_PATH_LOST') error = new DirectError('E_PATH_LOST', cause.message);
      });
      socket.on('close', (code, reason) => {
        this.#stop.signal.removeEventListener('abort', onStop);
        heartbeat.stop();
        if (this.#socket === socket) this.#socket = undefined;
        if (opened) this.#options.channels.lost('the link to the edge was lost');
        const closedFor = codeFromNumber(code);
        if (FINAL.includes(closedFor)) error = new DirectError(closedFor);
        else if (opened) error = new DirectError('E_PATH_LOST', `the edge closed the connection (${code} ${reason})`);
        resolve({ opened, error });
      });
    });
  }

  /** A text, and where channels may answer. */
  #receive(text: string, socket: LinkSocket | undefined): void {
    if (text === 'pong') return;
    try {
      const raw = parseSignalJson(text);
      if (ofType(raw, 'ready') !== undefined) {
        this.#options.up('websocket');
        Object.assign(this.#told, NOTHING_TOLD);
        this.#tellWhatIsDue();
        return;
      }
      const device = parseForgetDevice(raw);
      if (device !== undefined) {
        this.#options.forgetDevice?.(device);
        return;
      }
      if (isAskReport(raw)) {
        const report = this.#options.report?.();
        if (report !== undefined) socket?.send(report, () => {});
        return;
      }
      const revoked = parseRevoked(raw);
      if (revoked !== undefined) {
        this.#options.revoked(revoked);
        return;
      }
      const control = parseChannelControl(raw);
      if (control === undefined) for (const signal of parseSignalList(raw)) this.#options.signal(signal);
      else if (socket !== undefined) this.#options.channels.control(control, socket);
    } catch {
      // The edge is ours; a message that this version does not know is for a newer one.
    }
  }

  /** Polls until a WebSocket is open or polls fail. */
  async #poll(): Promise<void> {
    let failures = 0;
    try {
      while (!this.#stop.signal.aborted && this.#socket === undefined) {
        try {
          await this.#pollOnce();
          failures = 0;
        } catch (error) {
          if (error instanceof DirectError && this.#refuse(error)) return;
          // The next attempt by WebSocket says in the log what is wrong.
          if (!this.#polls || ++failures > MAX_POLL_RETRIES) return;
          await pause(this.#timing.pollRetryMs * 2 ** (failures - 1), this.#stop.signal);
        }
      }
    } finally {
      this.#polled?.end('polls are not answered');
      this.#polls = false;
      this.#polling = undefined;
    }
  }

  /** @throws DirectError when it is refused, or what `fetch` throws. */
  async #pollOnce(): Promise<void> {
    this.#polled ??= new PollConnection({
      request: (path, init) => this.#fetch(path, init),
      intervalMs: this.#timing.postIntervalMs,
      retryMs: this.#timing.pollRetryMs,
      ended: (reason) => {
        this.#polled = undefined;
        this.#options.channels.lost(reason);
      },
    });
    const connection = this.#polled;
    const messages = await connection.poll();
    if (!this.#polls && this.#socket === undefined) {
      this.#options.up('polling');
      Object.assign(this.#told, NOTHING_TOLD);
    }
    this.#polls = true;
    this.#tellWhatIsDue();
    for (const message of messages) {
      // A WebSocket may have opened meanwhile, which ends all channels but no signaling session.
      const socket = connection.open ? connection : undefined;
      if (typeof message === 'string') this.#receive(message, socket);
      else if (socket !== undefined) this.#options.channels.message(message, socket);
    }
  }
}
