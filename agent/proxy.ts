/** Proxies the streams of a session to an upstream: one stream, one HTTP exchange or one WebSocket. */
import { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import type { AgentExchange } from '../shared/exchange.ts';
import type { Grant } from '../shared/grant.ts';
import type { RequestHead } from '../shared/head.ts';
import { hasBody } from '../shared/semantics.ts';
import type { SessionGrant } from '../shared/sessions.ts';
import type { Stream } from '../shared/stream.ts';
import { admitTarget, type TargetPolicy } from '../shared/target.ts';
import { checkPrefix, grantOf, RateLimited, RequestRates, withoutGrant } from './access.ts';
import { type Answer, filtered, reason, respond } from './answer.ts';
import { fieldList, requestHeaders, socketRequestHeaders, socketResponseHeaders } from './headers.ts';
import type { HeldReader } from './held-response.ts';
import { HeldResponses } from './held-responses.ts';
import type { LogFields } from './log.ts';
import { type RequestMeter, UNMETERED } from './meter.ts';
import { MeteredExchange } from './meter-exchange.ts';
import { checkBody, type ModelUse, modelUse } from './model-scope.ts';
import { Reply } from './reply.ts';
import { readBody } from './request-body.ts';
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
  log(line: string, fields: LogFields): void;
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

/** CONNECT asks for a tunnel and TRACE shows the fields that we add; Fetch forbids both, in whichever case. */
const TUNNELLING = ['CONNECT', 'TRACE', 'TRACK'];

export class UpstreamProxy {
  readonly #options: ProxyOptions;
  #dispatcher: Promise<Agent> | undefined;
  readonly #rates: RequestRates;
  readonly #tagged = new Set<Tagged>();
  readonly #held: HeldResponses;
  /** Of MAX_CHECKED_BYTES. */
  #checkedBytes = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#rates = new RequestRates(options.now ?? (() => performance.now()));
    this.#held = new HeldResponses({ timer: options.timer ?? nodeEnvironment.timer });
  }

  async close(): Promise<void> {
    this.#held.close();
    await (await this.#dispatcher)?.destroy();
  }

  /** undici comes with the first request: an agent that nobody uses does without its 15 MB. */
  #upstream(): Promise<Agent> {
    this.#dispatcher ??= import('./undici.ts').then(
      ({ Agent }) =>
        new Agent({
          // A model may think for longer than undici's 300 s; whether the path lives is the session's business.
          headersTimeout: 0,
          bodyTimeout: 0,
          connect: { timeout: CONNECT_TIMEOUT_MS },
        }),
    );
    return this.#dispatcher;
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
  async serve(stream: Stream, sessionGrant: SessionGrant, meter: RequestMeter = UNMETERED): Promise<void> {
    const exchange = new MeteredExchange(stream, meter);
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
        reply.meter = meter;
        await this.#forward(head, grant, exchange, reply, gone.signal);
      } else {
        const reader: HeldReader = {
          head: (head) => reply.head(head),
          data: (bytes) => reply.data(bytes),
          finish: (trailers) => reply.finish(trailers),
          breakOff,
        };
        if (head.resume !== undefined) await this.#resume(head, grant, reader, gone.signal);
        else await this.#hold(head, grant, exchange, reader, gone.signal, meter);
      }
    } catch (error) {
      await reply.fail(gone.signal.aborted ? gone.signal.reason : error);
    }
    if (tagged !== undefined) this.#tagged.delete(tagged);
    // What the client still sends is of no use to anyone.
    stream.stop('E_CANCELLED');
    meter.ended(reply.code);
    if (head === undefined) return;
    const service =
      head.service === undefined ? '' : `${head.service}${tagged === undefined ? '' : ' by the tunnel'}: `;
    this.#options.log(`${service}${nameOf(head)} ${reply.outcome}`, {
      method: head.method,
      path: withoutQuery(head.path),
      ...(reply.status === undefined ? {} : { status: reply.status }),
      code: reply.code,
      tunnel: tagged !== undefined,
    });
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
    meter: RequestMeter,
  ): Promise<void> {
    signal.throwIfAborted();
    const held = this.#held.begin(grant.subject, head.hold ?? '');
    const reply = new Reply(held);
    reply.meter = meter;
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
    if (TUNNELLING.includes(head.method.toUpperCase())) throw new DirectError('E_FORBIDDEN_TARGET', head.method);
    if (head.service === 'web_ui') return this.#toWebUi(head, grant, exchange, reply, signal);
    const { path, query } = admitTarget(head.path, head.method, this.#options.policy);
    if (grant.prefixes !== undefined) checkPrefix({ path, query }, grant.prefixes);
    const { models } = grant;
    const use = models === undefined ? undefined : modelUse(head, { path, query }, models);
    const upstream = await this.#options.upstream(path);
    if (upstream === undefined) throw new DirectError('E_NO_UPSTREAM');
    const base = new URL(upstream);
    reply.meter.asked(upstream);
    const target = base.pathname.replace(/\/$/, '') + path + query;
    const own = this.#options.upstreamHeaders;
    const asked: Asked = { head, base, target, own, received: (fields) => fields, signal };
    if (head.protocol === 'websocket') return this.#upgrade(asked, exchange, reply);
    const body = await readBody(head, exchange, this.#options.maxBodyBytes);
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
    reply.meter.asked('web_ui');
    if (head.protocol === 'websocket') return this.#upgrade(asked, exchange, reply);
    const body = await readBody(head, exchange, this.#options.maxBodyBytes);
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
      await proxySocket(socket, exchange.socket(), reply.meter);
    } finally {
      socket.terminate();
    }
  }

  async #request(request: Asked & { body: Readable | Buffer | null }): Promise<Answer> {
    const { head, base, target, own, body, signal } = request;
    try {
      const dispatcher = await this.#upstream();
      const response = await dispatcher.request({
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
