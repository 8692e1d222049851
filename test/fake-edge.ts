/**
 * The edge's pages with an API that answers from memory, for tests of the dashboard alone: any state is a field away.
 * It knows what a page may ask and in which form, and nothing of how the edge keeps or checks it.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  ApiKey,
  AuditEvent,
  Device,
  Host,
  IceStatus,
  Invitation,
  ListedWebSession,
  Login,
  Me,
  Passkey,
} from '../shared/account-api.ts';
import { DirectError, type ErrorCode, errorBody } from '../shared/errors.ts';
import type { HostReport } from '../shared/host-report.ts';
import { pageHeaders } from '../workers/page-headers.ts';

export const FAKE_OWNER_TOKEN = 'owner-token-of-the-fake-edge';
export const FAKE_INVITATION = `dai_${'i'.repeat(43)}`;
const COOKIE = 'direct_agent';
const AUDIT_PAGE = 100;
const WEB = fileURLToPath(new URL('../dist/web', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};
/** As the edge's (workers/pages.ts). */
const PAGES: Readonly<Record<string, string>> = {
  '/': '/_direct/page/index.html',
  '/_direct/chat': '/_direct/page/index.html',
  '/_direct/': '/_direct/dashboard/index.html',
  '/_direct/approve': '/_direct/dashboard/index.html',
  '/_direct/invite': '/_direct/dashboard/index.html',
};

interface Asked {
  method: string;
  path: string;
  body: Record<string, unknown>;
}

type Reply = { status?: number; body?: unknown; cookie?: string };

