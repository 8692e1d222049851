/** Proxies the streams of a session to an upstream: one stream, one HTTP exchange or one WebSocket. */
import { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Agent, type Dispatcher } from 'undici';
import { DirectError, type ErrorCode, errorBody, ProtocolError } from '../shared/errors.ts';
import { AgentExchange } from '../shared/exchange.ts';
import type { Grant } from '../shared/grant.ts';
import type { HeaderList, RequestHead, ResponseHead } from '../shared/head.ts';
import { hasBody } from '../shared/semantics.ts';
import type { SessionGrant } from '../shared/sessions.ts';
import type { Stream } from '../shared/stream.ts';
import { admitTarget, type TargetPolicy } from '../shared/target.ts';
import { checkPrefix, grantOf, RateLimited, RequestRates, withoutGrant } from './access.ts';
import { fieldList, requestHeaders, responseHeaders, socketRequestHeaders, socketResponseHeaders } from './headers.ts';
import type { HeldReader, ResponseSink } from './held-response.ts';
import { HeldResponses } from './held-responses.ts';
import { checkBody, filterList, type ModelUse, modelUse } from './model-scope.ts';
import type { Routed } from './routed.ts';
import { nodeEnvironment } from './runtime.ts';
import { openSocket, proxySocket } from './socket-proxy.ts';
import type { WebUi } from './web-ui.ts';

export interface ProxyOptions {
  /** Base URL of the server that answers `path`, without a slash at the end; undefined when there is none. */
  upstream(path: string): Promise<string | undefined>;
  policy: TargetPolicy;
  /** The host's own web UI, if it serves one. */
  webUi?: WebUi | undefined;
  maxBodyBytes: number;
  /** Header fields of our own for the upstream, such as its API key. */
  upstreamHeaders: Readonly<Record<string, string>>;
  /** Monotonic milliseconds; tests have their own. */
  now?(): number;
  /** For held responses; tests have their own. */
  timer?(ms: number, run: () => void): () => void;
  /** A line for the log: method, path without query, status. Never headers or bodies. */
  log(line: string): void;
}

/** A request whose grant is in its head. */
interface Tagged {
  /** Undefined until the head is read. */
  subject: string | undefined;
  /** Subjects that were revoked before that. */
  readonly revoked: Set<string>;
  end(): void;
}

interface Asked extends Routed {
  signal: AbortSignal;
}

/** A TCP connection to a server on this machine or in its network takes milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Bodies that are held as a whole because their model is checked, all together: a grant for one model must not fill the
 * agent's memory. Six of the greatest by default.
 */
const MAX_CHECKED_BYTES = 64 * 1024 * 1024;
/** A list of a thousand models has under 1 MB. */
const MAX_LIST_BYTES = 4 * 1024 * 1024;

/** CONNECT asks for a tunnel and TRACE shows the fields that we add; Fetch forbids both. */
const TUNNELLING = ['CONNECT', 'TRACE', 'TRACK'];

