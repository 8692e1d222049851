import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import * as wire from './fake-answers.ts';
import { type RecordedSocket, serveSockets } from './fake-socket.ts';
import { seededBytes } from './seeded-bytes.ts';

/** An LLM server for tests: OpenAI's and Ollama's wire formats, and under `/v1/test/` what no real server would do. */
export interface FakeLlm {
  readonly url: string;
  readonly port: number;
  /** Every request whose head arrived, in order. Any may have a query, so that a test finds its own. */
  readonly requests: readonly RecordedRequest[];
  /** Every WebSocket that was opened, in order. */
  readonly sockets: readonly RecordedSocket[];
  /** Ends every connection. */
  close(): Promise<void>;
}

export interface RecordedRequest {
  readonly method: string;
  /** As it stood in the request line. */
  readonly url: string;
  /** In the order and case of arrival, repeated ones too. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly startedAt: number;
  /** Bytes of the body that have arrived so far. */
  readonly bodyBytes: number;
  /** SHA-256 of the response's body, as soon as all of it was written. */
  readonly sentSha256: string | undefined;
  /** The client went away before it had the whole response. */
  readonly aborted: boolean;
  /** performance.now() at that moment. */
  readonly abortedAt: number | undefined;
}

export interface FakeLlmOptions {
  /** Refuse foreign Host and Origin headers with 403, as Ollama on loopback does. */
  readonly strictHost?: boolean;
  /** A server that listens on loopback, in a network namespace perhaps; one of its own otherwise. */
  readonly listening?: Server;
}

export const OLLAMA_VERSION = '0.12.3';
/** A prime, so that no chunk size hides a shifted or repeated chunk. */
const PERIOD = 65_521;
const pattern = Buffer.from(Array.from({ length: PERIOD }, (_, i) => (Math.imul(i + 1, 2_654_435_761) >>> 13) & 0xff));
const SPEECH_BYTES_PER_CHARACTER = 997;

/** What `bytes?n=` and speech send: the same for the same length. */
export function testBytes(count: number): Buffer<ArrayBuffer> {
  return Buffer.alloc(count, pattern);
}

function* patternBytes(count: number): Generator<Buffer> {
  for (let made = 0; made < count; made += PERIOD) yield pattern.subarray(0, Math.min(PERIOD, count - made));
}

export async function startFakeLlm({ strictHost = false, listening }: FakeLlmOptions = {}): Promise<FakeLlm> {
  const requests: RecordedRequest[] = [];
  let closing = false;
  const server = createServer((request, response) => {
    const exchange = new Exchange(request, response, () => closing);
    requests.push(exchange.record);
    handle(exchange, strictHost).catch((error: unknown) => {
      if (exchange.gone.aborted || response.headersSent) response.destroy();
      else exchange.json({ error: `The fake LLM failed: ${error}` }, 500);
    });
  });
  const connections = new Set<Socket>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  const sockets = serveSockets(server, ({ headers }) => !strictHost || isTrusted(headers));
  server.requestTimeout = 0;
  server.listen(listening ?? { port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    sockets,
    close: () => {
      closing = true;
      return new Promise((done) => {
        server.close(() => done());
        // Node no longer counts those that were upgraded among its own.
        for (const connection of connections) connection.destroy();
      });
    },
  };
}

/** One request and what the routes do with it. */
class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly record: { -readonly [K in keyof RecordedRequest]: RecordedRequest[K] };
  readonly gone: AbortSignal;
  readonly #sent = createHash('sha256');

  constructor(request: IncomingMessage, response: ServerResponse, isClosing: () => boolean) {
    const { method = '', url = '', rawHeaders } = request;
    const headers = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : []));
    this.request = request;
    this.response = response;
    this.url = new URL(url.startsWith('/') ? `http://fake${url}` : url);
    this.record = {
      method,
      url,
      headers,
      startedAt: performance.now(),
      bodyBytes: 0,
      sentSha256: undefined,
      aborted: false,
      abortedAt: undefined,
    };
    const gone = new AbortController();
    this.gone = gone.signal;
    response.once('close', () => {
      if (!response.writableFinished && !this.droppedByUs && !isClosing()) {
        this.record.aborted = true;
        this.record.abortedAt = performance.now();
      }
      gone.abort();
    });
  }

  droppedByUs = false;

  async *body(): AsyncGenerator<Buffer> {
    for await (const chunk of this.request) {
      this.record.bodyBytes += chunk.length;
      yield chunk;
    }
  }

  async bytes(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.body()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async write(chunk: string | Uint8Array): Promise<void> {
    this.gone.throwIfAborted();
    this.#sent.update(chunk);
    if (!this.response.write(chunk)) await once(this.response, 'drain', { signal: this.gone });
  }

  end(last: string | Uint8Array = ''): void {
    this.record.sentSha256 = this.#sent.update(last).digest('hex');
    this.response.end(last);
  }

  json(body: object, status = 200, headers: Record<string, string> = {}): void {
    const text = JSON.stringify(body);
    const length = String(Buffer.byteLength(text));
    this.response.writeHead(status, { 'content-type': 'application/json', 'content-length': length, ...headers });
    this.end(text);
  }

  /** Destroys the socket: to the client the server has crashed. */
  drop(): void {
    this.droppedByUs = true;
    this.response.destroy();
  }

  wait(ms: number): Promise<unknown> {
    return delay(ms, undefined, { signal: this.gone });
  }

  number(name: string, otherwise: number): number {
    return Number(this.url.searchParams.get(name) ?? otherwise);
  }
}

