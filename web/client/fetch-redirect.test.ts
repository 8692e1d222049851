import { describe, expect, test } from 'vitest';
import { settle } from '../../shared/test-clock.ts';
import { type Answer, ORIGIN, readAll, reply, testHost } from './test-host.ts';

/** Redirects from /v1/from, says everywhere else what came. */
function redirecting(status: number, location?: string): Answer {
  return async (exchange, { method, path, headers }) => {
    const body = new TextDecoder().decode(await readAll(exchange));
    if (path === '/v1/from') {
      return reply(exchange, status, location === undefined ? [] : [['location', location]], 'moved');
    }
    const type = headers.find(([name]) => name === 'content-type')?.[1];
    return reply(exchange, 200, [], JSON.stringify({ method, path, body, type }));
  };
}

describe('redirects', () => {
  test.each([
    [301, 'GET', 'GET', ''],
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [302, 'PUT', 'PUT', 'text'],
    [303, 'PUT', 'GET', ''],
    [307, 'POST', 'POST', 'text'],
    [308, 'PATCH', 'PATCH', 'text'],
  ])('%i of a %s becomes a %s', async (status, method, becomes, body) => {
    const { fetch } = testHost(redirecting(status, 'to?a=1'));
    const response = await fetch('/v1/from', { method, ...(method === 'GET' ? {} : { body: 'text' }) });
    expect(await response.json()).toEqual({
      method: becomes,
      path: '/v1/to?a=1',
      body,
      ...(body === '' ? {} : { type: 'text/plain;charset=UTF-8' }),
    });
    expect([response.url, response.redirected]).toEqual([`${ORIGIN}/v1/to?a=1`, true]);
  });

  test('303 of a HEAD stays HEAD', async () => {
    const { fetch, heads } = testHost(redirecting(303, '/v1/to'));
    await fetch('/v1/from', { method: 'HEAD' });
    expect(heads.map(({ method }) => method)).toEqual(['HEAD', 'HEAD']);
  });

  test('without Location it is an ordinary response', async () => {
    const { fetch } = testHost(redirecting(302));
    const response = await fetch('/v1/from');
    expect([response.status, response.redirected, await response.text()]).toEqual([302, false, 'moved']);
  });

  test('no stream stays open for the responses on the way', async () => {
    const { fetch, client } = testHost(redirecting(302, '/v1/to'));
    await (await fetch('/v1/from')).text();
    await settle();
    expect(client.streamCount).toBe(0);
  });

  test.each([
    ['a loop', '/v1/from'],
    ['an invalid URL', 'https://a b'],
    ['the edge’s own addresses', '/_direct/api/hosts'],
    ['another scheme', 'file:///etc/passwd'],
  ])('%s is a TypeError', async (_, location) => {
    const { fetch, heads } = testHost(redirecting(302, location));
    await expect(fetch('/v1/from')).rejects.toThrow(TypeError);
    expect(heads.length).toBe(location === '/v1/from' ? 21 : 1);
  });

  test('a stream cannot be sent twice, so 307 is a TypeError', async () => {
    const { fetch, heads } = testHost(redirecting(307, '/v1/to'));
    const body = new Blob(['text']).stream();
    await expect(fetch('/v1/from', { method: 'POST', body, duplex: 'half' } as RequestInit)).rejects.toThrow(TypeError);
    expect(heads).toHaveLength(1);
  });

  test('to another origin: the platform goes there, without Authorization and without our token', async () => {
    const { fetch, heads, https } = testHost(redirecting(307, 'https://other.example/x'));
    const headers = { Authorization: 'Bearer upstream-key', 'X-A': '1' };
    const response = await fetch('/v1/from', { method: 'POST', body: 'text', headers });
    expect([response.redirected, await response.text()]).toEqual([true, 'over https']);
    expect(heads).toHaveLength(1);
    const [request] = https;
    expect([request?.method, request?.url, await request?.text()]).toEqual(['POST', 'https://other.example/x', 'text']);
    expect(request?.headers.get('authorization')).toBeNull();
    expect(request?.headers.get('x-a')).toBe('1');
  });

  test('redirect “error” rejects', async () => {
    const { fetch } = testHost(redirecting(302, '/v1/to'));
    await expect(fetch('/v1/from', { redirect: 'error' })).rejects.toThrow(TypeError);
  });

  test('redirect “manual” shows a page no more than that there was one', async () => {
    const { fetch, heads } = testHost(redirecting(302, '/v1/to'));
    const response = await fetch('/v1/from', { redirect: 'manual' });
    expect([response.type, response.status, response.url]).toEqual(['opaqueredirect', 0, `${ORIGIN}/v1/from`]);
    expect([...response.headers]).toEqual([]);
    expect(heads).toHaveLength(1);
  });

  test('redirect “manual” shows a program the redirect', async () => {
    const { fetch } = testHost(redirecting(302, '/v1/to'), { browser: false });
    const response = await fetch('/v1/from', { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, '/v1/to']);
  });
});
