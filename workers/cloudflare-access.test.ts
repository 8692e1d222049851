import { env } from 'cloudflare:workers';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { type AccessSettings, accessSettings, isOwner, verifyAccess } from './cloudflare-access.ts';
import { readSettings } from './settings.ts';
import { API, loggedIn, newAddress } from './test-account.ts';
import { AGENT, base, call, codeOf, newHost, OWNER, post, SDP } from './test-edge.ts';

const TEAM = 'ada.cloudflareaccess.com';
const AUD = 'aud-of-the-edge';
const settings: AccessSettings = { issuer: `https://${TEAM}`, audience: AUD, mode: 'required', emails: null };

type Keys = Awaited<ReturnType<typeof generateKeyPair>>;
let keys: Keys;
let others: Keys;
let certs: { fetch: typeof fetch; asked: string[] };
beforeAll(async () => {
  keys = await generateKeyPair('RS256');
  others = await generateKeyPair('RS256');
  certs = await keyServer('k1', keys);
});

/** Cloudflare's list of keys, as the edge fetches it. */
async function keyServer(kid: string, { publicKey }: Keys) {
  const asked: string[] = [];
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' };
  const serve = async (input: RequestInfo | URL) => {
    asked.push(String(input));
    return Response.json({ keys: [jwk] });
  };
  return { fetch: serve as typeof fetch, asked };
}

interface Claims {
  email?: string;
  issuer?: string;
  audience?: string;
  expiresIn?: number;
  key?: Keys;
  kid?: string;
}
function token({
  email,
  issuer = `https://${TEAM}`,
  audience = AUD,
  expiresIn = 600,
  key = keys,
  kid = 'k1',
}: Claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...(email === undefined ? {} : { email }), type: 'app' })
    .setProtectedHeader({ alg: 'RS256', kid })
    .setIssuer(issuer)
    .setAudience([audience])
    .setIssuedAt(now)
    .setExpirationTime(now + expiresIn)
    .sign(key.privateKey);
}
const withField = (jwt: string) => new Request('https://edge.example', { headers: { 'Cf-Access-Jwt-Assertion': jwt } });
const verify = (jwt: string, server = certs.fetch) => verifyAccess(withField(jwt), settings, server);

describe('the token', () => {
  it('tells whom Access let through', async () => {
    expect(await verify(await token({ email: 'Ada@Example.com' }))).toEqual({ email: 'ada@example.com' });
    expect(new Set(certs.asked)).toEqual(new Set([`https://${TEAM}/cdn-cgi/access/certs`]));
  });

  it('may come in the cookie, which browsers send where Access does not stand before', async () => {
    const cookie = `a=b; CF_Authorization=${await token({ email: 'ada@example.com' })}`;
    const request = new Request('https://edge.example', { headers: { Cookie: cookie } });
    expect(await verifyAccess(request, settings, certs.fetch)).toEqual({ email: 'ada@example.com' });
  });

  it.each<[string, Claims]>([
    ['of another team', { issuer: 'https://eve.cloudflareaccess.com' }],
    ['for another application', { audience: 'another' }],
    ['that has expired', { expiresIn: -60 }],
    ['of an unknown key', { kid: 'k2' }],
    ['of a service, which has no e-mail', { email: '' }],
  ])('%s is nobody’s', async (_name, claims) => {
    expect(await verify(await token({ email: 'ada@example.com', ...claims }))).toBeUndefined();
  });

  it('signed by another key, unsigned, or by another algorithm is nobody’s', async () => {
    expect(await verify(await token({ email: 'ada@example.com', key: others }))).toBeUndefined();
    const [, payload] = (await token({ email: 'ada@example.com' })).split('.');
    const header = (alg: string) => btoa(JSON.stringify({ alg, kid: 'k1' })).replaceAll('=', '');
    expect(await verify(`${header('none')}.${payload}.`)).toBeUndefined();
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(keys.publicKey)));
    const forged = await new SignJWT({ email: 'ada@example.com' })
      .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
      .setIssuer(`https://${TEAM}`)
      .setAudience(AUD)
      .setExpirationTime('10m')
      .sign(secret);
    expect(await verify(forged)).toBeUndefined();
  });

  it('without an expiry is nobody’s', async () => {
    const endless = await new SignJWT({ email: 'ada@example.com' })
      .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
      .setIssuer(`https://${TEAM}`)
      .setAudience(AUD)
      .sign(keys.privateKey);
    expect(await verify(endless)).toBeUndefined();
  });

  it.each(['', 'x', 'a.b.c', '..'])('that is none is nobody’s: %j', async (jwt) => {
    expect(await verify(jwt)).toBeUndefined();
  });

  it('costs one fetch of the keys for many requests', async () => {
    const server = await keyServer('k1', keys);
    const jwt = await token({ email: 'ada@example.com' });
    for (let i = 0; i < 3; i++) await verify(jwt, server.fetch);
    expect(server.asked).toHaveLength(1);
  });

  it.each<[string, () => Promise<Response>]>([
    ['that cannot be reached', () => Promise.reject(new TypeError('network'))],
    ['that answer with an error', async () => new Response('no', { status: 500 })],
    ['that answer with a page', async () => new Response('<html>')],
  ])('admits nobody by keys %s, and says that it is not the token', async (_name, server) => {
    const failure = verify(await token({ email: 'ada@example.com' }), server as typeof fetch);
    await expect(failure).rejects.toMatchObject({ code: 'E_INTERNAL' });
  });
});

