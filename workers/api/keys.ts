/** API keys: for the owner, and for agents, which may make keys for their own host alone. */
import { Hono } from 'hono';
import type { KeyScope } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { parseGrant } from '../../shared/grant.ts';
import { parseTarget } from '../../shared/target.ts';
import { accountOf } from '../account-stub.ts';
import type { EdgeEnv } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { revokeAt } from '../revoke.ts';
import { byOf } from './by.ts';
import { expiryField, hostsField, isAbsent, malformed, nameField, textsField } from './fields.ts';
import { ownerOrHost, ownHost } from './guards.ts';
import { hostIds } from './hosts.ts';
import { jsonBody } from './json-body.ts';

export const keys = new Hono<EdgeEnv>();

const MAX_RATE = 100_000;

keys.get('/keys', ownerOrHost(), async (c) => c.json({ keys: await accountOf(c).keys().list(ownHost(c)) }));

keys.post('/keys', ownerOrHost(), async (c) => {
  const own = ownHost(c);
  const asked = parseNewKey(await jsonBody(c), own === undefined ? await hostIds(c) : [own]);
  if (own !== undefined && asked.hosts === null) {
    throw new DirectError('E_FORBIDDEN', 'an agent makes keys for its own host alone');
  }
  return c.json(unwrap(await accountOf(c).keys().create(asked, byOf(c))), 201);
});

keys.delete('/keys/:id', ownerOrHost(), async (c) => {
  const id = c.req.param('id');
  const { hosts } = unwrap(await accountOf(c).keys().revoke(id, byOf(c), ownHost(c)));
  await revokeAt(c.env, hosts, `key:${id}`);
  return c.body(null, 204);
});

/** What a key is asked to be; null is no limit. @throws DirectError `E_BAD_REQUEST` that names the field. */
export function parseNewKey(body: Record<string, unknown>, known: readonly string[]): KeyScope {
  const { name, hosts, prefixes, models, expires_at, requests_per_minute: rate } = body;
  const scope: KeyScope = {
    name: nameField(name),
    hosts: isAbsent(hosts) ? null : hostsField(hosts, known),
    prefixes: isAbsent(prefixes) ? null : [...new Set(textsField(prefixes, 'prefixes').map(prefix))],
    models: isAbsent(models) ? null : textsField(models, 'models'),
    expires_at: expiryField(expires_at),
    requests_per_minute: isAbsent(rate) ? null : rateField(rate),
  };
  // As it goes to the agent with each request, which takes only so much: better now than at the first use.
  parseGrant({ subject: 'owner', prefixes: scope.prefixes ?? [], models: scope.models ?? [] });
  return scope;
}

/** As the agent compares it: the path that it would forward. */
function prefix(text: string): string {
  try {
    const { path, query } = parseTarget(text);
    if (query === '') return path;
  } catch {
    // Said below, with the field's name.
  }
  return malformed('prefixes must be absolute paths such as /v1, without “..”, “//”, spaces or a query');
}

function rateField(value: unknown): number {
  const valid = Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_RATE;
  return valid ? (value as number) : malformed(`requests_per_minute must be a whole number from 1 to ${MAX_RATE}`);
}
