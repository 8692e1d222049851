/** Fields of requests that go through the tunnel, between client and edge (PROTOCOL.md, section 7). */

/** Names the host that a request is for. */
export const DIRECT_HOST = 'direct-host';
/** Names what of the host is asked (`RequestHead.service`): of clients, and between the Worker and the object. */
export const DIRECT_SERVICE = 'direct-service';
/**
 * `Authorization` for the upstream, since that field holds the tunnel's key here. Not the other way round: when the
 * upstream redirects to another origin, browsers take `Authorization` off and no other field, and the tunnel's key
 * must not go there.
 */
export const UPSTREAM_AUTHORIZATION = 'upstream-authorization';