describe('the settings', () => {
  const all = { ACCESS_TEAM_DOMAIN: TEAM, ACCESS_AUD: AUD, ACCESS_MODE: 'required' };
  const read = (vars: Partial<Cloudflare.Env>) => accessSettings({ ...env, ...vars });

  it('are none without variables', () => {
    expect(read({})).toBeUndefined();
    expect(read({ ACCESS_AUD: ' \n' })).toBeUndefined();
  });

  it('are read as people write them', () => {
    expect(read(all)).toEqual(settings);
    expect(read({ ...all, ACCESS_TEAM_DOMAIN: ` https://${TEAM.toUpperCase()}/\n` })).toEqual(settings);
    const emails = read({ ...all, ACCESS_MODE: 'instead', ACCESS_EMAILS: 'Ada@example.com, bob@example.com ' })?.emails;
    expect([...(emails ?? [])]).toEqual(['ada@example.com', 'bob@example.com']);
  });

  it.each<[Partial<Cloudflare.Env>, string]>([
    [{ ...all, ACCESS_AUD: '' }, 'ACCESS_AUD must be set too for Cloudflare Access'],
    [{ ACCESS_MODE: 'instead' }, 'ACCESS_TEAM_DOMAIN and ACCESS_AUD must be set too for Cloudflare Access'],
    [
      { ACCESS_EMAILS: 'ada@example.com' },
      'ACCESS_TEAM_DOMAIN and ACCESS_AUD and ACCESS_MODE must be set too for Cloudflare Access',
    ],
    [{ ...all, ACCESS_MODE: 'on' }, 'ACCESS_MODE must be “required” or “instead”'],
    [{ ...all, ACCESS_TEAM_DOMAIN: 'ada' }, 'ACCESS_TEAM_DOMAIN must be a host name'],
    [{ ...all, ACCESS_TEAM_DOMAIN: 'evil.example/x?' }, 'ACCESS_TEAM_DOMAIN must be a host name'],
    [{ ...all, ACCESS_EMAILS: ' , ' }, 'ACCESS_EMAILS must be a list of e-mail addresses'],
  ])('fail closed: %j', (vars, detail) => {
    const failure = expect.objectContaining({ code: 'E_NOT_CONFIGURED', detail });
    expect(() => read(vars)).toThrow(failure);
    expect(() => readSettings({ ...env, OWNER_TOKEN: OWNER, ...vars })).toThrow(failure);
  });

  it('make nobody the owner unless they say so', () => {
    const instead = { ...settings, mode: 'instead' } as const;
    expect(isOwner(settings, 'ada@example.com')).toBe(false);
    expect(isOwner(instead, 'ada@example.com')).toBe(true);
    expect(isOwner({ ...instead, emails: new Set(['bob@example.com']) }, 'ada@example.com')).toBe(false);
  });
});

/** What makes the edge check Access, with our keys. */
const guarded = (mode: string, more: Partial<Cloudflare.Env> = {}) => ({
  ACCESS_TEAM_DOMAIN: TEAM,
  ACCESS_AUD: AUD,
  ACCESS_MODE: mode,
  ACCESS_CERTS: certs,
  ...more,
});
const PAGE = { 'Sec-Fetch-Site': 'same-origin' };
const jwtOf = async (email: string) => ({ 'Cf-Access-Jwt-Assertion': await token({ email }) });

