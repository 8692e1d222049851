/** A Response of the platform for a response that came over the session. */
import type { ClientExchange } from '../../shared/exchange.ts';
import type { ResponseHead } from '../../shared/head.ts';

/**
 * Bytes that are read ahead of the application. Small responses end even if nobody reads them and so free their
 * stream; beyond this, only reading gives the agent new credit.
 */
const READ_AHEAD_BYTES = 64 * 1024;

export interface BodyWatch {
  signal: AbortSignal | undefined;
  /** What the reader of the body sees instead of the exchange's error. */
  translate(error: unknown): unknown;
  /** The body has failed, for the reader: with what `translate` made of it, or the signal's reason. */
  failed(error: unknown): void;
  /** The body has ended; `error` undefined if well. Called at most once. */
  ended(bytes: number, error?: unknown): void;
}

/** Streams that nobody can read any more still hold credit of the session until they are given up. */
const abandoned = new FinalizationRegistry<() => void>((giveUp) => giveUp());

/** The rest of the exchange as a stream. An abort of the signal errors it with the signal's reason. */
export function responseBody(exchange: ClientExchange, watch: BodyWatch): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { signal } = watch;
  let bytes = 0;
  let ended = false;
  let target: WeakRef<ReadableStreamDefaultController> | undefined;
  const end = (error?: unknown) => {
    if (ended) return;
    ended = true;
    signal?.removeEventListener('abort', abort);
    watch.ended(bytes, error);
  };
  // Holds the stream weakly: a signal may outlive everything that it was given to.
  const abort = () => {
    end(signal?.reason);
    watch.failed(signal?.reason);
    target?.deref()?.error(signal?.reason);
    exchange.abort('E_CANCELLED');
  };
  const giveUp = () => {
    end('nobody reads it');
    exchange.abort('E_CANCELLED');
  };
  signal?.addEventListener('abort', abort);
  const source: UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> = {
    start(controller) {
      target = new WeakRef(controller);
    },
    async pull(controller) {
      try {
        const piece = await exchange.readData();
        if (ended) return;
        if (piece === null) {
          end();
          controller.close();
        } else {
          bytes += piece.length;
          // A copy: a reader may transfer or change the buffer, and others share it.
          controller.enqueue(piece.slice());
        }
      } catch (error) {
        if (ended) return;
        const shown = watch.translate(error);
        end(shown);
        watch.failed(shown);
        controller.error(shown);
        exchange.abort('E_PROTOCOL');
      }
    },
    cancel() {
      end('cancelled');
      exchange.abort('E_CANCELLED');
    },
  };
  // Not the stream: Chromium collects its script object while `Response.arrayBuffer()` still reads natively.
  abandoned.register(source, giveUp);
  return new ReadableStream(source, { highWaterMark: READ_AHEAD_BYTES, size: (piece) => piece.byteLength });
}

const READERS = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const;

/**
 * Makes `text()` and its like fail with the error of the body. Chromium shows each failure of a stream that a script
 * made as the same TypeError, even an abort, where a response from the network has the reason.
 */
export function withBodyError(response: Response, failure: () => { error: unknown } | undefined): Response {
  for (const name of READERS) {
    // `bytes` is younger than the others.
    const read = (response[name] as (() => Promise<unknown>) | undefined)?.bind(response);
    if (read === undefined) continue;
    const value = () =>
      read().catch((error: unknown) => {
        throw failure()?.error ?? error;
      });
    Object.defineProperty(response, name, { value, configurable: true, writable: true });
  }
  const clone = response.clone.bind(response);
  const value = () => withBodyError(clone(), failure);
  return Object.defineProperty(response, 'clone', { value, configurable: true, writable: true });
}

/** The header fields that a script may see. */
export function responseHeaders(head: ResponseHead, browser: boolean): Headers {
  const headers = new Headers();
  for (const [name, value] of head.headers) {
    if (browser && (name === 'set-cookie' || name === 'set-cookie2')) continue;
    headers.append(name, value);
  }
  // The agent has decoded the body; a field that says otherwise is left over, and so is the length.
  if (headers.has('content-encoding')) {
    headers.delete('content-encoding');
    headers.delete('content-length');
  }
  return headers;
}

interface Origin {
  /** Where the response came from, after redirects. */
  url: URL;
  redirected: boolean;
  type?: ResponseType;
}

/** Gives `response` what its constructor cannot: URL, redirected, type; clones get them too. */
export function withOrigin(response: Response, origin: Origin): Response {
  const url = new URL(origin.url);
  url.hash = '';
  const clone = response.clone.bind(response);
  Object.defineProperties(response, {
    url: { value: url.href, configurable: true },
    redirected: { value: origin.redirected, configurable: true },
    type: { value: origin.type ?? 'basic', configurable: true },
    clone: { value: () => withOrigin(clone(), origin), configurable: true, writable: true },
  });
  return response;
}

/** What `redirect: 'manual'` gives in browsers: nothing but the fact (Fetch, section 2.2.6). */
export function opaqueRedirect(url: URL): Response {
  return withOrigin(Response.error(), { url, redirected: false, type: 'opaqueredirect' });
}
