/**
 * A web UI with all that is hard for whoever stands between it and a browser: a login by form whose cookie no script may
 * read, a token against forged requests in one that scripts must read, absolute redirects, a check of where requests come
 * from, streams of events, WebSockets, ranges, uploads and pages with a strict policy.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { testBytes } from './fake-llm.ts';

export interface FakeWebUi {
  url: string;
  /** What arrived, oldest first; WebSockets too. */
  requests: { method: string; url: string; headers: IncomingMessage['headers'] }[];
  /** What people wrote, by whom. */
  notes: { by: string; text: string }[];
  /** The values of the session cookies that were given out: none may be seen by a client. */
  secrets: string[];
  close(): Promise<void>;
}

export const FILE_BYTES = 300_000;
export const USER = 'ada';

export async function startFakeWebUi(): Promise<FakeWebUi> {
  const ui = new Ui();
  const server = createServer((request, response) => {
    ui.handle(request, response).catch(() => response.destroy());
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    ui.record(request);
    const by = ui.userOf(request);
    if (by === undefined || !isOwnPage(request)) {
      const status = by === undefined ? '401 Unauthorized' : '403 Forbidden';
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => ui.talk(opened, by));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests: ui.requests,
    notes: ui.notes,
    secrets: ui.secrets,
    close: () => {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

class Ui {
  readonly requests: FakeWebUi['requests'] = [];
  readonly notes: FakeWebUi['notes'] = [];
  readonly #users = new Map<string, string>();
  readonly #listeners = new Set<ServerResponse>();

  get secrets(): string[] {
    return [...this.#users.keys()];
  }

  record({ method = '', url = '', headers }: IncomingMessage): void {
    this.requests.push({ method, url, headers });
  }

  userOf(request: IncomingMessage): string | undefined {
    return this.#users.get(cookieOf(request, '__Host-session') ?? '');
  }

  /** Greets, and says back what it is told. */
  talk(socket: WebSocket, by: string): void {
    socket.send(JSON.stringify({ hello: by }));
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.record(request);
    const { pathname } = new URL(request.url ?? '/', 'http://ui');
    const by = this.userOf(request);
    switch (`${request.method} ${pathname}`) {
      case 'GET /':
        return this.#loginPage(response);
      case 'POST /login':
        return await this.#login(request, response);
      case 'POST /logout':
        if (by === undefined) return json(response, 401, { error: 'nobody' });
        this.#users.delete(cookieOf(request, '__Host-session') ?? '');
        response.setHeader('set-cookie', '__Host-session=; Path=/; Secure; Max-Age=0');
        return json(response, 200, {});
      case 'GET /app':
        return by === undefined ? redirect(request, response, '/') : page(response, APP);
      case 'GET /app.js':
        response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(APP_SCRIPT);
        return;
      case 'GET /strict':
        response.setHeader('content-security-policy', "default-src 'none'; script-src 'nonce-own'; base-uri 'none'");
        return page(response, STRICT);
      case 'GET /strict-meta':
        return page(response, STRICT_META);
      case 'GET /moved':
        return redirect(request, response, '/me');
      case 'GET /me':
        return by === undefined ? json(response, 401, { error: 'nobody' }) : json(response, 200, { by });
      case 'POST /notes':
        return await this.#note(request, response, by);
      case 'PUT /upload':
        return await upload(request, response);
      case 'GET /events':
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: hello ${by}\n\n`);
        this.#listeners.add(response);
        response.once('close', () => this.#listeners.delete(response));
        return;
      case 'GET /file':
      case 'HEAD /file':
        return sendFile(request, response);
      default:
        return json(response, 404, { error: 'not found' });
    }
  }

  #loginPage(response: ServerResponse): void {
    const token = randomBytes(8).toString('hex');
    response.setHeader('set-cookie', `csrf=${token}; Path=/; Secure; SameSite=Lax`);
    page(response, LOGIN);
  }

  async #login(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams((await bodyOf(request)).toString());
    if (!isOwnPage(request)) return json(response, 403, { error: 'another origin' });
    const secret = `secret-${randomBytes(16).toString('hex')}`;
    this.#users.set(secret, form.get('user') ?? '');
    response.setHeader('set-cookie', `__Host-session=${secret}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600`);
    redirect(request, response, '/app');
  }

  async #note(request: IncomingMessage, response: ServerResponse, by: string | undefined): Promise<void> {
    const text = (await bodyOf(request)).toString();
    if (by === undefined) return json(response, 401, { error: 'nobody' });
    const token = cookieOf(request, 'csrf');
    if (token === undefined || request.headers['x-csrf-token'] !== token || !isOwnPage(request)) {
      return json(response, 403, { error: 'forged' });
    }
    this.notes.push({ by, text });
    for (const listener of this.#listeners) listener.write(`data: ${text}\n\n`);
    json(response, 201, { count: this.notes.length });
  }
}

/** As Jupyter, engine.io and others check. What browsers send no Origin with has none. */
function isOwnPage({ headers: { origin, host } }: IncomingMessage): boolean {
  return origin === undefined || origin === `http://${host}`;
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  const pairs = (headers.cookie ?? '').split('; ').map((pair) => pair.split('='));
  return pairs.find(([key]) => key === name)?.[1];
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function page(response: ServerResponse, html: string): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html);
}

/** To an address with this server's own name in it, as frameworks make them. */
function redirect({ headers }: IncomingMessage, response: ServerResponse, path: string): void {
  response.writeHead(303, { location: `http://${headers.host}${path}` }).end();
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const bytes = await bodyOf(request);
  json(response, 200, { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
}

function sendFile({ headers: { range } }: IncomingMessage, response: ServerResponse): void {
  const file = testBytes(FILE_BYTES);
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const type = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' };
  if (from === undefined) {
    response.writeHead(200, { ...type, 'content-length': FILE_BYTES }).end(file);
    return;
  }
  const last = Math.min(Number(to || FILE_BYTES - 1), FILE_BYTES - 1);
  const part = file.subarray(Number(from), last + 1);
  const where = `bytes ${from}-${last}/${FILE_BYTES}`;
  response.writeHead(206, { ...type, 'content-length': part.length, 'content-range': where }).end(part);
}

// ---- pages -----------------------------------------------------------------------------------

const LOGIN = `<!doctype html>
<html><head><title>Sign in</title></head><body>
<form method="post" action="/login"><input name="user" data-testid="user"><button data-testid="sign-in">Sign in</button></form>
</body></html>`;

const APP = `<!doctype html>
<html><head><title>Notes</title><script src="/app.js" defer></script></head><body>
<p>Signed in as <b data-testid="me"></b></p>
<input data-testid="note"><button data-testid="save">Save</button>
<p data-testid="status"></p><ul data-testid="events"></ul><p data-testid="socket"></p>
</body></html>`;

/** Each way to ask a server once: fetch, XMLHttpRequest, EventSource, WebSocket. */
const APP_SCRIPT = `
const at = (name) => document.querySelector('[data-testid=' + name + ']');
const cookie = (name) => document.cookie.split('; ').map((pair) => pair.split('=')).find(([key]) => key === name)?.[1];
fetch('/me').then((response) => response.json()).then(({ by }) => { at('me').textContent = by; });
at('save').addEventListener('click', () => {
  const request = new XMLHttpRequest();
  request.open('POST', '/notes');
  request.setRequestHeader('x-csrf-token', cookie('csrf'));
  request.onload = () => { at('status').textContent = request.status + ' ' + request.responseText; };
  request.send(at('note').value);
});
new EventSource('/events').onmessage = ({ data }) => {
  const item = document.createElement('li');
  item.textContent = data;
  at('events').append(item);
};
const socket = new WebSocket('/socket');
socket.onopen = () => socket.send('ping');
socket.onmessage = ({ data }) => { at('socket').textContent += data + ' '; };
`;

const STRICT = `<!doctype html>
<html><head><title>Strict</title></head><body><p data-testid="strict"></p>
<script nonce="own">document.querySelector('[data-testid=strict]').textContent = 'its own script ran';</script>
</body></html>`;

const STRICT_META = `<!doctype html>
<html><head><meta http-equiv="Content-Security-Policy" content="script-src 'nonce-own'; connect-src 'none'">
<title>Strict</title></head><body><p data-testid="strict"></p>
<script nonce="own">document.querySelector('[data-testid=strict]').textContent = 'its own script ran';</script>
</body></html>`;
