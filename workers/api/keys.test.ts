import { runInDurableObject } from 'cloudflare:test';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ApiKey } from '../../shared/account-api.ts';
import { hashSecret } from '../secret.ts';
import { API, asOwner, audited, loggedIn, notingHosts, setAccountClock } from '../test-account.ts';
import { accountStub, base, call, codeOf, inAccount } from '../test-edge.ts';

const HOUR_MS = 3_600_000;

let home: Awaited<ReturnType<typeof loggedIn>>;
let lab: Awaited<ReturnType<typeof loggedIn>>;
beforeAll(async () => {
  home = await loggedIn('My home');
  lab = await loggedIn('Lab');
});
beforeEach(() => setAccountClock(0));

type Made = ApiKey & { key: string };
const tryToMake = (body: object, token?: string) =>
  asOwner('/keys', { method: 'POST', body: { name: 'a key', ...body }, ...(token === undefined ? {} : { token }) });
async function make(body: object = {}, token?: string): Promise<Made> {
  const response = await tryToMake(body, token);
  if (response.status !== 201) throw new Error(await response.text());
  return response.json<Made>();
}
const list = async (token?: string) =>
  (await (await asOwner('/keys', token === undefined ? {} : { token })).json<{ keys: ApiKey[] }>()).keys;
const found = async (id: string) => (await list()).find((key) => key.id === id);
/** What presents the key learns of a host. */
const use = async (key: string, host = home.host_id) => {
  const response = await call(base(host), { token: key });
  return response.status === 200 ? 'admitted' : codeOf(response);
};

it('is told once, and listed by its end', async () => {
  const made = await make({ name: ' Editor ' });
  expect(made).toEqual({
    id: expect.stringMatching(/^[\w-]{24}$/),
    name: 'Editor',
    key: expect.stringMatching(/^dak_[\w-]{43}$/),
    hint: made.key.slice(-4),
    hosts: null,
    prefixes: null,
    models: null,
    expires_at: null,
    requests_per_minute: null,
    created_at: expect.any(Number),
    last_used_at: null,
  });
  const { key: _key, ...rest } = made;
  expect(await found(made.id)).toEqual(rest);
  const rows = await runInDurableObject(accountStub(), (_object, { storage }) =>
    JSON.stringify(storage.sql.exec('SELECT * FROM api_keys').toArray()),
  );
  expect(rows).not.toContain(made.key.slice(4));
  expect(await audited(1)).toEqual([{ action: 'key.create', detail: 'Editor' }]);
});

it('admits to its hosts and no others', async () => {
  const all = await make();
  const one = await make({ hosts: [home.host_id] });
  expect([await use(all.key), await use(all.key, lab.host_id)]).toEqual(['admitted', 'admitted']);
  expect([await use(one.key), await use(one.key, lab.host_id)]).toEqual(['admitted', 'E_FORBIDDEN']);
});

it('is good for nothing of the owner’s', async () => {
  const { key } = await make();
  for (const path of ['/keys', '/hosts', '/invitations', '/passkeys', '/sessions', '/audit']) {
    expect([path, await codeOf(await asOwner(path, { token: key }))]).toEqual([path, 'E_FORBIDDEN']);
  }
});

it('tells the grant of its scopes', async () => {
  const scopes = { prefixes: ['/v1'], models: ['llama3.2'], requests_per_minute: 30, hosts: [home.host_id] };
  const { id, key } = await make(scopes);
  expect(
    await accountStub()
      .keys()
      .authenticateKey(await hashSecret(key)),
  ).toEqual({
    ok: true,
    value: { id, hosts: [home.host_id], prefixes: ['/v1'], models: ['llama3.2'], requestsPerMinute: 30 },
  });
});

it('expires', async () => {
  const { id, key } = await make({ expires_at: Date.now() + HOUR_MS });
  expect(await use(key)).toBe('admitted');
  await setAccountClock(HOUR_MS);
  expect(await use(key)).toBe('E_UNAUTHORIZED');
  expect(await found(id)).toBeDefined();
});

it('is revoked, and its hosts are told', async () => {
  const { revoked, env } = notingHosts();
  const { id, key } = await make({ name: 'Lost', hosts: [home.host_id, lab.host_id] });
  expect((await asOwner(`/keys/${id}`, { method: 'DELETE', env })).status).toBe(204);
  const subject = `key:${id}`;
  expect(revoked).toEqual([
    { host: home.host_id, subject },
    { host: lab.host_id, subject },
  ]);
  expect(await use(key)).toBe('E_UNAUTHORIZED');
  expect(await found(id)).toBeUndefined();
  expect((await asOwner(`/keys/${id}`, { method: 'DELETE' })).status).toBe(404);
  expect(await audited(1)).toEqual([{ action: 'key.revoke', detail: 'Lost' }]);
});

it('notes its last use once a minute', async () => {
  const { id, key } = await make();
  const usedAt = async () => (await found(id))?.last_used_at ?? 0;
  await use(key);
  const first = await usedAt();
  expect(first).toBeGreaterThan(Date.now() - 10_000);
  await setAccountClock(30_000);
  await use(key);
  expect(await usedAt()).toBe(first);
  await setAccountClock(61_000);
  await use(key);
  expect(await usedAt()).toBeGreaterThan(first + 59_000);
});