function isTrusted({ host = '', origin = '' }: IncomingHttpHeaders): boolean {
  return wire.ollamaTrusts(host, origin);
}

async function handle(exchange: Exchange, strictHost: boolean): Promise<void> {
  const { request, response, url } = exchange;
  if (strictHost && !isTrusted(request.headers)) {
    response.writeHead(403).end();
    return;
  }
  if (url.pathname.startsWith('/v1/test/')) return await testRoute(exchange, url.pathname.slice('/v1/test/'.length));
  const body = await exchange.bytes();
  const model = /^GET \/v1\/models\/(.+)$/.exec(`${request.method} ${url.pathname}`)?.[1];
  if (model !== undefined) {
    if (wire.behaviourOf(model) === undefined) return unknownModel(exchange, model, 'openai');
    return exchange.json(wire.openAiModel(model));
  }
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /':
    case 'HEAD /':
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end('Ollama is running');
      return;
    case 'GET /v1/models':
      return exchange.json({ object: 'list', data: wire.MODELS.map(wire.openAiModel) });
    case 'POST /v1/chat/completions':
      return await complete(exchange, body, 'openai', 'chat');
    case 'POST /v1/completions':
      return await complete(exchange, body, 'openai', 'text');
    case 'POST /v1/embeddings':
      return embed(exchange, body);
    case 'POST /v1/audio/speech':
      return await speak(exchange, body);
    case 'POST /v1/audio/transcriptions':
      return await transcribe(exchange, body);
    case 'GET /api/tags':
      return exchange.json({ models: wire.MODELS.map(wire.ollamaTag) });
    case 'GET /api/version':
      return exchange.json({ version: OLLAMA_VERSION });
    case 'POST /api/show': {
      const name = modelIn(parse(body));
      return wire.behaviourOf(name) === undefined
        ? unknownModel(exchange, name, 'ollama')
        : exchange.json(wire.ollamaShow());
    }
    case 'POST /api/chat':
      return await complete(exchange, body, 'ollama', 'chat');
    case 'POST /api/generate':
      return await complete(exchange, body, 'ollama', 'text');
    default:
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found');
  }
}

// ---- models ----------------------------------------------------------------------------------

type Api = 'openai' | 'ollama';

