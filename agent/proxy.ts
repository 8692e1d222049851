/** Proxies the streams of a session to an upstream: one stream, one HTTP exchange or one WebSocket. */
import { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import { AgentExchange } from '../shared/exchange.ts';
import type { Grant } from '../shared/grant.ts';
import type { RequestHead } from '../shared/head.ts';
import type { SessionGrant } from '../shared/sessions.ts';
import type { Stream } from '../shared/stream.ts';
import { admitTarget } from '../shared/target.ts';
import { grantOf, RequestRates, withoutGrant } from './access.ts';
import { type Answer, NobodyThere, respond, unreachable } from './answer.ts';
import { type Asking, DEFAULT_QUEUE, FairQueue, type QueueLimits } from './fair-queue.ts';
import { fieldList, requestHeaders, socketRequestHeaders, socketResponseHeaders } from './headers.ts';
import type { HeldReader } from './held-response.ts';
import { HeldResponses } from './held-responses.ts';
import { type Access, accessOf, type HostPolicy } from './policy.ts';
import { Reply } from './reply.ts';
import { readBody, WholeBodies, WholeBody } from './request-body.ts';
import type { Asked } from './routed.ts';
import { nodeEnvironment } from './runtime.ts';
import { isInference } from './server-paths.ts';
import { openSocket, proxySocket } from './socket-proxy.ts';
import { type Route, UpstreamRoutes } from './upstream-routes.ts';
import type { Upstreams } from './upstreams.ts';
import type { WebUi } from './web-ui.ts';

export interface ProxyOptions {
  upstreams: Upstreams;
  policy: HostPolicy;
  /** Requests that run at the server of this name at a time; the others wait. Any number unless told otherwise. */
  capacityOf?(upstream: string): number | undefined;
  /** How many may wait. */
  queue?: QueueLimits;
  /** The host's own web UI, if it serves one. */
  webUi?: WebUi | undefined;
  maxBodyBytes: number;
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

/** A TCP connection to a server on this machine or in its network takes milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/** CONNECT asks for a tunnel and TRACE shows the fields that we add; Fetch forbids both, in whichever case. */
const TUNNELLING = ['CONNECT', 'TRACE', 'TRACK'];

export class UpstreamProxy {
  readonly #options: ProxyOptions;
  readonly #dispatcher: Agent;
  readonly #rates: RequestRates;
  readonly #tagged = new Set<Tagged>();
  readonly #held: HeldResponses;
  readonly #bodies = new WholeBodies();
  readonly #routes: UpstreamRoutes;
  readonly #queue: FairQueue;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#routes = new UpstreamRoutes(options.upstreams, this.#bodies);
    this.#queue = new FairQueue(options.queue ?? DEFAULT_QUEUE);
    this.#rates = new RequestRates(options.now ?? (() => performance.now()));
    this.#held = new HeldResponses({ timer: options.timer ?? nodeEnvironment.timer });
    this.#dispatcher = new Agent({
      // A model may think for longer than undici's 300 s; whether the path lives is the session's business.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
  }

  /** What runs at the server of this name, and what waits for it. */
  load(upstream: string): { running: number; waiting: number } {
    return this.#queue.at(upstream);
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
    const access = accessOf(grant, this.#options.policy);
    this.#rates.count(access.grant);
    if (TUNNELLING.includes(head.method.toUpperCase())) throw new DirectError('E_FORBIDDEN_TARGET', head.method);
    const body = () => readBody(head, exchange, this.#options.maxBodyBytes);
    if (head.service === 'web_ui') {
      const routed = this.#webUi.admit(head, access.grant);
      const sent = head.protocol === 'websocket' ? null : await body();
      return await this.#pass({ ...routed, body: sent, signal }, exchange, reply);
    }
    const target = admitTarget(head.path, head.method, access.target);
    access.checkPath(target);
    const found = await this.#routes.find({ head, target, access, body, signal });
    if (!('server' in found)) return await this.#answer(found, head, reply);
    await this.#toUpstream(found, access, exchange, reply);
  }

  get #webUi(): WebUi {
    const { webUi } = this.#options;
    if (webUi !== undefined) return webUi;
    throw new DirectError('E_NO_UPSTREAM', 'web_ui is not set in the agent’s configuration');
  }

  /** With an answer of the agent's own. */
  #answer(answer: Answer, head: RequestHead, reply: Reply): Promise<void> {
    return respond(answer, { head, base: new URL('http://localhost'), received: (fields) => fields }, reply);
  }

  /** When it is the request's turn; to another server if nobody is at this one. */
  async #toUpstream(first: Route, access: Access, exchange: AgentExchange, reply: Reply): Promise<void> {
    let route = first;
    let { body } = first.asked;
    try {
      for (;;) {
        const { server, asked } = route;
        const asking = isInference(asked) ? this.#askingFor(server.name, access) : undefined;
        // Unread, it would take its client's credit from requests that need not wait.
        if (asking !== undefined && body instanceof Readable && this.#queue.isBusy(asking)) {
          body = await this.#bodies.read(body);
        }
        const leave = asking === undefined ? () => {} : await this.#queue.turn(asking, asked.signal);
        try {
          return await this.#pass({ ...asked, body }, exchange, reply);
        } catch (error) {
          if (!(error instanceof NobodyThere)) throw error;
          this.#options.upstreams.failed(server);
          // One that was being sent is gone.
          const next = body instanceof Readable ? undefined : await route.next();
          if (next === undefined) throw error;
          route = next;
        } finally {
          leave();
        }
      }
    } finally {
      if (body instanceof WholeBody) body.free();
    }
  }

  #askingFor(upstream: string, { client, share }: Access): Asking {
    return { upstream, capacity: this.#options.capacityOf?.(upstream), client, share };
  }

  async #pass(asked: Asked, exchange: AgentExchange, reply: Reply): Promise<void> {
    if (asked.head.protocol === 'websocket') return await this.#upgrade(asked, exchange, reply);
    const answer = await this.#request(asked);
    if (asked.body instanceof WholeBody) asked.body.free();
    await respond(asked.answered === undefined ? answer : await asked.answered(answer), asked, reply);
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

  async #request({ head, base, target, own, body, signal }: Asked): Promise<Answer> {
    try {
      const response = await this.#dispatcher.request({
        origin: base.origin,
        path: target,
        method: head.method as Dispatcher.HttpMethod,
        headers: requestHeaders(head.headers, base.origin, own),
        body: body instanceof WholeBody ? body.bytes : body,
        signal,
        responseHeaders: 'raw',
      });
      // With `raw` they are a list, which the types do not say.
      return { ...response, fields: fieldList(response.headers as unknown as Buffer[]) };
    } catch (error) {
      const bodyError = body instanceof Readable ? body.errored : null;
      if (bodyError instanceof DirectError) throw bodyError;
      if (error instanceof DirectError || signal.aborted) throw error;
      throw unreachable(error);
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