export class UpstreamProxy {
  readonly #options: ProxyOptions;
  readonly #dispatcher: Agent;
  readonly #rates: RequestRates;
  readonly #tagged = new Set<Tagged>();
  readonly #held: HeldResponses;
  /** Of MAX_CHECKED_BYTES. */
  #checkedBytes = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#rates = new RequestRates(options.now ?? (() => performance.now()));
    this.#held = new HeldResponses({ timer: options.timer ?? nodeEnvironment.timer });
    this.#dispatcher = new Agent({
      // A model may think for longer than undici's 300 s; whether the path lives is the session's business.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
  }

  async close(): Promise<void> {
    this.#held.close();
    await this.#dispatcher.destroy();
  }

  /**
   * Ends what runs for `subject` in sessions of the edge, and what is held for it; all other sessions end as a whole
   * (`Sessions.revoke`).
   */
  revoke(subject: string): void {
    for (const request of [...this.#tagged]) {
      if (request.subject === undefined) request.revoked.add(subject);
      else if (request.subject === subject) request.end();
    }
    this.#held.revoke(subject);
    this.#options.webUi?.revoke(subject);
  }

  /**
   * Serves one stream of a session with `sessionGrant` to its end. Never rejects: what goes wrong is answered or resets
   * the stream.
   */
  async serve(stream: Stream, sessionGrant: SessionGrant): Promise<void> {
    const exchange = new AgentExchange(stream);
    const gone = new AbortController();
    stream.onabort = (error) => gone.abort(error);
    const reply = new Reply(exchange);
    // What waits for the client fails; before the head, an answer is still possible.
    const breakOff = (code: ErrorCode) => (reply.hasBegun ? exchange.abort(code) : stream.stop(code));
    let head: RequestHead | undefined;
    const tagged = sessionGrant === 'in-heads' ? this.#remember(gone, breakOff) : undefined;
    try {
      const asked = await exchange.readHead();
      head = withoutGrant(asked);
      reply.path = head.path;
      const grant = grantOf(asked, sessionGrant);
      if (tagged !== undefined) {
        if (tagged.revoked.has(grant.subject)) throw new DirectError('E_UNAUTHORIZED');
        tagged.subject = grant.subject;
      }
      if (head.hold === undefined && head.resume === undefined) {
        await this.#forward(head, grant, exchange, reply, gone.signal);
      } else {
        const reader: HeldReader = {
          head: (head) => reply.head(head),
          data: (bytes) => reply.data(bytes),
          finish: (trailers) => reply.finish(trailers),
          breakOff,
        };
        if (head.resume !== undefined) await this.#resume(head, grant, reader, gone.signal);
        else await this.#hold(head, grant, exchange, reader, gone.signal);
      }
    } catch (error) {
      await reply.fail(gone.signal.aborted ? gone.signal.reason : error);
    }
    if (tagged !== undefined) this.#tagged.delete(tagged);
    // What the client still sends is of no use to anyone.
    stream.stop('E_CANCELLED');
    if (head === undefined) return;
    const service =
      head.service === undefined ? '' : `${head.service}${tagged === undefined ? '' : ' by the tunnel'}: `;
    this.#options.log(`${service}${nameOf(head)} ${reply.outcome}`);
  }

  /** For `revoke`, which may come in the same turn as the head, and so before that is read. */
  #remember(gone: AbortController, breakOff: (code: ErrorCode) => void): Tagged {
    const tagged: Tagged = {
      subject: undefined,
      revoked: new Set(),
      end: () => {
        gone.abort(new DirectError('E_UNAUTHORIZED'));
        // What waits for the client would not notice.
        breakOff('E_UNAUTHORIZED');
      },
    };
    this.#tagged.add(tagged);
    return tagged;
  }

  /** A request whose response outlives its client: the upstream's goes into the log, and from there to the client. */
  async #hold(
    head: RequestHead,
    grant: Grant,
    exchange: AgentExchange,
    reader: HeldReader,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const held = this.#held.begin(grant.subject, head.hold ?? '');
    const reply = new Reply(held);
    reply.path = head.path;
    this.#forward(head, grant, exchange, reply, held.signal).catch((error: unknown) =>
      reply.fail(held.signal.aborted ? held.signal.reason : error),
    );
    try {
      await held.read(0, reader, signal);
    } finally {
      // A request of which the end will not come is of no use to anyone.
      if (!exchange.hasEnded && !held.hasEnded) held.end(new DirectError('E_CANCELLED'));
    }
  }

  async #resume(
    { resume, method }: RequestHead,
    { subject }: Grant,
    reader: HeldReader,
    signal: AbortSignal,
  ): Promise<void> {
    const { id = '', from = 0 } = resume ?? {};
    const held = this.#held.get(subject, id);
    if (method === 'GET') return held.read(from, reader, signal);
    held.end(new DirectError('E_CANCELLED', 'given up'));
    await reader.head({ status: 204, statusText: '', headers: [] });
    reader.finish([]);
  }

  async #forward(
    head: RequestHead,
    grant: Grant,
    exchange: AgentExchange,
    reply: Reply,
    signal: AbortSignal,
  ): Promise<void> {
    this.#rates.count(grant);
    if (TUNNELLING.includes(head.method)) throw new DirectError('E_FORBIDDEN_TARGET', head.method);
    if (head.service === 'web_ui') return this.#toWebUi(head, grant, exchange, reply, signal);
    const { path, query } = admitTarget(head.path, head.method, this.#options.policy);
    if (grant.prefixes !== undefined) checkPrefix({ path, query }, grant.prefixes);
    const { models } = grant;
    const use = models === undefined ? undefined : modelUse(head, { path, query }, models);
    const upstream = await this.#options.upstream(path);
    if (upstream === undefined) throw new DirectError('E_NO_UPSTREAM');
    const base = new URL(upstream);
    const target = base.pathname.replace(/\/$/, '') + path + query;
    const own = this.#options.upstreamHeaders;
    const asked: Asked = { head, base, target, own, received: (fields) => fields, signal };
    if (head.protocol === 'websocket') return this.#upgrade(asked, exchange, reply);
    const body = await this.#requestBody(head, exchange);
    if (models !== undefined && use !== undefined) {
      const answer = await this.#ofModels({ ...asked, body, path }, use, models);
      return respond(answer, asked, reply);
    }
    await respond(await this.#request({ ...asked, body }), asked, reply);
  }

  async #toWebUi(
    head: RequestHead,
    grant: Grant,
    exchange: AgentExchange,
    reply: Reply,
    signal: AbortSignal,
  ): Promise<void> {
    const { webUi } = this.#options;
    if (webUi === undefined) throw new DirectError('E_NO_UPSTREAM', 'web_ui is not set in the agent’s configuration');
    const asked = { ...webUi.admit(head, grant), signal };
    if (head.protocol === 'websocket') return this.#upgrade(asked, exchange, reply);
    const body = await this.#requestBody(head, exchange);
    await respond(await this.#request({ ...asked, body }), asked, reply);
  }

  /** A request with a grant for certain models. @throws DirectError `E_FORBIDDEN` */
  async #ofModels(
    request: Asked & { body: Readable | null; path: string },
    use: ModelUse,
    models: readonly string[],
  ): Promise<Answer> {
    const { head, body, path } = request;
    if (use === 'body') {
      const whole: Buffer[] = [];
      let size = 0;
      try {
        for await (const piece of body ?? []) {
          size += (piece as Buffer).length;
          this.#checkedBytes += (piece as Buffer).length;
          if (this.#checkedBytes > MAX_CHECKED_BYTES) throw new RateLimited(1_000, 'too many large bodies at a time');
          whole.push(piece as Buffer);
        }
        const bytes = Buffer.concat(whole);
        checkBody(bytes, path, models);
        return await this.#request({ ...request, head: withJson(head), body: bytes });
      } finally {
        this.#checkedBytes -= size;
      }
    }
    if (body !== null) throw new DirectError('E_FORBIDDEN', 'a body where none belongs');
    const answer = await this.#request({ ...request, body: null });
    const isList = use === 'list' && hasBody(head.method, answer.statusCode) && answer.statusCode < 300;
    return isList ? filtered(answer, models) : answer;
  }

  /** An upgrade that the upstream refuses is answered as any request. */
  async #upgrade(asked: Asked, exchange: AgentExchange, reply: Reply): Promise<void> {
    const { head, base, target, own, signal } = asked;
    const headers = socketRequestHeaders(head.headers, base.origin, own);
    const opening = await openSocket(new URL(base.origin + target), headers, signal);
    if ('refusal' in opening) {
      const { refusal } = opening;
      const { statusCode = 502, rawHeaders, trailers } = refusal;
      return respond({ statusCode, fields: fieldList(rawHeaders), body: refusal, trailers }, asked, reply);
    }
    const { socket, fields } = opening;
    try {
      await reply.head({ status: 101, statusText: '', headers: socketResponseHeaders(asked.received(fields), base) });
      await proxySocket(socket, exchange.socket());
    } finally {
      socket.terminate();
    }
  }

  async #request(request: Asked & { body: Readable | Buffer | null }): Promise<Answer> {
    const { head, base, target, own, body, signal } = request;
    try {
      const response = await this.#dispatcher.request({
        origin: base.origin,
        path: target,
        method: head.method as Dispatcher.HttpMethod,
        headers: requestHeaders(head.headers, base.origin, own),
        body,
        signal,
        responseHeaders: 'raw',
      });
      // With `raw` they are a list, which the types do not say.
      return { ...response, fields: fieldList(response.headers as unknown as Buffer[]) };
    } catch (error) {
      const bodyError = body instanceof Readable ? body.errored : null;
      if (bodyError instanceof DirectError) throw bodyError;
      if (error instanceof DirectError || signal.aborted) throw error;
      throw new DirectError('E_UPSTREAM_UNREACHABLE', reason(error));
    }
  }

  /** The body as a stream that ends with E_BODY_TOO_LARGE at the limit, or null when there is none. */
  async #requestBody(head: RequestHead, exchange: AgentExchange): Promise<Readable | null> {
    const limit = this.#options.maxBodyBytes;
    const tooLarge = () => new DirectError('E_BODY_TOO_LARGE', `the limit is ${limit} bytes`);
    const declared = head.headers.find(([name]) => name === 'content-length')?.[1];
    if (declared !== undefined && !/^\d{1,15}$/.test(declared)) throw new ProtocolError('content-length is malformed');
    if (Number(declared ?? 0) > limit) throw tooLarge();
    // A request without a body ends with its head; the first piece tells them apart before anything is sent.
    const first = await exchange.readData();
    if (first === null) return null;
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      let size = 0;
      for (let piece: Uint8Array | null = first; piece !== null; piece = await exchange.readData()) {
        size += piece.length;
        if (size > limit) throw tooLarge();
        yield piece;
      }
      if (declared !== undefined && size !== Number(declared)) throw new ProtocolError('content-length is wrong');
    };
    return Readable.from(pieces(), { objectMode: false });
  }
}

