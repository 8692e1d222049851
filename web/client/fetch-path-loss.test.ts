import { describe, expect, test } from 'vitest';
import { DirectError } from '../../shared/errors.ts';
import type { Path } from '../../shared/path.ts';
import { settle } from '../../shared/test-clock.ts';
import { type Answer, failure, ORIGIN, readAll, reply, testHost } from './test-host.ts';

const silent: Answer = () => new Promise(() => {});
const echo: Answer = async (exchange) => reply(exchange, 200, [], await readAll(exchange));

/** A path that takes nothing, as one does whose network has gone without a word. */
function blocked(path: Path): Path {
  return {
    maxMessageBytes: path.maxMessageBytes,
    capacity: () => 0,
    send: () => {},
    close: () => path.close(),
    start: (events) => path.start(events),
  };
}

describe('without a path', () => {
  test('requests go over HTTPS, with the host’s id and the token for the edge', async () => {
    const { fetch, https } = testHost(silent, { route: async () => undefined });
    const response = await fetch('/v1/x', { method: 'POST', body: 'text' });
    expect(await response.text()).toBe('over https');
    const [request] = https;
    expect([request?.method, request?.url, await request?.text()]).toEqual(['POST', `${ORIGIN}/v1/x`, 'text']);
    expect(request?.headers.get('authorization')).toBe('Bearer edge-token');
    expect(request?.headers.get('direct-host')).toBe('box');
  });

  test('a request’s own Authorization goes on to the upstream', async () => {
    const { fetch, https } = testHost(silent, { route: async () => undefined });
    await fetch('/v1/x', { headers: { Authorization: 'Bearer mine' } });
    expect(https[0]?.headers.get('authorization')).toBe('Bearer edge-token');
    expect(https[0]?.headers.get('upstream-authorization')).toBe('Bearer mine');
  });

  test('the token goes to the edge only, not to the origin whose requests the host answers', async () => {
    const { fetch, https } = testHost(silent, { route: async () => undefined, edgeOrigin: 'https://signal.example' });
    await fetch('/v1/x');
    await fetch('https://other.example/v1/x');
    expect(https.map(({ headers }) => headers.get('authorization'))).toEqual([null, null]);
    expect(https.map(({ headers }) => headers.get('direct-host'))).toEqual([null, null]);
  });

  test('the signal aborts them', async () => {
    const { fetch } = testHost(silent, {
      route: async () => undefined,
      overHttps: (request) =>
        new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => reject(request.signal.reason));
        }),
    });
    const controller = new AbortController();
    const promise = fetch('/v1/x', { signal: controller.signal });
    await settle();
    controller.abort('reason');
    await expect(promise).rejects.toBe('reason');
  });
});

