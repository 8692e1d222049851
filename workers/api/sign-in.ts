/** Sign-in with the owner's token, and who one is. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import { ACCOUNT } from '../account-object.ts';
import { addressOf, type EdgeContext, type EdgeEnv } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { sameSecret } from '../secret.ts';
import { clearSessionCookie, sessionCookie, setSessionCookie } from '../session-cookie.ts';
import { browserName } from './browser-name.ts';
import { anybody } from './guards.ts';
import { jsonBody } from './json-body.ts';

export const signIn = new Hono<EdgeEnv>();

signIn.post('/sign-in', async (c) => {
  const { token } = await jsonBody(c);
  if (typeof token !== 'string') throw new DirectError('E_BAD_REQUEST', 'token must be a text');
  const right = await sameSecret(token.trim(), c.get('settings').ownerToken);
  const asked = { right, name: nameOf(c), address: addressOf(c) };
  const session = unwrap(await c.env.ACCOUNTS.getByName(ACCOUNT).sessions().signIn(asked));
  setSessionCookie(c, session);
  return c.body(null, 204);
});

signIn.get('/me', anybody(), async (c) => {
  const caller = c.get('caller');
  // The cookie is over: the browser need not send it any longer.
  if (caller.kind === 'anonymous' && sessionCookie(c) !== undefined) clearSessionCookie(c);
  const kind = caller.kind === 'owner' || caller.kind === 'guest' ? caller.kind : 'anonymous';
  const session = 'session' in caller ? caller.session : undefined;
  return c.json({ kind, ...(session === undefined ? {} : { session }), passkeys: false, access: false, hosts: [] });
});

/** What the list of sessions calls this browser. */
export const nameOf = (c: EdgeContext): string => browserName(c.req.header('User-Agent') ?? '');
