/** Invitations: links for other people to chosen hosts; agents invite to their own host alone. */
import { Hono } from 'hono';
import type { InvitationScope } from '../../shared/account-api.ts';
import { checkAccess } from '../access-check.ts';
import { accountOf } from '../account-stub.ts';
import { addressOf, count, type EdgeEnv } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { revokeAt } from '../revoke.ts';
import { setSessionCookie } from '../session-cookie.ts';
import { byOf } from './by.ts';
import { expiryField, hostsField, malformed, nameField } from './fields.ts';
import { ownerOrHost, ownHost } from './guards.ts';
import { hostIds } from './hosts.ts';
import { jsonBody } from './json-body.ts';
import { nameOf } from './sign-in.ts';

export const invitations = new Hono<EdgeEnv>();

invitations.get('/invitations', ownerOrHost(), async (c) =>
  c.json({ invitations: await accountOf(c).invitations().list(ownHost(c)) }),
);

invitations.post('/invitations', ownerOrHost(), async (c) => {
  const own = ownHost(c);
  const asked = parseNewInvitation(await jsonBody(c), own === undefined ? await hostIds(c) : [own]);
  return c.json(unwrap(await accountOf(c).invitations().create(asked, byOf(c), own)), 201);
});

invitations.post('/invitations/accept', async (c) => {
  await checkAccess(c);
  await count(c);
  const { secret } = await jsonBody(c);
  if (typeof secret !== 'string') malformed('secret must be a text');
  const accepted = await accountOf(c).invitations().accept(secret, nameOf(c), addressOf(c));
  setSessionCookie(c, unwrap(accepted));
  return c.body(null, 204);
});

invitations.delete('/invitations/:id', ownerOrHost(), async (c) => {
  const id = c.req.param('id');
  const { hosts } = unwrap(await accountOf(c).invitations().revoke(id, byOf(c), ownHost(c)));
  await revokeAt(c.env, hosts, `invitation:${id}`);
  return c.body(null, 204);
});

/** @throws DirectError `E_BAD_REQUEST` that names the field. */
export function parseNewInvitation(body: Record<string, unknown>, known: readonly string[]): InvitationScope {
  return {
    name: nameField(body.name),
    hosts: hostsField(body.hosts, known),
    expires_at: expiryField(body.expires_at),
  };
}