/** The part of a response that undici and Node have in common. */
interface Answer {
  statusCode: number;
  fields: HeaderList;
  body: Readable;
  trailers: Record<string, string | string[] | undefined>;
}

/**
 * The head of a request whose body was read as JSON: whoever went by another type might read something else. LocalAI
 * takes a model that a bearer token names before the body's; the upstream's own key is `upstream_headers`' business.
 */
function withJson(head: RequestHead): RequestHead {
  const misleading = ['content-type', 'content-encoding', 'authorization'];
  const others = head.headers.filter(([name]) => !misleading.includes(name));
  return { ...head, headers: [...others, ['content-type', 'application/json']] };
}

/** A list of models with nothing but `models`. @throws DirectError */
async function filtered(answer: Answer, models: readonly string[]): Promise<Answer> {
  const { fields, body } = answer;
  const decoder = decoderFor(fields);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of decoder === undefined ? body : pipe(body, decoder)) {
      size += (piece as Buffer).length;
      if (size > MAX_LIST_BYTES) throw new DirectError('E_UPSTREAM_FAILED', 'its list of models is too long');
      pieces.push(piece as Buffer);
    }
  } catch (error) {
    throw error instanceof DirectError ? error : new DirectError('E_UPSTREAM_FAILED', reason(error));
  }
  const list = filterList(Buffer.concat(pieces), models);
  const ofTheWhole = ['content-length', 'content-encoding', 'etag'];
  const kept = fields.filter(([name]) => !ofTheWhole.includes(name));
  return {
    ...answer,
    fields: [...kept, ['content-length', `${list.length}`]],
    body: Readable.from([list], { objectMode: false }),
    trailers: {},
  };
}

