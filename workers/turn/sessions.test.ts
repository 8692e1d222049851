/** TURN credentials of sessions, from the request to the provider: who gets which, for how long, and what ends them. */
import { runDurableObjectAlarm } from 'cloudflare:test';
import { env as bindings } from 'cloudflare:workers';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent, IceStatus } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { MAX_SDP_BYTES, MAX_SIGNAL_BYTES } from '../../shared/limits.ts';
import { parseSessionReady, type SessionReady } from '../../shared/signal.ts';
import { refused } from '../outcome.ts';
import { API, asOwner, loggedIn, setAccountClock } from '../test-account.ts';
import {
  AGENT,
  accountStub,
  agentSocket,
  asPage,
  base,
  type Call,
  call,
  clientSocket,
  codeOf,
  inAccount,
  OWNER,
  offer,
  post,
  SDP,
  type Socket,
  signedIn,
} from '../test-edge.ts';
import { CLOUDFLARE, COTURN, cloudflareAnswer, METERED, SECRETS, TurnApi } from './test-turn-api.ts';

const DEFAULT = { urls: ['stun:stun.cloudflare.com:3478'] };
const FAILING = () => new Response('no', { status: 401 });

let home: string;
let agent: Socket;
let api: TurnApi;

beforeAll(async () => {
  home = (await loggedIn('Home')).host_id;
  agent = await agentSocket(home);
});

beforeEach(async () => {
  api = new TurnApi();
  await inAccount((account, sql) => {
    sql.exec('DELETE FROM turn_credentials');
    sql.exec('DELETE FROM turn_providers');
    account.now = Date.now;
    // The alarm revokes by what the owner set, too.
    Object.defineProperty(account, 'env', { value: { ...bindings, TURN_API: api, ...CLOUDFLARE }, configurable: true });
  });
});

afterEach(() => {
  while (agent.unread.length > 0) void agent.next();
});

type Vars = NonNullable<Call['env']>;
const edgeWith = (more: Vars = CLOUDFLARE): Vars => ({ ICE_SERVERS: undefined, TURN_API: api, ...more });

/** What came of POST /session, which shows no key in any case. The owner asks unless header fields say who does. */
async function ask(options: Call = {}, body: unknown = undefined) {
  const who = options.headers === undefined ? { token: OWNER } : {};
  const response = await post(`${base(home)}/session`, body, { ...who, env: edgeWith(), ...options });
  const text = await response.text();
  for (const secret of SECRETS) expect(text).not.toContain(secret);
  return { status: response.status, text };
}

async function session(options: Call = {}, body?: unknown): Promise<SessionReady> {
  const { status, text } = await ask(options, body);
  if (status !== 201) throw new Error(`POST /session: ${status} ${text}`);
  return parseSessionReady(JSON.parse(text));
}

const userOf = (ready: SessionReady) => ready.ice_servers.find(({ username }) => username !== undefined)?.username;
const status = async (env = edgeWith()) => (await asOwner('/ice', { env })).json<IceStatus>();
const storedUsers = () =>
  inAccount((_account, sql) =>
    sql
      .exec<{ usernames: string }>('SELECT usernames FROM turn_credentials')
      .toArray()
      .flatMap(({ usernames }) => JSON.parse(usernames) as string[]),
  );

const newKey = async (more: object = {}) => {
  const body = { name: 'a key', hosts: [home], ...more };
  return (await asOwner('/keys', { method: 'POST', body })).json<{ id: string; key: string }>();
};

/** A guest's browser, and the invitation. */
async function guest() {
  const body = { name: 'Bob', hosts: [home] };
  const { id, secret } = await (await asOwner('/invitations', { method: 'POST', body })).json<{
    id: string;
    secret: string;
  }>();
  const accepted = await post(`${API}/invitations/accept`, { secret });
  const cookie = /direct_agent=([^;]+)/.exec(accepted.headers.get('Set-Cookie') ?? '')?.[1] ?? '';
  return { id, headers: asPage(cookie) };
}

