/** From a request to its caller. The only file that sees credentials. */
import { DirectError } from '../shared/errors.ts';
import { checkAccess, isOwnerByAccess } from './access-check.ts';
import type { Answer, Credential } from './account/callers.ts';
import { accountOf } from './account-stub.ts';
import { addressOf, type Caller, count, type EdgeContext } from './caller.ts';
import { checkOwnPage, checkWebUiPage } from './origin.ts';
import { unwrap } from './outcome.ts';
import { hashSecret, sameSecret } from './secret.ts';
import { sessionCookie, siteSessionCookie } from './session-cookie.ts';
import type { TurnConfiguration } from './turn/providers.ts';
import { mayBeForWebUi, type WebUiRequest } from './web-ui-request.ts';

// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1).
const BEARER = /^Bearer +([\x21-\x7e]{1,512})$/i;

/** How bearers of ours begin; all others are the edge's own secrets. */
const API_KEY = 'dak_';
const HOST_CREDENTIAL = 'dah_';
const OURS = new RegExp(`^Bearer +(?:${API_KEY}|${HOST_CREDENTIAL})`, 'i');
/** Of what a person has typed when a web UI asked for it; browsers then send it to all addresses of the origin. */
const TYPED = /^(?:Basic|Digest) /i;

/** Credentials that browsers send by themselves. */
const BROWSERS: readonly Credential['kind'][] = ['cookie', 'site', 'access'];

interface Options {
  /** The host that the request is for, null for whichever is the caller's; absent if it is for none. */
  host?: string | null;
  /** False where a cookie is no credential, so that nobody has to ask the account about it. */
  cookie?: boolean;
  /** Asks for the caller's TURN credential along with it. */
  turn?: readonly TurnConfiguration[];
  /** The request may be for a web UI: browsers may navigate there, and `Authorization` may be the UI's own. */
  webUi?: WebUiRequest;
  /** The request is for the web UI of a site (web-ui-sites.ts), where nothing else is. */
  atSite?: boolean;
}

export interface Identified extends Answer {
  /** A browser brought the credential by itself. `Authorization`, if there is one, is not for the edge. */
  byBrowser: boolean;
}

/**
 * The caller, and the host if the request is for one. Asks the AccountObject once, and not at all for nobody and for
 * AGENT_TOKEN.
 * @throws DirectError `E_UNAUTHORIZED` for a bearer that names nobody; `E_ORIGIN` for a cookie that another site's page
 *   made a browser send; `E_RATE_LIMITED` after too many wrong ones.
 */
export async function identify(
  c: EdgeContext,
  { host, cookie = true, turn = [], webUi, atSite = false }: Options = {},
): Promise<Identified> {
  const relaxed = webUi !== undefined && mayBeForWebUi(webUi, true);
  const credential = await credentialOf(c, cookie, relaxed || atSite);
  const byBrowser = typeof credential === 'object' && BROWSERS.includes(credential.kind);
  if (credential === 'none') return { caller: { kind: 'anonymous' }, host: host ?? '', byBrowser };
  if (credential === 'agent') return { caller: { kind: 'agent', host: null }, host: host ?? '', byBrowser };
  // Before the account is asked: a flood of wrong tokens must not cost it a request each.
  const isWrong = credential.kind === 'owner' && !credential.right;
  if (isWrong) await count(c);
  const question = {
    credential,
    address: addressOf(c),
    ...(host === undefined ? {} : { host }),
    ...(turn.length === 0 ? {} : { turn }),
    ...(webUi !== undefined && mayBeForWebUi(webUi, byBrowser) ? { webUi } : {}),
  };
  const outcome = await accountOf(c).identify(question);
  if (!outcome.ok && !isWrong) await count(c);
  const answer = unwrap(outcome);
  if (byBrowser && relaxed && answer.service === undefined) checkNoWebUi(c);
  const { kind } = answer.caller;
  if (kind === 'owner' || kind === 'guest') await checkAccess(c);
  return { ...answer, byBrowser };
}

/** @throws DirectError `E_UNAUTHORIZED` for nobody, `E_FORBIDDEN` for somebody; `E_RATE_LIMITED` after too many. */
export async function refuse(c: EdgeContext, caller: Caller, detail: string): Promise<never> {
  await count(c);
  throw new DirectError(caller.kind === 'anonymous' ? 'E_UNAUTHORIZED' : 'E_FORBIDDEN', detail);
}

async function credentialOf(
  c: EdgeContext,
  takesCookie: boolean,
  relaxed: boolean,
): Promise<Credential | 'agent' | 'none'> {
  const authorization = c.req.header('Authorization');
  const site = c.get('site');
  // What is in the field at a site is for its web UI: programs and agents come to the edge itself.
  const isTheEdges = !mayBeByBrowser(c) || !(relaxed || TYPED.test(authorization ?? ''));
  if (authorization !== undefined && site === undefined && isTheEdges) return bearer(c, authorization);
  const checkPage = relaxed ? checkWebUiPage : checkOwnPage;
  if (takesCookie && (await isOwnerByAccess(c))) {
    // Access has its cookie, too.
    checkPage(c);
    return { kind: 'access' };
  }
  if (!takesCookie) return 'none';
  const cookie = site === undefined ? sessionCookie(c) : siteSessionCookie(c);
  if (cookie === undefined) return 'none';
  checkPage(c);
  const hash = await hashSecret(cookie);
  return site === undefined ? { kind: 'cookie', hash } : { kind: 'site', hash, site: site.name };
}

/**
 * Whether the request's credential may be one that the browser sent by itself: there is no `Authorization`, or a person
 * or a page of this origin put one there for a web UI. That it is a browser, fields say that no page can set.
 */
export function mayBeByBrowser(c: EdgeContext): boolean {
  const authorization = c.req.header('Authorization');
  if (authorization === undefined) return true;
  const site = c.req.header('Sec-Fetch-Site');
  // Not all browsers say the site of WebSockets.
  if (TYPED.test(authorization)) return site !== undefined || c.req.header('Origin') !== undefined;
  return site === 'same-origin' && !OURS.test(authorization);
}

/**
 * What a web UI's request may bring, and no other: a navigation, and an `Authorization` of the UI's own. The latter is
 * not even compared with the owner's token: each wrong one counts as a guess, and a UI would lock its visitor out; nor
 * would a guest of the UI be told when it is right.
 */
function checkNoWebUi(c: EdgeContext): void {
  if (c.req.header('Authorization') !== undefined) {
    throw new DirectError('E_UNAUTHORIZED', 'the Authorization field holds no API key, and no web UI is switched on');
  }
  checkOwnPage(c);
}

async function bearer(c: EdgeContext, authorization: string): Promise<Credential | 'agent'> {
  const token = BEARER.exec(authorization.trim())?.[1];
  if (token === undefined) {
    await count(c);
    throw new DirectError('E_UNAUTHORIZED', 'the Authorization field is not “Bearer <token>”');
  }
  if (token.startsWith(API_KEY)) return { kind: 'key', hash: await hashSecret(token) };
  if (token.startsWith(HOST_CREDENTIAL)) return { kind: 'host', hash: await hashSecret(token) };
  const { ownerToken, agentToken } = c.get('settings');
  // Both, whatever the first one says, so that the time does not tell which of them was nearly right.
  const [right, agent] = await Promise.all([sameSecret(token, ownerToken), sameSecret(token, agentToken ?? '')]);
  return agent ? 'agent' : { kind: 'owner', right };
}
