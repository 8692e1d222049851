/** `fetch` for the host's origin: over the session while it has a path, else over HTTPS; everything else untouched. */
import { DirectError } from '../../shared/errors.ts';
import { DIRECT_HOLD, DIRECT_RESUME, encodeResume } from '../../shared/hold.ts';
import { isSafe } from '../../shared/semantics.ts';
import type { Session } from '../../shared/session.ts';
import { DIRECT_HOST, DIRECT_SERVICE, UPSTREAM_AUTHORIZATION } from '../../shared/tunnel-fields.ts';
import { DIRECT_CREDENTIALS } from '../../shared/web-ui.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { ClientEnvironment, SessionParts } from './environment.ts';
import type { Holding, PathFailure } from './exchange-over.ts';
import { networkError } from './network-error.ts';
import type { Hop } from './redirect.ts';
import type { RequestBody } from './request-body.ts';
import { canStreamRequests } from './streaming.ts';
import { belongsToHost, isRequest } from './target.ts';

export interface FetchOptions {
  /** Requests to this origin are for the host. */
  origin: string;
  /** The host's id: the edge serves several. */
  host: string;
  /** Authenticates HTTPS requests at the edge. A request's own Authorization is for the upstream, on every path. */
  token: string | undefined;
  /** Without a token the browser's cookie authenticates them. */
  cookie: boolean;
  /** Where the token may go. */
  edgeOrigin: string;
  /** See `ConnectOptions`. */
  service?: 'web_ui' | undefined;
  environment: ClientEnvironment;
  diagnostics: Diagnostics;
  /** The session for a new request, or undefined: HTTPS. */
  route(signal: AbortSignal | undefined): Promise<Session | undefined>;
  /** Why a request that has no session may not go to the host by HTTPS either. */
  noTunnel?(): Promise<DirectError | undefined>;
}

/** A request is sent again over a new session at most so often, then over HTTPS. */
export const MAX_SESSIONS_PER_REQUEST = 2;

export type FetchInput = RequestInfo | URL;

export interface ClientRequestInit extends RequestInit {
  /** Told how many bytes of the body have been sent, after each piece; not over HTTPS, where nothing tells. */
  uploaded?: (bytes: number) => void;
}

/** A request with what the head says besides; of the platform's requests it is ignored. */
export type HoldingFetch = (input: FetchInput, init?: ClientRequestInit, holding?: Holding) => Promise<Response>;

/** A `fetch` with the semantics of the Fetch standard. */
export function createFetch(options: FetchOptions): HoldingFetch {
  return (input, init, holding = {}) => new Call(options, input, init, holding).run();
}

class Call {
  readonly #options: FetchOptions;
  readonly #input: FetchInput;
  readonly #init: ClientRequestInit | undefined;
  readonly #holding: Holding;
  readonly #signal: AbortSignal | undefined;

  constructor(options: FetchOptions, input: FetchInput, init: ClientRequestInit | undefined, holding: Holding) {
    this.#options = options;
    this.#input = input;
    this.#init = init;
    this.#holding = holding;
    // The given one rather than the Request's, which follows it only as long as the Request lives.
    this.#signal = (init?.signal === undefined && isRequest(input) ? input.signal : init?.signal) ?? undefined;
  }

