/** Sign-in with the owner's token, and who one is. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import { checkAccess } from '../access-check.ts';
import type { Host } from '../account/hosts.ts';
import { accountOf } from '../account-stub.ts';
import { addressOf, count, type EdgeContext, type EdgeEnv } from '../caller.ts';
import type { Presence } from '../host-presence.ts';
import { unwrap } from '../outcome.ts';
import { sameSecret } from '../secret.ts';
import { clearSessionCookie, sessionCookie, setSessionCookie } from '../session-cookie.ts';
import { browserName } from './browser-name.ts';
import { anybody } from './guards.ts';
import { usableHosts } from './hosts.ts';
import { jsonBody } from './json-body.ts';

type MyHost = Pick<Host, 'id' | 'name' | 'host_key' | 'web_ui'> & Presence;

export const signIn = new Hono<EdgeEnv>();

signIn.post('/sign-in', async (c) => {
  await count(c);
  await checkAccess(c);
  const { token } = await jsonBody(c);
  if (typeof token !== 'string') throw new DirectError('E_BAD_REQUEST', 'token must be a text');
  const right = await sameSecret(token.trim(), c.get('settings').ownerToken);
  const asked = { right, name: nameOf(c), address: addressOf(c) };
  const session = unwrap(await accountOf(c).sessions().signIn(asked));
  setSessionCookie(c, session);
  return c.body(null, 204);
});

signIn.get('/me', anybody(), async (c) => {
  const caller = c.get('caller');
  if (caller.kind === 'anonymous') await count(c);
  // The cookie is over: the browser need not send it any longer.
  if (caller.kind === 'anonymous' && sessionCookie(c) !== undefined) clearSessionCookie(c);
  const kind = caller.kind === 'owner' || caller.kind === 'guest' ? caller.kind : 'anonymous';
  const session = 'session' in caller ? caller.session : undefined;
  const [passkeys, hosts] = await Promise.all([
    accountOf(c).passkeys().any(),
    kind === 'anonymous' ? [] : usableHosts(c, caller).then((usable) => withPresence(c, usable)),
  ]);
  const access = c.get('settings').access !== undefined;
  return c.json({ kind, ...(session === undefined ? {} : { session }), passkeys, access, hosts });
});

function withPresence(c: EdgeContext, hosts: readonly Host[]): Promise<MyHost[]> {
  return Promise.all(
    hosts.map(async ({ id, name, host_key, web_ui }) => ({
      id,
      name,
      host_key,
      web_ui,
      ...(await c.env.HOSTS.getByName(id).presence()),
    })),
  );
}

/** What the list of sessions calls this browser. */
export const nameOf = (c: EdgeContext): string => browserName(c.req.header('User-Agent') ?? '');
