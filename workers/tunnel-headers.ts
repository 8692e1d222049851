/** What the tunnel changes in header fields. The agent takes off what a proxy must (agent/headers.ts); this is ours. */
import type { HeaderList } from '../shared/head.ts';

/** Names the host that a request is for. */
export const DIRECT_HOST = 'direct-host';
/**
 * `Authorization` for the upstream, since that field holds the tunnel's key here. Not the other way round: when the
 * upstream redirects to another origin, browsers take `Authorization` off and no other field, and the tunnel's key
 * must not go there.
 */
const UPSTREAM_AUTHORIZATION = 'upstream-authorization';

/**
 * Fields that are for the edge: the tunnel's key, which the upstream must not see, and what Cloudflare adds about the
 * caller. Those of one connection end here (RFC 9110, section 7.6.1). `Cookie` stays, since `Set-Cookie` of the
 * upstream comes back with it; none of ours exist. Of a WebSocket's handshake only the subprotocols are the client's.
 */
const FOR_THE_EDGE =
  /^(?:authorization|direct-host|host|connection|keep-alive|proxy-.+|te|trailer|transfer-encoding|upgrade|expect|accept-encoding|via|forwarded|x-forwarded-.+|x-real-ip|true-client-ip|cdn-loop|cf-.+|sec-websocket-(?!protocol$).+)$/;

/** The fields for the host, names in lower case as `Headers` has them. The Worker's DIRECT_GRANT is among them. */
export function requestFields(headers: Headers): HeaderList {
  return [...headers]
    .filter(([name]) => !FOR_THE_EDGE.test(name))
    .map(([name, value]) => [name === UPSTREAM_AUTHORIZATION ? 'authorization' : name, value]);
}

/** Of one connection, or about who may read the response, which is the edge's to say. */
const OF_THE_UPSTREAM =
  /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|access-control-.+|sec-websocket-(?!protocol$).+)$/;

/** The fields for the client; repeated ones stay apart. */
export function responseFields(list: HeaderList): Headers {
  const headers = new Headers();
  for (const [name, value] of list) if (!OF_THE_UPSTREAM.test(name)) headers.append(name, value);
  return headers;
}

/**
 * Whether a WebSocket is asked for. The runtime has seen to it that the method is GET (RFC 6455, section 4.1). An upgrade
 * to anything else is ignored, as it may be.
 */
export function wantsSocket({ headers }: Request): boolean {
  return headers.get('upgrade')?.toLowerCase() === 'websocket';
}
