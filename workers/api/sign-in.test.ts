import { beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent, ListedWebSession } from '../../shared/account-api.ts';
import {
  asPage,
  base,
  type Call,
  call,
  codeOf,
  forgetGuesses,
  newHost,
  ORIGIN,
  OWNER,
  post,
  signedIn,
} from '../test-edge.ts';

const API = '/_direct/api';
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0';
const signIn = (token: unknown = OWNER, options: Call = {}) =>
  post(`${API}/sign-in`, { token }, { ...options, headers: { 'User-Agent': FIREFOX, ...options.headers } });

/** The cookie that a response sets: name, value and attributes. */
function cookieOf(response: Response): { name: string; value: string; attributes: string[] } {
  const [pair = '', ...attributes] = response.headers.getSetCookie()[0]?.split('; ') ?? [];
  const [name = '', value = ''] = pair.split('=');
  return { name, value, attributes };
}

const sessions = async (headers: Record<string, string>) => {
  const response = await call(`${API}/sessions`, { headers });
  return (await response.json<{ sessions: ListedWebSession[] }>()).sessions;
};
const events = async () => {
  const response = await call(`${API}/audit`, { token: OWNER });
  return (await response.json<{ events: AuditEvent[] }>()).events;
};

beforeEach(forgetGuesses);