/** Passes a response on. @throws DirectError `E_UPSTREAM_FAILED` when it breaks off, or when the client gave up. */
async function respond(
  { statusCode: status, fields, body, trailers }: Answer,
  { head, base, received }: Asked,
  reply: Reply,
): Promise<void> {
  const decoder = hasBody(head.method, status) ? decoderFor(fields) : undefined;
  await reply.head({ status, statusText: '', headers: responseHeaders(received(fields), base, decoder !== undefined) });
  try {
    const decoded = decoder === undefined ? body : pipe(body, decoder);
    for await (const chunk of decoded) await reply.data(chunk as Uint8Array);
  } catch (error) {
    throw error instanceof DirectError ? error : new DirectError('E_UPSTREAM_FAILED', reason(error));
  }
  reply.finish(trailerList(trailers));
}

/** What the client gets to see: a head once, then a body, or an error in the form that still fits. */
class Reply {
  readonly #sink: ResponseSink;
  #started = false;
  /** Of the request, once it is known: the form of an error depends on it. */
  path = '';
  /** For the log: the status, then how it ended if not well. */
  outcome = '';

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  get hasBegun(): boolean {
    return this.#started;
  }

  async head(head: ResponseHead): Promise<void> {
    this.#started = true;
    this.outcome = `${head.status}`;
    await this.#sink.sendHead(head);
  }

