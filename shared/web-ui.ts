/** What those have in common who carry the requests of a host's web UI (PROTOCOL.md, section 6). The fields go no further. */

/** Of responses: tells whoever puts the client into a page which paths are not for it. */
export const DIRECT_WEB_UI = 'direct-web-ui';
/** Of requests, `omit`: as the page has asked, none of the cookies goes along, and none of the response is kept. */
export const DIRECT_CREDENTIALS = 'direct-credentials';

/** Whether `path` is one of `prefixes` or below it, by whole segments: `/static` has `/static/a`, and not `/statics`. */
export function isBelow(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`));
}

/** Whether an address is the edge's own: all others are the hosts'. */
export function isOfEdge(path: string): boolean {
  return isBelow(path, ['/_direct']);
}