async function complete(exchange: Exchange, body: Buffer, api: Api, kind: 'chat' | 'text'): Promise<void> {
  const json = parse(body);
  const model = modelIn(json);
  const behaviour = wire.behaviourOf(model);
  if (behaviour === undefined) return unknownModel(exchange, model, api);
  if (behaviour.delayMs > 0) await exchange.wait(behaviour.delayMs);
  if (behaviour.status !== 200) return refuse(exchange, behaviour.status, api);

  const asked: wire.Asked = {
    model,
    behaviour,
    prompt: promptIn(json),
    includeUsage: object(json.stream_options).include_usage === true,
  };
  // OpenAI streams when asked to, Ollama unless asked not to.
  const streams = api === 'openai' ? json.stream === true : json.stream !== false;
  if (!streams) {
    if (behaviour.breaks === 'without a word') return exchange.drop();
    if (behaviour.breaks === 'with an error') return refuse(exchange, 500, api);
    return exchange.json(api === 'openai' ? wire.openAiCompletion(asked, kind) : wire.ollamaCompletion(asked, kind));
  }
  const answer = api === 'openai' ? wire.openAiStream(asked, kind) : wire.ollamaStream(asked, kind);
  exchange.response.writeHead(200, { 'content-type': answer.contentType });
  const started = performance.now();
  let index = 0;
  for (const piece of answer.pieces) {
    if (index++ === answer.breaksAt) {
      // What was written before must arrive before the reset does.
      await exchange.wait(50);
      return exchange.drop();
    }
    // Each has its time from the beginning, so that late timers do not add up: they make bursts instead.
    const early = started + ((index - 1) * 1000) / behaviour.tokensPerSecond - performance.now();
    if (early > 0) await exchange.wait(early);
    await exchange.write(piece);
  }
  exchange.end();
}

function refuse(exchange: Exchange, status: 429 | 500, api: Api): void {
  const [message, type, code] =
    status === 429
      ? ['Rate limit reached for requests', 'requests', 'rate_limit_exceeded']
      : ['The server had an error while processing your request. Sorry about that!', 'server_error', null];
  const headers: Record<string, string> = status === 429 ? { 'retry-after': '1' } : {};
  exchange.json(
    api === 'openai' ? wire.openAiError(String(message), String(type), code) : { error: message },
    status,
    headers,
  );
}

function unknownModel(exchange: Exchange, model: string, api: Api): void {
  const message = `The model \`${model}\` does not exist or you do not have access to it.`;
  const openai = wire.openAiError(message, 'invalid_request_error', 'model_not_found');
  exchange.json(api === 'openai' ? openai : { error: `model '${model}' not found` }, 404);
}

function embed(exchange: Exchange, body: Buffer): void {
  const json = parse(body);
  const model = modelIn(json);
  const inputs = (Array.isArray(json.input) ? json.input : [json.input]).map(String);
  if (wire.behaviourOf(model) === undefined) unknownModel(exchange, model, 'openai');
  else exchange.json(wire.openAiEmbeddings(model, inputs, json.encoding_format === 'base64'));
}

async function speak(exchange: Exchange, body: Buffer): Promise<void> {
  const json = parse(body);
  if (wire.behaviourOf(modelIn(json)) === undefined) return unknownModel(exchange, modelIn(json), 'openai');
  exchange.response.writeHead(200, { 'content-type': 'audio/mpeg', 'transfer-encoding': 'chunked' });
  await exchange.write(testBytes(String(json.input).length * SPEECH_BYTES_PER_CHARACTER));
  exchange.end();
}

async function transcribe(exchange: Exchange, body: Buffer): Promise<void> {
  const type = exchange.request.headers['content-type'] ?? '';
  const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData();
  const file = form.get('file');
  if (!(file instanceof File))
    return exchange.json(wire.openAiError('No file was sent.', 'invalid_request_error'), 400);
  const sha256 = createHash('sha256')
    .update(await file.bytes())
    .digest('hex');
  exchange.json({ text: `${file.name}: ${file.size} bytes, sha256 ${sha256}, model ${form.get('model')}` });
}

