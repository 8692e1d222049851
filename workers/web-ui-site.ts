/**
 * The host name of a web UI: an origin of its own, so that the UI's scripts can do there what its visitor can at that one
 * host, and nothing at the edge. Who is not signed in there is sent to the edge, which sends back with a one-time code.
 */
import type { MiddlewareHandler } from 'hono';
import { DirectError } from '../shared/errors.ts';
import { isBelow, isOfEdge } from '../shared/web-ui.ts';
import { accountOf } from './account-stub.ts';
import { identify, refuse } from './auth.ts';
import { addressOf, count, type EdgeContext, type EdgeEnv, mayUse } from './caller.ts';
import { unwrap } from './outcome.ts';
import { hashSecret, newSecret } from './secret.ts';
import { setSiteSessionCookie, setVerifierCookie, verifierCookie } from './session-cookie.ts';
import { passOn } from './tunnel-routes.ts';
import { checkNoServiceWorker, webUiRequest } from './web-ui-request.ts';
import { siteAt, type WebUiSite } from './web-ui-sites.ts';

/** Where a browser comes back with its code. */
export const SITE_SESSION_PATH = '/_direct/ui/session';
/** Where it is sent for one, at the edge. */
export const ENTER_PATH = '/_direct/ui/enter';

/** Of the edge's own addresses there is only signaling for the site's host. Needs `settings`. */
export const atWebUiSites: MiddlewareHandler<EdgeEnv> = async (c, next) => {
  const url = new URL(c.req.url);
  const site = siteAt(c.get('settings').webUiSites, url);
  if (site === undefined) return next();
  c.set('site', site);
  const { pathname, search } = url;
  // By plain http, or with a dot at the end of the name, it is another origin with other cookies.
  if (url.origin !== site.origin) return c.redirect(site.origin + pathname + search, 308);
  const signaling = `/_direct/h/${site.host}`;
  if (isBelow(pathname, [signaling])) return next();
  if (pathname === SITE_SESSION_PATH && c.req.method === 'GET') return enter(c, site);
  if (isOfEdge(pathname)) throw new DirectError('E_NOT_FOUND');
  return webUi(c, site);
};

async function webUi(c: EdgeContext, site: WebUiSite): Promise<Response> {
  const { raw } = c.req;
  // One in the root folder would see the codes by which people come in, and could keep them for another browser.
  if (new URL(raw.url).pathname.lastIndexOf('/') === 0) checkNoServiceWorker(raw);
  const { named } = webUiRequest(c);
  if (named !== null && named !== site.host)
    throw new DirectError('E_NOT_FOUND', 'this is the address of another host');
  const identified = await identify(c, { host: site.host, atSite: true });
  const { caller } = identified;
  if (caller.kind === 'anonymous' && isNavigation(c)) return toSignIn(c, site);
  if (!mayUse(caller, site.host)) return refuse(c, caller, 'this web UI is for those who may use its host');
  return passOn(c, { ...identified, service: 'web_ui' });
}

/** A person goes to an address, and sees what comes. */
function isNavigation(c: EdgeContext): boolean {
  return (
    c.req.method === 'GET' &&
    c.req.header('Sec-Fetch-Mode') === 'navigate' &&
    c.req.header('Sec-Fetch-Dest') === 'document'
  );
}

/**
 * The browser keeps a secret here of which the edge learns the hash. So a code works in the browser that asked for it
 * alone: nobody can sign another one in as himself, and see what is written there (RFC 9700, section 4.7).
 */
async function toSignIn(c: EdgeContext, site: WebUiSite): Promise<Response> {
  const { webUiSites } = c.get('settings');
  // Another tab may be on its way with it.
  const verifier = verifierCookie(c) ?? newSecret();
  setVerifierCookie(c, verifier);
  c.header('Cache-Control', 'no-store');
  const { pathname, search } = new URL(c.req.url);
  const query = new URLSearchParams({ to: site.origin + pathname + search, challenge: await hashSecret(verifier) });
  return c.redirect(`${webUiSites.edgeOrigin}${ENTER_PATH}?${query}`);
}

async function enter(c: EdgeContext, site: WebUiSite): Promise<Response> {
  await count(c);
  const [code = '', verifier = ''] = [c.req.query('code'), verifierCookie(c)];
  const shown = { code, site: site.name, verifier, address: addressOf(c) };
  const { cookie, path } = unwrap(await accountOf(c).siteSessions().enter(shown));
  setSiteSessionCookie(c, cookie);
  // With the origin, whatever the path begins with.
  return c.redirect(site.origin + path, 303);
}
