import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  AGENT,
  asPage,
  base,
  type Call,
  call,
  codeOf,
  forgetGuesses,
  inAccount,
  newAddress,
  newHost,
  ORIGIN,
  OWNER,
  passTime,
  signedIn,
} from './test-edge.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Presence: 200 for whoever may use or serve the host, 403 for somebody else, 401 for nobody. */
const ask = (options: Call, host = 'home') => call(base(host), options);
const statusOf = async (options: Call, host?: string) => (await ask(options, host)).status;
const withAuthorization = (Authorization: string) => statusOf({ headers: { Authorization } });
const from = (address: string): Call => ({ headers: { 'CF-Connecting-IP': address } });

beforeEach(forgetGuesses);

describe('a bearer', () => {
  it.each([
    [`Bearer ${OWNER}`, 200],
    [`bearer  ${OWNER} `, 200],
    [`Bearer ${AGENT}`, 200],
  ])('%s is answered with %i', async (authorization, status) => {
    expect(await withAuthorization(authorization)).toBe(status);
  });

  it.each([
    '',
    'Bearer',
    'Bearer ',
    `Bearer ${OWNER.slice(0, -1)}`,
    `Bearer ${OWNER}2`,
    `Bearer ${OWNER.toUpperCase()}`,
    `Basic ${OWNER}`,
    OWNER,
    `Bearer ${'x'.repeat(513)}`,
    `Bearer dak_${'x'.repeat(43)}`,
    `Bearer dah_${'x'.repeat(43)}`,
    'Bearer dak_',
  ])('%s is refused, and not repeated', async (Authorization) => {
    const response = await ask({ headers: { Authorization } });
    const text = await response.text();
    expect([response.status, text]).toEqual([401, expect.stringContaining('E_UNAUTHORIZED')]);
    for (const secret of [OWNER, AGENT]) expect(text).not.toContain(secret);
  });

  it('of agents is nobody’s without AGENT_TOKEN', async () => {
    expect(await statusOf({ token: AGENT, env: { AGENT_TOKEN: undefined } })).toBe(401);
  });

  it('counts before a cookie', async () => {
    const headers = await signedIn();
    expect(await statusOf({ headers, token: 'wrong' })).toBe(401);
  });
});

describe('the account', () => {
  it('is asked once about everybody else', async () => {
    for (const options of [{ token: OWNER }, { token: 'wrong' }, { token: 'dak_x' }, { headers: await signedIn() }]) {
      for (const path of [base('home'), '/v1/models', '/_direct/api/audit']) {
        let asked = 0;
        const ACCOUNTS = {
          getByName: (name: string) => {
            asked += 1;
            return env.ACCOUNTS.getByName(name);
          },
        } as unknown as Cloudflare.Env['ACCOUNTS'];
        const { status } = await call(path, { ...options, env: { ACCOUNTS } });
        // The log itself is another question.
        expect([path, asked]).toEqual([path, path.endsWith('/audit') && status === 200 ? 2 : 1]);
      }
    }
  });

  it('is not asked about nobody and about agents with AGENT_TOKEN', async () => {
    const env = { ACCOUNTS: undefined };
    expect(await statusOf({ env })).toBe(401);
    expect(await statusOf({ env, token: AGENT })).toBe(200);
    expect(await statusOf({ env, headers: { Cookie: '__Host-direct_agent=short' } })).toBe(401);
  });

  it('is not asked about a wrong token after too many of them', async () => {
    const env = { ACCOUNTS: undefined, COARSE_LIMIT: { limit: () => Promise.resolve({ success: false }) } };
    expect(await statusOf({ env, token: 'wrong' })).toBe(429);
  });
});

