/** A port of this machine that answers as a host does: HTTP and WebSockets of any program. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { DirectError } from '../../shared/errors.ts';
import { MAX_HEAD_BYTES, MAX_TARGET_BYTES } from '../../shared/limits.ts';
import { isForbiddenMethod } from '../../shared/semantics.ts';
import { DIRECT_CONNECT } from '../discovery.ts';
import { type Destination, failureOf } from './host-client.ts';
import { bodyOf } from './local-body.ts';
import { admitCaller, type CallerRules, corsFields } from './local-caller.ts';
import { errorFields, errorResponse, localErrorBody } from './local-error.ts';
import { requestFields, responseFields } from './local-fields.ts';
import { LocalSockets } from './local-sockets.ts';

export interface LocalServerOptions {
  address: string;
  /** The first port to try; 0: any. */
  port: number;
  /** How many ports are tried, counting up, when others are in use. */
  tries: number;
  rules: CallerRules;
  destination: Destination;
}

/** Between two requests; programs and their libraries keep connections for up to a minute. */
const KEEP_ALIVE_MS = 75_000;
/** RFC 7540, section 3.2. */
const OFFER = /^(?:upgrade|http2-settings)$/i;

export class LocalServer {
  readonly #options: LocalServerOptions;
  readonly #server: Server;
  readonly #sockets: LocalSockets;

  private constructor(options: LocalServerOptions) {
    this.#options = options;
    this.#sockets = new LocalSockets(options.destination);
    // A model may think for as long as it likes, and an upload take as long as the line needs.
    const patience = { requestTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS };
    this.#server = createServer({ maxHeaderSize: MAX_HEAD_BYTES, ...patience });
    this.#server.on('request', (request, response) => void this.#serve(request, response));
    // Whoever asks first hears at once whether the request is welcome, and only then sends its body.
    this.#server.on('checkContinue', (request, response) => void this.#serve(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** @throws the system's error: EADDRINUSE when all ports are in use, EACCES, EADDRNOTAVAIL. */
  static async listen(options: LocalServerOptions): Promise<LocalServer> {
    const server = new LocalServer(options);
    for (let attempt = 0; ; attempt++) {
      const port = options.port === 0 ? 0 : options.port + attempt;
      server.#server.listen({ port, host: options.address });
      try {
        await once(server.#server, 'listening');
        return server;
      } catch (error) {
        const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
        if (!inUse || attempt + 1 >= options.tries || port >= 65_535) throw error;
      }
    }
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends everything at once: hosts are told that nobody waits for their answers. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#sockets.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort(new DirectError('E_CANCELLED', 'the program has gone away'));
    });
    // A connection that breaks is seen by `close`, above.
    request.on('error', () => {});
    response.on('error', () => {});
    // An agent on this machine must not take it for a server: the two would ask each other in a circle.
    response.setHeader(DIRECT_CONNECT, '1');
    // A host that sends more than it has announced must not be able to write the next answer, which may be another's.
    response.strictContentLength = true;
    let origin: string | undefined;
    try {
      origin = this.#admit(request);
      const { method = 'GET' } = request;
      if (origin !== undefined && method === 'OPTIONS' && isPreflight(request)) {
        response.writeHead(204, corsFields(origin, { headers: request.headers['access-control-request-headers'] }));
        response.end();
        return;
      }
      const target = targetOf(request);
      if (isForbiddenMethod(method)) throw new DirectError('E_METHOD', method);
      if (request.headers.expect !== undefined) response.writeContinue();
      const body = await bodyOf(request);
      if (body !== null && (method === 'GET' || method === 'HEAD')) {
        throw new DirectError('E_BAD_REQUEST', `a ${method} request with a body`);
      }
      const headers = new Headers(requestFields(request.rawHeaders));
      const { signal } = gone;
      const answer = await this.#options.destination.request({ method, target, headers, body, signal });
      await pass(answer, response, origin, signal);
    } catch (error) {
      if (gone.signal.aborted) response.destroy();
      else if (response.headersSent) breakOff(response);
      else refuse(response, failureOf(error), request, origin);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      this.#stay(request, socket, head);
      return;
    }
    // Nobody else listens to it from now on.
    socket.on('error', () => socket.destroy());
    try {
      this.#admit(request);
      this.#sockets.open(request, socket, head, targetOf(request));
    } catch (error) {
      socket.end(errorResponse(failureOf(error), request.url ?? ''));
    }
  }

