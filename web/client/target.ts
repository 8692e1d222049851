/** Which requests may go to the host: those for its own origin, and no others. */

import { isOfEdge } from '../../shared/web-ui.ts';

/**
 * True when `url` belongs to the host behind `origin`. Not `URL.origin`: a `blob:` URL has the origin of its page,
 * and is nothing that a host could serve.
 */
export function belongsToHost(url: URL, origin: string): boolean {
  const web = url.protocol === 'https:' || url.protocol === 'http:';
  return web && url.origin === origin && !isOfEdge(url.pathname);
}

/** Also of another window: `instanceof` knows only this one's. */
export function isRequest(input: unknown): input is Request {
  return input instanceof Request || Object.prototype.toString.call(input) === '[object Request]';
}
