import { describe, expect, it } from 'vitest';
import type { RequestHead } from '../shared/head.ts';
import { setAccountClock } from './test-account.ts';
import { TestAgent } from './test-agent.ts';
import {
  AGENT,
  asPage,
  base,
  type Call,
  call,
  codeOf,
  inAccount,
  newHost,
  ORIGIN,
  OWNER,
  post,
  signedIn,
} from './test-edge.ts';

const HOST = newHost();
const SITE = 'https://chat.example';
const env = { WEB_UI_HOSTNAMES: JSON.stringify({ 'chat.example': HOST, 'other.example': HOST }), EDGE_ORIGIN: ORIGIN };
const NAVIGATION = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
const OWN = { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty' };

const at = (path: string, options: Call = {}, origin = SITE) => call(path, { origin, env, ...options });

/** What the UI's server was asked. */
async function serve(): Promise<RequestHead[]> {
  const asked: RequestHead[] = [];
  await TestAgent.connect(HOST, async (exchange, head) => {
    asked.push(head);
    await exchange.sendHead({ status: 200, statusText: '', headers: [['content-type', 'text/html']] });
    await exchange.sendData(new TextEncoder().encode('<head>the UI'));
    exchange.finish();
  });
  return asked;
}

const valueIn = (response: Response, name: string) =>
  new RegExp(`^${name}=([\\w-]{43});`).exec(response.headers.get('set-cookie') ?? '')?.[1] ?? '';

/** What a browser without a session is sent to the edge with. */
async function sent(path = '/app?a=1', origin = SITE) {
  const response = await at(path, { headers: NAVIGATION }, origin);
  const to = new URL(response.headers.get('location') ?? '');
  return { response, to, verifier: valueIn(response, '__Host-direct_ui_verifier') };
}

/** The code that the edge makes of it. */
async function coded(to: URL, headers?: Record<string, string>): Promise<URL> {
  const body = { to: to.searchParams.get('to'), challenge: to.searchParams.get('challenge') };
  const response = await post('/_direct/api/ui/code', body, { env, headers: headers ?? (await signedIn()) });
  if (response.status !== 200) throw new Error(await response.text());
  return new URL((await response.json<{ location: string }>()).location);
}

const enter = (url: URL, verifier: string, origin = url.origin) =>
  at(
    url.pathname + url.search,
    { headers: { ...NAVIGATION, Cookie: `__Host-direct_ui_verifier=${verifier}` } },
    origin,
  );

/** A browser that is in. */
async function entered(headers?: Record<string, string>): Promise<Record<string, string>> {
  const { to, verifier } = await sent();
  const response = await enter(await coded(to, headers), verifier);
  return { Cookie: `__Host-direct_ui=${valueIn(response, '__Host-direct_ui')}` };
}

describe('the way in', () => {
  it('leads to the edge, back by a code, and to where one wanted to go', async () => {
    const asked = await serve();
    const { response, to, verifier } = await sent();
    expect([response.status, to.origin, to.pathname]).toEqual([302, ORIGIN, '/_direct/ui/enter']);
    expect(to.searchParams.get('to')).toBe(`${SITE}/app?a=1`);
    expect(to.href).not.toContain(verifier);
    expect(response.headers.get('set-cookie')).toMatch(/; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
    const back = await coded(to);
    expect([back.origin, back.pathname]).toEqual([SITE, '/_direct/ui/session']);
    const inside = await enter(back, verifier);
    expect([inside.status, inside.headers.get('location')]).toEqual([303, `${SITE}/app?a=1`]);
    expect(inside.headers.get('set-cookie')).toMatch(
      /^__Host-direct_ui=[\w-]{43}; .*Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const Cookie = `__Host-direct_ui=${valueIn(inside, '__Host-direct_ui')}; theirs=1`;
    const document = await at('/app?a=1', { headers: { ...NAVIGATION, Cookie } });
    expect(await document.text()).toContain(`data-host="${HOST}"`);
    expect(document.headers.get('content-security-policy')).toBeNull();
    expect(asked[0]).toMatchObject({ path: '/app?a=1', service: 'web_ui' });
    expect(asked[0]?.headers).toContainEqual(['x-forwarded-host', 'chat.example']);
    expect(asked[0]?.headers).toContainEqual(['cookie', 'theirs=1']);
  });

  it('is the same for a second tab: the first one’s code still works', async () => {
    const first = await sent('/one');
    const headers = { ...NAVIGATION, Cookie: `__Host-direct_ui_verifier=${first.verifier}` };
    const second = await at('/two', { headers });
    expect(valueIn(second, '__Host-direct_ui_verifier')).toBe(first.verifier);
    expect((await enter(await coded(first.to), first.verifier)).headers.get('location')).toBe(`${SITE}/one`);
  });

  it.each(['/', '//evil.example/', '/\\evil.example'])('leads to no other site: %s', async (path) => {
    const { to, verifier } = await sent(path);
    const location = (await enter(await coded(to), verifier)).headers.get('location') ?? '';
    expect(location.startsWith(`${SITE}/`)).toBe(true);
  });

  it.each([
    'https://evil.example/',
    'https://chat.example.evil.example/',
    'https://chat.example@evil.example/',
    'https://evil.example/https://chat.example/',
    '//evil.example',
    'javascript:alert(1)',
    'http://chat.example/',
    'https://chat.example:8443/',
    'https://chat.example./',
    `${ORIGIN}/`,
    '/app',
    '',
    7,
    null,
  ])('has no code for %s', async (to) => {
    const headers = await signedIn();
    const response = await post('/_direct/api/ui/code', { to, challenge: 'x'.repeat(43) }, { env, headers });
    expect([response.status, await codeOf(response)]).toEqual([404, 'E_NOT_FOUND']);
  });

  it.each(['', 'x', 'x'.repeat(44), `${'x'.repeat(42)}=`, 7, undefined])(
    'has no code without a challenge: %s',
    async (challenge) => {
      const response = await post(
        '/_direct/api/ui/code',
        { to: `${SITE}/`, challenge },
        { env, headers: await signedIn() },
      );
      expect(await codeOf(response)).toBe('E_BAD_REQUEST');
    },
  );

  it('leads not into the edge’s own addresses there', async () => {
    const { to, verifier } = await sent();
    to.searchParams.set('to', `${SITE}/_direct/ui/session?code=x`);
    expect((await enter(await coded(to), verifier)).headers.get('location')).toBe(`${SITE}/`);
  });
});

describe('a code', () => {
  const refused = async (response: Response) => {
    expect([response.status, response.headers.get('set-cookie')]).toEqual([401, null]);
    expect(await response.text()).toContain('the link is used');
  };

  it('works once', async () => {
    const { to, verifier } = await sent();
    const url = await coded(to);
    expect((await enter(url, verifier)).status).toBe(303);
    await refused(await enter(url, verifier));
  });

  it('works at its host name alone, and not there after it was tried elsewhere', async () => {
    const { to, verifier } = await sent();
    const url = await coded(to);
    await refused(await enter(url, verifier, 'https://other.example'));
    await refused(await enter(url, verifier));
  });

  it('works in the browser that asked for it alone: nobody signs another one in as himself', async () => {
    const [mine, theirs] = [await sent(), await sent()];
    await refused(await enter(await coded(mine.to), theirs.verifier));
    const url = await coded(mine.to);
    await refused(await at(url.pathname + url.search, { headers: NAVIGATION }));
  });

  it('works for a minute', async () => {
    const { to, verifier } = await sent();
    const url = await coded(to);
    await setAccountClock(61_000);
    await refused(await enter(url, verifier));
    await setAccountClock(0);
  });

  it('works while the session lasts that it was made with', async () => {
    const headers = await signedIn();
    const { to, verifier } = await sent();
    const url = await coded(to, headers);
    await post('/_direct/api/sign-out', {}, { headers });
    await refused(await enter(url, verifier));
  });

  it('is none that was made up', async () => {
    const { verifier } = await sent();
    for (const query of ['', '?code=', '?code=x', `?code=${'x'.repeat(43)}`]) {
      await refused(await enter(new URL(`${SITE}/_direct/ui/session${query}`), verifier));
    }
  });

  it('is made for whoever may use the host, on a page of the edge', async () => {
    const { to } = await sent();
    const body = { to: to.searchParams.get('to'), challenge: to.searchParams.get('challenge') };
    const ask = async (options: Call) => codeOf(await post('/_direct/api/ui/code', body, { env, ...options }));
    expect(await ask({ headers: await signedIn(['another']) })).toBe('E_FORBIDDEN');
    expect(await ask({ token: OWNER })).toBe('E_FORBIDDEN');
    expect(await ask({})).toBe('E_UNAUTHORIZED');
    const { Cookie = '' } = await signedIn();
    expect(await ask({ headers: { Cookie, ...NAVIGATION } })).toBe('E_ORIGIN');
    expect(await ask({ headers: { Cookie, Origin: SITE, 'Sec-Fetch-Site': 'same-site' } })).toBe('E_ORIGIN');
    expect((await coded(to, await signedIn([HOST]))).origin).toBe(SITE);
  });

  it('is kept nowhere', async () => {
    const { to, verifier } = await sent();
    const code = (await coded(to)).searchParams.get('code') ?? '';
    const rows = await inAccount((_account, sql) => JSON.stringify(sql.exec('SELECT * FROM site_codes').toArray()));
    expect(rows).toContain(to.searchParams.get('challenge'));
    for (const secret of [code, verifier]) expect(rows).not.toContain(secret);
  });
});

describe('the session there', () => {
  it('is nothing at the edge, and nothing at another host name', async () => {
    const headers = await entered();
    const cookie = headers.Cookie?.split('=')[1] ?? '';
    for (const path of ['/_direct/api/hosts', '/v1/models', base(HOST)]) {
      for (const shown of [asPage(cookie), { ...asPage(cookie), ...headers }]) {
        expect((await call(path, { headers: { 'Direct-Host': HOST, ...shown }, env })).status).toBe(401);
      }
    }
    expect((await at('/app', { headers: { ...headers, ...OWN } }, 'https://other.example')).status).toBe(401);
  });

  it('is not the edge’s', async () => {
    const { Cookie = '' } = await signedIn();
    const cookie = Cookie.split('=')[1];
    for (const shown of [Cookie, `__Host-direct_ui=${cookie}`]) {
      expect((await at('/app', { headers: { ...OWN, Cookie: shown } })).status).toBe(401);
    }
  });

  it('ends with the one at the edge', async () => {
    await serve();
    const headers = await signedIn();
    const inside = await entered(headers);
    expect((await at('/app', { headers: { ...inside, ...OWN } })).status).toBe(200);
    await post('/_direct/api/sign-out', {}, { headers });
    expect((await at('/app', { headers: { ...inside, ...OWN } })).status).toBe(401);
    expect((await at('/app', { headers: { ...inside, ...NAVIGATION } })).status).toBe(302);
  });

  it('acts for the session at the edge, whose end the host hears', async () => {
    const asked = await serve();
    const inside = await entered(await signedIn([HOST]));
    await at('/app', { headers: { ...inside, ...OWN } });
    expect(asked[0]?.headers.find(([name]) => name === 'direct-grant')?.[1]).toContain(
      '"subject":"invitation:invited"',
    );
  });

  it('signals for its host, and no other', async () => {
    const inside = { ...(await entered()), Origin: SITE };
    expect(await (await at(base(HOST), { headers: inside })).json()).toMatchObject({ id: HOST });
    expect((await at(`${base(HOST)}/session`, { method: 'POST', headers: inside })).status).toBe(201);
    for (const path of [base('other'), `${base(HOST)}x`, `${base('other')}/session`]) {
      expect(await codeOf(await at(path, { headers: inside }))).toBe('E_NOT_FOUND');
    }
    expect(await codeOf(await at(base(HOST), { headers: { ...inside, Origin: ORIGIN } }))).toBe('E_ORIGIN');
  });

  it('opens WebSockets, also at the address that names the host', async () => {
    const asked: RequestHead[] = [];
    await TestAgent.connect(HOST, async (exchange, head) => {
      asked.push(head);
      await exchange.sendHead({ status: 101, statusText: '', headers: [] });
      exchange.socket().close(1000);
    });
    const headers = { ...(await entered()), Origin: SITE, Upgrade: 'websocket' };
    for (const path of ['/live', `${base(HOST)}/socket?path=/live&service=web_ui`]) {
      const { status, webSocket } = await at(path, { headers });
      expect([status, asked.at(-1)]).toMatchObject([101, { path: '/live', protocol: 'websocket', service: 'web_ui' }]);
      webSocket?.accept();
      webSocket?.close();
    }
    expect(asked).toHaveLength(2);
    expect((await at(`${base('other')}/socket?path=/live`, { headers })).status).toBe(404);
    expect((await at(`${base(HOST)}/socket?path=/_direct/api/hosts`, { headers })).status).toBe(400);
  });

  it('brings the UI its own Authorization, whatever it looks like', async () => {
    const asked = await serve();
    const inside = { ...(await entered()), ...OWN };
    for (const token of ['theirs', 'dak_theirs', OWNER]) {
      await at('/app', { token, headers: inside });
      expect(asked.at(-1)?.headers).toContainEqual(['authorization', `Bearer ${token}`]);
    }
  });
});

describe('at the host name', () => {
  it('there is nothing else of the edge’s', async () => {
    const inside = { ...(await entered()), Origin: SITE };
    const paths = [
      '/_direct',
      '/_direct/',
      '/_direct/chat',
      '/_direct/ui/enter',
      '/_direct/api/me',
      '/_direct/api/hosts',
    ];
    for (const path of [...paths, '/_direct/api/ui/code', '/_direct/approve', '/_direct/h/', '/_direct/page/']) {
      for (const method of ['GET', 'POST']) {
        const response = await at(path, { method, headers: inside });
        expect([path, response.status, await codeOf(response)]).toEqual([path, 404, 'E_NOT_FOUND']);
      }
    }
  });

  it('no token helps, nor may an agent come', async () => {
    await serve();
    for (const token of [OWNER, AGENT]) {
      expect((await at('/v1/models', { token })).status).toBe(401);
      expect((await at(`${base(HOST)}/signal`, { token })).status).toBe(401);
    }
  });

  it('only who goes there is sent to the edge', async () => {
    for (const headers of [OWN, { ...NAVIGATION, 'Sec-Fetch-Dest': 'iframe' }, {}]) {
      expect(await codeOf(await at('/app', { headers }))).toBe('E_UNAUTHORIZED');
    }
    expect((await at('/app', { method: 'POST', headers: NAVIGATION })).status).toBe(401);
  });

  it('a foreign page drives nothing by its visitor’s cookie', async () => {
    const asked = await serve();
    const inside = await entered();
    const foreign: Call[] = [
      { headers: { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' } },
      { headers: { ...NAVIGATION, 'Sec-Fetch-Dest': 'iframe' } },
      { method: 'POST', headers: { ...NAVIGATION, Origin: 'https://evil.example' } },
      { method: 'POST', headers: { ...NAVIGATION, Origin: ORIGIN, 'Sec-Fetch-Site': 'same-site' } },
      { headers: { Origin: 'https://evil.example', Upgrade: 'websocket' } },
      { headers: { Origin: ORIGIN, Upgrade: 'websocket' } },
    ];
    for (const { headers, ...options } of foreign) {
      const response = await at('/app', { ...options, headers: { ...headers, ...inside } });
      expect([response.status, await codeOf(response)]).toEqual([403, 'E_ORIGIN']);
    }
    expect(asked).toEqual([]);
    expect((await at('/app', { headers: { ...NAVIGATION, ...inside } })).status).toBe(200);
  });

  it('another spelling of the name leads to the right one', async () => {
    for (const origin of ['http://chat.example', 'https://chat.example.', 'https://CHAT.example']) {
      const response = await at('/app?a', { headers: NAVIGATION }, origin);
      expect(response.headers.get('location')).toMatch(
        origin.includes('CHAT') ? /^https:\/\/edge\.example\/_direct\/ui\/enter/ : /^https:\/\/chat\.example\/app\?a$/,
      );
    }
  });

  it('what a request says of its host name elsewhere means nothing', async () => {
    const headers = { ...NAVIGATION, 'X-Forwarded-Host': 'evil.example', Forwarded: 'host=evil.example' };
    const response = await at('/app', { headers });
    expect(response.headers.get('location')).toContain(encodeURIComponent(`${SITE}/app`));
    expect(await codeOf(await at('/app', { headers: { ...(await entered()), ...OWN, 'Direct-Host': 'other' } }))).toBe(
      'E_NOT_FOUND',
    );
  });

  it('a service worker may be for a folder, but not for all: codes come by there', async () => {
    const asked = await serve();
    const headers = { ...(await entered()), ...OWN, 'Service-Worker': 'script', 'Sec-Fetch-Dest': 'serviceworker' };
    expect([(await at('/app/sw.js', { headers })).status, asked.length]).toEqual([200, 1]);
    for (const path of ['/sw.js', '/', '/app/../sw.js?x=/a/']) {
      const response = await at(path, { headers });
      expect([response.status, await codeOf(response), asked.length]).toEqual([403, 'E_FORBIDDEN', 1]);
    }
  });
});
