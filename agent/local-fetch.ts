/**
 * A little of `fetch`, for looking at servers of this machine and its network: the real one loads 20 MB, which an agent
 * that nobody uses can do without.
 */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** The part of a Response that is used, so that tests can give real ones. */
export interface LocalResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** To be read, or left by `return`, which ends the connection. */
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface LocalRequest {
  /** Redirects are answers like others. */
  readonly redirect: 'manual';
  readonly signal: AbortSignal;
  readonly headers: Record<string, string>;
}

export type LocalFetch = (url: string, init: LocalRequest) => Promise<LocalResponse>;

/** GET. Rejects as `fetch` does: what went wrong is the `cause`. */
export const localFetch: LocalFetch = (url, { signal, headers }) =>
  new Promise((resolve, reject) => {
    const request = url.startsWith('https:') ? requestHttps : requestHttp;
    request(url, { signal, headers })
      .once('response', (response) => {
        resolve({
          status: response.statusCode ?? 0,
          headers: {
            get: (name) => {
              const value = response.headers[name.toLowerCase()];
              return value === undefined ? null : String(value);
            },
          },
          body: response,
        });
      })
      .on('error', (cause) => reject(new TypeError('fetch failed', { cause })))
      .end();
  });
