import { expect, it } from 'vitest';
import type { RequestHead } from '../shared/head.ts';
import { TestAgent } from './test-agent.ts';
import { base, type Call, call, codeOf, newHost, OWNER, signedIn } from './test-edge.ts';

const ask = (host: string, path: string, options: Call = {}) =>
  call(`${base(host)}/socket?path=${encodeURIComponent(path)}`, {
    ...options,
    headers: { Upgrade: 'websocket', ...options.headers },
  });

it('reaches the host that the address names, with the page’s cookie', async () => {
  const [host, other] = [newHost(), newHost()];
  const heads: RequestHead[] = [];
  for (const each of [host, other]) {
    await TestAgent.connect(each, async (exchange, head) => {
      heads.push(head);
      await exchange.sendHead({ status: 101, statusText: '', headers: [] });
      exchange.socket().close(4000, each);
    });
  }
  for (const each of [other, host]) {
    const { webSocket, status } = await ask(each, '/v1/realtime?model=a', { headers: await signedIn() });
    expect(status).toBe(101);
    const closed = new Promise<string>((resolve) =>
      webSocket?.addEventListener('close', ({ reason }) => resolve(reason)),
    );
    webSocket?.accept();
    expect(await closed).toBe(each);
  }
  expect(heads.map(({ path, protocol }) => [path, protocol])).toEqual([
    ['/v1/realtime?model=a', 'websocket'],
    ['/v1/realtime?model=a', 'websocket'],
  ]);
});

it.each([
  '',
  'v1\\..\\..',
  '//elsewhere.example/v1',
  'https://elsewhere.example/v1',
  '/_direct/api/hosts',
  '/%5fdirect/api/hosts',
  '/v1/../_direct/h/home/relay',
])('“%s” is no path of a host', async (path) => {
  const response = await ask(newHost(), path, { token: OWNER });
  expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
});

it('refuses a service that is none, whatever it is called', async () => {
  for (const service of ['models', 'a\nb', 'ü']) {
    const path = `/v1/x&service=${encodeURIComponent(service)}`;
    const response = await call(`${base(newHost())}/socket?path=${path}`, {
      token: OWNER,
      headers: { Upgrade: 'websocket' },
    });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  }
});

it('is for WebSockets, and for who may use the host', async () => {
  const host = newHost();
  expect((await call(`${base(host)}/socket?path=/v1/x`, { token: OWNER })).status).toBe(400);
  expect((await ask(host, '/v1/x', {})).status).toBe(401);
  const foreign = { headers: { ...(await signedIn()), Origin: 'https://evil.example' } };
  expect((await ask(host, '/v1/x', foreign)).status).toBe(403);
});
