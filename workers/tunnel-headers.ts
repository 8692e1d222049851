/** What the tunnel changes in header fields. The agent takes off what a proxy must (agent/headers.ts); this is ours. */
import type { HeaderList, Service } from '../shared/head.ts';
import { DIRECT_HOST, DIRECT_SERVICE, UPSTREAM_AUTHORIZATION } from '../shared/tunnel-fields.ts';
import { DIRECT_WEB_UI, isOfEdge } from '../shared/web-ui.ts';
import { isOurCookie } from './session-cookie.ts';

/** Between the Worker and the object only: the origin at which a web UI is seen. */
export const PUBLIC_ORIGIN = 'direct-origin';
/**
 * Fields that are for the edge: the tunnel's key, which the upstream must not see, and what Cloudflare adds about the
 * caller. Those of one connection end here (RFC 9110, section 7.6.1). `Cookie` stays, since `Set-Cookie` of the
 * upstream comes back with it, but not ours in it. Of a WebSocket's handshake only the subprotocols are the client's.
 */
const FOR_THE_EDGE =
  /^(?:authorization|direct-(?:host|service|origin|hold|resume)|host|connection|keep-alive|proxy-.+|te|trailer|transfer-encoding|upgrade|expect|accept-encoding|via|forwarded|x-forwarded-.+|x-real-ip|true-client-ip|cdn-loop|cf-.+|sec-websocket-(?!protocol$).+)$/;

/** What of the host the Worker says is asked. */
export function serviceOf(headers: Headers): Service | undefined {
  return headers.get(DIRECT_SERVICE) === 'web_ui' ? 'web_ui' : undefined;
}

/** The fields for the host, names in lower case as `Headers` has them. The Worker's DIRECT_GRANT is among them. */
export function requestFields(headers: Headers): HeaderList {
  const fields = [...headers]
    .filter(([name]) => !FOR_THE_EDGE.test(name))
    .map(([name, value]): [string, string] => {
      if (name === 'cookie') return [name, withoutOurs(value)];
      return [name === UPSTREAM_AUTHORIZATION ? 'authorization' : name, value];
    })
    .filter(([name, value]) => name !== 'cookie' || value !== '');
  const origin = serviceOf(headers) === undefined ? null : URL.parse(headers.get(PUBLIC_ORIGIN) ?? '');
  if (origin === null) return fields;
  return [...fields, ['x-forwarded-host', origin.host], ['x-forwarded-proto', origin.protocol.replace(':', '')]];
}

/** The web session's cookie admits to the whole account: it is nothing that a host may see. */
function withoutOurs(cookies: string): string {
  const others = cookies.split(';').filter((cookie) => !isOurCookie(cookie.split('=', 1)[0] ?? ''));
  return others.join(';').trim();
}

/**
 * Of one connection, or about who may read the response, which is the edge's to say. So are those that speak for the
 * whole origin, which is the edge's own: they would sign people out, forget their devices' keys, catch all requests of
 * our pages, or report them.
 */
const OF_THE_UPSTREAM =
  /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|access-control-.+|sec-websocket-(?!protocol$).+|clear-site-data|service-worker-allowed|strict-transport-security|alt-svc|nel|report-to|reporting-endpoints)$/;

/** A web UI has its own policies for its own documents; everything else has those of the edge. */
const OF_WEB_UIS = ['referrer-policy', DIRECT_WEB_UI];

/** The fields for the client of the request to `url`; repeated ones stay apart. */
export function responseFields(list: HeaderList, url: string, service?: Service): Headers {
  const headers = new Headers();
  for (const [name, value] of list) {
    if (OF_THE_UPSTREAM.test(name)) continue;
    if (service === undefined && OF_WEB_UIS.includes(name)) continue;
    if (name === 'set-cookie' && setsOurs(value)) continue;
    if (name === 'location' && leadsToUs(value, url)) continue;
    headers.append(name, value);
  }
  // One address is another thing with each host: what one lets browsers keep must not be taken for another's.
  headers.append('vary', `${DIRECT_HOST}, ${DIRECT_SERVICE}, authorization, cookie`);
  // The owner has switched it on, knowing what follows.
  if (service === 'web_ui') return headers;
  // What comes through the tunnel is on the edge's own origin: a document's scripts could do all that the owner can.
  // In a sandbox it runs none and has an origin of its own. To whatever is no document the field says nothing, so it
  // need not be known what browsers take for one. It adds to the upstream's own policy (CSP 3, section 3.1).
  headers.append('content-security-policy', 'sandbox');
  return headers;
}

/**
 * Whether a `Set-Cookie` would set or shadow ours. Without a name the text itself is sent back, so that `=name=value`
 * sets a cookie that looks like one with a name (RFC 6265bis, section 5.7).
 */
function setsOurs(setCookie: string): boolean {
  const [pair = ''] = setCookie.split(';', 1);
  return isOurCookie(pair.replace(/^[\s=]+/, '').split('=', 1)[0] ?? '');
}

/**
 * Whether a redirection leads to the edge's own addresses. With 307 or 308 the client repeats its method there, with its
 * credential: the host could have the owner's program delete another host. Of any origin, since ours is not known here.
 */
export function leadsToUs(location: string, url: string): boolean {
  const path = URL.parse(location, url)?.pathname ?? '';
  const decoded = path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return isOfEdge(decoded);
}

/**
 * Whether a WebSocket is asked for. The runtime has seen to it that the method is GET (RFC 6455, section 4.1). An upgrade
 * to anything else is ignored, as it may be.
 */
export function wantsSocket({ headers }: Request): boolean {
  return headers.get('upgrade')?.toLowerCase() === 'websocket';
}
