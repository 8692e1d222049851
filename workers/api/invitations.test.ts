import { runInDurableObject } from 'cloudflare:test';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent, Invitation } from '../../shared/account-api.ts';
import { API, asOwner, audited, loggedIn, newAddress, notingHosts, setAccountClock } from '../test-account.ts';
import { AGENT, accountStub, base, call, codeOf, inAccount, passTime, post, signedIn } from '../test-edge.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let home: Awaited<ReturnType<typeof loggedIn>>;
let lab: Awaited<ReturnType<typeof loggedIn>>;
beforeAll(async () => {
  home = await loggedIn('My home');
  lab = await loggedIn('Lab');
});
beforeEach(() => setAccountClock(0));

type Made = Invitation & { secret: string };
const tryToInvite = (body: object, token?: string) =>
  asOwner('/invitations', {
    method: 'POST',
    body: { name: 'Ada', hosts: [home.host_id], ...body },
    ...(token === undefined ? {} : { token }),
  });
async function invite(body: object = {}, token?: string): Promise<Made> {
  const response = await tryToInvite(body, token);
  if (response.status !== 201) throw new Error(await response.text());
  return response.json<Made>();
}
const accept = (secret: unknown, address = newAddress()) =>
  post(`${API}/invitations/accept`, { secret }, { headers: { 'CF-Connecting-IP': address } });
/** The header fields of a page of ours in a browser that has accepted. */
async function guest(secret: string): Promise<Record<string, string>> {
  const response = await accept(secret);
  if (response.status !== 204) throw new Error(await response.text());
  const cookie = response.headers.get('Set-Cookie')?.split(';')[0] ?? '';
  return { Cookie: cookie, 'Sec-Fetch-Site': 'same-origin' };
}
const found = async (id: string) => {
  const { invitations } = await (await asOwner('/invitations')).json<{ invitations: Invitation[] }>();
  return invitations.find((one) => one.id === id);
};
const kindOf = async (headers: Record<string, string>) =>
  (await (await call(`${API}/me`, { headers })).json<{ kind: string }>()).kind;
const use = async (headers: Record<string, string>, host: string) => {
  const response = await call(base(host), { headers });
  return response.status === 200 ? 'admitted' : codeOf(response);
};

it('is told once, and kept as a hash', async () => {
  const made = await invite({ name: ' Ada ' });
  expect(made).toEqual({
    id: expect.stringMatching(/^[\w-]{24}$/),
    name: 'Ada',
    secret: expect.stringMatching(/^dai_[\w-]{43}$/),
    hosts: [home.host_id],
    expires_at: null,
    created_at: expect.any(Number),
    uses: 0,
    last_used_at: null,
  });
  const { secret, ...rest } = made;
  expect(await found(made.id)).toEqual(rest);
  const rows = await runInDurableObject(accountStub(), (_object, { storage }) =>
    JSON.stringify(storage.sql.exec('SELECT * FROM invitations').toArray()),
  );
  expect(rows).not.toContain(secret.slice(4));
  expect(await audited(1)).toEqual([{ action: 'invitation.create', detail: `Ada: ${home.host_id}` }]);
});

it('signs a guest in, who sees and uses the chosen hosts alone', async () => {
  const { id, secret } = await invite();
  const headers = await guest(secret);
  const me = await (await call(`${API}/me`, { headers })).json();
  expect(me).toEqual({
    kind: 'guest',
    session: expect.any(String),
    passkeys: false,
    access: false,
    hosts: [{ id: home.host_id, name: 'My home', host_key: home.agent.hostKey, online: false, web_ui: false }],
  });
  const { hosts } = await (await call(`${API}/hosts`, { headers })).json<{ hosts: { id: string }[] }>();
  expect(hosts.map((host) => host.id)).toEqual([home.host_id]);
  expect([await use(headers, home.host_id), await use(headers, lab.host_id)]).toEqual(['admitted', 'E_FORBIDDEN']);
  expect(await found(id)).toMatchObject({ uses: 1, last_used_at: expect.any(Number) });
  expect((await audited(1))[0]).toMatchObject({ action: 'invitation.accept' });
  for (const path of ['/keys', '/invitations', '/passkeys', '/sessions', '/audit', `/hosts/${home.host_id}/devices`]) {
    expect([path, await codeOf(await call(`${API}${path}`, { headers }))]).toEqual([path, 'E_FORBIDDEN']);
  }
});

it('may be opened on several browsers', async () => {
  const { id, secret } = await invite();
  await guest(secret);
  await guest(secret);
  expect((await found(id))?.uses).toBe(2);
});

it('expires with its sessions', async () => {
  const { secret } = await invite({ expires_at: Date.now() + HOUR_MS });
  const headers = await guest(secret);
  expect(await kindOf(headers)).toBe('guest');
  await setAccountClock(HOUR_MS);
  expect(await kindOf(headers)).toBe('anonymous');
  expect(await codeOf(await accept(secret))).toBe('E_UNAUTHORIZED');
});

it('is revoked with its sessions, and no others', async () => {
  const [gone, stays] = [await invite({ name: 'Gone' }), await invite()];
  const [guests, others] = [await guest(gone.secret), await guest(stays.secret)];
  const { revoked, env } = notingHosts();
  expect((await asOwner(`/invitations/${gone.id}`, { method: 'DELETE', env })).status).toBe(204);
  expect(revoked).toEqual([{ host: home.host_id, subject: `invitation:${gone.id}` }]);
  expect(await audited(1)).toEqual([{ action: 'invitation.revoke', detail: 'Gone' }]);
  expect([await kindOf(guests), await kindOf(others)]).toEqual(['anonymous', 'guest']);
  expect(await codeOf(await accept(gone.secret))).toBe('E_UNAUTHORIZED');
  expect((await asOwner(`/invitations/${gone.id}`, { method: 'DELETE' })).status).toBe(404);
});