  async run(): Promise<Response> {
    // Everything that is wrong with the arguments is found by the platform, here.
    const request = this.#makeRequest();
    this.#signal?.throwIfAborted();
    if (!this.#staysOnPath(request)) return this.#https(request, undefined);
    const session = await this.#options.route(this.#signal);
    if (session === undefined) return this.#https(request, undefined);
    const parts = await this.#options.environment.sessionParts();
    let body: RequestBody | undefined;
    try {
      body = await parts.readRequestBody(request, this.#init?.body, this.#options.environment.timer);
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw networkError(error);
    }
    return this.#follow(parts, request, body, session);
  }

  #makeRequest(): Request {
    const { environment, origin } = this.#options;
    const input = isRequest(this.#input)
      ? this.#input
      : new URL(String(this.#input), environment.baseUrl() ?? origin).href;
    const init = this.#init;
    // Where Request takes no streams, it would take their name for the body.
    if (!canStreamRequests() && init?.body instanceof ReadableStream)
      return new Request(input, { ...init, body: null });
    return new Request(input, init);
  }

  /** What only the platform can do is left to it: other origins, integrity, requests that outlive the page. */
  #staysOnPath(request: Request): boolean {
    if (!belongsToHost(new URL(request.url), this.#options.origin)) return false;
    return !request.integrity && !request.keepalive && request.cache !== 'only-if-cached';
  }

  async #follow(
    parts: SessionParts,
    request: Request,
    given: RequestBody | undefined,
    first: Session,
  ): Promise<Response> {
    let body = given;
    let session: Session | undefined = first;
    let hop: Hop = { url: new URL(request.url), method: request.method, headers: request.headers, count: 0 };
    for (;;) {
      if (hop.count > 0 && !belongsToHost(hop.url, this.#options.origin)) {
        // With the method, the body and the credential of this request, the host could have the edge do what it likes.
        if (hop.url.origin === this.#options.edgeOrigin)
          throw new TypeError('fetch failed: a redirect to the edge itself');
        return this.#markRedirected(await this.#https(this.#requestFor(request, hop, body), undefined), hop);
      }
      const response = await this.#overSession(parts, request, session, hop, body);
      if (!parts.isRedirect(response.status)) return response;
      if (request.redirect !== 'follow') return this.#unfollowed(parts, request, response, hop);
      const location = response.headers.get('location');
      if (location === null) return response;
      drop(response);
      const next = parts.nextHop(hop, response.status, location, body);
      session = await this.#options.route(this.#signal);
      hop = next;
      if (!next.keepsBody) body = undefined;
    }
  }

  /** A redirect that the caller does not want followed. */
  #unfollowed(parts: SessionParts, request: Request, response: Response, hop: Hop): Response {
    if (request.redirect === 'manual' && !this.#options.environment.browser) return response;
    drop(response);
    if (request.redirect === 'manual') return parts.opaqueRedirect(hop.url);
    throw new TypeError(`fetch failed: a redirect (${response.status}), and redirect is “error”`);
  }

  /**
   * One request and its response: over the session; when that has ended and nothing can run twice, over the next one,
   * or over HTTPS if there is none.
   */
  async #overSession(
    parts: SessionParts,
    request: Request,
    first: Session | undefined,
    hop: Hop,
    body: RequestBody | undefined,
  ): Promise<Response> {
    const { diagnostics, environment, route, service } = this.#options;
    const { credentials } = request;
    const uploaded = this.#init?.uploaded;
    const holding = this.#holding;
    const options = { signal: this.#signal, holding, environment, diagnostics, service, credentials, uploaded };
    let session = first;
    let sentAny: boolean | undefined;
    for (let attempt = 1; session !== undefined && attempt <= MAX_SESSIONS_PER_REQUEST; attempt++) {
      try {
        const head = await parts.exchangeOver(session, hop, body, options);
        return parts.withOrigin(head, { url: hop.url, redirected: hop.count > 0 });
      } catch (error) {
        this.#signal?.throwIfAborted();
        if (!(error instanceof parts.PathFailure)) throw networkError(error);
        this.#checkRepeatable(parts, error, hop, body);
        sentAny = error.sentAny || sentAny === true;
        session = await route(this.#signal);
      }
    }
    return this.#markRedirected(await this.#https(this.#requestFor(request, hop, body), sentAny), hop);
  }

  /** @throws TypeError with our code in `cause` when the request may have run, or cannot be sent again. */
  #checkRepeatable(
    parts: SessionParts,
    { cause, sentAny, bodyUsed }: PathFailure,
    hop: Hop,
    body: RequestBody | undefined,
  ): void {
    if (sentAny && !isSafe(hop.method)) {
      const error = parts.requestError(cause);
      throw networkError(
        error.code === 'E_HOST_RESTARTED' ? error : new DirectError('E_OUTCOME_UNKNOWN', undefined, { cause }),
      );
    }
    if (bodyUsed && body?.replayable === false) {
      throw networkError(new DirectError('E_PATH_LOST', 'the body cannot be sent again', { cause }));
    }
  }

  #requestFor(request: Request, hop: Hop, body: RequestBody | undefined): Request {
    return new Request(hop.url, {
      method: hop.method,
      headers: hop.headers,
      mode: request.mode,
      credentials: request.credentials,
      cache: request.cache,
      redirect: request.redirect,
      referrer: request.referrer,
      referrerPolicy: request.referrerPolicy,
      signal: this.#signal ?? null,
      ...(body === undefined ? {} : { body: body.forHttps(), duplex: 'half' }),
    } as RequestInit);
  }

  /** `again`: undefined for the first way that was tried, else whether the host may have seen the request before. */
  async #https(given: Request, again: boolean | undefined): Promise<Response> {
    const { environment, diagnostics, host, token, cookie, edgeOrigin, origin, service } = this.#options;
    const url = new URL(given.url);
    const refusal = belongsToHost(url, origin) ? await this.#options.noTunnel?.() : undefined;
    this.#signal?.throwIfAborted();
    if (refusal !== undefined) throw networkError(refusal);
    // Whether the caller wants to be known is a matter between it and the upstream.
    const anonymous = cookie && token === undefined && given.credentials === 'omit' && url.origin === edgeOrigin;
    const request = anonymous ? new Request(given, { credentials: 'same-origin' }) : given;
    if (url.origin === edgeOrigin) {
      request.headers.set(DIRECT_HOST, host);
      if (service !== undefined) {
        request.headers.set(DIRECT_SERVICE, service);
        if (anonymous) request.headers.set(DIRECT_CREDENTIALS, 'omit');
      }
      const own = request.headers.get('authorization');
      if (own !== null) request.headers.set(UPSTREAM_AUTHORIZATION, own);
      if (token !== undefined) request.headers.set('authorization', `Bearer ${token}`);
      // The edge would take it for its own, and the cookie for nothing.
      else if (cookie) request.headers.delete('authorization');
      const { hold, resume } = this.#holding;
      if (hold !== undefined) request.headers.set(DIRECT_HOLD, hold);
      if (resume !== undefined) request.headers.set(DIRECT_RESUME, encodeResume(resume));
    } else if (this.#holding.resume !== undefined) {
      // This server is not the edge, and what it has at that address is another thing.
      throw networkError(new DirectError('E_PATH_LOST', 'no path to the host'));
    }
    // Other requests of the page are not ours to show.
    if (!belongsToHost(url, origin)) return environment.fetch(request);
    const remark = again === undefined ? 'over HTTPS' : again ? 'again over HTTPS' : 'now over HTTPS';
    const log = diagnostics.request(request.method, url, 'tunnel', remark);
    try {
      const response = await environment.fetch(request);
      log.head(response.status, 'tunnel');
      log.end(undefined, false);
      return response;
    } catch (error) {
      log.end(undefined, true);
      throw error;
    }
  }

  #markRedirected(response: Response, hop: Hop): Response {
    if (hop.count === 0 || response.redirected) return response;
    Object.defineProperty(response, 'redirected', { value: true, configurable: true });
    return response;
  }
}

/** Frees the stream of a response that nobody will read. */
function drop(response: Response): void {
  response.body?.cancel().catch(() => {});
}