const as = (headers: Record<string, string>): Call => ({ headers });

const rejectedBy = async (credential: Call, path: string) =>
  expect((await call(`${API}${path}`, { method: 'DELETE', ...credential })).status).toBe(204);

describe('a credential', () => {
  it('is made for the first session, and said to the client and the agent', async () => {
    const before = Date.now();
    const ready = await session({}, { offer: SDP });
    const servers = [
      { urls: ['stun:stun.cloudflare.com:3478'] },
      {
        urls: expect.arrayContaining(['turn:turn.cloudflare.com:3478?transport=udp']),
        username: 'user 1/é',
        credential: 'password',
      },
    ];
    expect(ready).toMatchObject({ ice_servers: servers, ice_source: 'cloudflare', turn_username: 'user 1/é' });
    expect(ready.turn_url).toBe('turn:turn.cloudflare.com:3478?transport=udp');
    expect(ready.ice_servers_expire_at).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(ready.ice_servers_expire_at).toBeLessThanOrEqual(Date.now() + 3_600_000);
    expect(await agent.next()).toMatchObject({ session_id: ready.session_id, ice_servers: ready.ice_servers });
    expect(JSON.stringify(ready)).not.toMatch(/:53["?]/);
  });

  it('serves the next sessions of the same subject, at no other cost than to know who it is', async () => {
    const first = await session();
    let asked: string[] = [];
    const counted = (at: ReturnType<typeof accountStub>) =>
      new Proxy(at, {
        get(target, name) {
          asked.push(String(name));
          return Reflect.get(target, name) as unknown;
        },
      });
    const ACCOUNTS = { getByName: () => counted(accountStub()) } as unknown as Cloudflare.Env['ACCOUNTS'];
    const second = await session({ env: edgeWith({ ...CLOUDFLARE, ACCOUNTS }) });
    expect(second.ice_servers).toEqual(first.ice_servers);
    expect(second.ice_servers_expire_at).toBe(first.ice_servers_expire_at);
    expect(asked).toEqual(['identify']);
    expect(api.made).toBe(1);
    // One that is made costs one more.
    asked = [];
    await session({ token: (await newKey()).key, env: edgeWith({ ...CLOUDFLARE, ACCOUNTS }) });
    expect(asked).toEqual(['identify', 'turn']);
  });

  it('is another one for each subject', async () => {
    const key = await newKey();
    const { headers } = await guest();
    const callers: Call[] = [{}, as(await signedIn()), as(await signedIn()), as(headers), { token: key.key }];
    const users = await Promise.all(callers.map(async (caller) => userOf(await session(caller))));
    expect(new Set(users).size).toBe(callers.length);
    expect(api.made).toBe(callers.length);
  });

  it.each([
    ['3600', 3_299_000, 3_301_000],
    ['5', 2_500, 3_500],
  ])('of %s s is handed out while enough of it is left', async (TURN_TTL, before, after) => {
    const options = { env: edgeWith({ ...CLOUDFLARE, TURN_TTL }) };
    const first = await session(options);
    await setAccountClock(before);
    expect(userOf(await session(options))).toBe(userOf(first));
    await setAccountClock(after);
    const next = await session(options);
    expect(userOf(next)).not.toBe(userOf(first));
    expect(await storedUsers()).toEqual(expect.arrayContaining([userOf(first), userOf(next)]));
  });

  it('is forgotten once it has ended', async () => {
    const first = await session();
    await setAccountClock(3_601_000);
    await session();
    expect(await storedUsers()).toEqual(['user 2/é']);
    expect(userOf(first)).toBe('user 1/é');
  });

  it('of a key that the owner has replaced is not handed out', async () => {
    const first = await session();
    for (const change of [{ CLOUDFLARE_TURN_KEY_ID: 'another' }, { CLOUDFLARE_TURN_KEY_TOKEN: 'another' }]) {
      expect(userOf(await session({ env: edgeWith({ ...CLOUDFLARE, ...change }) }))).not.toBe(userOf(first));
    }
    const others = { env: edgeWith(COTURN) };
    const ready = await session(others);
    expect(ready).toMatchObject({ ice_source: 'coturn', ice_servers: [DEFAULT, { urls: [COTURN.TURN_URLS] }] });
    expect(userOf(ready)).toMatch(/^\d+:[\w-]{16}$/);
    expect((await session({ env: edgeWith({}) })).ice_servers).toEqual([DEFAULT]);
    expect((await session({ env: edgeWith({ ...CLOUDFLARE, ICE_SERVERS: '[]' }) })).ice_servers).toEqual([]);
  });

  it('of Metered says no end, since nobody knows it', async () => {
    const ready = await session({ env: edgeWith(METERED) });
    expect(ready).toMatchObject({ ice_source: 'metered', turn_username: 'metered-user' });
    expect(ready).not.toHaveProperty('ice_servers_expire_at');
  });
});

describe('a provider that fails', () => {
  const both = () => edgeWith({ ...CLOUDFLARE, ...METERED });

  it('gives way to the next one, which the owner gets to see', async () => {
    api.cloudflare = FAILING;
    expect(await status(both())).toMatchObject({ source: 'cloudflare', turn: true });
    expect(await session({ env: both() })).toMatchObject({ ice_source: 'metered' });
    expect(await status(both())).toEqual({
      source: 'metered',
      turn: true,
      providers: [
        { source: 'cloudflare', succeeded_at: null, failed_at: expect.any(Number), reason: 'HTTP 401', failing: true },
        { source: 'metered', succeeded_at: expect.any(Number), failed_at: null, reason: null, failing: false },
      ],
    });
    expect(await status(edgeWith({ ...METERED, ICE_SERVERS: '[{"urls":"stun:s.example"}]' }))).toMatchObject({
      source: 'configuration',
      turn: false,
    });
  });

  it('is asked again with the next session, as long as nobody serves', async () => {
    api.cloudflare = FAILING;
    for (const asked of [1, 2]) {
      const ready = await session();
      expect(ready).toMatchObject({ ice_source: 'default', ice_servers: [DEFAULT], turn_url: '' });
      expect(ready).not.toHaveProperty('ice_servers_expire_at');
      expect(api.asked).toHaveLength(asked);
    }
    await expect.poll(() => status()).toMatchObject({ source: 'default', turn: false, providers: [{ failing: true }] });
    api.cloudflare = () => Response.json(cloudflareAnswer('back'), { status: 201 });
    expect(userOf(await session())).toBe('back');
    expect(await status()).toMatchObject({
      source: 'cloudflare',
      turn: true,
      providers: [{ failing: false, reason: null, failed_at: expect.any(Number) }],
    });
  });

  it('is of no interest once it is set up otherwise', async () => {
    api.cloudflare = FAILING;
    await session();
    await expect.poll(async () => (await status()).turn).toBe(false);
    const env = edgeWith({ ...CLOUDFLARE, CLOUDFLARE_TURN_KEY_TOKEN: 'the-right-one' });
    expect(await status(env)).toMatchObject({ turn: true, providers: [{ failing: false, failed_at: null }] });
  });

  it('is tried again soon where another one serves', async () => {
    api.cloudflare = FAILING;
    await session({ env: both() });
    await setAccountClock(290_000);
    expect((await session({ env: both() })).ice_source).toBe('metered');
    expect(api.asked).toHaveLength(2);
    await setAccountClock(301_000);
    await session({ env: both() });
    expect(api.asked).toHaveLength(4);
  });
});

describe('what is left behind is revoked', () => {
  it('when a browser signs out', async () => {
    const headers = await signedIn();
    const user = userOf(await session(as(headers)));
    const other = userOf(await session());
    expect((await post(`${API}/sign-out`, {}, { headers })).status).toBe(204);
    await expect.poll(() => api.revoked).toEqual([user]);
    await expect.poll(storedUsers).toEqual([other]);
  });

  it('when the owner signs a browser out', async () => {
    const headers = await signedIn();
    const user = userOf(await session(as(headers)));
    const me = await (await call(`${API}/me`, { headers })).json<{ session: string }>();
    await rejectedBy({ token: OWNER }, `/sessions/${me.session}`);
    await expect.poll(() => api.revoked).toEqual([user]);
  });

  it('when a key is deleted, each one that was made for it', async () => {
    const key = await newKey();
    // All of them miss, because none has an answer before all have asked.
    const answers: ((response: Response) => void)[] = [];
    const real = api.cloudflare;
    api.cloudflare = (asked) =>
      asked.url.endsWith('/revoke') ? real(asked) : new Promise((resolve) => answers.push(resolve));
    const asked = Promise.all([1, 2, 3].map(() => session({ token: key.key })));
    await expect.poll(() => answers.length).toBe(3);
    for (const [n, resolve] of answers.entries()) resolve(Response.json(cloudflareAnswer(`u${n}`), { status: 201 }));
    const users = new Set((await asked).map(userOf));
    expect(users).toEqual(new Set(['u0', 'u1', 'u2']));
    await rejectedBy({ token: OWNER }, `/keys/${key.id}`);
    await expect.poll(() => new Set(api.revoked)).toEqual(users);
    await expect.poll(storedUsers).toEqual([]);
  });

  it('when an invitation is revoked, but not when one of its guests leaves', async () => {
    const { id, headers } = await guest();
    const user = userOf(await session(as(headers)));
    expect((await post(`${API}/sign-out`, {}, { headers })).status).toBe(204);
    expect(await storedUsers()).toEqual([user]);
    await rejectedBy({ token: OWNER }, `/invitations/${id}`);
    await expect.poll(() => api.revoked).toEqual([user]);
  });

  it('when a key has expired', async () => {
    const key = await newKey({ expires_at: Date.now() + 600_000 });
    const user = userOf(await session({ token: key.key }));
    await setAccountClock(601_000);
    await runDurableObjectAlarm(accountStub());
    expect(api.revoked).toEqual([user]);
    expect(await storedUsers()).toEqual([]);
  });

  it('when a host is removed, whose agent got it as well', async () => {
    const { host_id } = await loggedIn('Garage');
    await agentSocket(host_id);
    const response = await post(`${base(host_id)}/session`, undefined, { token: OWNER, env: edgeWith() });
    const user = userOf(parseSessionReady(await response.json()));
    await rejectedBy({ token: OWNER }, `/hosts/${host_id}`);
    await expect.poll(() => api.revoked).toEqual([user]);
    expect(userOf(await session())).not.toBe(user);
  });

  it('when the key’s only host is removed', async () => {
    const { host_id } = await loggedIn('Attic');
    await agentSocket(host_id);
    const key = await newKey({ hosts: [host_id] });
    const response = await post(`${base(host_id)}/session`, undefined, { token: key.key, env: edgeWith() });
    const user = userOf(parseSessionReady(await response.json()));
    await rejectedBy({ token: OWNER }, `/hosts/${host_id}`);
    await expect.poll(() => api.revoked).toEqual([user]);
  });

  it('also what comes from the provider after the end, and nobody gets it', async () => {
    const key = await newKey();
    const real = api.cloudflare;
    let answer: (() => void) | undefined;
    api.cloudflare = (asked) => {
      if (asked.url.endsWith('/revoke')) return real(asked);
      return new Promise((resolve) => {
        answer = () => resolve(Response.json(cloudflareAnswer('late'), { status: 201 }));
      });
    };
    const asked = ask({ token: key.key });
    await expect.poll(() => answer).toBeDefined();
    await rejectedBy({ token: OWNER }, `/keys/${key.id}`);
    answer?.();
    const { status, text } = await asked;
    expect(status).toBe(401);
    expect(text).not.toContain('late');
    await expect.poll(() => api.revoked).toEqual(['late']);
    await expect.poll(storedUsers).toEqual([]);
  });

  it('and is handed to nobody before it is kept, nor after the end', async () => {
    const stub = accountStub();
    const account = {
      identify: (question: Parameters<typeof stub.identify>[0]) => stub.identify(question),
      turn: () => ({ record: async () => refused(new DirectError('E_UNAUTHORIZED')) }),
    };
    const ACCOUNTS = { getByName: () => account } as unknown as Cloudflare.Env['ACCOUNTS'];
    expect((await ask({ env: edgeWith({ ...CLOUDFLARE, ACCOUNTS }) })).status).toBe(401);

    // The first one that was made was refused.
    expect(userOf(await session())).toBe('user 2/é');
    expect(await inAccount((object) => object.turn().end('owner'))).toBe(true);
    expect(userOf(await session())).toBe('user 3/é');
  });

  it('later, if the provider does not do it at once, and the owner gets to know if it never does', async () => {
    const key = await newKey();
    await session({ token: key.key });
    api.cloudflare = () => new Response('no', { status: 500 });
    const triesOf = () =>
      inAccount(
        (_account, sql) => sql.exec<{ tries: number }>('SELECT tries FROM turn_credentials').toArray()[0]?.tries,
      );
    await rejectedBy({ token: OWNER }, `/keys/${key.id}`);
    for (const [tries, at] of [59_000, 179_000, 419_000, 899_000].entries()) {
      await expect.poll(triesOf).toBe(tries + 1);
      // Nothing of it can be used meanwhile.
      expect(await inAccount((_account, sql) => sql.exec('SELECT servers FROM turn_credentials').toArray())).toEqual([
        { servers: '[]' },
      ]);
      await setAccountClock(at + 10_000);
      await runDurableObjectAlarm(accountStub());
    }
    expect(await triesOf()).toBeUndefined();
    const { events } = await (await asOwner('/audit')).json<{ events: AuditEvent[] }>();
    expect(events[0]).toMatchObject({
      actor: 'edge',
      action: 'turn.not-revoked',
      detail: `cloudflare, key:${key.id}: HTTP 500`,
    });
  });

  it('not where a provider has nothing to revoke', async () => {
    const key = await newKey();
    for (const vars of [COTURN, METERED]) await session({ token: key.key, env: edgeWith(vars) });
    const asked = api.asked.length;
    await rejectedBy({ token: OWNER }, `/keys/${key.id}`);
    expect(await inAccount((_account, sql) => sql.exec('SELECT * FROM turn_credentials').toArray())).toEqual([]);
    expect(api.asked).toHaveLength(asked);
  });
});

describe('on an open host', () => {
  const open = (more: Vars = {}): Call => ({
    ...as({}),
    env: edgeWith({ ...CLOUDFLARE, OPEN_HOSTS: home, ...more }),
  });

  it('nothing is made for people without a credential, and they get STUN alone', async () => {
    const ready = await session(open(), { offer: SDP });
    expect(ready).toMatchObject({ ice_servers: [DEFAULT], ice_source: 'default', turn_url: '' });
    expect(await agent.next()).toMatchObject({ ice_servers: [DEFAULT], grant: { subject: 'anonymous' } });
    const ICE_SERVERS = '[{"urls":["stun:s.example","turn:t.example"],"username":"u","credential":"secret"}]';
    const configured = await session(open({ ICE_SERVERS }), { offer: SDP });
    expect(configured.ice_servers).toEqual([{ urls: ['stun:s.example'] }]);
    expect(await agent.next()).toMatchObject({ ice_servers: [{ urls: ['stun:s.example'] }] });
    expect(api.asked).toEqual([]);
    // Others get it there as everywhere.
    expect((await session({ env: open().env ?? {} })).ice_source).toBe('cloudflare');
  });

  it('they get TURN if the owner says so, and share it', async () => {
    const first = await session(open({ OPEN_HOSTS_TURN: 'yes' }));
    const second = await session(open({ OPEN_HOSTS_TURN: 'yes' }));
    expect(first.ice_source).toBe('cloudflare');
    expect(userOf(second)).toBe(userOf(first));
    expect(api.made).toBe(1);
  });
});

describe('servers of the client’s own', () => {
  const own = [{ urls: ['turn:192.168.0.1:53'], username: 'own', credential: 'own' }, { urls: ['stun:own.example'] }];

  it('are the agent’s too if the client is the owner', async () => {
    for (const caller of [{}, as(await signedIn())]) {
      const ready = await session(caller, { offer: SDP, ice_servers: own });
      expect(ready).toMatchObject({ ice_servers: own, ice_source: 'client', stun_url: 'stun:own.example' });
      expect(ready).not.toHaveProperty('ice_servers_expire_at');
      expect(await agent.next()).toMatchObject({ ice_servers: own });
    }
    expect(api.asked).toEqual([]);
  });

  it('are not, if it is anybody else', async () => {
    const key = await newKey();
    const { headers } = await guest();
    for (const caller of [as(headers), { token: key.key }]) {
      const ready = await session(caller, { offer: SDP, ice_servers: own });
      expect(ready).toMatchObject({ ice_servers: own, ice_source: 'client' });
      const first = (await agent.next()) as { ice_servers: unknown[] };
      expect(first.ice_servers).toEqual(expect.arrayContaining([expect.objectContaining({ credential: 'password' })]));
      // Nor with a later offer.
      const client = await clientSocket(home, ready.session_id);
      client.send({ ...offer(ready.session_id), ice_servers: own });
      expect(await agent.next()).toMatchObject({ ice_servers: first.ice_servers });
      client.close();
    }
    const anonymous = { ...as({}), env: edgeWith({ ...CLOUDFLARE, OPEN_HOSTS: home }) };
    expect(await session(anonymous, { offer: SDP, ice_servers: own })).toMatchObject({ ice_servers: own });
    expect(await agent.next()).toMatchObject({ ice_servers: [DEFAULT] });
  });

  it.each([
    ['of another scheme', [{ urls: 'http://own.example' }]],
    ['without a credential for TURN', [{ urls: 'turn:own.example' }]],
    ['without a URL', [{ urls: [] }]],
    ['that are no list', {}],
    ['that are too many', Array(17).fill({ urls: 'stun:own.example' })],
    [
      'that leave no room for an offer',
      Array(16).fill({ urls: [`stun:${'o'.repeat(500)}`, `stun:${'o'.repeat(90)}`] }),
    ],
  ])('%s are refused', async (_name, ice_servers) => {
    const response = await post(`${base(home)}/session`, { ice_servers }, { token: OWNER, env: edgeWith() });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('fit beside the longest offer', async () => {
    const ice_servers = Array.from({ length: 15 }, () => ({ urls: [`stun:${'o'.repeat(500)}`] }));
    const { session_id } = await session({}, { ice_servers });
    const long = offer(session_id, SDP.padEnd(MAX_SDP_BYTES, 'x'));
    expect((await post(`${base(home)}/signal`, long)).status).toBe(204);
    const received = (await agent.next()) as object;
    expect(received).toMatchObject({ ice_servers, sdp: long.sdp });
    expect(new TextEncoder().encode(JSON.stringify(received)).byteLength).toBeLessThan(MAX_SIGNAL_BYTES);
  });
});

it('half a provider stops the edge, and says which half', async () => {
  const { status, text } = await ask({
    env: edgeWith({ CLOUDFLARE_TURN_KEY_TOKEN: CLOUDFLARE.CLOUDFLARE_TURN_KEY_TOKEN }),
  });
  expect(status).toBe(503);
  expect(text).toContain('CLOUDFLARE_TURN_KEY_ID must be set too');
});

it('the agent’s token gets no TURN', async () => {
  expect((await ask({ token: AGENT })).status).toBe(403);
  expect(api.asked).toEqual([]);
});
