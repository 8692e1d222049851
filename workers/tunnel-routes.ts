/** The tunnel's front door: every address that is neither ours nor the page's belongs to a host. */
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { DirectError } from '../shared/errors.ts';
import { DIRECT_GRANT, encodeGrant } from '../shared/grant.ts';
import { DIRECT_SERVICE, UPSTREAM_AUTHORIZATION } from '../shared/tunnel-fields.ts';
import { type Identified, identify, mayBeByBrowser, refuse } from './auth.ts';
import { type EdgeContext, type EdgeEnv, grantOf, mayUse } from './caller.ts';
import { withErrorPage } from './error-page.ts';
import { markEnd } from './marked-body.ts';
import { PUBLIC_ORIGIN } from './tunnel-headers.ts';
import { checkNoServiceWorker, mayBeForWebUi, webUiRequest } from './web-ui-request.ts';
import { webUiResponse } from './web-ui-response.ts';

/** Tells HostObject a tunnelled request from the Worker's own ones; clients have no say in it. */
export const TUNNEL_HOSTNAME = 'tunnel';

export const tunnel = new Hono<EdgeEnv>();

const forForeignPages = cors({ origin: '*', exposeHeaders: ['*'], maxAge: 7200 });

// Any origin, for pages that know a key and put it into a field. The cookie is good for our own pages only (origin.ts).
// What asks its own origin needs no permission, and its OPTIONS is for the host.
tunnel.use((c, next) => (c.req.header('Sec-Fetch-Site') === 'same-origin' ? next() : forForeignPages(c, next)));

tunnel.all('*', throughTunnel);

/** The web UI's document at `/`, which otherwise shows a page of ours: undefined where there is none for this browser. */
export async function rootOfWebUi(c: EdgeContext): Promise<Response | undefined> {
  checkNoServiceWorker(c.req.raw);
  const webUi = webUiRequest(c);
  if (webUi.explicit) return throughTunnel(c);
  if (!mayBeForWebUi(webUi, true) || !mayBeByBrowser(c)) return undefined;
  try {
    const identified = await identify(c, { host: null, webUi });
    return identified.service === undefined ? undefined : await passOn(c, identified);
  } catch (error) {
    // Whoever may not get in, or not in this way, sees the page: it is everybody's.
    if (error instanceof DirectError) return undefined;
    throw error;
  }
}

async function throughTunnel(c: EdgeContext): Promise<Response> {
  checkNoServiceWorker(c.req.raw);
  const webUi = webUiRequest(c);
  const host = webUi.named ?? c.get('settings').defaultHost ?? null;
  const identified = await identify(c, { host, webUi });
  // Hosts that are open for signaling are not open for this: a request here reaches the model.
  if (!mayUse(identified.caller, identified.host)) {
    return refuse(c, identified.caller, 'the tunnel needs a credential for this host');
  }
  // Its models would answer in its place.
  if (webUi.explicit && identified.service === undefined) {
    throw new DirectError('E_FORBIDDEN', 'the owner has not switched on the web UI of this host');
  }
  return passOn(c, identified);
}

/** Passes the request to the host's object, in the caller's name. */
export async function passOn(c: EdgeContext, { caller, host, service, byBrowser }: Identified): Promise<Response> {
  const { raw } = c.req;
  const { pathname, search, origin } = new URL(raw.url);
  const url = `https://${TUNNEL_HOSTNAME}${pathname}${search}`;
  const marked = raw.body !== null && !raw.headers.has('content-length');
  const request = marked ? new Request(url, new Request(raw, { body: markEnd(raw.body) })) : new Request(url, raw);
  const { headers } = request;
  // In place of what the client may have set; the agent believes it of this way only.
  headers.set(DIRECT_GRANT, encodeGrant(grantOf(caller, service !== undefined)));
  headers.delete(DIRECT_SERVICE);
  const sharesCookies = service !== undefined || !(byBrowser || raw.headers.has('sec-fetch-site'));
  if (!sharesCookies) headers.delete('cookie');
  if (service !== undefined) {
    headers.set(DIRECT_SERVICE, service);
    headers.set(PUBLIC_ORIGIN, origin);
    const theirs = byBrowser ? headers.get('authorization') : null;
    if (theirs !== null && !headers.has(UPSTREAM_AUTHORIZATION)) headers.set(UPSTREAM_AUTHORIZATION, theirs);
  }
  // Said again: the copy has a signal of its own, and the object must see when the client goes away. It is the client that follows
  // redirections, or not.
  const response = await c.env.HOSTS.getByName(host).fetch(request, { signal: raw.signal, redirect: 'manual' });
  if (service === undefined) return sharesCookies ? response : withoutCookies(response);
  // At a host name of its own there are no pages to go to.
  return withErrorPage(webUiResponse(response, { request: raw, host }), {
    request: raw,
    links: c.get('site') === undefined,
  });
}

/**
 * A browser keeps the cookies of all hosts together, as they are on one origin: a host would learn what another one's web
 * UI has set there, or set what that believes. Those whose web UI is switched on have to live with it; models need none.
 */
function withoutCookies(response: Response): Response {
  if (!response.headers.has('set-cookie')) return response;
  const { status, statusText, webSocket } = response;
  const headers = new Headers(response.headers);
  headers.delete('set-cookie');
  return new Response(response.body, { status, statusText, headers, webSocket });
}
