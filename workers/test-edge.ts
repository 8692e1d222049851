/** What the edge's tests share: a configured edge, the callers, sockets that collect what they receive. */

import { createExecutionContext, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { ACCOUNT, type AccountObject } from './account-object.ts';
import { edge } from './edge.ts';

export const OWNER = 'the-owner-token-of-tests';
export const AGENT = 'the-agent-token-of-tests';
export const SDP = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n';
export const ANSWER_SDP = 'v=0\r\no=- 3 4 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n';
export const CANDIDATE = {
  candidate: 'candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host',
  sdpMid: '0',
  sdpMLineIndex: 0,
  usernameFragment: null,
};

/** Long enough for a message to come in, short enough to wait for in vain. */
const POLL_MS = 150;

const configured: Cloudflare.Env = {
  ...env,
  OWNER_TOKEN: OWNER,
  AGENT_TOKEN: AGENT,
  OPEN_HOSTS: '',
  ICE_SERVERS: '[{"urls":"stun:stun.example.com:3478"}]',
  POLL_HOLD_MS: String(POLL_MS),
  // The counter of the real one would couple the tests to each other.
  COARSE_LIMIT: { limit: () => Promise.resolve({ success: true }) },
};

export interface Call {
  method?: string;
  token?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Instead of ORIGIN. */
  origin?: string;
  /** Bindings to replace; `undefined` unsets one. */
  env?: { [Name in keyof Cloudflare.Env]?: Cloudflare.Env[Name] | undefined };
}

export const ORIGIN = 'https://edge.example';

let addresses = 0;
/** An address that no other call has: what one guesses wrong locks nobody else out. */
export const newAddress = (): string => `2001:db8:${(addresses++).toString(16)}::1`;

/** Calls the Worker. `body` is sent as JSON unless it is a text or a stream. */
export async function call(
  path: string,
  { origin = ORIGIN, method = 'GET', token, body, headers, signal, env: vars }: Call = {},
) {
  const request = new Request(`${origin}${path}`, {
    method,
    headers: {
      'CF-Connecting-IP': newAddress(),
      ...headers,
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: isRaw(body) ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  // Unset variables are `undefined` at run time too.
  const bindings = { ...configured, ...vars } as Cloudflare.Env;
  return edge.fetch(request, bindings, createExecutionContext());
}

function isRaw(body: unknown): body is string | ReadableStream | Uint8Array {
  return typeof body === 'string' || body instanceof ReadableStream || body instanceof Uint8Array;
}

export const post = (path: string, body?: unknown, options: Call = {}) =>
  call(path, { ...options, method: 'POST', body });

/** The code in a JSON error. */
export async function codeOf(response: Response): Promise<string> {
  const body = await response.json<{ error: { code: string } }>();
  return body.error.code;
}

let hosts = 0;
/** A host that no other test uses. */
export const newHost = (): string => `host-${++hosts}-${crypto.randomUUID().slice(0, 8)}`;
export const base = (host: string): string => `/_direct/h/${host}`;

export interface Created {
  session_id: string;
  expires_at: number;
  host: { id: string; online: boolean };
}

/** A session of the owner, or of anybody if the host is open. */
export async function newSession(host: string, body?: unknown, options: Call = { token: OWNER }): Promise<Created> {
  const response = await post(`${base(host)}/session`, body, options);
  if (response.status !== 201) throw new Error(`POST /session: ${response.status} ${await response.text()}`);
  return response.json<Created>();
}

/** A WebSocket whose messages can be awaited one by one. */
export class Socket {
  readonly #messages: unknown[] = [];
  readonly #waiting: ((message: unknown) => void)[] = [];
  readonly #socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener('message', ({ data }) => {
      const message: unknown = data === 'pong' ? data : JSON.parse(String(data));
      const next = this.#waiting.shift();
      if (next) next(message);
      else this.#messages.push(message);
    });
    socket.accept();
  }

  /** The next message; the test's own time-out ends a wait in vain. */
  next(): Promise<unknown> {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Messages that nobody asked for yet. */
  get unread(): readonly unknown[] {
    return this.#messages;
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message));
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }
}

export async function openSocket(path: string, options: Call = {}): Promise<Socket> {
  const response = await call(path, { ...options, headers: { ...options.headers, Upgrade: 'websocket' } });
  if (response.webSocket === null) throw new Error(`no WebSocket: ${response.status} ${await response.text()}`);
  return new Socket(response.webSocket);
}

/** The agent's socket, past its first message. */
export async function agentSocket(host: string): Promise<Socket> {
  const socket = await openSocket(`${base(host)}/signal`, { token: AGENT });
  await socket.next();
  return socket;
}

export const clientSocket = (host: string, session: string): Promise<Socket> =>
  openSocket(`${base(host)}/signal?session_id=${session}`);

/** A poll as the agent, with its answer's status and messages. */
export async function agentPoll(host: string, query = '?batch=1', options: Call = {}) {
  const response = await call(`${base(host)}/signal${query}`, { token: AGENT, ...options });
  return { status: response.status, body: response.status === 200 ? await response.json<unknown>() : undefined };
}

/** A poll as the client. */
export async function clientPoll(host: string, session: string, query = '', options: Call = {}) {
  const response = await call(`${base(host)}/signal?session_id=${session}${query}`, options);
  return { status: response.status, body: response.status === 200 ? await response.json<unknown>() : undefined };
}

export const offer = (session_id: string, sdp = SDP) => ({ session_id, type: 'offer', sdp });
export const answer = (session_id: string, sdp = ANSWER_SDP) => ({ session_id, type: 'answer', sdp });
export const candidate = (session_id: string) => ({ session_id, type: 'candidate', candidate: CANDIDATE });

export const accountStub = () => env.ACCOUNTS.getByName(ACCOUNT);

/** Runs inside the AccountObject. */
export function inAccount<T>(
  act: (account: AccountObject, sql: SqlStorage, storage: DurableObjectStorage) => T | Promise<T>,
): Promise<T> {
  return runInDurableObject(accountStub(), (account, { storage }) => act(account, storage.sql, storage));
}

/** Moves the AccountObject's clock. */
export function passTime(ms: number): Promise<void> {
  return inAccount((account) => {
    const { now } = account;
    account.now = () => now() + ms;
  });
}

/** As if nobody had guessed wrong yet. */
export function forgetGuesses(): Promise<void> {
  return inAccount((_account, sql) => {
    for (const table of ['guesses', 'guess_locks', 'known_addresses']) sql.exec(`DELETE FROM ${table}`);
  });
}

/** What a page of the edge's own sends with its requests. */
export const asPage = (cookie: string): Record<string, string> => ({
  Cookie: `__Host-direct_agent=${cookie}`,
  Origin: ORIGIN,
});

/** The header fields of a browser in which the owner, or a guest of these hosts, has signed in. */
export async function signedIn(guestOf?: string[]): Promise<Record<string, string>> {
  const guest = { kind: 'guest', invitation: 'invited', hosts: guestOf ?? [] } as const;
  const asked = guestOf === undefined ? ({ kind: 'owner' } as const) : guest;
  return asPage((await inAccount((account) => account.sessions().create({ ...asked, name: 'a browser' }))).cookie);
}

export const hostStub = (host: string) => env.HOSTS.getByName(host);
export const sessionStub = (session: string) => env.SESSIONS.getByName(session);
