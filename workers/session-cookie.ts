/** The cookie of web sessions: of this origin alone, out of the reach of scripts and of other sites’ requests. */
import { getCookie, setCookie } from 'hono/cookie';
import { isId } from '../shared/signal.ts';
import type { SignedIn } from './account/web-sessions.ts';
import type { EdgeContext } from './caller.ts';

/** Browsers take a cookie with this prefix from nobody but the origin itself (RFC 6265bis, section 4.1.3.2). */
const NAME = '__Host-direct_agent';
/** The prefix needs https, which an edge on one's own machine has not. */
const INSECURE_NAME = 'direct_agent';

/** Of the host whose web UI this browser shows. A name and no secret, but the edge's to set. */
const HOST_CHOICE = 'direct_host';
/** A year: browsers keep none for more than 400 days. */
const HOST_CHOICE_LIFETIME_S = 365 * 24 * 60 * 60;

/**
 * All names, and those of Cloudflare Access, which admit to the edge as well. In lower case: some browsers, and servers
 * behind them, tell no cases apart.
 */
const OURS = [NAME.toLowerCase(), INSECURE_NAME, HOST_CHOICE, 'cf_authorization', 'cf_appsession'];

/** Whether a cookie of this name is, or could be taken for, one that is for the edge. */
export function isOurCookie(name: string): boolean {
  return OURS.includes(name.trim().toLowerCase());
}

const isSecure = (c: EdgeContext): boolean => new URL(c.req.url).protocol === 'https:';
const nameFor = (c: EdgeContext): string => (isSecure(c) ? NAME : INSECURE_NAME);

/** The cookie that the request shows, if its length is right: no other one needs a look-up. */
export function sessionCookie(c: EdgeContext): string | undefined {
  const value = getCookie(c, nameFor(c));
  return value?.length === 43 ? value : undefined;
}

export function setSessionCookie(c: EdgeContext, { cookie, expiresAt }: SignedIn): void {
  set(c, cookie, Math.max(0, Math.floor((expiresAt - Date.now()) / 1000)));
}

export function clearSessionCookie(c: EdgeContext): void {
  set(c, '', 0);
}

/** The host whose web UI the person has chosen, if it may be one. */
export function chosenHost(c: EdgeContext): string | null {
  const value = getCookie(c, HOST_CHOICE);
  return isId(value) ? value : null;
}

/** Null: whichever is the only one. */
export function chooseHost(c: EdgeContext, host: string | null): void {
  const maxAge = host === null ? 0 : HOST_CHOICE_LIFETIME_S;
  setCookie(c, HOST_CHOICE, host ?? '', { path: '/', httpOnly: true, secure: isSecure(c), sameSite: 'Strict', maxAge });
}

function set(c: EdgeContext, value: string, maxAge: number): void {
  setCookie(c, nameFor(c), value, { path: '/', httpOnly: true, secure: isSecure(c), sameSite: 'Strict', maxAge });
}
