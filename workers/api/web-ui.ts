/** Which host's web UI a browser shows, and how it gets to one that has a host name of its own. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import { MAX_TARGET_BYTES } from '../../shared/limits.ts';
import { isOfEdge } from '../../shared/web-ui.ts';
import { accountOf } from '../account-stub.ts';
import { type EdgeEnv, mayUse } from '../caller.ts';
import { chooseHost } from '../session-cookie.ts';
import { SITE_SESSION_PATH } from '../web-ui-site.ts';
import type { WebUiSite, WebUiSites } from '../web-ui-sites.ts';
import { malformed } from './fields.ts';
import { ownerOrGuest, signedIn } from './guards.ts';
import { usableHosts } from './hosts.ts';
import { jsonBody } from './json-body.ts';

export const webUi = new Hono<EdgeEnv>();

webUi.post('/ui/host', ownerOrGuest(), async (c) => {
  const { host } = await jsonBody(c);
  if (host !== null && typeof host !== 'string')
    malformed('host must be a host id, or null for whichever is the only one');
  const usable = await usableHosts(c, c.get('caller'));
  if (host !== null && !usable.some(({ id, web_ui }) => id === host && web_ui)) {
    throw new DirectError('E_NOT_FOUND', 'there is no such host, or its web UI is not switched on');
  }
  chooseHost(c, host);
  return c.body(null, 204);
});

webUi.post('/ui/code', signedIn(), async (c) => {
  const { to, challenge } = await jsonBody(c);
  if (typeof challenge !== 'string' || !CHALLENGE.test(challenge)) malformed('challenge must be a hash in base64url');
  const { site, path } = destination(to, c.get('settings').webUiSites);
  const caller = c.get('caller');
  const session = 'session' in caller ? caller.session : undefined;
  if (session === undefined || !mayUse(caller, site.host)) {
    throw new DirectError('E_FORBIDDEN', 'the web UI at this address is another host’s');
  }
  const code = await accountOf(c).siteSessions().createCode({ site: site.name, session, challenge, path });
  return c.json({ location: `${site.origin}${SITE_SESSION_PATH}?${new URLSearchParams({ code })}` });
});

/** SHA-256. */
const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;

/** An address at one of the sites, of which nobody but the owner can make one. @throws DirectError `E_NOT_FOUND` */
function destination(to: unknown, { byName }: WebUiSites): { site: WebUiSite; path: string } {
  const url = typeof to === 'string' ? URL.parse(to) : null;
  const site = byName.get(url?.host ?? '');
  if (url === null || site === undefined || url.origin !== site.origin) {
    throw new DirectError('E_NOT_FOUND', 'no web UI has this address');
  }
  const path = url.pathname + url.search;
  // What is below is ours, and too long an address would come back as an error.
  const isTheirs = !isOfEdge(url.pathname) && path.length <= MAX_TARGET_BYTES;
  return { site, path: isTheirs ? path : '/' };
}