describe('one who guesses the owner’s token', () => {
  const guess = (address: string, token = 'wrong') => ask({ ...from(address), token });

  it('is locked out after ten wrong ones, with the right one too, and let in again after 15 minutes', async () => {
    const address = newAddress();
    for (let n = 0; n < 10; n++) expect((await guess(address)).status).toBe(401);
    const locked = await guess(address, OWNER);
    expect([locked.status, await codeOf(locked)]).toEqual([429, 'E_RATE_LIMITED']);
    expect(Number(locked.headers.get('Retry-After'))).toBeGreaterThan(14 * 60);
    expect(Number(locked.headers.get('Retry-After'))).toBeLessThanOrEqual(15 * 60);
    // Nobody learns whether a guess was right meanwhile, and nobody else is locked.
    expect((await guess(address)).status).toBe(429);
    expect((await guess(newAddress(), OWNER)).status).toBe(200);
    await passTime(15 * MINUTE_MS);
    expect((await guess(address, OWNER)).status).toBe(200);
  });

  it('is locked out at sign-in by what was wrong as bearer, and the other way round', async () => {
    const [first, second] = [newAddress(), newAddress()];
    const signIn = (address: string, token: string) =>
      call('/_direct/api/sign-in', { ...from(address), method: 'POST', body: { token } });
    for (let n = 0; n < 10; n++) expect((await guess(first)).status).toBe(401);
    expect((await signIn(first, OWNER)).status).toBe(429);
    for (let n = 0; n < 10; n++) expect((await signIn(second, 'wrong')).status).toBe(401);
    expect((await guess(second, OWNER)).status).toBe(429);
  });

  it('locks nobody out who has something else', async () => {
    const headers = { ...(await signedIn()), ...from(newAddress()).headers };
    const address = headers['CF-Connecting-IP'] ?? '';
    for (let n = 0; n < 10; n++) await guess(address);
    expect(await statusOf({ headers })).toBe(200);
    expect(await statusOf({ ...from(address), token: AGENT })).toBe(200);
    expect(await statusOf({ ...from(address), token: `dak_${'x'.repeat(43)}` })).toBe(401);
  });

  it('is one person with all addresses of a home', async () => {
    for (let n = 0; n < 10; n++) await guess(`2001:db8:aaaa:1::${n}`);
    expect((await guess('2001:db8:aaaa:1:ffff::1', OWNER)).status).toBe(429);
    expect((await guess('2001:db8:aaaa:2::1', OWNER)).status).toBe(200);
  });

  it('may have many addresses: after 100 wrong ones only those are let in that were before', async () => {
    const [known, other] = [newAddress(), newAddress()];
    expect((await guess(known, OWNER)).status).toBe(200);
    for (let n = 0; n < 100; n++) expect((await guess(newAddress())).status).toBe(401);
    expect((await guess(other, OWNER)).status).toBe(429);
    expect((await guess(known, OWNER)).status).toBe(200);
    await passTime(15 * MINUTE_MS);
    expect((await guess(other, OWNER)).status).toBe(200);
    // That was no fresh start for the guessers: the hundred were within this hour.
    await guess(newAddress());
    expect((await guess(newAddress(), OWNER)).status).toBe(429);
    await passTime(HOUR_MS);
    await guess(newAddress());
    expect((await guess(newAddress(), OWNER)).status).toBe(200);
  });

  it('leaves a line in the audit log for each lock, and none for what was guessed', async () => {
    const address = newAddress();
    for (let n = 0; n < 10; n++) await guess(address, 'a-secret-guess');
    const events = await inAccount((account) => account.audit().list(10));
    expect(events[0]).toMatchObject({ actor: 'anonymous', action: 'lock', address });
    expect(JSON.stringify(events)).not.toContain('a-secret-guess');
  });
});

describe('a cookie', () => {
  it('admits the owner everywhere, and a guest to the hosts of the invitation', async () => {
    expect(await statusOf({ headers: await signedIn() }, newHost())).toBe(200);
    const guest = await signedIn(['lab']);
    expect(await statusOf({ headers: guest }, 'lab')).toBe(200);
    expect(await statusOf({ headers: guest }, 'home')).toBe(403);
  });

  it('that names nobody is none', async () => {
    const headers = asPage('x'.repeat(43));
    expect(await statusOf({ headers })).toBe(401);
    const open = newHost();
    const session = { method: 'POST', headers, env: { OPEN_HOSTS: open } };
    expect((await call(`${base(open)}/session`, session)).status).toBe(201);
  });

  it.each([
    ['a page of another origin', { Origin: 'https://evil.example' }],
    ['a page of another port', { Origin: `${ORIGIN}:8443` }],
    ['a sandboxed page', { Origin: 'null' }],
    [
      'another origin, whatever the browser makes of its site',
      { Origin: 'https://a.example', 'Sec-Fetch-Site': 'same-origin' },
    ],
    ['a link of a sibling domain', { 'Sec-Fetch-Site': 'same-site' }],
    ['a link', { 'Sec-Fetch-Site': 'cross-site' }],
    ['an address that was typed', { 'Sec-Fetch-Site': 'none' }],
    ['a browser that says nothing', {}],
  ])('does nothing for %s', async (_name, says: Record<string, string>) => {
    const { Cookie = '' } = await signedIn();
    for (const [path, method] of [
      [base('home'), 'GET'],
      ['/v1/models', 'GET'],
      ['/_direct/api/sessions', 'GET'],
      ['/_direct/api/sign-out', 'POST'],
    ] as const) {
      const response = await call(path, { method, headers: { Cookie, ...says } });
      expect([path, response.status, await codeOf(response)]).toEqual([path, 403, 'E_ORIGIN']);
    }
  });

  it('is good for our own pages, which GET without Origin', async () => {
    const { Cookie = '' } = await signedIn();
    expect(await statusOf({ headers: { Cookie, 'Sec-Fetch-Site': 'same-origin' } })).toBe(200);
    expect(await statusOf({ headers: { Cookie, Origin: ORIGIN } })).toBe(200);
  });

  it('of the name that http uses is none on https', async () => {
    const headers = await signedIn();
    const Cookie = headers.Cookie?.replace('__Host-', '') ?? '';
    expect(await statusOf({ headers: { ...headers, Cookie } })).toBe(401);
  });

  it('is no agent’s', async () => {
    const response = await call(`${base('home')}/signal`, { headers: await signedIn() });
    expect([response.status, await codeOf(response)]).toEqual([401, 'E_UNAUTHORIZED']);
  });
});