describe('sign-in', () => {
  it('gives the owner a cookie that scripts and other sites have nothing of', async () => {
    const response = await signIn();
    expect([response.status, await response.text()]).toEqual([204, '']);
    const { name, value, attributes } = cookieOf(response);
    expect(name).toBe('__Host-direct_agent');
    expect(value).toMatch(/^[\w-]{43}$/);
    const age = Number(/^Max-Age=(\d+)$/.exec(attributes[0] ?? '')?.[1]);
    expect(age).toBeGreaterThan(30 * 86_400 - 60);
    expect(age).toBeLessThanOrEqual(30 * 86_400);
    expect(attributes.slice(1)).toEqual(['Path=/', 'HttpOnly', 'Secure', 'SameSite=Strict']);
    const me = await call(`${API}/me`, { headers: asPage(value) });
    expect(await me.json()).toMatchObject({
      kind: 'owner',
      session: expect.any(String),
      passkeys: false,
      access: false,
    });
    expect((await call(base(newHost()), { headers: asPage(value) })).status).toBe(200);
  });

  it('takes the token with what a person pastes around it', async () => {
    expect((await signIn(` ${OWNER}\n`)).status).toBe(204);
  });

  it.each(['wrong', '', OWNER.slice(1), ` ${OWNER}.`])('refuses “%s”, and sets nothing', async (token) => {
    const response = await signIn(token);
    expect([response.status, await codeOf(response)]).toEqual([401, 'E_UNAUTHORIZED']);
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it.each([
    ['no text', { token: 1 }],
    ['nothing', {}],
    ['a list', []],
    ['no JSON', 'token=x'],
  ])('refuses %s', async (_name, body) => {
    const response = await post(`${API}/sign-in`, body);
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('is not for pages of other origins, which would sign their visitor in as somebody', async () => {
    const response = await signIn(OWNER, { headers: { Origin: 'https://evil.example' } });
    expect([response.status, await codeOf(response)]).toEqual([403, 'E_ORIGIN']);
    expect((await signIn(OWNER, { headers: { Origin: ORIGIN } })).status).toBe(204);
  });

  it('is open to one whose cookie is over', async () => {
    const headers = asPage('x'.repeat(43));
    expect((await signIn(OWNER, { headers })).status).toBe(204);
  });

  it('counts against the coarse limit before the account is asked', async () => {
    const env = { COARSE_LIMIT: { limit: () => Promise.resolve({ success: false }) }, ACCOUNTS: undefined };
    expect((await signIn(OWNER, { env })).status).toBe(429);
  });

  it('leaves a line in the audit log, with the browser and without the secret', async () => {
    const { value } = cookieOf(await signIn(OWNER, { headers: { 'CF-Connecting-IP': '192.0.2.9' } }));
    const log = await events();
    expect(log[0]).toMatchObject({
      action: 'sign-in',
      address: '192.0.2.9',
      detail: expect.stringContaining('Firefox on Linux'),
    });
    expect(log[0]?.actor).toMatch(/^session:/);
    for (const secret of [OWNER, value]) expect(JSON.stringify(log)).not.toContain(secret);
  });
});

describe('who one is', () => {
  const me = async (headers: Record<string, string> = {}) => call(`${API}/me`, { headers });

  it('is nobody without a cookie', async () => {
    const response = await me();
    expect(await response.json()).toEqual({ kind: 'anonymous', passkeys: false, access: false, hosts: [] });
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it('is nobody with one that is over, which the browser then forgets', async () => {
    const response = await me(asPage('x'.repeat(43)));
    expect(await response.json()).toMatchObject({ kind: 'anonymous', hosts: [] });
    expect(cookieOf(response)).toMatchObject({
      name: '__Host-direct_agent',
      value: '',
      attributes: expect.arrayContaining(['Max-Age=0', 'Path=/', 'Secure']),
    });
  });

  it('is a guest by invitation, who learns of no other hosts', async () => {
    expect(await (await me(await signedIn(['home']))).json()).toMatchObject({
      kind: 'guest',
      hosts: [{ id: 'home', online: false }],
    });
    expect(await (await me(await signedIn(['lab']))).json()).toMatchObject({ kind: 'guest', hosts: [] });
  });
});

describe('sessions', () => {
  it('are listed for the owner, with the current one marked', async () => {
    const mine = asPage(cookieOf(await signIn()).value);
    await signedIn(['home']);
    const list = await sessions(mine);
    expect(list.filter(({ current }) => current)).toEqual([
      {
        id: expect.any(String),
        kind: 'owner',
        name: 'Firefox on Linux',
        created_at: expect.any(Number),
        last_seen_at: expect.any(Number),
        expires_at: expect.any(Number),
        current: true,
      },
    ]);
    expect(list.map(({ kind }) => kind)).toContain('guest');
  });

  it('end when the owner says so', async () => {
    const [mine, lost] = [await signedIn(), await signedIn()];
    const id = (await sessions(lost)).find(({ current }) => current)?.id ?? '';
    const response = await call(`${API}/sessions/${id}`, { method: 'DELETE', headers: mine });
    expect([response.status, response.headers.getSetCookie()]).toEqual([204, []]);
    expect((await call(`${API}/sessions`, { headers: lost })).status).toBe(401);
    expect((await call(`${API}/sessions`, { headers: mine })).status).toBe(200);
    expect((await call(`${API}/sessions/${id}`, { method: 'DELETE', headers: mine })).status).toBe(404);
    expect((await events())[0]).toMatchObject({ action: 'session.revoke', actor: expect.stringMatching(/^session:/) });
  });

  it('end with sign-out, and the cookie goes', async () => {
    for (const headers of [await signedIn(), await signedIn(['home'])]) {
      const response = await post(`${API}/sign-out`, undefined, { headers });
      expect(response.status).toBe(204);
      expect(cookieOf(response)).toMatchObject({ value: '', attributes: expect.arrayContaining(['Max-Age=0']) });
      expect((await post(`${API}/sign-out`, undefined, { headers })).status).toBe(401);
      expect((await events())[0]).toMatchObject({ action: 'sign-out' });
    }
  });

  it('that end are ended at the hosts that they used, and at no others', async () => {
    const headers = await signedIn();
    const id = (await sessions(headers)).find(({ current }) => current)?.id;
    await call(base('lab'), { headers });
    await call('/v1/models', { headers: { ...headers, 'Direct-Host': 'study' } });
    const told: string[] = [];
    const HOSTS = {
      getByName: (host: string) => ({
        revoke: (subject: string) => {
          told.push(`${host} ${subject}`);
          return Promise.reject(new Error('this host is broken'));
        },
      }),
    } as unknown as Cloudflare.Env['HOSTS'];
    // A host that cannot be told is no reason to go on.
    expect((await post(`${API}/sign-out`, undefined, { headers, env: { HOSTS } })).status).toBe(204);
    expect(told).toEqual([`lab session:${id}`, `study session:${id}`]);
  });
});

describe('the audit log', () => {
  it('is read in pages, the newest first', async () => {
    for (let n = 0; n < 3; n++) await signIn();
    const [newest, next] = await events();
    expect(newest?.id).toBeGreaterThan(next?.id ?? 0);
    const older = await call(`${API}/audit?before=${newest?.id}`, { token: OWNER });
    expect((await older.json<{ events: AuditEvent[] }>()).events[0]).toEqual(next);
    const wrong = await call(`${API}/audit?before=x`, { token: OWNER });
    expect([wrong.status, await codeOf(wrong)]).toEqual([400, 'E_BAD_REQUEST']);
  });
});
