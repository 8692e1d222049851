import { beforeEach, describe, expect, it } from 'vitest';
import { ERRORS } from '../shared/errors.ts';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import type { Question } from './account/callers.ts';
import { type Script, TestAgent } from './test-agent.ts';
import {
  accountStub,
  asPage,
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

const BY = { actor: 'owner', address: null };
const NAVIGATION = { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
const SUBRESOURCE = { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty' };

/** A host that has logged in. */
async function register(webUi = true): Promise<string> {
  const name = newHost();
  return inAccount((account) => {
    const { id } = account.hosts().register(crypto.randomUUID(), name, name);
    if (webUi) account.hosts().change(id, { web_ui: true }, BY);
    return id;
  });
}

/** An agent that says what it was asked, and answers so. */
async function serve(host: string, body = 'the UI', headers: HeaderList = [], status = 200): Promise<RequestHead[]> {
  const asked: RequestHead[] = [];
  const script: Script = async (exchange, head) => {
    asked.push(head);
    await exchange.sendHead({ status, statusText: '', headers });
    if (body !== '') await exchange.sendData(new TextEncoder().encode(body));
    exchange.finish();
  };
  await TestAgent.connect(host, script);
  return asked;
}

const field = (head: RequestHead | undefined, name: string) =>
  head?.headers.filter(([other]) => other === name).map(([, value]) => value);

/** A signed-in browser without what pages of ours send. */
async function browser(guestOf?: string[]): Promise<Record<string, string>> {
  const { Cookie = '' } = await signedIn(guestOf);
  return { Cookie };
}
const choosing = (headers: Record<string, string>, host: string) => ({
  ...headers,
  Cookie: `${headers.Cookie}; direct_host=${host}`,
});

/** There need be no files of the page here: they are built. */
const isOurPage = ({ headers }: Response) => headers.get('content-security-policy')?.includes("script-src 'self'");

beforeEach(() => inAccount((_account, sql) => void sql.exec('DELETE FROM hosts')));

describe('a request of a signed-in browser', () => {
  it.each(['/', '/app', '/v1/models'])('to %s reaches the only web UI, in the caller’s name', async (path) => {
    const host = await register();
    const asked = await serve(host);
    const response = await call(`${path}?a=1`, { headers: { ...(await browser()), ...NAVIGATION } });
    expect([response.status, await response.text()]).toEqual([200, 'the UI']);
    expect(asked[0]).toMatchObject({ method: 'GET', path: `${path}?a=1`, service: 'web_ui' });
    expect(field(asked[0], 'direct-grant')).toEqual([expect.stringContaining('"session:')]);
    expect(field(asked[0], 'x-forwarded-host')).toEqual(['edge.example']);
    expect(field(asked[0], 'x-forwarded-proto')).toEqual(['https']);
  });

  it('takes no cookie of ours with it, and nothing that a client says for the edge', async () => {
    const host = await register();
    const asked = await serve(host);
    const headers = choosing(await browser(), host);
    const theirs = {
      ...headers,
      ...SUBRESOURCE,
      Cookie: `${headers.Cookie}; theirs=1`,
      'X-Forwarded-Host': 'evil.example',
      'Direct-Origin': 'https://evil.example',
      'Direct-Grant': '{"subject":"owner"}',
    };
    await call('/app', { headers: theirs });
    expect(field(asked[0], 'cookie')).toEqual(['theirs=1']);
    expect(field(asked[0], 'x-forwarded-host')).toEqual(['edge.example']);
    expect(field(asked[0], 'direct-grant')).toEqual([expect.stringContaining('"session:')]);
    for (const name of ['direct-origin', 'direct-service']) expect(field(asked[0], name)).toEqual([]);
  });

  it('reaches the chosen one of several', async () => {
    const [first, second] = [await register(), await register()];
    await serve(first, 'first');
    await serve(second, 'second');
    const headers = { ...(await browser()), ...NAVIGATION };
    const at = async (host: string) => (await call('/', { headers: choosing(headers, host) })).text();
    expect([await at(first), await at(second)]).toEqual(['first', 'second']);
    // No choice, or one that is no longer good: our page.
    for (const sent of [headers, choosing(headers, 'gone'), choosing(headers, '../x')]) {
      expect(isOurPage(await call('/', { headers: sent }))).toBe(true);
    }
  });

  it('reaches a guest’s only one, and no other’s', async () => {
    const [mine, other] = [await register(), await register()];
    await serve(mine, 'mine');
    await serve(other, 'other');
    const headers = { ...(await browser([mine])), ...NAVIGATION };
    expect(await (await call('/', { headers: choosing(headers, other) })).text()).toBe('mine');
  });

  it('brings the UI its own Authorization, which is nobody’s guess at ours', async () => {
    const host = await register();
    const asked = await serve(host);
    const headers = { ...(await browser()), ...SUBRESOURCE, 'CF-Connecting-IP': '192.0.2.77' };
    for (let n = 0; n < 12; n++) await call('/api/x', { token: 'theirs', headers });
    expect(field(asked[11], 'authorization')).toEqual(['Bearer theirs']);
    const from = { headers: { 'CF-Connecting-IP': '192.0.2.77' } };
    expect((await post('/_direct/api/sign-in', { token: OWNER }, from)).status).toBe(204);
  });

  it('brings what a person has typed for the UI, which browsers then send to our addresses as well', async () => {
    const asked = await serve(await register());
    const headers = { ...(await browser()), Authorization: 'Basic dTpw' };
    for (const rest of [NAVIGATION, SUBRESOURCE, { Origin: ORIGIN }]) {
      expect(await (await call('/app', { headers: { ...headers, ...rest } })).text()).toBe('the UI');
      expect(field(asked.at(-1), 'authorization')).toEqual(['Basic dTpw']);
    }
    expect((await call('/', { headers: { ...headers, ...NAVIGATION } })).status).toBe(200);
    expect((await call('/_direct/api/hosts', { headers: { ...headers, ...SUBRESOURCE } })).status).toBe(200);
    const foreign = { ...headers, Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' };
    expect(await codeOf(await call('/_direct/api/hosts', { headers: foreign }))).toBe('E_ORIGIN');
    // No browser.
    expect(await codeOf(await call('/app', { headers }))).toBe('E_UNAUTHORIZED');
  });

  it('by our client names host and service, and its Authorization is the UI’s as well', async () => {
    const [host, other] = [await register(), await register()];
    await serve(other);
    const asked = await serve(host);
    const named = { 'Direct-Host': host, 'Direct-Service': 'web_ui', 'Upstream-Authorization': 'Bearer theirs' };
    await call('/api/x', { token: 'theirs', headers: { ...(await browser()), ...SUBRESOURCE, ...named } });
    expect(asked[0]).toMatchObject({ service: 'web_ui' });
    expect(field(asked[0], 'authorization')).toEqual(['Bearer theirs']);
  });

  it('may open a WebSocket from a page of its own, and from no other', async () => {
    const host = await register();
    let asked: RequestHead | undefined;
    await TestAgent.connect(host, async (exchange, head) => {
      asked = head;
      await exchange.sendHead({ status: 101, statusText: '', headers: [['direct-web-ui', '{}']] });
    });
    const headers = { ...(await browser()), Upgrade: 'websocket' };
    const response = await call('/socket', { headers: { ...headers, Origin: ORIGIN } });
    expect([response.status, response.headers.get('direct-web-ui')]).toEqual([101, null]);
    expect(asked).toMatchObject({ protocol: 'websocket', service: 'web_ui' });
    response.webSocket?.accept();
    response.webSocket?.close();
    for (const Origin of ['https://evil.example', 'null']) {
      const foreign = await call('/socket', { headers: { ...headers, Origin }, env: { ALLOWED_ORIGINS: '*' } });
      expect([foreign.status, await codeOf(foreign)]).toEqual([403, 'E_ORIGIN']);
    }
  });

  it('may open one at the address that names the host, which one that is not switched on has none at', async () => {
    const [on, off] = [await register(), await register(false)];
    const asked: RequestHead[] = [];
    for (const host of [on, off]) {
      await TestAgent.connect(host, async (exchange, head) => {
        asked.push(head);
        await exchange.sendHead({ status: 101, statusText: '', headers: [] });
        exchange.socket().close(1000);
      });
    }
    const headers = { ...(await browser()), Upgrade: 'websocket', Origin: ORIGIN };
    const open = async (host: string, path: string) => {
      const url = `/_direct/h/${host}/socket?path=${path}&service=web_ui`;
      const { status, webSocket } = await call(url, { headers });
      webSocket?.accept();
      webSocket?.close();
      return status;
    };
    expect([await open(on, '/live'), await open(on, '/'), await open(off, '/live')]).toEqual([101, 101, 403]);
    expect(asked.map(({ path, service }) => [path, service])).toEqual([
      ['/live', 'web_ui'],
      ['/', 'web_ui'],
    ]);
  });

  it.each(['/', '/app'])('to %s costs one call of the account', async (path) => {
    await serve(await register());
    const asked: string[] = [];
    const getByName = () => ({
      identify: (question: Question) => {
        asked.push(question.credential.kind);
        return accountStub().identify(question);
      },
    });
    const env = { ACCOUNTS: { getByName } as unknown as Cloudflare.Env['ACCOUNTS'] };
    const headers = { ...(await browser()), ...NAVIGATION };
    expect(await (await call(path, { headers, env })).text()).toBe('the UI');
    expect(asked).toEqual(['cookie']);
  });

  it('may ask with OPTIONS, as WebDAV does', async () => {
    const host = await register();
    const asked = await serve(host, '', [['dav', '1']]);
    const response = await call('/', { method: 'OPTIONS', headers: { ...(await browser()), ...SUBRESOURCE } });
    expect([asked[0]?.method, response.headers.get('dav')]).toEqual(['OPTIONS', '1']);
  });
});

describe('a host that is offline', () => {
  it('is said on a page in a tab, and in JSON to scripts', async () => {
    await register();
    const typed = await call('/', { headers: { ...(await browser()), ...NAVIGATION } });
    expect([typed.status, typed.headers.get('content-type')]).toEqual([503, 'text/html; charset=utf-8']);
    expect(await typed.text()).toContain('/_direct/chat');
    expect(await codeOf(await call('/app', { headers: { ...(await browser()), ...SUBRESOURCE } }))).toBe(
      'E_HOST_OFFLINE',
    );
  });
});

it('whose browser is not signed in any more, or came by a link from elsewhere, is told so on a page', async () => {
  await register();
  for (const [path, status] of [
    ['/app', 401],
    ['/_direct/api/hosts', 401],
  ] as const) {
    const response = await call(path, { headers: { ...NAVIGATION, 'Sec-Fetch-Site': 'cross-site' } });
    expect([response.status, response.headers.get('content-type')?.includes('html')]).toEqual([
      status,
      path === '/app',
    ]);
  }
});

describe('as before', () => {
  const others: [string, (host: string) => Promise<Call>][] = [
    ['a key', async (host) => ({ token: OWNER, headers: { 'Direct-Host': host } })],
    ['a key without a host', async () => ({ token: OWNER })],
    ['our page', async (host) => ({ headers: { ...(await signedIn()), 'Direct-Host': host } })],
    [
      'our page, as browsers say it',
      async (host) => ({ headers: { ...(await browser()), ...SUBRESOURCE, 'Direct-Host': host } }),
    ],
  ];
  it.each(others)('%s reaches the models', async (_name, options) => {
    const host = await register();
    const asked = await serve(host);
    const response = await call('/v1/models', await options(host));
    expect([asked.length, asked[0]?.service]).toEqual([1, undefined]);
    expect(field(asked[0], 'x-forwarded-host')).toEqual([]);
    expect(response.headers.get('content-security-policy')).toBe('sandbox');
  });

  it('a host whose UI is not switched on has no other effect on browsers', async () => {
    const host = await register(false);
    const asked = await serve(host, '<script>', [
      ['content-type', 'text/html'],
      ['direct-web-ui', '{}'],
      ['referrer-policy', 'unsafe-url'],
    ]);
    const typed = await call('/app', { headers: { ...(await browser()), ...NAVIGATION } });
    expect([typed.status, asked.length]).toEqual([403, 0]);
    expect(await typed.text()).toContain(ERRORS.E_ORIGIN.message);
    const response = await call('/app', { headers: await signedIn() });
    expect(response.headers.get('content-security-policy')).toBe('sandbox');
    expect(response.headers.get('direct-web-ui')).toBeNull();
    expect(response.headers.get('referrer-policy')).toBe('no-referrer');
    expect([await response.text(), asked[0]?.service]).toEqual(['<script>', undefined]);
    expect(isOurPage(await call('/', { headers: { ...(await browser()), ...NAVIGATION } }))).toBe(true);
  });

  it.each([
    ['nobody', {}],
    ['a cookie that is over', asPage('x'.repeat(43))],
    ['a page that names a host', { 'Direct-Host': 'home' }],
  ])('%s gets our page at /', async (_name, headers: Record<string, string>) => {
    await serve(await register());
    const response = await call('/', { headers: { ...NAVIGATION, ...headers } });
    expect(isOurPage(response)).toBe(true);
  });

  it('our pages stay ours', async () => {
    await serve(await register());
    for (const path of ['/_direct/chat', '/_direct/', '/_direct/approve']) {
      const response = await call(path, { headers: { ...(await browser()), ...NAVIGATION } });
      expect(isOurPage(response)).toBe(true);
    }
    const other = await call('/_direct/other', { headers: { ...(await browser()), ...NAVIGATION } });
    expect(await codeOf(other)).toBe('E_NOT_FOUND');
  });
});

describe('refused', () => {
  const foreign: [string, string, Record<string, string>][] = [
    ['an image of a foreign page', 'GET', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }],
    ['a frame of a sibling', 'GET', { ...NAVIGATION, 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Dest': 'iframe' }],
    ['a form of a foreign page', 'POST', { ...NAVIGATION, 'Sec-Fetch-Site': 'cross-site', Origin: 'null' }],
    ['whoever says nothing', 'GET', {}],
  ];
  it.each(foreign)('%s', async (_name, method, headers) => {
    const asked = await serve(await register());
    const response = await call('/app', { method, headers: { ...(await browser()), ...headers } });
    expect([response.status, await codeOf(response), asked.length]).toEqual([403, 'E_ORIGIN', 0]);
  });

  it.each([{ 'Service-Worker': 'script' }, { 'Sec-Fetch-Dest': 'serviceworker' }])(
    'a service worker: %j',
    async (extra) => {
      const asked = await serve(await register(), '', [['content-type', 'text/javascript']]);
      for (const path of ['/', '/sw.js']) {
        const response = await call(path, { headers: { ...(await browser()), ...SUBRESOURCE, ...extra } });
        expect([response.status, await codeOf(response), asked.length]).toEqual([403, 'E_FORBIDDEN', 0]);
      }
    },
  );

  it.each(['', 'models', 'web_ui, web_ui'])('a service that there is not: “%s”', async (service) => {
    await serve(await register());
    const headers = { ...(await browser()), ...SUBRESOURCE, 'Direct-Service': service };
    expect(await codeOf(await call('/app', { headers }))).toBe('E_BAD_REQUEST');
  });

  it('the web UI of a host that has none switched on, also for programs: its models would answer', async () => {
    const [off] = [await register(false), await register()];
    const asked = await serve(off);
    const named = { 'Direct-Host': off, 'Direct-Service': 'web_ui' };
    const callers: Call[] = [{ token: OWNER }, { headers: { ...(await browser()), ...SUBRESOURCE } }];
    for (const { headers, ...options } of callers) {
      for (const path of ['/', '/api/x']) {
        const response = await call(path, { ...options, headers: { ...headers, ...named } });
        expect([response.status, asked.length]).toEqual([403, 0]);
        expect(await response.text()).toContain('switched on');
      }
    }
  });

  it('a guest of another host', async () => {
    const [host, other] = [await register(), await register()];
    const asked = await serve(host);
    const headers = { ...(await browser([other])), ...SUBRESOURCE, 'Direct-Host': host, 'Direct-Service': 'web_ui' };
    const response = await call('/app', { headers });
    expect([response.status, asked.length]).toEqual([403, 0]);
  });

  it('a UI’s Authorization where no UI is switched on, without counting it as a guess', async () => {
    await serve(await register(false));
    const headers = { ...(await browser()), ...SUBRESOURCE, 'CF-Connecting-IP': '192.0.2.78' };
    for (let n = 0; n < 12; n++) {
      expect(await codeOf(await call('/v1/x', { token: 'theirs', headers }))).toBe('E_UNAUTHORIZED');
    }
    expect(
      (await call('/_direct/api/hosts', { token: OWNER, headers: { 'CF-Connecting-IP': '192.0.2.78' } })).status,
    ).toBe(200);
  });

  it('the owner’s token is not even compared there, so that a guest learns nothing', async () => {
    const host = await register();
    const asked = await serve(host);
    await call('/app', { token: OWNER, headers: { ...(await browser([host])), ...SUBRESOURCE } });
    expect(field(asked[0], 'direct-grant')).toEqual([expect.stringContaining('"subject":"invitation:invited"')]);
  });
});

describe('the choice', () => {
  const choose = async (host: unknown, headers?: Record<string, string>) =>
    post('/_direct/api/ui/host', { host }, { headers: headers ?? (await signedIn()) });

  it('is kept in a cookie that no script reads and no host sees', async () => {
    const host = await register();
    const response = await choose(host);
    expect([response.status, response.headers.get('set-cookie')]).toEqual([
      204,
      `direct_host=${host}; Max-Age=31536000; Path=/; HttpOnly; Secure; SameSite=Strict`,
    ]);
    expect((await choose(null)).headers.get('set-cookie')).toContain('direct_host=; Max-Age=0');
  });

  it('is one of the caller’s hosts whose UI is switched on', async () => {
    const [on, off] = [await register(), await register(false)];
    for (const host of [off, 'gone']) expect(await codeOf(await choose(host))).toBe('E_NOT_FOUND');
    expect(await codeOf(await choose(on, await signedIn([off])))).toBe('E_NOT_FOUND');
    expect(await codeOf(await choose(7))).toBe('E_BAD_REQUEST');
  });

  it('is none that a host can make', async () => {
    const host = await register();
    await serve(host, '', [
      ['set-cookie', 'direct_host=other'],
      ['set-cookie', 'theirs=1; Path=/'],
    ]);
    const response = await call('/app', { headers: { ...(await browser()), ...NAVIGATION } });
    expect(response.headers.getSetCookie()).toEqual(['theirs=1; Path=/']);
  });
});
