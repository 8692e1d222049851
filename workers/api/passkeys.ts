/** Passkeys: registered and removed by the owner, and what the owner signs in with. */
import { Hono } from 'hono';
import { checkAccess } from '../access-check.ts';
import type { Site } from '../account/passkeys.ts';
import { accountOf } from '../account-stub.ts';
import { addressOf, count, type EdgeContext, type EdgeEnv } from '../caller.ts';
import { clientKey } from '../coarse-limit.ts';
import { unwrap } from '../outcome.ts';
import { setSessionCookie } from '../session-cookie.ts';
import { byOf } from './by.ts';
import { nameField } from './fields.ts';
import { owner } from './guards.ts';
import { jsonBody } from './json-body.ts';
import { nameOf } from './sign-in.ts';

export const passkeys = new Hono<EdgeEnv>();

passkeys.get('/passkeys', owner(), async (c) => c.json({ passkeys: await accountOf(c).passkeys().list() }));

passkeys.post('/passkeys/options', owner(), async (c) =>
  c.json(await accountOf(c).passkeys().registrationOptions(siteOf(c))),
);

passkeys.post('/passkeys', owner(), async (c) => {
  const { name, response } = await jsonBody(c);
  const part = accountOf(c).passkeys();
  return c.json(unwrap(await part.register(nameField(name), response, siteOf(c), byOf(c))), 201);
});

passkeys.delete('/passkeys/:id', owner(), async (c) => {
  unwrap(await accountOf(c).passkeys().remove(c.req.param('id'), byOf(c)));
  return c.body(null, 204);
});

passkeys.post('/sign-in/passkey/options', async (c) => {
  await checkAccess(c);
  await count(c);
  const client = clientKey(addressOf(c) ?? undefined);
  return c.json(unwrap(await accountOf(c).passkeys().signInOptions(siteOf(c), client)));
});

passkeys.post('/sign-in/passkey', async (c) => {
  await checkAccess(c);
  await count(c);
  const { response } = await jsonBody(c);
  const part = accountOf(c).passkeys();
  setSessionCookie(c, unwrap(await part.signIn(response, siteOf(c), nameOf(c), addressOf(c))));
  return c.body(null, 204);
});

/** The edge as the browser sees it: whichever of its host names the page is on. */
function siteOf(c: EdgeContext): Site {
  const { origin, hostname } = new URL(c.req.url);
  return { origin, rpID: hostname };
}
