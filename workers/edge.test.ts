import { env, exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { PAGE_HEADERS } from './page-headers.ts';
import { AGENT, base, type Call, call, codeOf, newHost, OWNER, openSocket, post } from './test-edge.ts';

const HOST = base('home');
const PAGES = ['/', '/_direct/chat', '/_direct/', '/_direct/approve', '/_direct/invite', '/_direct/ui/enter'];

describe('an edge without secrets', () => {
  const unset: Call['env'][] = [
    { OWNER_TOKEN: undefined },
    { OWNER_TOKEN: '', AGENT_TOKEN: '' },
    { OWNER_TOKEN: 'guess me' },
    { OWNER_TOKEN: AGENT },
  ];
  const everything: [string, Call][] = [
    [HOST, { token: OWNER }],
    [`${HOST}/session`, { method: 'POST', token: OWNER }],
    [`${HOST}/session`, { method: 'POST' }],
    [`${HOST}/signal`, { token: AGENT }],
    [`${HOST}/signal`, { token: 'undefined' }],
    [`${HOST}/signal?session_id=x`, {}],
    [`${HOST}/signal`, { method: 'POST', body: {} }],
    [`${HOST}/relay?session_id=x`, { headers: { Upgrade: 'websocket' } }],
    ['/_direct/anything', {}],
    ['/_direct/api/me', {}],
    ['/_direct/api/sign-in', { method: 'POST', body: { token: OWNER } }],
    ['/_direct/api/sessions', { token: OWNER }],
    ['/v1/models', { token: OWNER }],
    ['/no-such-page', {}],
  ];

  it.each(unset)('refuses everything: %j', async (vars) => {
    for (const [path, options] of everything) {
      const response = await call(path, { ...options, env: { OPEN_HOSTS: 'home', ...vars } });
      expect([path, response.status, await codeOf(response)]).toEqual([path, 503, 'E_NOT_CONFIGURED']);
      // It does not get better by waiting.
      expect(response.headers.get('Retry-After')).toBeNull();
    }
  });

  it.each(PAGES)('shows a page at %s that says what to run, and can run nothing itself', async (path) => {
    const response = await call(path, { env: { OWNER_TOKEN: undefined } });
    expect(response.status).toBe(503);
    expect(response.headers.get('Content-Type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('Content-Security-Policy')).toContain("default-src 'none'");
    const page = await response.text();
    expect(page).toContain('npx wrangler secret put OWNER_TOKEN');
    expect(page).toContain('npx direct-agent login');
    expect(page).toContain('OWNER_TOKEN is not set');
  });

  // With a .dev.vars on this machine, wrangler sets the secrets.
  it.skipIf(env.OWNER_TOKEN !== undefined)('is what wrangler.toml makes of it', async () => {
    const response = await exports.default.fetch(`https://edge.example${HOST}/session`, { method: 'POST' });
    expect([response.status, await codeOf(response)]).toEqual([503, 'E_NOT_CONFIGURED']);
  });

  it('lets pages of other origins read the refusal', async () => {
    const response = await post(`${HOST}/session`, undefined, { env: { OWNER_TOKEN: undefined } });
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe('*');
  });
});

describe('addresses', () => {
  it.each([
    '/_direct',
    '/_direct/approve/',
    '/_direct/api',
    '/_direct/api/',
    '/_direct/api/nothing',
    '/_direct/h',
    '/_direct/h/',
    '/_direct/other',
    '/_direct/h/home/other',
    '/_direct/h/home/session/x',
    '/_direct/h/home/',
    '/_direct/h/a.b',
    '/_direct/h/a%2Fb/session',
    '/_direct/h/%E2%82%AC/signal',
    `/_direct/h/${'x'.repeat(65)}`,
  ])('%s is not found', async (path) => {
    for (const method of ['GET', 'POST']) {
      const response = await call(path, { method, token: OWNER });
      expect([response.status, await codeOf(response)]).toEqual([404, 'E_NOT_FOUND']);
    }
  });

  it.each(['/v1/models', '/v1', '/api/chat', '/v1/chat/completions', '/tokenize', '/no-such-page'])(
    '%s belongs to the tunnel',
    async (path) => {
      for (const method of ['GET', 'POST', 'DELETE']) {
        expect((await call(path, { method })).status).toBe(401);
        expect((await call(path, { method, token: AGENT })).status).toBe(403);
        const response = await call(path, { method, token: OWNER, headers: { 'Direct-Host': newHost() } });
        expect(response.status).toBe(503);
        expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0);
        expect(await response.text()).toContain('E_HOST_OFFLINE');
      }
    },
  );

  it.each([
    ['', 'POST', 'GET, OPTIONS'],
    ['', 'HEAD', 'GET, OPTIONS'],
    ['/session', 'GET', 'POST, OPTIONS'],
    ['/session', 'PUT', 'POST, OPTIONS'],
    ['/signal', 'DELETE', 'GET, POST, OPTIONS'],
    // HEAD would take messages out of the queue that nobody sees.
    ['/signal?session_id=x', 'HEAD', 'GET, POST, OPTIONS'],
  ])('%s does not accept %s', async (path, method, allow) => {
    const response = await call(`${HOST}${path}`, { method, token: OWNER });
    expect([response.status, response.headers.get('Allow')]).toEqual([405, allow]);
    if (method !== 'HEAD') expect(await codeOf(response)).toBe('E_METHOD');
  });

  it.each([
    ['/', '/_direct/page/'],
    ['/_direct/chat', '/_direct/page/'],
    ['/_direct/', '/_direct/dashboard/'],
    ['/_direct/approve', '/_direct/dashboard/'],
    ['/_direct/invite?x=1', '/_direct/dashboard/'],
  ])('serves %s from the assets, whatever they answer', async (path, file) => {
    const asked: Request[] = [];
    const page = new Response('<!doctype html>', {
      headers: { 'Content-Type': 'text/html', ETag: '"1"', 'Content-Security-Policy': 'default-src *' },
    });
    const assets = {
      fetch: (request: Request) => {
        asked.push(request);
        return Promise.resolve(page);
      },
    } as unknown as Fetcher;
    const headers = { Cookie: 'a=b', 'If-None-Match': '"0"' };
    const response = await call(path, { headers, env: { ASSETS: assets } });
    expect([response.status, await response.text()]).toEqual([200, '<!doctype html>']);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(asked.map(({ url, headers }) => [url, [...headers]])).toEqual([
      [`https://edge.example${file}`, [['if-none-match', '"0"']]],
    ]);
    for (const [name, value] of Object.entries(PAGE_HEADERS)) expect(response.headers.get(name)).toBe(value);
  });

  it('keeps its pages’ policy strict', () => {
    const policy = PAGE_HEADERS['Content-Security-Policy'] ?? '';
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).not.toMatch(/unsafe|\*|https?:|wss?:/);
    expect(policy).toContain("frame-ancestors 'none'");
  });
});

describe('header fields', () => {
  it.each([
    ['/', {}],
    [HOST, { token: OWNER }],
    [`${HOST}/session`, { method: 'POST', token: 'wrong' }],
    ['/nothing', {}],
    ['/v1/models', {}],
    ['/_direct/', {}],
    ['/_direct/api/me', {}],
    ['/_direct/api/sessions', {}],
  ] as [string, Call][])('%s is safe against sniffing and tells no referrer', async (path, options) => {
    const { headers } = await call(path, options);
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(headers.get('Referrer-Policy')).toBe('no-referrer');
  });

  it.each(['', '/session', '/signal', '/signal?session_id=x'])('preflight of %s', async (path) => {
    const response = await call(`${HOST}${path}`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://chat.example',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,content-type',
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe('*');
    expect(response.headers.get('Access-Control-Allow-Methods')?.split(',')).toEqual(['GET', 'POST']);
    expect(response.headers.get('Access-Control-Allow-Headers')?.toLowerCase()).toBe('authorization,content-type');
    // With credentials, any page could act with a visitor's cookies.
    expect(response.headers.get('Access-Control-Allow-Credentials')).toBeNull();
  });

  it.each([HOST, '/_direct/api/me', '/_direct/nothing'])(
    'of %s let no cache keep it, and no page load it',
    async (path) => {
      const { headers } = await call(path, { token: OWNER });
      expect(headers.get('Cache-Control')).toBe('no-store');
      expect(headers.get('Content-Security-Policy')).toBe("default-src 'none'; frame-ancestors 'none'");
    },
  );
});

describe('a bug of ours', () => {
  it('shows as E_INTERNAL, without its text', async () => {
    const broken = {
      getByName: () => {
        throw new Error('secret inside');
      },
    } as unknown as Cloudflare.Env['HOSTS'];
    const response = await call(HOST, { token: OWNER, env: { HOSTS: broken } });
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).toContain('E_INTERNAL');
    expect(text).not.toContain('secret inside');
  });
});

it('closes a client’s WebSocket with the code, which a script cannot see in an HTTP status', async () => {
  const socket = await openSocket(`${base(newHost())}/signal?session_id=nothing`);
  expect((await socket.closed).code).toBe(4408);
});
