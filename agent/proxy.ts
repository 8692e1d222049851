/** Proxies the streams of a session to an upstream: one stream, one HTTP exchange or one WebSocket. */
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import type { AgentExchange } from '../shared/exchange.ts';
import type { Grant } from '../shared/grant.ts';
import type { RequestHead } from '../shared/head.ts';
import { isForbiddenMethod } from '../shared/semantics.ts';
import type { SessionGrant } from '../shared/sessions.ts';
import type { Stream } from '../shared/stream.ts';
import { admitTarget } from '../shared/target.ts';
import { grantOf, RequestRates, withoutGrant } from './access.ts';
import { type Answer, respond } from './answer.ts';
import { Forwarder, type ForwarderOptions } from './forwarder.ts';
import type { HeldReader } from './held-response.ts';
import { HeldResponses } from './held-responses.ts';
import type { LogFields } from './log.ts';
import { type RequestMeter, UNMETERED } from './meter.ts';
import { MeteredExchange } from './meter-exchange.ts';
import { accessOf, type HostPolicy } from './policy.ts';
import { Reply } from './reply.ts';
import { readBody, WholeBodies } from './request-body.ts';
import { nodeEnvironment } from './runtime.ts';
import { UpstreamRoutes } from './upstream-routes.ts';
import type { WebUi } from './web-ui.ts';

export interface ProxyOptions extends ForwarderOptions {
  policy: HostPolicy;
  /** The host's own web UI, if it serves one. */
  webUi?: WebUi | undefined;
  maxBodyBytes: number;
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

export class UpstreamProxy {
  readonly #options: ProxyOptions;
  readonly #routes: UpstreamRoutes;
  readonly #forwarder: Forwarder;
  readonly #rates: RequestRates;
  readonly #tagged = new Set<Tagged>();
  readonly #held: HeldResponses;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const bodies = new WholeBodies();
    this.#routes = new UpstreamRoutes(options.upstreams, bodies);
    this.#forwarder = new Forwarder(options, bodies);
    this.#rates = new RequestRates(options.now ?? (() => performance.now()));
    this.#held = new HeldResponses({ timer: options.timer ?? nodeEnvironment.timer });
  }

  /** What runs at the server of this name, and what waits for it. */
  load(upstream: string): { running: number; waiting: number } {
    return this.#forwarder.load(upstream);
  }

  async close(): Promise<void> {
    this.#held.close();
    await this.#forwarder.close();
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
    const access = accessOf(grant, this.#options.policy);
    this.#rates.count(access.grant);
    if (isForbiddenMethod(head.method)) throw new DirectError('E_FORBIDDEN_TARGET', head.method);
    const body = () => readBody(head, exchange, this.#options.maxBodyBytes);
    if (head.service === 'web_ui') {
      const routed = this.#webUi.admit(head, access.grant);
      reply.meter.asked('web_ui');
      const sent = head.protocol === 'websocket' ? null : await body();
      return await this.#forwarder.pass({ ...routed, body: sent, signal }, exchange, reply);
    }
    const target = admitTarget(head.path, head.method, access.target);
    access.checkPath(target);
    const found = await this.#routes.find({ head, target, access, body, signal });
    if (!('server' in found)) return await this.#answer(found, head, reply);
    await this.#forwarder.toUpstream(found, access, exchange, reply);
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