describe('besides the sign-in', () => {
  const signIn = (headers: Record<string, string>) =>
    post(
      `${API}/sign-in`,
      { token: OWNER },
      { headers: { 'CF-Connecting-IP': newAddress(), ...headers }, env: guarded('required') },
    );

  it('nobody signs in whom Access has not let through', async () => {
    const paths = ['/sign-in', '/sign-in/passkey', '/sign-in/passkey/options', '/invitations/accept'];
    for (const path of paths) {
      const response = await post(`${API}${path}`, { token: OWNER, secret: 'x' }, { env: guarded('required') });
      expect([path, response.status, await codeOf(response)]).toEqual([path, 401, 'E_UNAUTHORIZED']);
    }
    expect((await signIn(await jwtOf('ada@example.com'))).status).toBe(204);
  });

  it('a web session and the owner’s token need the token of Access each time', async () => {
    const jwt = await jwtOf('ada@example.com');
    const cookie = (await signIn(jwt)).headers.get('Set-Cookie')?.split(';')[0] ?? '';
    const options = { env: guarded('required') };
    const ask = (headers: Record<string, string>) =>
      call(`${API}/hosts`, { ...options, headers: { ...PAGE, ...headers } });
    expect((await ask({ Cookie: cookie, ...jwt })).status).toBe(200);
    expect(await codeOf(await ask({ Cookie: cookie }))).toBe('E_UNAUTHORIZED');
    const expired = await token({ email: 'ada@example.com', expiresIn: -60 });
    expect(await codeOf(await ask({ Cookie: cookie, 'Cf-Access-Jwt-Assertion': expired }))).toBe('E_UNAUTHORIZED');
    expect(await codeOf(await call(`${API}/hosts`, { ...options, token: OWNER }))).toBe('E_UNAUTHORIZED');
    expect((await call(`${API}/hosts`, { ...options, token: OWNER, headers: jwt })).status).toBe(200);
  });

  it('the token of Access alone is nobody', async () => {
    const headers = { ...PAGE, ...(await jwtOf('ada@example.com')) };
    expect(await codeOf(await call(`${API}/hosts`, { headers, env: guarded('required') }))).toBe('E_UNAUTHORIZED');
  });

  it('API keys, agents and open hosts are exempt', async () => {
    const { host_id, access_token } = await loggedIn();
    const made = await post(`${API}/keys`, { name: 'x', hosts: [host_id] }, { token: access_token });
    const { key } = await made.json<{ key: string }>();
    const options = { env: guarded('required') };
    expect((await call(base(host_id), { ...options, token: key })).status).toBe(200);
    expect((await call(`${API}/keys`, { ...options, token: access_token })).status).toBe(200);
    expect((await call(`${base(host_id)}/signal`, { ...options, token: AGENT })).status).toBe(204);
    const open = newHost();
    const env = guarded('required', { OPEN_HOSTS: open });
    expect((await post(`${base(open)}/session`, { offer: SDP }, { env })).status).toBe(201);
  });
});

describe('instead of the sign-in', () => {
  const ask = (headers: Record<string, string>, more: Partial<Cloudflare.Env> = {}) =>
    call(`${API}/hosts`, { headers, env: guarded('instead', more) });

  it('whoever Access lets through is the owner', async () => {
    const headers = { ...PAGE, ...(await jwtOf('ada@example.com')) };
    expect((await ask(headers)).status).toBe(200);
    const me = await call(`${API}/me`, { headers, env: guarded('instead') });
    expect(await me.json()).toMatchObject({ kind: 'owner', access: true });
  });

  it('and nobody else, if there is a list', async () => {
    const more = { ACCESS_EMAILS: 'ada@example.com' };
    expect((await ask({ ...PAGE, ...(await jwtOf('ADA@example.com')) }, more)).status).toBe(200);
    expect(await codeOf(await ask({ ...PAGE, ...(await jwtOf('eve@example.com')) }, more))).toBe('E_UNAUTHORIZED');
  });

  it('only for our own pages: browsers bring the token of Access to whatever asks', async () => {
    const jwt = await jwtOf('ada@example.com');
    const asked = [jwt, { ...jwt, Origin: 'https://evil.example' }, { ...jwt, 'Sec-Fetch-Site': 'cross-site' }];
    for (const headers of asked) expect(await codeOf(await ask(headers))).toBe('E_ORIGIN');
    const cookie = { Cookie: `CF_Authorization=${jwt['Cf-Access-Jwt-Assertion']}` };
    expect(await codeOf(await ask(cookie))).toBe('E_ORIGIN');
    const tunnelled = await call('/v1/models', { headers: jwt, env: guarded('instead') });
    expect(await codeOf(tunnelled)).toBe('E_ORIGIN');
    expect((await ask({ ...jwt, Origin: 'https://edge.example' })).status).toBe(200);
  });

  it('a wrong token of Access is no token', async () => {
    const jwt = await token({ email: 'ada@example.com', key: others });
    expect(await codeOf(await ask({ ...PAGE, 'Cf-Access-Jwt-Assertion': jwt }))).toBe('E_UNAUTHORIZED');
    expect((await call(`${API}/hosts`, { token: OWNER, env: guarded('instead') })).status).toBe(200);
  });
});

it('half of the variables refuses everything', async () => {
  const response = await call(`${API}/me`, { env: { ACCESS_MODE: 'required' } });
  expect([response.status, await codeOf(response)]).toEqual([503, 'E_NOT_CONFIGURED']);
});