it('has its paths normalised as requests are, and nothing twice', async () => {
  const { prefixes, models, hosts } = await make({
    prefixes: ['/v1/ch%61t', '/v1/chat', '/api/'],
    models: ['a', 'a', 'b:latest'],
    hosts: [home.host_id, home.host_id],
  });
  expect(prefixes).toEqual(['/v1/chat', '/api/']);
  expect(models).toEqual(['a', 'b:latest']);
  expect(hosts).toEqual([home.host_id]);
});

it.each([
  { name: undefined },
  { name: ' ' },
  { name: 'x'.repeat(65) },
  { name: 'two\nlines' },
  { hosts: [] },
  { hosts: 'home' },
  { hosts: ['nowhere'] },
  { hosts: [7] },
  { prefixes: [] },
  { prefixes: ['v1'] },
  { prefixes: ['/v1/../api'] },
  { prefixes: ['/v1/%2e%2e/api'] },
  { prefixes: ['//v1'] },
  { prefixes: ['/v1?x=1'] },
  { prefixes: ['/a b'] },
  { prefixes: Array.from({ length: 33 }, (_, i) => `/${i}`) },
  { models: [] },
  { models: [''] },
  { models: ['x'.repeat(257)] },
  { expires_at: 0 },
  { expires_at: Date.now() - 1 },
  { expires_at: '2030-01-01' },
  { expires_at: 1e300 },
  { requests_per_minute: 0 },
  { requests_per_minute: 1.5 },
  { requests_per_minute: 100_001 },
  { requests_per_minute: '10' },
])('is not made with %j', async (body) => {
  const response = await tryToMake(body);
  expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
});

it('is not made with more scopes than an agent takes', async () => {
  const models = Array.from({ length: 32 }, (_, i) => `${i}`.padEnd(256, 'x'));
  expect((await tryToMake({ models })).status).toBe(201);
  expect(await codeOf(await tryToMake({ models, prefixes: ['/v1'] }))).toBe('E_BAD_REQUEST');
});

it.each(['', '[]', 'null', '7', '{', '"text"'])('is not made by the body %s', async (body) => {
  const response = await asOwner('/keys', { method: 'POST', body });
  expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
});

it('of all hosts is revoked where it was used, also at those that agents serve with AGENT_TOKEN', async () => {
  const { id, key } = await make();
  for (const host of [home.host_id, 'in-no-list', home.host_id]) await use(key, host);
  const { revoked, env } = notingHosts();
  expect((await asOwner(`/keys/${id}`, { method: 'DELETE', env })).status).toBe(204);
  const subject = `key:${id}`;
  expect(revoked).toEqual([home.host_id, 'in-no-list'].map((host) => ({ host, subject })));
});

it('of all hosts ends at those when it expires, too', async () => {
  const { id, key } = await make({ expires_at: Date.now() + HOUR_MS });
  await use(key, 'in-no-list');
  await setAccountClock(2 * HOUR_MS);
  const ending = await inAccount((account) =>
    account
      .keys()
      .expired(account.now())
      .find(({ subject }) => subject === `key:${id}`),
  );
  expect(ending?.hosts).toContain('in-no-list');
});

it('of all hosts reaches so many of them, and no more: each one is noted', async () => {
  const { key } = await make();
  for (let n = 0; n < 256; n++) await use(key, `made-up-${n}`);
  expect(await use(key, 'one-more')).toBe('E_FORBIDDEN');
  expect(await use(key, 'made-up-7')).toBe('admitted');
});

describe('an agent', () => {
  it('makes, sees and revokes keys for its own host', async () => {
    const made = await make({ name: 'By the agent', hosts: [home.host_id] }, home.access_token);
    expect(await use(made.key)).toBe('admitted');
    expect((await list(home.access_token)).map(({ id }) => id)).toContain(made.id);
    const gone = await call(`${API}/keys/${made.id}`, { method: 'DELETE', token: home.access_token, ...notingHosts() });
    expect(gone.status).toBe(204);
    expect(await use(made.key)).toBe('E_UNAUTHORIZED');
  });

  it('makes none for others, or for all', async () => {
    const own = home.access_token;
    expect(await codeOf(await tryToMake({ hosts: null }, own))).toBe('E_FORBIDDEN');
    expect(await codeOf(await tryToMake({}, own))).toBe('E_FORBIDDEN');
    expect(await codeOf(await tryToMake({ hosts: [lab.host_id] }, own))).toBe('E_BAD_REQUEST');
    expect(await codeOf(await tryToMake({ hosts: [home.host_id, lab.host_id] }, own))).toBe('E_BAD_REQUEST');
  });

  it('neither sees nor revokes those that reach others too', async () => {
    const keys = [
      await make(),
      await make({ hosts: [lab.host_id] }),
      await make({ hosts: [lab.host_id, home.host_id] }),
    ];
    const seen = (await list(home.access_token)).map(({ id }) => id);
    for (const { id, key } of keys) {
      expect(seen).not.toContain(id);
      const response = await call(`${API}/keys/${id}`, { method: 'DELETE', token: home.access_token });
      expect(await codeOf(response)).toBe('E_NOT_FOUND');
      expect(await use(key, lab.host_id)).toBe('admitted');
    }
  });
});
