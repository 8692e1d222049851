/** What a WebSocket's constructor is given, checked (WHATWG WebSockets, section 3.1, “new WebSocket(url, protocols)”). */

// RFC 6455, section 4.1: characters U+0021 to U+007E without the separators of RFC 2616.
const SUBPROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The address, with a scheme of WebSockets. @throws DOMException `SyntaxError` */
export function socketUrl(given: string, base: string | undefined): URL {
  const url = URL.parse(given, base);
  if (url === null) throw new DOMException(`the URL “${given}” is invalid`, 'SyntaxError');
  // Such a change is one that URL allows: all four are special schemes.
  url.protocol = url.protocol.replace(/^http/, 'ws');
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new DOMException(`the URL’s scheme must be ws, wss, http or https, and not “${url.protocol}”`, 'SyntaxError');
  }
  if (url.href.includes('#')) throw new DOMException('the URL must have no fragment', 'SyntaxError');
  return url;
}

/** The same address as requests have it. */
export function httpUrl(url: URL): URL {
  return new URL(url.href.replace(/^ws/, 'http'));
}

/** @throws DOMException `SyntaxError` for one that is malformed or comes twice. */
export function socketProtocols(given: string | Iterable<string>): string[] {
  const list = typeof given === 'string' ? [given] : Array.from(given, String);
  for (const [i, name] of list.entries()) {
    if (!SUBPROTOCOL.test(name)) throw new DOMException(`the subprotocol “${name}” is invalid`, 'SyntaxError');
    if (list.indexOf(name) < i) throw new DOMException(`the subprotocol “${name}” comes twice`, 'SyntaxError');
  }
  return list;
}
