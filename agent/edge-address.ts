/** Where an edge is, and the links to its pages. What a link carries after # never reaches the edge. */
import { CommandError, EXIT } from './command-error.ts';

const EXAMPLE = 'https://direct-agent.<your account>.workers.dev';

/** The parser of URLs has already brought 127.1, 0x7f000001 and the like into dotted form. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/**
 * The origin of an edge from what a person typed or pasted: `edge.example`, or the address of one of its pages.
 * @throws CommandError that never repeats what may be a secret: a password, a query, a fragment.
 */
export function parseEdge(typed: string): string {
  const text = typed.trim();
  const named = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  // Nobody has a certificate for localhost.
  const scheme = isLoopback(URL.parse(`http://${text}`)?.hostname ?? '') ? 'http' : 'https';
  const url = URL.parse(named ? text : `${scheme}://${text}`);
  const wrong = (what: string) => new CommandError(EXIT.usage, `The address of the edge ${what}.`);
  if (url === null || url.hostname === '' || !/^https?:$/.test(url.protocol)) {
    throw wrong(`is no web address. Write it as ${EXAMPLE}`);
  }
  if (url.username !== '' || url.password !== '') throw wrong(`holds a password. Write it as ${EXAMPLE}`);
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw wrong('is not HTTPS, so others could read what is sent. Use https://; http:// is for localhost only');
  }
  return url.origin;
}

/** What `Link` connects to. */
export function signalingUrl(edge: string, hostId: string): string {
  return `${edge}/_direct/h/${hostId}`;
}

/** The edge of a signaling URL, which may lie below a path. */
export function edgeOf(signalingUrl: string): string {
  return signalingUrl.replace(/\/_direct\/h\/[^/]*$/, '');
}

/** The page that opens the host and knows its key from here, not from the edge. At the root a host's web UI may be. */
export function hostLink(edge: string, hostId: string, hostKey: string): string {
  return `${edge}/_direct/chat#host=${hostId}&key=${hostKey}`;
}

/** As `hostLink`; the device that opens it is paired. Secret. */
export function pairLink(edge: string, hostId: string, hostKey: string, secret: string): string {
  return `${hostLink(edge, hostId, hostKey)}&pair=${secret}`;
}

/** Lets the browser in that opens it, and tells it the host's key. Secret. */
export function invitationLink(edge: string, hostId: string, hostKey: string, secret: string): string {
  return `${edge}/_direct/invite#invite=${secret}&keys=${hostId}:${hostKey}`;
}

/** Where the owner approves a login. */
export function approvePage(edge: string): string {
  return `${edge}/_direct/approve`;
}

/** As `approvePage`, with the code filled in, and the key that the page is to find in it. */
export function approveLink(edge: string, userCode: string, hostKey: string): string {
  return `${approvePage(edge)}#code=${userCode}&key=${hostKey}`;
}

/** Where the owner sees and removes hosts. */
export function dashboard(edge: string): string {
  return `${edge}/_direct/`;
}