describe('when the path is lost', () => {
  test('before the request began, it goes over HTTPS', async () => {
    const { fetch, https, cut } = testHost(silent);
    cut();
    expect(await (await fetch('/v1/x', { method: 'POST', body: 'text' })).text()).toBe('over https');
    expect(await https[0]?.text()).toBe('text');
  });

  test.each([
    ['text', () => 'text', 'text'],
    ['a Blob', () => new Blob(['text']), 'text'],
    ['nothing', () => null, ''],
  ])('before a byte was sent, a POST of %s goes over HTTPS once', async (_, body, expected) => {
    const { fetch, https, heads, cut } = testHost(silent, { wrap: blocked });
    const promise = fetch('/v1/x', { method: 'POST', body: body() });
    await settle();
    cut();
    expect(await (await promise).text()).toBe('over https');
    expect([https.length, await https[0]?.text(), heads.length]).toEqual([1, expected, 0]);
  });

  test('before a byte was sent, a stream that was begun fails and says that it may be sent again', async () => {
    const { fetch, https, cut } = testHost(silent, { wrap: blocked });
    const body = new Blob(['text']).stream();
    const promise = fetch('/v1/x', { method: 'POST', body, duplex: 'half' } as RequestInit);
    await settle();
    cut();
    expect((await failure(promise)).code).toBe('E_PATH_LOST');
    expect(https).toEqual([]);
  });

  test.each(['GET', 'HEAD', 'OPTIONS'])('before the head, %s is repeated over HTTPS', async (method) => {
    const { fetch, https, heads, cut } = testHost(silent);
    const promise = fetch('/v1/x?a=1', { method, headers: { 'x-a': '1' } });
    await settle();
    expect(heads).toHaveLength(1);
    cut();
    await promise;
    expect(https.map((request) => [request.method, request.url, request.headers.get('x-a')])).toEqual([
      [method, `${ORIGIN}/v1/x?a=1`, '1'],
    ]);
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])(
    'before the head, %s is not: its outcome is unknown',
    async (method) => {
      const { fetch, https, heads, cut } = testHost(silent);
      const promise = failure(fetch('/v1/x', { method, body: 'text' }));
      await settle();
      expect(heads).toHaveLength(1);
      cut();
      const { error, code } = await promise;
      expect(error).toBeInstanceOf(TypeError);
      expect(code).toBe('E_OUTCOME_UNKNOWN');
      expect(error.cause).toMatchObject({ cause: { code: 'E_PATH_LOST' } });
      expect(https).toEqual([]);
    },
  );

  test.each([
    ['POST', 'E_OUTCOME_UNKNOWN'],
    ['GET', 'E_DEVICE_UNKNOWN'],
  ])(
    'because this device was removed while a %s runs, it fails with %s and goes no other way',
    async (method, code) => {
      let removed: DirectError | undefined;
      const host = testHost(silent, {
        route: async () => (removed === undefined ? host.client : undefined),
        noTunnel: async () => removed,
      });
      const promise = failure(host.fetch('/v1/x', method === 'POST' ? { method, body: 'text' } : { method }));
      await settle();
      expect(host.heads).toHaveLength(1);
      removed = new DirectError('E_DEVICE_UNKNOWN');
      host.agent.close('E_DEVICE_UNKNOWN');
      expect((await promise).code).toBe(code);
      expect(host.https).toEqual([]);
    },
  );

  test('in mid-body, the body errors and nothing is repeated', async () => {
    const { fetch, https, cut } = testHost(async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await exchange.sendData(new Uint8Array(5));
    });
    const response = await fetch('/v1/x');
    const reader = response.body?.getReader();
    await reader?.read();
    const next = failure(reader?.read() ?? Promise.resolve());
    cut();
    const { error, code } = await next;
    expect(error).toBeInstanceOf(TypeError);
    expect(code).toBe('E_PATH_LOST');
    expect(https).toEqual([]);
  });

  test('after a redirect, the repeated request goes where the redirect led', async () => {
    const { fetch, https, cut } = testHost(async (exchange, { path }) => {
      if (path === '/v1/from') await reply(exchange, 302, [['location', '/v1/to']]);
    });
    const promise = fetch('/v1/from');
    await settle();
    cut();
    expect((await promise).redirected).toBe(true);
    expect(https.map(({ url }) => url)).toEqual([`${ORIGIN}/v1/to`]);
  });

  test('by the client’s own close, nothing goes over HTTPS', async () => {
    const { fetch, https, client } = testHost(silent);
    const promise = failure(fetch('/v1/x'));
    await settle();
    client.close('E_CANCELLED');
    expect((await promise).code).toBe('E_CANCELLED');
    expect(https).toEqual([]);
  });

  test('by an agent that goes away, it is the same', async () => {
    const { fetch, https, agent } = testHost(silent);
    const post = failure(fetch('/v1/x', { method: 'POST', body: 'text' }));
    const get = fetch('/v1/x');
    await settle();
    agent.close('E_GOING_AWAY');
    expect((await post).error.cause).toMatchObject({ code: 'E_HOST_RESTARTED', cause: { code: 'E_GOING_AWAY' } });
    expect((await get).status).toBe(200);
    expect(https).toHaveLength(1);
  });
});

describe('the log', () => {
  test('shows requests, and no query, field or body', async () => {
    const { fetch, log } = testHost(echo);
    const headers = { Authorization: 'Bearer secret-field', 'X-Secret': 'secret-field' };
    await (await fetch('/v1/x?key=secret-query', { method: 'POST', body: 'secret-prompt', headers })).text();
    expect(log).toEqual([
      expect.stringMatching(/^\[webrtc\] \+\d+ms → POST \/v1\/x \(13b\)$/),
      expect.stringMatching(/^\[webrtc\] \+\d+ms ← 200 13b POST \/v1\/x, \d+ms$/),
    ]);
  });

  test('shows the same of requests over HTTPS', async () => {
    const { fetch, log } = testHost(echo, { route: async () => undefined });
    await fetch('/v1/x?key=secret-query', { method: 'POST', body: 'secret-prompt' });
    expect(log).toEqual([
      expect.stringMatching(/^\[webrtc\] \+\d+ms → POST \/v1\/x over HTTPS$/),
      expect.stringMatching(/^\[webrtc\] \+\d+ms ← 200 POST \/v1\/x over HTTPS, \d+ms$/),
    ]);
  });
});
