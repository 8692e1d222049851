/** Sends requests to servers, each when it is its turn, and passes on what they answer. */
import { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { DirectError } from '../shared/errors.ts';
import type { AgentExchange } from '../shared/exchange.ts';
import type { HeaderList } from '../shared/head.ts';
import { type Answer, NobodyThere, respond, unreachable } from './answer.ts';
import { type Asking, DEFAULT_QUEUE, FairQueue, type QueueLimits } from './fair-queue.ts';
import { fieldList, requestHeaders, socketRequestHeaders, socketResponseHeaders } from './headers.ts';
import type { Access } from './policy.ts';
import type { Reply } from './reply.ts';
import { WholeBodies, WholeBody } from './request-body.ts';
import type { Asked } from './routed.ts';
import { isInference } from './server-paths.ts';
import { openSocket, proxySocket } from './socket-proxy.ts';
import type { Route } from './upstream-routes.ts';
import type { Upstreams } from './upstreams.ts';

export interface ForwarderOptions {
  upstreams: Upstreams;
  /** Requests that run at the server of this name at a time; the others wait. Any number unless told otherwise. */
  capacityOf?(upstream: string): number | undefined;
  /** How many may wait. */
  queue?: QueueLimits;
}

/** A TCP connection to a server on this machine or in its network takes milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #bodies: WholeBodies;
  readonly #queue: FairQueue;
  #dispatcher: Promise<Agent> | undefined;

  constructor(options: ForwarderOptions, bodies: WholeBodies) {
    this.#options = options;
    this.#bodies = bodies;
    this.#queue = new FairQueue(options.queue ?? DEFAULT_QUEUE);
  }

  /** What runs at the server of this name, and what waits for it. */
  load(upstream: string): { running: number; waiting: number } {
    return this.#queue.at(upstream);
  }

  async close(): Promise<void> {
    await (await this.#dispatcher)?.destroy();
  }

  /** When it is the request's turn; to another server if nobody is at this one. @throws DirectError */
  async toUpstream(first: Route, access: Access, exchange: AgentExchange, reply: Reply): Promise<void> {
    let route = first;
    let { body } = first.asked;
    try {
      for (;;) {
        const { server, asked } = route;
        reply.meter.asked(server.url);
        const asking = isInference(asked) ? this.#askingFor(server.name, access) : undefined;
        // Before its turn: one of which the end does not come would keep the place from all others. And while it waits
        // it would, unread, take its client's credit from requests that need not wait.
        const mustWait = asking !== undefined && this.#queue.isBusy(asking);
        const isWanted = mustWait || (isLimited(asking) && WholeBodies.canRead(asked.head));
        if (isWanted && body instanceof Readable) {
          body = await this.#bodies.read(body, access.grant.subject);
        }
        const leave = asking === undefined ? () => {} : await this.#queue.turn(asking, asked.signal);
        try {
          return await this.pass({ ...asked, body }, exchange, reply);
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

  #askingFor(upstream: string, { client, grant: { subject }, share }: Access): Asking {
    return { upstream, capacity: this.#options.capacityOf?.(upstream), client, subject, share };
  }

  /** Asks, and passes on what comes. @throws DirectError */
  async pass(asked: Asked, exchange: AgentExchange, reply: Reply): Promise<void> {
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
      await proxySocket(socket, exchange.socket(), reply.meter);
    } finally {
      socket.terminate();
    }
  }

  async #request({ head, base, target, own, body, signal }: Asked): Promise<Answer> {
    const fields = body instanceof WholeBody ? withLength(head.headers, body.bytes.length) : head.headers;
    try {
      const dispatcher = await this.#upstream();
      const response = await dispatcher.request({
        origin: base.origin,
        path: target,
        method: head.method as Dispatcher.HttpMethod,
        headers: requestHeaders(fields, base.origin, own),
        body: body instanceof WholeBody ? flowing(body.bytes) : body,
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
}

/** Whether what asks so may ever have to wait. */
function isLimited(asking: Asking | undefined): boolean {
  return asking?.capacity !== undefined || asking?.share !== undefined;
}

/** undici keeps the bytes that it is given until the answer has ended, and a stream of them only until they are sent. */
function flowing(bytes: Buffer): Readable {
  const stream = new Readable({ read() {} });
  stream.push(bytes);
  stream.push(null);
  return stream;
}

function withLength(headers: HeaderList, length: number): HeaderList {
  return [...headers.filter(([name]) => name !== 'content-length'), ['content-length', `${length}`]];
}
