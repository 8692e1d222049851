/** Redirects as the Fetch standard has them (section 4.4, HTTP-redirect fetch). */

/** Fetch's own limit. */
const MAX_REDIRECTS = 20;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);
/** Describe a body that a changed method does not send any more. */
const BODY_HEADERS = ['content-encoding', 'content-language', 'content-location', 'content-type', 'content-length'];

export function isRedirect(status: number): boolean {
  return REDIRECT_STATUSES.has(status);
}

/** Where a request is on its way from redirect to redirect. */
export interface Hop {
  url: URL;
  method: string;
  headers: Headers;
  /** Redirects so far. */
  count: number;
}

/**
 * The request that a redirect to `location` asks for, and whether it keeps its body.
 * @throws TypeError when Fetch makes it a network error.
 */
export function nextHop(
  hop: Hop,
  status: number,
  location: string,
  body: { replayable: boolean } | undefined,
): Hop & { keepsBody: boolean } {
  if (!URL.canParse(location, hop.url)) throw new TypeError('fetch failed: a redirect to an invalid URL');
  const url = new URL(location, hop.url);
  if (url.hash === '') url.hash = hop.url.hash;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new TypeError(`fetch failed: a redirect to ${url.protocol}`);
  }
  if (hop.count >= MAX_REDIRECTS) throw new TypeError(`fetch failed: more than ${MAX_REDIRECTS} redirects`);
  if (status !== 303 && body !== undefined && !body.replayable) {
    throw new TypeError('fetch failed: a redirect would have to send a stream a second time');
  }
  const toGet =
    ((status === 301 || status === 302) && hop.method === 'POST') ||
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD');
  const headers = new Headers(hop.headers);
  if (toGet) for (const name of BODY_HEADERS) headers.delete(name);
  if (url.origin !== hop.url.origin) headers.delete('authorization');
  return { url, method: toGet ? 'GET' : hop.method, headers, count: hop.count + 1, keepsBody: !toGet };
}
