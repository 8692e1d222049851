/** Signed-in browsers, for the owner to see and to end. */
import { Hono } from 'hono';
import { ACCOUNT } from '../account-object.ts';
import { addressOf, type EdgeContext, type EdgeEnv, grantOf } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { revokeAt } from '../revoke.ts';
import { clearSessionCookie } from '../session-cookie.ts';
import { owner, signedIn } from './guards.ts';

export const sessions = new Hono<EdgeEnv>();

sessions.get('/sessions', owner(), async (c) => {
  const current = currentOf(c);
  const list = await c.env.ACCOUNTS.getByName(ACCOUNT).sessions().list();
  return c.json({ sessions: list.map((session) => ({ ...session, current: session.id === current })) });
});

sessions.delete('/sessions/:id', owner(), async (c) => {
  const id = c.req.param('id');
  await end(c, id, 'session.revoke');
  if (id === currentOf(c)) clearSessionCookie(c);
  return c.body(null, 204);
});

sessions.post('/sign-out', signedIn(), async (c) => {
  await end(c, currentOf(c) ?? '', 'sign-out');
  clearSessionCookie(c);
  return c.body(null, 204);
});

function currentOf(c: EdgeContext): string | undefined {
  const caller = c.get('caller');
  return 'session' in caller ? caller.session : undefined;
}

/** Ends the session, and at its hosts what it has begun there. @throws DirectError `E_NOT_FOUND` */
async function end(c: EdgeContext, id: string, action: 'sign-out' | 'session.revoke'): Promise<void> {
  const by = { actor: grantOf(c.get('caller')).subject, address: addressOf(c) };
  const used = unwrap(await c.env.ACCOUNTS.getByName(ACCOUNT).sessions().end(id, action, by));
  await revokeAt(c.env, used, `session:${id}`);
}