class Refusal extends Error {
  readonly code: ErrorCode;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, retryAfter?: number) {
    super(code);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

const newKey = () => randomBytes(32).toString('base64url');

export class FakeEdge {
  /** The build that it serves. */
  web = WEB;
  /** What pages asked of the API. */
  readonly asked: Asked[] = [];
  hosts: Host[] = [];
  readonly devices = new Map<string, Device[]>();
  /** How hosts are just now; those that are not in it do not say. */
  readonly reports = new Map<string, HostReport>();
  keys: ApiKey[] = [];
  invitations: Invitation[] = [];
  passkeys: Passkey[] = [];
  sessions: ListedWebSession[] = [];
  events: AuditEvent[] = [];
  ice: IceStatus = { source: 'cloudflare', turn: true, providers: [] };
  /** The agent that waits, by its code. */
  readonly logins = new Map<string, Login>();
  /** Seconds for which nobody may sign in. */
  lockedFor: number | undefined;
  /** What the next request to the API is answered with. */
  failNext: ErrorCode | undefined;
  /** Of every host. */
  models: string[] = ['llama3.2:3b', 'qwen3:8b'];
  /** What models answer: the deltas of OpenAI’s stream, and whether it ends; or an error. */
  answer: { deltas: object[]; ends: boolean } | ErrorCode = {
    deltas: [{ content: 'This is the fake answer.' }],
    ends: true,
  };
  /** How long the API thinks. */
  delayMs = 0;
  readonly #cookies = new Map<string, 'owner' | 'guest'>();
  readonly #server: Server;
  #ids = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeEdge> {
    const edge = new FakeEdge();
    await new Promise<void>((resolve) => edge.#server.listen(0, '127.0.0.1', resolve));
    return edge;
  }

  /** `localhost`: a secure context, where passkeys and the clipboard work. */
  get origin(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** For `context.addCookies`. */
  signIn(kind: 'owner' | 'guest'): { name: string; value: string; url: string } {
    const value = newKey();
    this.#cookies.set(value, kind);
    return { name: COOKIE, value, url: this.origin };
  }

  /** Every browser is signed out. */
  forgetSessions(): void {
    this.#cookies.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.origin);
    try {
      if (url.pathname.startsWith('/_direct/api/')) return await this.#api(url, request, response);
      if (url.pathname.startsWith('/_direct/h/')) throw new Refusal('E_HOST_OFFLINE');
      if (url.pathname === '/v1/models') return json(response, 200, { data: this.models.map((id) => ({ id })) });
      if (url.pathname === '/v1/chat/completions') return this.#chat(response);
      await file(response, this.web, url.pathname);
    } catch (error) {
      const code = error instanceof Refusal ? error.code : 'E_INTERNAL';
      const known = new DirectError(code);
      if (error instanceof Refusal && error.retryAfter !== undefined)
        response.setHeader('Retry-After', error.retryAfter);
      json(response, known.entry.http, errorBody(known));
    }
  }

  async #api(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET' } = request;
    const path = decodeURIComponent(url.pathname.slice('/_direct/api'.length));
    const text = await read(request);
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    this.asked.push({ method, path: path + url.search, body });
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    const fail = this.failNext;
    this.failNext = undefined;
    if (fail !== undefined) throw new Refusal(fail);
    const given = new RegExp(`${COOKIE}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1] ?? '';
    const kind = this.#cookies.get(given) ?? 'anonymous';
    const reply = this.#public(method, path, body, kind, given) ?? this.#owner(method, path, body, kind, url);
    const { status = reply.body === undefined ? 204 : 200, cookie } = reply;
    if (cookie !== undefined)
      response.setHeader('Set-Cookie', `${COOKIE}=${cookie}; HttpOnly; SameSite=Strict; Path=/`);
    json(response, status, reply.body);
  }

  #chat(response: ServerResponse): void {
    const { answer } = this;
    if (typeof answer === 'string') throw new Refusal(answer);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (const delta of answer.deltas) response.write(`data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`);
    if (answer.ends) response.end('data: [DONE]\n\n');
  }

  #public(
    method: string,
    path: string,
    body: Record<string, unknown>,
    kind: Me['kind'],
    cookie: string,
  ): Reply | undefined {
    switch (`${method} ${path}`) {
      case 'GET /me':
        return { body: this.#me(kind) };
      case 'POST /sign-in':
        if (this.lockedFor !== undefined) throw new Refusal('E_RATE_LIMITED', this.lockedFor);
        if (body.token !== FAKE_OWNER_TOKEN) throw new Refusal('E_UNAUTHORIZED');
        return { cookie: this.signIn('owner').value };
      case 'POST /sign-in/passkey/options':
        return {
          body: { challenge: newKey(), rpId: 'localhost', allowCredentials: [], userVerification: 'preferred' },
        };
      case 'POST /sign-in/passkey':
        return { cookie: this.signIn('owner').value };
      case 'POST /sign-out':
        this.#cookies.delete(cookie);
        return { cookie: '' };
      case 'POST /ui/host':
        return {};
      case 'POST /invitations/accept':
        if (body.secret !== FAKE_INVITATION) throw new Refusal('E_UNAUTHORIZED');
        return { cookie: this.signIn('guest').value };
      default:
        return undefined;
    }
  }

  #me(kind: Me['kind']): Me {
    const hosts = kind === 'anonymous' ? [] : kind === 'guest' ? this.hosts.slice(0, 1) : this.hosts;
    const session = kind === 'anonymous' ? {} : { session: 'current' };
    return { kind, ...session, passkeys: this.passkeys.length > 0, access: false, hosts };
  }

  #owner(method: string, path: string, body: Record<string, unknown>, kind: Me['kind'], url: URL): Reply {
    if (kind === 'anonymous') throw new Refusal('E_UNAUTHORIZED');
    if (kind === 'guest') throw new Refusal('E_FORBIDDEN');
    const [, resource, id = '', part, device] = path.split('/');
    const now = Date.now();
    switch (`${method} /${resource}${id === '' ? '' : '/:'}${part === undefined ? '' : `/${part}`}`) {
      case 'GET /hosts':
        return { body: { hosts: this.hosts } };
      case 'PATCH /hosts/:': {
        const host = found(this.hosts, id);
        if (body.name !== undefined) host.name = String(body.name);
        if (body.web_ui !== undefined) host.web_ui = body.web_ui === true;
        return { body: host };
      }
      case 'DELETE /hosts/:':
        this.hosts = without(this.hosts, id);
        return {};
      case 'GET /hosts/:/report':
        return { body: { report: this.reports.get(id) ?? null } };
      case 'GET /hosts/:/devices':
        return { body: { devices: this.devices.get(id) ?? [] } };
      case 'DELETE /hosts/:/devices':
        this.devices.set(id, without(this.devices.get(id) ?? [], device ?? ''));
        return {};
      case 'GET /ice':
        return { body: this.ice };
      case 'GET /keys':
        return { body: { keys: this.keys } };
      case 'POST /keys': {
        const key = `dak_${newKey()}`;
        const made = { id: this.#id(), hint: key.slice(-4), created_at: now, last_used_at: null, ...body } as ApiKey;
        this.keys = [made, ...this.keys];
        return { status: 201, body: { ...made, key } };
      }
      case 'DELETE /keys/:':
        this.keys = without(this.keys, id);
        return {};
      case 'GET /invitations':
        return { body: { invitations: this.invitations } };
      case 'POST /invitations': {
        const made = { id: this.#id(), created_at: now, uses: 0, last_used_at: null, ...body } as Invitation;
        this.invitations = [made, ...this.invitations];
        return { status: 201, body: { ...made, secret: FAKE_INVITATION } };
      }
      case 'DELETE /invitations/:':
        this.invitations = without(this.invitations, id);
        return {};
      case 'GET /sessions':
        return { body: { sessions: this.sessions } };
      case 'DELETE /sessions/:':
        this.sessions = without(this.sessions, id);
        return {};
      case 'GET /passkeys':
        return { body: { passkeys: this.passkeys } };
      case 'DELETE /passkeys/:':
        this.passkeys = without(this.passkeys, id);
        return {};
      case 'POST /passkeys': {
        const made = { id: this.#id(), name: String(body.name), created_at: now, last_used_at: null };
        this.passkeys = [...this.passkeys, made];
        return { status: 201, body: made };
      }
      case 'POST /passkeys/:':
        return { body: this.#creationOptions() };
      case 'GET /audit': {
        const before = Number(url.searchParams.get('before') ?? Number.POSITIVE_INFINITY);
        return { body: { events: this.events.filter((event) => event.id < before).slice(0, AUDIT_PAGE) } };
      }
      case 'POST /device/:':
        return this.#device(id, body);
      default:
        throw new Refusal('E_NOT_FOUND');
    }
  }

  #device(call: string, body: Record<string, unknown>): Reply {
    const login = this.logins.get(String(body.user_code));
    if (login === undefined) throw new Refusal('E_NOT_FOUND');
    if (call === 'lookup') return { body: login };
    this.logins.delete(login.user_code);
    if (call === 'deny') return {};
    return { body: { host_id: login.known_host?.id ?? 'studio', host_name: body.name } };
  }

  #creationOptions(): unknown {
    return {
      challenge: newKey(),
      rp: { id: 'localhost', name: 'direct-agent' },
      user: { id: newKey(), name: 'owner', displayName: 'Owner' },
      pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: 'public-key', alg })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'preferred' },
      excludeCredentials: [],
    };
  }

  #id(): string {
    this.#ids++;
    return `made-${this.#ids}`;
  }
}

function found<Item extends { id: string }>(items: Item[], id: string): Item {
  const item = items.find((one) => one.id === id);
  if (item === undefined) throw new Refusal('E_NOT_FOUND');
  return item;
}

function without<Item extends { id: string }>(items: Item[], id: string): Item[] {
  found(items, id);
  return items.filter((item) => item.id !== id);
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

async function file(response: ServerResponse, web: string, path: string): Promise<void> {
  const name = PAGES[path] ?? path;
  const content = await readFile(web + name).catch(() => {
    throw new Refusal('E_NOT_FOUND');
  });
  const fields = await readFile(`${web}/_headers`, 'utf8');
  const script = name === PAGES['/'] ? /Direct-Script: (.+)/.exec(fields)?.[1] : undefined;
  response.writeHead(200, {
    'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
    ...pageHeaders(script),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  });
  response.end(content);
}
