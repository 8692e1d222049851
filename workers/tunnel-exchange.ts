/**
 * One request of the tunnel: a Fetch request on one side, a stream of a session on the other. Nothing is kept. One that
 * asks for a WebSocket goes on in tunnel-socket.ts when the upstream agrees.
 */
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { encodeHead, type RequestHead, type ResponseHead } from '../shared/head.ts';
import { DIRECT_HOLD, DIRECT_RESUME, decodeResume, isHoldId } from '../shared/hold.ts';
import { hasBody, isSafe } from '../shared/semantics.ts';
import type { Session } from '../shared/session.ts';
import { checkEnd } from './marked-body.ts';
import { requestFields, responseFields, serviceOf, wantsSocket } from './tunnel-headers.ts';
import { tunnelSocket } from './tunnel-socket.ts';

/** Ends of a session that say what to do better than “the connection was lost” does. */
const TELLING: readonly ErrorCode[] = ['E_GOING_AWAY'];
/** An agent that says so has not looked at the request: it refuses the path before. */
const REFUSALS: readonly ErrorCode[] = ['E_VERSION', 'E_DEVICE_UNKNOWN', 'E_FORBIDDEN'];

type Direction = 'sending' | 'receiving';

export class TunnelExchange {
  readonly #session: Session;
  readonly #request: Request;
  readonly #head: RequestHead;
  readonly #exchange: ClientExchange;
  readonly #ended: () => void;
  readonly #abort = () => {
    this.#exchange.abort('E_CANCELLED');
    this.#end('receiving');
  };
  /** Directions that go on. */
  readonly #open = new Set<Direction>(['sending', 'receiving']);

  /** `head` is that of the request, from `requestHead`; `ended` is called once, when neither direction goes on. */
  constructor(session: Session, request: Request, head: RequestHead, ended: () => void) {
    this.#session = session;
    this.#request = request;
    this.#head = head;
    this.#ended = ended;
    this.#exchange = new ClientExchange(session.openStream());
  }

  /** Resolves when the response's head is there. @throws DirectError */
  async response(): Promise<Response> {
    const { signal } = this.#request;
    signal.addEventListener('abort', this.#abort);
    // The client went away while the request was on its way to this object.
    if (signal.aborted) this.#abort();
    void this.#send();
    try {
      const head = await this.#exchange.readHead();
      return head.status === 101 ? this.#upgraded(head) : this.#receive(head);
    } catch (error) {
      this.#exchange.abort('E_CANCELLED');
      this.#end('receiving');
      throw this.#beforeHead(error);
    }
  }

  async #send(): Promise<void> {
    const { body } = this.#request;
    const sent = this.#exchange.sendHead(this.#head);
    // In the same message as the head. Of a WebSocket it is the agent that knows whether there will be one.
    if (body === null && !this.#upgrades) this.#exchange.finish();
    const alive = await succeeds(sent);
    if (alive && body !== null) await this.#sendBody(body);
    this.#end('sending');
  }

  async #sendBody(body: ReadableStream<Uint8Array>): Promise<void> {
    const chunks = this.#request.headers.has('content-length') ? body : checkEnd(body);
    try {
      for await (const chunk of chunks) {
        // The host wants no more or is gone, which the response tells. Leaving the loop cancels the body.
        if (!(await succeeds(this.#exchange.sendData(chunk)))) return;
      }
    } catch {
      // The client went away. This is not the end of the body, and the host must not take it for that.
      this.#abort();
      return;
    }
    this.#exchange.finish();
  }

  /** The client gets its socket now, and not before the upstream gave one. */
  #upgraded({ headers }: ResponseHead): Response {
    // From here on the socket tells how its client ends: closed or lost.
    this.#request.signal.removeEventListener('abort', this.#abort);
    const webSocket = tunnelSocket(this.#exchange.socket(), () => this.#end('receiving'));
    return new Response(null, { status: 101, webSocket, headers: responseFields(headers, this.#request.url) });
  }

  #receive({ status, statusText, headers: list }: ResponseHead): Response {
    // A WebSocket that was refused: this direction has no more to say.
    if (this.#upgrades) this.#exchange.finish();
    const headers = responseFields(list, this.#request.url, this.#head.service);
    // `manual`: the bytes are what Content-Encoding says already.
    const init: ResponseInit = { status, headers, encodeBody: 'manual', ...(statusText === '' ? {} : { statusText }) };
    if (!hasBody(this.#request.method, status)) {
      // What follows should be nothing.
      this.#exchange.readData().then(
        (piece) => {
          if (piece !== null) this.#exchange.abort('E_CANCELLED');
          this.#end('receiving');
        },
        () => this.#end('receiving'),
      );
      return new Response(null, init);
    }
    const length = contentLength(headers);
    // Cloudflare compresses JSON and plain text for clients that accept it, and a compressor holds tokens back.
    if (length === undefined) headers.append('cache-control', 'no-transform');
    const body = new ReadableStream<Uint8Array>(
      {
        // Asked for when the client has taken what came before: this is what grants the agent new credit.
        pull: async (controller) => {
          try {
            const piece = await this.#exchange.readData();
            if (piece !== null) return controller.enqueue(piece);
            controller.close();
          } catch (error) {
            // A client can tell this from a normal end: the transfer breaks off.
            controller.error(error);
          }
          this.#end('receiving');
        },
        cancel: this.#abort,
        ...(length === undefined ? {} : { expectedLength: length }),
      },
      { highWaterMark: 0 },
    );
    return new Response(body, init);
  }

  get #upgrades(): boolean {
    return this.#head.protocol !== undefined;
  }

  #end(direction: Direction): void {
    if (!this.#open.delete(direction) || this.#open.size > 0) return;
    this.#request.signal.removeEventListener('abort', this.#abort);
    this.#ended();
  }

  #beforeHead(error: unknown): unknown {
    const lost = this.#session.error;
    if (lost === undefined) return error;
    if (!this.#exchange.stream.sentAny || REFUSALS.includes(lost.code)) return lost;
    if (!isSafe(this.#request.method)) return new DirectError('E_OUTCOME_UNKNOWN', lost.detail);
    return TELLING.includes(lost.code) ? lost : new DirectError('E_PATH_LOST', lost.detail);
  }
}

/** The head for the host. @throws ProtocolError `E_HEAD_TOO_LARGE`, DirectError `E_BAD_REQUEST` */
export function requestHead(request: Request): RequestHead {
  const { pathname, search } = new URL(request.url);
  const service = serviceOf(request.headers);
  const head: RequestHead = {
    method: request.method,
    path: pathname + search,
    ...(service === undefined ? {} : { service }),
    headers: requestFields(request.headers),
    ...specialHead(request),
  };
  encodeHead(head);
  return head;
}

/** What a request asks for besides an ordinary response. */
function specialHead(request: Request): Partial<RequestHead> {
  if (wantsSocket(request)) return { protocol: 'websocket' };
  const resume = request.headers.get(DIRECT_RESUME);
  const hold = request.headers.get(DIRECT_HOLD);
  if (resume === null && hold === null) return {};
  if (resume === null) {
    if (!isHoldId(hold)) throw new DirectError('E_BAD_REQUEST', 'Direct-Hold is no id');
    return { hold };
  }
  const asked = decodeResume(resume);
  const isAllowed = request.method === 'GET' || request.method === 'DELETE';
  if (asked === undefined || hold !== null || !isAllowed) {
    throw new DirectError('E_BAD_REQUEST', 'Direct-Resume is an id and an offset, of a GET or a DELETE');
  }
  // Whatever address the client had to name to get here, the host is asked for nothing else.
  return { path: '/', resume: asked };
}

async function succeeds(promise: Promise<void>): Promise<boolean> {
  try {
    await promise;
    return true;
  } catch {
    return false;
  }
}

/** So that the client sees a length too; without one the transfer is chunked. */
function contentLength(headers: Headers): number | undefined {
  const value = headers.get('content-length');
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
