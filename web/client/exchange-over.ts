/** One HTTP request and response over one stream of the session, without redirects and without a second try. */
import { DirectError } from '../../shared/errors.ts';
import { ClientExchange } from '../../shared/exchange.ts';
import { encodeHead, type HeaderList, type RequestHead } from '../../shared/head.ts';
import { hasBody } from '../../shared/semantics.ts';
import type { Session } from '../../shared/session.ts';
import { isDeviceRefusal } from './device.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { ClientEnvironment } from './environment.ts';
import { isKeyError } from './host-trust.ts';
import { networkError } from './network-error.ts';
import type { Hop } from './redirect.ts';
import type { RequestBody } from './request-body.ts';
import { responseBody, responseHeaders, withBodyError } from './response.ts';
import { Upload } from './upload.ts';
import { type UiRequest, uiRequestFields, uiResponse } from './web-ui.ts';

/** The path ended before the response began. `cause` is the session's error. */
export class PathFailure extends Error {
  declare readonly cause: DirectError;
  /** Whether the host may have seen the request. */
  readonly sentAny: boolean;
  /** Whether a body that can be read only once was begun. */
  readonly bodyUsed: boolean;

  constructor(cause: DirectError, sentAny: boolean, bodyUsed: boolean) {
    super(cause.message, { cause });
    this.sentAny = sentAny;
    this.bodyUsed = bodyUsed;
  }
}

/** What is said of a response that outlives the request. */
export type Holding = Pick<RequestHead, 'hold' | 'resume'>;

interface ExchangeOptions {
  signal: AbortSignal | undefined;
  holding: Holding;
  environment: ClientEnvironment;
  diagnostics: Diagnostics;
  /** See `ConnectOptions`. */
  service: 'web_ui' | undefined;
  credentials: RequestCredentials;
  /** Told how many bytes of the body have been sent, after each piece. */
  uploaded: ((bytes: number) => void) | undefined;
}

/**
 * Resolves with the response when its head is there; the body streams.
 * @throws PathFailure, DirectError of the agent, the body's own error, or whatever the signal's abort made of these.
 */
export async function exchangeOver(
  session: Session,
  hop: Hop,
  body: RequestBody | undefined,
  { signal, holding, environment, diagnostics, service, credentials, uploaded }: ExchangeOptions,
): Promise<Response> {
  if (session.error !== undefined) throw new PathFailure(session.error, false, false);
  const path = holding.resume === undefined ? hop.url.pathname + hop.url.search : '/';
  const special = { ...holding, ...(service && { service }) };
  const head: RequestHead = { method: hop.method, path, headers: fields(hop, body), ...special };
  const ui = { url: hop.url, credentials, hasOrigin: hop.method !== 'GET' && hop.method !== 'HEAD' };
  if (service !== undefined) head.headers.push(...uiFields(head.headers, ui, environment));
  // Thrown here, before anything is sent: `sendHead` would say it too late for `finish`.
  encodeHead(head);
  const exchange = new ClientExchange(session.openStream());
  const upload = new Upload(exchange, body, uploaded);
  const way = () => session.active?.kind ?? 'offline';
  const size = body === undefined ? 0 : (body.length ?? 'streaming');
  const log = diagnostics.request(hop.method, hop.url, way(), `(${size}b)`);
  const abort = () => {
    exchange.abort('E_CANCELLED');
    upload.cancel(signal?.reason);
  };
  signal?.addEventListener('abort', abort);
  try {
    signal?.throwIfAborted();
    upload.start(head);
    // Whichever comes first: the head, or the failure of the source of the body, which ends the request.
    const first = await Promise.race([exchange.readHead(), upload.failed]);
    log.head(first.status, way());
    const { status, statusText, ...rest } = service === undefined ? first : uiResponse(first, ui, environment.cookies);
    const headers = responseHeaders({ status, statusText, ...rest }, environment.browser);
    if (!hasBody(hop.method, status)) {
      log.end(0, false);
      finishQuietly(exchange);
      return new Response(null, { status, statusText, headers });
    }
    let failure: { error: unknown } | undefined;
    const stream = responseBody(exchange, {
      signal,
      translate: (error) => networkError(session.error === undefined ? error : requestError(session.error)),
      failed: (error) => {
        failure = { error };
      },
      ended: (bytes, error) => {
        log.end(bytes, error !== undefined);
        if (error !== undefined) upload.cancel(error);
      },
    });
    return withBodyError(new Response(stream, { status, statusText, headers }), () => failure);
  } catch (error) {
    const failure = asPathFailure(session, exchange, upload, error);
    log.end(undefined, true);
    exchange.abort(upload.sourceFailed || signal?.aborted ? 'E_CANCELLED' : 'E_PROTOCOL');
    // A body that was not begun may still go over HTTPS.
    if (failure === undefined || upload.begun) upload.cancel(error);
    throw failure ?? error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** A client that closed the session itself, on purpose or because somebody lies about the host, wants no request to go on elsewhere. */
function asPathFailure(
  session: Session,
  exchange: ClientExchange,
  upload: Upload,
  error: unknown,
): PathFailure | undefined {
  const ended = session.error;
  if (ended === undefined || !hasLostPath(session, error)) return undefined;
  return new PathFailure(ended, exchange.stream.sentAny, upload.begun);
}

/** Whether `error` came because the session has ended, and what ran on it may go on elsewhere. */
export function hasLostPath(session: Session, error: unknown): boolean {
  const ended = session.error;
  if (ended === undefined || !(error instanceof DirectError)) return false;
  if (ended.code === 'E_CANCELLED' || isKeyError(ended)) return false;
  // A host that refuses the device has run nothing; one that has accepted it before may have.
  return !isDeviceRefusal(ended) || session.isEstablished;
}

/** What the end of a session is to its requests: an agent that stops has forgotten them as one that was restarted. */
export function requestError(end: DirectError): DirectError {
  if (end.code === 'E_CANCELLED' || end.code === 'E_HOST_RESTARTED') return end;
  if (isKeyError(end) || isDeviceRefusal(end)) return end;
  return new DirectError(end.code === 'E_GOING_AWAY' ? 'E_HOST_RESTARTED' : 'E_PATH_LOST', undefined, { cause: end });
}

/** The request's fields, and those that a browser adds by itself. */
function fields({ method, headers }: Hop, body: RequestBody | undefined): HeaderList {
  // Methods that usually have a body say that there is none; one of unknown length goes without the field.
  const none = method === 'POST' || method === 'PUT' ? 0 : undefined;
  const length = body === undefined ? none : body.length;
  const list: HeaderList = [...headers].filter(([name]) => {
    // Node lets programs set them; the agent knows better than they do where the host is.
    return name !== 'host' && (name !== 'content-length' || length === undefined);
  });
  // Fetch, section 4.1: what every request accepts that does not say otherwise.
  if (!headers.has('accept')) list.push(['accept', '*/*']);
  if (length !== undefined) list.push(['content-length', String(length)]);
  return list;
}

/** Those of the page that the caller has not set. */
function uiFields(given: HeaderList, request: UiRequest, environment: ClientEnvironment): HeaderList {
  const names = new Set(given.map(([name]) => name));
  return uiRequestFields(request, environment.cookies).filter(([name]) => !names.has(name));
}

/** Reads what follows a response without a body, which should be nothing. */
function finishQuietly(exchange: ClientExchange): void {
  exchange.readData().then(
    (piece) => {
      if (piece !== null) exchange.abort('E_CANCELLED');
    },
    () => exchange.abort('E_CANCELLED'),
  );
}