  /**
   * Java's clients offer HTTP/2 with every request. An offer is no condition (RFC 9110, section 7.8), but Node has taken
   * the connection from its parser by now: it gets it back, with the request as if nothing had been offered.
   */
  #stay({ method, url, httpVersion, rawHeaders }: IncomingMessage, socket: Duplex, head: Buffer): void {
    let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      if (!OFFER.test(rawHeaders[i] ?? '')) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
    }
    socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]));
    this.#server.emit('connection', socket);
  }

  /** @throws DirectError `E_ORIGIN` */
  #admit({ headers }: IncomingMessage): string | undefined {
    const site = headers['sec-fetch-site'];
    const fields = { host: headers.host, origin: headers.origin, site: typeof site === 'string' ? site : undefined };
    return admitCaller(fields, this.#options.rules);
  }
}

function isPreflight({ headers }: IncomingMessage): boolean {
  return headers['access-control-request-method'] !== undefined;
}

/**
 * Path and query, normalised as `fetch` would: what is checked here is what is sent.
 * @throws DirectError `E_BAD_TARGET`; `E_FORBIDDEN_TARGET` for what belongs to the edge, whose credential we have.
 */
function targetOf({ url = '' }: IncomingMessage): string {
  const parsed = url.startsWith('/') && url.length <= MAX_TARGET_BYTES ? URL.parse(`http://host${url}`) : null;
  if (parsed === null || parsed.host !== 'host') throw new DirectError('E_BAD_TARGET');
  let decoded: string;
  try {
    decoded = decodeURIComponent(parsed.pathname);
  } catch {
    throw new DirectError('E_BAD_TARGET');
  }
  if (/(?:^|[/\\])_direct(?:[/\\]|$)/i.test(decoded))
    throw new DirectError('E_FORBIDDEN_TARGET', 'it belongs to the edge');
  return parsed.pathname + parsed.search;
}

/** The answer, as fast as the program takes it and the host sends it. */
async function pass(
  answer: Response,
  response: ServerResponse,
  origin: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const fields = responseFields(answer.headers);
  for (const [name, value] of fields) response.appendHeader(name, value);
  if (origin !== undefined)
    for (const [name, value] of Object.entries(corsFields(origin))) response.setHeader(name, value);
  response.writeHead(answer.status, answer.statusText);
  // Now: the program learns that the model thinks. `flushHeaders` would turn Latin-1 into UTF-8.
  if (answer.body !== null) response.write('', 'latin1');
  for await (const piece of answer.body ?? []) {
    signal.throwIfAborted();
    if (!response.write(piece)) await once(response, 'drain', { signal });
  }
  response.end();
}

/** After the head, only the end of the connection tells the program that the answer is not complete. */
function breakOff(response: ServerResponse): void {
  const { socket, req } = response;
  // To HTTP/1.0 an orderly end is the end of the answer.
  if (req.httpVersionMinor === 0) socket?.resetAndDestroy();
  // What came before leaves first.
  else socket?.destroySoon();
}

/** An error in the form of the API that was asked. */
function refuse(response: ServerResponse, error: DirectError, request: IncomingMessage, origin?: string): void {
  const body = localErrorBody(error, request.url ?? '');
  // Whether the body that was announced will come now, nobody knows.
  if (request.headers.expect !== undefined) response.shouldKeepAlive = false;
  response.writeHead(error.entry.http, {
    ...errorFields(error, body),
    ...(origin !== undefined && corsFields(origin)),
  });
  response.end(body);
}