it('that is revoked while it is accepted leaves no session', async () => {
  const { id, secret } = await invite();
  const outcome = await inAccount(async (account) => {
    const sessions = account.sessions();
    const create = sessions.create.bind(sessions);
    // What a revocation finds that comes between.
    sessions.create = (asked) => {
      account.invitations().revoke(id, { actor: 'owner', address: null });
      return create(asked);
    };
    const accepted = await account.invitations().accept(secret, 'a quick browser', null);
    sessions.create = create;
    return { accepted, left: sessions.list().filter(({ name }) => name === 'a quick browser') };
  });
  expect(outcome).toEqual({ accepted: expect.objectContaining({ code: 'E_UNAUTHORIZED' }), left: [] });
});

it.each([undefined, 7, null])('is not accepted without a secret: %j', async (secret) => {
  expect(await codeOf(await accept(secret))).toBe('E_BAD_REQUEST');
});

it('refuses who guesses, but nobody who has the secret', async () => {
  const { secret } = await invite();
  const address = newAddress();
  const wrong = `dai_${'A'.repeat(43)}`;
  for (let i = 0; i < 20; i++) expect(await codeOf(await accept(wrong, address))).toBe('E_UNAUTHORIZED');
  const locked = await accept(wrong, address);
  expect([locked.status, await codeOf(locked)]).toEqual([429, 'E_RATE_LIMITED']);
  expect((await accept(secret, address)).status).toBe(204);
  await setAccountClock(15 * MINUTE_MS);
  expect(await codeOf(await accept(wrong, address))).toBe('E_UNAUTHORIZED');
});

it('is not accepted for pages of other origins', async () => {
  const { secret } = await invite();
  const headers = { Origin: 'https://evil.example' };
  expect(await codeOf(await post(`${API}/invitations/accept`, { secret }, { headers }))).toBe('E_ORIGIN');
});

it.each([
  { name: '' },
  { hosts: null },
  { hosts: [] },
  { hosts: ['nowhere'] },
  { expires_at: 1 },
  { expires_at: 'soon' },
])('is not made with %j', async (body) => {
  const response = await tryToInvite(body);
  expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
});

it('sign nobody else out, however often they are accepted', async () => {
  const owner = await signedIn();
  const { secret } = await invite();
  const other = await guest((await invite()).secret);
  await passTime(6 * MINUTE_MS);
  const last = await inAccount(async (account) => {
    for (let n = 0; n < 210; n++) await account.invitations().accept(secret, 'a browser', null);
    return account.sessions().list().length;
  });
  expect(last).toBeLessThan(60);
  expect([await kindOf(owner), await kindOf(other)]).toEqual(['owner', 'guest']);
});

describe('an agent', () => {
  const asAgent = (path: string, init: object = {}) => call(`${API}${path}`, { token: home.access_token, ...init });
  const listed = async () => (await (await asAgent('/invitations')).json<{ invitations: Invitation[] }>()).invitations;

  it('invites to its own host, sees that and takes it back, which ends the guest’s session there', async () => {
    const { id, secret } = await invite({ name: 'By the agent' }, home.access_token);
    const { events } = await (await asOwner('/audit')).json<{ events: AuditEvent[] }>();
    expect(events[0]).toMatchObject({ actor: `host:${home.host_id}`, action: 'invitation.create' });
    const headers = await guest(secret);
    expect([await use(headers, home.host_id), await use(headers, lab.host_id)]).toEqual(['admitted', 'E_FORBIDDEN']);
    expect(await listed()).toContainEqual(expect.objectContaining({ id, uses: 1 }));
    const { revoked, env } = notingHosts();
    expect((await asAgent(`/invitations/${id}`, { method: 'DELETE', env })).status).toBe(204);
    expect(revoked).toEqual([{ host: home.host_id, subject: `invitation:${id}` }]);
    expect([await kindOf(headers), await codeOf(await accept(secret))]).toEqual(['anonymous', 'E_UNAUTHORIZED']);
  });

  it('invites to no other host', async () => {
    for (const hosts of [[lab.host_id], [home.host_id, lab.host_id], ['nowhere'], null, []]) {
      expect(await codeOf(await tryToInvite({ hosts }, home.access_token))).toBe('E_BAD_REQUEST');
    }
  });

  it('neither sees nor revokes invitations that reach other hosts too', async () => {
    for (const hosts of [[lab.host_id], [home.host_id, lab.host_id]]) {
      const { id, secret } = await invite({ hosts });
      expect((await listed()).map((one) => one.id)).not.toContain(id);
      expect(await codeOf(await asAgent(`/invitations/${id}`, { method: 'DELETE' }))).toBe('E_NOT_FOUND');
      expect((await accept(secret)).status).toBe(204);
    }
  });

  it('cannot fill the list, so that the owner can still invite', async () => {
    const { length } = await listed();
    for (let n = length; n < 50; n++) await invite({}, home.access_token);
    expect(await codeOf(await tryToInvite({}, home.access_token))).toBe('E_BAD_REQUEST');
    await invite();
  });

  it('with AGENT_TOKEN alone, an API key and a guest invite nobody', async () => {
    const { key } = await (await asOwner('/keys', { method: 'POST', body: { name: 'a key' } })).json<{ key: string }>();
    const { secret } = await invite();
    const bearers = [{ token: AGENT }, { token: key }, { headers: await guest(secret) }];
    for (const credential of bearers) {
      const asked = { name: 'Eve', hosts: [home.host_id] };
      expect(await codeOf(await post(`${API}/invitations`, asked, credential))).toBe('E_FORBIDDEN');
    }
  });
});
