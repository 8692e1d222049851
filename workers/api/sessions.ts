/** Signed-in browsers, for the owner to see and to end. */
import { Hono } from 'hono';
import { accountOf } from '../account-stub.ts';
import type { EdgeContext, EdgeEnv } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { revokeAt } from '../revoke.ts';
import { clearSessionCookie } from '../session-cookie.ts';
import { byOf } from './by.ts';
import { owner, signedIn } from './guards.ts';

export const sessions = new Hono<EdgeEnv>();

sessions.get('/sessions', owner(), async (c) => {
  const current = currentOf(c);
  const list = await accountOf(c).sessions().list();
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
  const used = unwrap(await accountOf(c).sessions().end(id, action, byOf(c)));
  await revokeAt(c.env, used, `session:${id}`);
}