  async data(bytes: Uint8Array): Promise<void> {
    await this.#sink.sendData(bytes);
  }

  finish(trailers: HeaderList): void {
    this.#sink.finish(trailers);
  }

  /** Before the head, an error is an HTTP response with our JSON; after it, a reset with the code. */
  async fail(error: unknown): Promise<void> {
    const known = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
    if (this.#started || known.code === 'E_CANCELLED' || known.code === 'E_PATH_LOST') {
      this.outcome = `${this.outcome} ${known.code}`.trim();
      this.#sink.reset(known.code);
      return;
    }
    const body = Buffer.from(JSON.stringify(errorBody(known, this.path)));
    const headers: HeaderList = [
      ['content-type', 'application/json'],
      ['content-length', `${body.length}`],
      ['cache-control', 'no-store'],
    ];
    if (known instanceof RateLimited) headers.push(['retry-after', `${Math.ceil(known.retryAfterMs / 1000)}`]);
    try {
      await this.head({ status: known.entry.http, statusText: '', headers });
      this.outcome += ` ${known.code}`;
      await this.#sink.sendData(body);
      this.#sink.finish();
    } catch {
      // The client is gone as well; the stream has ended with its code.
    }
  }
}

/** For the log. The id of a held response is the client's. */
function nameOf({ method, path, resume }: RequestHead): string {
  if (resume === undefined) return `${method} ${withoutQuery(path)}`;
  return method === 'GET' ? 'resumed' : 'given up';
}

function withoutQuery(path: string): string {
  // Control characters would let a client write lines of its own into the log.
  return (
    path
      .split('?', 1)[0]
      ?.replaceAll(/[^\x21-\x7e]/g, '�')
      .slice(0, 200) ?? ''
  );
}

/** Why a connection failed, without the stack; undici puts the system's error into `cause`. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown reason';
  return error instanceof AggregateError ? reason(error.errors[0]) : error.message;
}

function decoderFor(fields: HeaderList): ReturnType<typeof createGunzip> | undefined {
  switch (fields.find(([name]) => name === 'content-encoding')?.[1].toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return undefined;
  }
}

function pipe(body: Readable, decoder: ReturnType<typeof createGunzip>): Readable {
  body.on('error', (error) => decoder.destroy(error));
  decoder.on('close', () => body.destroy());
  return body.pipe(decoder);
}

function trailerList(trailers: Record<string, string | string[] | undefined>): HeaderList {
  const all = Object.entries(trailers).flatMap(([name, value]) =>
    [value ?? []].flat().map((item): [string, string] => [name.toLowerCase(), item]),
  );
  // It means nothing there (RFC 9110, section 6.5.1), and must not pass by where HttpOnly ones are taken off.
  return all.filter(([name]) => name !== 'set-cookie');
}
