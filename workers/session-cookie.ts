/** The edge's cookies: of this origin alone, and out of the reach of scripts. */
import { getCookie, setCookie } from 'hono/cookie';
import { isId } from '../shared/signal.ts';
import type { SignedIn } from './account/web-sessions.ts';
import type { EdgeContext } from './caller.ts';

/** Of web sessions. Not sent with requests of other sites. */
const SESSION = 'direct_agent';
/** Of those that go on at the host name of a web UI: links from elsewhere lead there, too. */
const SITE_SESSION = 'direct_ui';
/** What a browser shows there to get its session: that it is the one that asked for it. */
const VERIFIER = 'direct_ui_verifier';
/** As long as a person may take to sign in, in seconds. */
const VERIFIER_LIFETIME_S = 60 * 60;
/** As long as the session may last that goes on there, which ends by itself. */
const SITE_SESSION_LIFETIME_S = 30 * 24 * 60 * 60;
/** Browsers take a cookie with this prefix from nobody but the origin itself (RFC 6265bis, section 4.1.3.2). */
const PREFIX = '__Host-';

/** Of the host whose web UI this browser shows. A name and no secret, but the edge's to set. */
const HOST_CHOICE = 'direct_host';
/** A year: browsers keep none for more than 400 days. */
const HOST_CHOICE_LIFETIME_S = 365 * 24 * 60 * 60;

/**
 * All names, and those of Cloudflare Access, which admit to the edge as well. In lower case: some browsers, and servers
 * behind them, tell no cases apart.
 */
const OURS = [
  ...[SESSION, SITE_SESSION, VERIFIER].flatMap((name) => [name, PREFIX.toLowerCase() + name]),
  HOST_CHOICE,
  'cf_authorization',
  'cf_appsession',
];

/** Whether a cookie of this name is, or could be taken for, one that is for the edge. */
export function isOurCookie(name: string): boolean {
  return OURS.includes(name.trim().toLowerCase());
}

const isSecure = (c: EdgeContext): boolean => new URL(c.req.url).protocol === 'https:';
/** The prefix needs https, which an edge on one's own machine has not. */
const nameFor = (c: EdgeContext, name: string): string => (isSecure(c) ? PREFIX + name : name);

/** The cookie that the request shows, if its length is right: no other one needs a look-up. */
export function sessionCookie(c: EdgeContext): string | undefined {
  return secretIn(c, SESSION);
}

/** Likewise, at the host name of a web UI. */
export function siteSessionCookie(c: EdgeContext): string | undefined {
  return secretIn(c, SITE_SESSION);
}

export function setSiteSessionCookie(c: EdgeContext, cookie: string): void {
  set(c, SITE_SESSION, cookie, SITE_SESSION_LIFETIME_S, 'Lax');
}

export function verifierCookie(c: EdgeContext): string | undefined {
  return secretIn(c, VERIFIER);
}

export function setVerifierCookie(c: EdgeContext, verifier: string): void {
  set(c, VERIFIER, verifier, VERIFIER_LIFETIME_S, 'Lax');
}

function secretIn(c: EdgeContext, name: string): string | undefined {
  const value = getCookie(c, nameFor(c, name));
  return value?.length === 43 ? value : undefined;
}

export function setSessionCookie(c: EdgeContext, { cookie, expiresAt }: SignedIn): void {
  set(c, SESSION, cookie, Math.max(0, Math.floor((expiresAt - Date.now()) / 1000)));
}

export function clearSessionCookie(c: EdgeContext): void {
  set(c, SESSION, '', 0);
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

function set(c: EdgeContext, name: string, value: string, maxAge: number, sameSite: 'Strict' | 'Lax' = 'Strict'): void {
  setCookie(c, nameFor(c, name), value, { path: '/', httpOnly: true, secure: isSecure(c), sameSite, maxAge });
}