function parse(body: Buffer): Record<string, unknown> {
  return object(JSON.parse(body.toString()));
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function modelIn(json: Record<string, unknown>): string {
  return String(json.model ?? json.name ?? '');
}

function promptIn({ messages, prompt }: Record<string, unknown>): string {
  if (!Array.isArray(messages)) return String(prompt ?? '');
  const { content } = object(messages.at(-1));
  return Array.isArray(content) ? content.map((part) => object(part).text ?? '').join('') : String(content ?? '');
}

// ---- test routes -----------------------------------------------------------------------------

async function testRoute(exchange: Exchange, route: string): Promise<void> {
  const { response, record, url } = exchange;
  if (route === 'sink') return await sink(exchange);
  if (route === 'echo') {
    const body = await exchange.bytes();
    const { method, headers } = record;
    const sha256 = createHash('sha256').update(body).digest('hex');
    return exchange.json({ method, url: record.url, headers, bodyLength: body.length, sha256 });
  }
  // The others answer without waiting for a body, but take it in.
  exchange.bytes().catch(() => undefined);
  if (route === 'hang') return;
  if (route === 'bytes') return await sendBytes(exchange);
  if (route === 'say') return await say(exchange);
  if (route === 'events') return events(exchange);
  if (route === 'trickle') {
    response.writeHead(200, { 'content-type': url.searchParams.get('type') ?? 'text/plain' }).flushHeaders();
    for (let i = 0; i < exchange.number('n', 10); i++) {
      await exchange.wait(exchange.number('ms', 10));
      await exchange.write(`${i}\n`);
    }
    exchange.end();
  } else if (route === 'set-cookie') {
    response.writeHead(200, { 'set-cookie': ['a=1; Path=/', 'b=2; Path=/; HttpOnly'] }).end('two cookies');
  } else if (route === 'redirect') {
    response.writeHead(exchange.number('status', 302), { location: url.searchParams.get('to') ?? '/' }).end();
  } else if (/^status\/[2-5]\d\d$/.test(route)) {
    const status = Number(route.slice('status/'.length));
    // RFC 9110, section 6.4.1: these have no content.
    if (status === 204 || status === 304) response.writeHead(status).end();
    else exchange.json({ status }, status);
  } else {
    response.writeHead(404).end();
  }
}

async function sendBytes(exchange: Exchange): Promise<void> {
  const length = exchange.number('n', 1024);
  const seed = exchange.url.searchParams.get('seed');
  exchange.response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': String(length) });
  for (const chunk of seed === null ? patternBytes(length) : seededBytes(seed, length)) await exchange.write(chunk);
  exchange.end();
}

/** What the query asks for: `status`, `type`, `text` or `hex` of the body, any `field=name: value`; `breaks` before its end. */
async function say(exchange: Exchange): Promise<void> {
  const { response, url } = exchange;
  const query = url.searchParams;
  const [type, hex] = [query.get('type'), query.get('hex')];
  const body = hex === null ? Buffer.from(query.get('text') ?? '') : Buffer.from(hex, 'hex');
  for (const field of query.getAll('field')) response.appendHeader(...(field.split(': ', 2) as [string, string]));
  if (type !== null) response.setHeader('content-type', type);
  response.statusCode = exchange.number('status', 200);
  if (!query.has('breaks')) {
    exchange.end(body);
    return;
  }
  response.setHeader('content-length', body.length + 1);
  await exchange.write(body);
  await exchange.wait(50);
  exchange.drop();
}

/** One event of a stream, which then ends: its data is the last event’s id, and its own is the next one. */
function events({ request, response }: Exchange): void {
  const last = request.headers['last-event-id'] ?? '';
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(`retry: 30\nid: ${Number(last) + 1}\ndata: ${last}\n\ndata: unfinished`);
}

/** Counts an upload; `ms` reads slowly, so that the sender feels backpressure. */
async function sink(exchange: Exchange): Promise<void> {
  const hash = createHash('sha256');
  const ms = exchange.number('ms', 0);
  for await (const chunk of exchange.body()) {
    hash.update(chunk);
    if (ms > 0) await exchange.wait(ms);
  }
  exchange.json({ bytes: exchange.record.bodyBytes, sha256: hash.digest('hex') });
}
