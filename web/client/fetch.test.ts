import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { settle } from '../../shared/test-clock.ts';
import { type Answer, failure, ORIGIN, readAll, reply, testHost } from './test-host.ts';

const echo: Answer = async (exchange, head) => {
  const body = await readAll(exchange);
  const type = head.headers.find(([name]) => name === 'content-type')?.[1] ?? 'none';
  await reply(exchange, 200, [['content-type', type]], body);
};

/** Deterministic bytes with every value in them. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8)) & 255;
  return bytes;
}

/** A full collection, which Node offers to its own flag only. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

function field(headers: readonly [string, string][] | undefined, name: string): string | undefined {
  return headers?.find(([key]) => key === name)?.[1];
}

describe('request bodies', () => {
  const text = 'grüße \u{1F642}';
  const bytes = new TextEncoder().encode(text);
  test.each<[string, () => [RequestInfo, RequestInit?], string | undefined]>([
    ['a string', () => ['/v1/x', { body: text }], 'text/plain;charset=UTF-8'],
    ['an ArrayBuffer', () => ['/v1/x', { body: bytes.buffer }], undefined],
    ['a view', () => ['/v1/x', { body: new Uint8Array([0, ...bytes, 0]).subarray(1, 1 + bytes.length) }], undefined],
    ['a Blob', () => ['/v1/x', { body: new Blob([bytes], { type: 'a/b' }) }], 'a/b'],
    ['a Request', () => [new Request(`${ORIGIN}/v1/x`, { method: 'POST', body: text })], 'text/plain;charset=UTF-8'],
  ])('%s arrives whole, with its length and type', async (_, make, type) => {
    const { fetch, heads } = testHost(echo);
    const [input, init] = make();
    const response = await fetch(input, init === undefined ? init : { method: 'POST', ...init });
    expect(await response.text()).toBe(text);
    expect(field(heads[0]?.headers, 'content-type')).toBe(type);
    expect(field(heads[0]?.headers, 'content-length')).toBe(String(bytes.length));
  });

  test('URLSearchParams arrive encoded', async () => {
    const { fetch, heads } = testHost(echo);
    const response = await fetch('/v1/x', { method: 'POST', body: new URLSearchParams({ a: 'b c', d: 'é' }) });
    expect(await response.text()).toBe('a=b+c&d=%C3%A9');
    expect(field(heads[0]?.headers, 'content-type')).toBe('application/x-www-form-urlencoded;charset=UTF-8');
  });

  test('FormData arrives with files and with its boundary', async () => {
    const { fetch, heads } = testHost(echo);
    const form = new FormData();
    form.set('model', 'whisper');
    form.set('file', new File([noise(70_000)], 'a b.wav', { type: 'audio/wav' }));
    const back = await (await fetch('/v1/audio', { method: 'POST', body: form })).formData();
    expect(back.get('model')).toBe('whisper');
    const file = back.get('file') as File;
    expect([file.name, file.type]).toEqual(['a b.wav', 'audio/wav']);
    expect(new Uint8Array(await file.arrayBuffer())).toEqual(noise(70_000));
    expect(Number(field(heads[0]?.headers, 'content-length'))).toBeGreaterThan(70_000);
  });

  test.each<[string, (body: ReadableStream) => [RequestInfo, RequestInit?]]>([
    ['init', (body) => ['/v1/x', { method: 'POST', body, duplex: 'half' } as RequestInit]],
    ['a Request', (body) => [new Request(`${ORIGIN}/v1/x`, { method: 'POST', body, duplex: 'half' } as RequestInit)]],
  ])('a stream in %s is sent while it is made, without a length', async (_, make) => {
    const arrived: number[] = [];
    const first = Promise.withResolvers<void>();
    const { fetch, heads } = testHost(async (exchange) => {
      for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) {
        arrived.push(part.length);
        first.resolve();
      }
      await reply(exchange, 200);
    });
    const { readable, writable } = new TransformStream<Uint8Array>();
    const writer = writable.getWriter();
    const response = fetch(...make(readable));
    const reused = new Uint8Array([1, 2, 3]);
    void writer.write(reused);
    await first.promise;
    expect(arrived).toEqual([3]);
    // The owner of a stream may use its buffer again.
    reused.fill(0);
    void writer.write(new Uint8Array(5));
    void writer.close();
    expect((await response).status).toBe(200);
    expect(arrived).toEqual([3, 5]);
    expect(field(heads[0]?.headers, 'content-length')).toBeUndefined();
  });

  test('a failing stream fails the request, and the host sees no complete body', async () => {
    let complete = false;
    const { fetch } = testHost(async (exchange) => {
      await readAll(exchange);
      complete = true;
    });
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(10));
        controller.error(new RangeError('disk gone'));
      },
    });
    const { error } = await failure(fetch('/v1/x', { method: 'POST', body, duplex: 'half' } as RequestInit));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.cause).toBeInstanceOf(RangeError);
    await settle();
    expect(complete).toBe(false);
  });

  test('chunks that are not bytes are refused', async () => {
    const { fetch } = testHost(echo);
    const body = new ReadableStream({ start: (controller) => controller.enqueue('text') });
    const { error } = await failure(fetch('/v1/x', { method: 'POST', body, duplex: 'half' } as RequestInit));
    expect(error).toBeInstanceOf(TypeError);
  });

  test('an early refusal is delivered, and the upload stops', async () => {
    let cancelled: unknown;
    const { fetch } = testHost(async (exchange) => {
      await exchange.readData();
      await reply(exchange, 413, [], 'too much');
      exchange.stream.stop('E_BODY_TOO_LARGE');
    });
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
      cancel: (reason) => {
        cancelled = reason;
      },
    });
    const response = await fetch('/v1/x', { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect([response.status, await response.text()]).toEqual([413, 'too much']);
    await settle();
    expect(cancelled).toMatchObject({ code: 'E_BODY_TOO_LARGE' });
  });

  test('no body: GET says nothing about it, POST says length 0', async () => {
    const { fetch, heads } = testHost(echo);
    await (await fetch('/v1/x')).text();
    await (await fetch('/v1/x', { method: 'POST' })).text();
    expect(heads.map(({ headers }) => field(headers, 'content-length'))).toEqual([undefined, '0']);
  });

  test('3 MB go there and back byte for byte', async () => {
    const { fetch } = testHost(echo);
    const sent = noise(3_000_000);
    const response = await fetch('/v1/x', { method: 'POST', body: sent });
    expect(Buffer.from(await response.arrayBuffer()).equals(Buffer.from(sent))).toBe(true);
  });
});

describe('requests', () => {
  test('path, query and fields arrive; Accept is added, Host is not', async () => {
    const { fetch, heads } = testHost(echo);
    const headers = new Headers([
      ['X-A', '1'],
      ['x-a', '2'],
      ['Authorization', 'Bearer upstream-key'],
      ['Host', 'elsewhere'],
    ]);
    await (await fetch('/v1/mod%20els?q=a%2Fb&r=..#fragment', { headers })).text();
    expect(heads[0]).toEqual({
      method: 'GET',
      path: '/v1/mod%20els?q=a%2Fb&r=..',
      headers: [
        ['authorization', 'Bearer upstream-key'],
        ['x-a', '1, 2'],
        ['accept', '*/*'],
      ],
    });
  });

  test.each<[string, Parameters<ReturnType<typeof testHost>['fetch']>]>([
    ['an invalid URL', ['http://']],
    ['a URL with credentials', ['https://a:b@edge.example/v1/x']],
    ['a forbidden method', ['/v1/x', { method: 'CONNECT' }]],
    ['a method that is no token', ['/v1/x', { method: 'A B' }]],
    ['GET with a body', ['/v1/x', { body: 'x' }]],
    ['a header name that is no token', ['/v1/x', { headers: { 'a b': '1' } }]],
    ['a header value with a line break', ['/v1/x', { headers: { a: '1\r\nb: 2' } }]],
  ])('%s is a TypeError, and nothing is sent', async (_, args) => {
    const { fetch, heads, https } = testHost(echo);
    await expect(fetch(...args)).rejects.toThrow(TypeError);
    await settle();
    expect([heads, https]).toEqual([[], []]);
  });

  test('of a page that the edge knows by its cookie keep its own Authorization for the upstream', async () => {
    const host = testHost(async () => {}, { token: undefined, cookie: true, route: async () => undefined });
    await host.fetch('/v1/x', { headers: { authorization: 'Bearer upstream' } });
    const headers = new Map(host.https[0]?.headers);
    expect([headers.get('authorization'), headers.get('upstream-authorization')]).toEqual([
      undefined,
      'Bearer upstream',
    ]);
  });

  test('a Request whose body was used is a TypeError', async () => {
    const { fetch, heads } = testHost(echo);
    const request = new Request(`${ORIGIN}/v1/x`, { method: 'POST', body: 'once' });
    expect(await (await fetch(request)).text()).toBe('once');
    await expect(fetch(request)).rejects.toThrow(TypeError);
    expect(heads).toHaveLength(1);
  });

  test('a head over the limit is a TypeError with its code', async () => {
    const { fetch, heads } = testHost(echo);
    const { error, code } = await failure(fetch('/v1/x', { headers: { a: 'x'.repeat(70_000) } }));
    expect(error).toBeInstanceOf(TypeError);
    expect(code).toBe('E_HEAD_TOO_LARGE');
    expect(heads).toEqual([]);
  });

  test.each<[string, string, RequestInit?]>([
    ['another origin', 'https://other.example/v1/x'],
    ['another port', 'https://edge.example:444/v1/x'],
    ['http instead of https', 'http://edge.example/v1/x'],
    ['the edge’s own addresses', '/_direct/h/home/session'],
    ['a blob of this origin', 'blob:https://edge.example/0b5a8f8e-0000-4000-8000-000000000000'],
    ['subresource integrity', '/v1/x', { integrity: 'sha256-x' }],
    ['a request that outlives the page', '/v1/x', { keepalive: true }],
  ])('%s is left to the platform', async (_, url, init) => {
    const { fetch, heads, https } = testHost(echo);
    expect(await (await fetch(url, init)).text()).toBe('over https');
    expect(heads).toEqual([]);
    expect(https.map((request) => request.url)).toEqual([new URL(url, ORIGIN).href]);
  });
});

describe('responses', () => {
  test('have status, fields, URL and type, and so have their clones', async () => {
    const { fetch } = testHost(async (exchange) => {
      await exchange.sendHead({
        status: 418,
        statusText: 'Teapot',
        headers: [
          ['x-a', '1'],
          ['x-a', '2'],
          ['set-cookie', 'a=1'],
        ],
      });
      await exchange.sendData(new Uint8Array([104, 105]));
      exchange.finish();
    });
    const response = await fetch('/v1/x?y#z');
    for (const one of [response, response.clone()]) {
      expect(one).toBeInstanceOf(Response);
      expect([one.status, one.statusText, one.ok]).toEqual([418, 'Teapot', false]);
      expect([one.url, one.redirected, one.type]).toEqual([`${ORIGIN}/v1/x?y`, false, 'basic']);
      expect([...one.headers]).toEqual([['x-a', '1, 2']]);
      expect(await one.text()).toBe('hi');
    }
  });

  test('show programs outside of browsers their cookies', async () => {
    const cookies: Answer = (exchange) =>
      reply(exchange, 200, [
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ]);
    const response = await testHost(cookies, { browser: false }).fetch('/v1/x');
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  });

  test('lose fields that the decoding has made wrong', async () => {
    const { fetch } = testHost((exchange) =>
      reply(
        exchange,
        200,
        [
          ['content-encoding', 'gzip'],
          ['content-length', '3'],
          ['etag', '"1"'],
        ],
        'decoded',
      ),
    );
    const response = await fetch('/v1/x');
    expect([...response.headers]).toEqual([['etag', '"1"']]);
    expect(await response.text()).toBe('decoded');
  });

  test.each([
    ['GET', 204],
    ['GET', 205],
    ['GET', 304],
    ['HEAD', 200],
  ])('to %s with %i have no body, and leave no stream behind', async (method, status) => {
    const { fetch, client } = testHost(async (exchange) => {
      await readAll(exchange);
      await reply(exchange, status, [['content-length', '7']]);
    });
    const response = await fetch('/v1/x', { method });
    expect([response.status, response.body]).toEqual([status, null]);
    expect(response.headers.get('content-length')).toBe('7');
    await settle();
    expect(client.streamCount).toBe(0);
  });

  test('stream: a piece is there before the next one is sent', async () => {
    const next = Promise.withResolvers<void>();
    const { fetch } = testHost(async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await exchange.sendData(new Uint8Array([1]));
      await next.promise;
      await exchange.sendData(new Uint8Array([2]));
      exchange.finish();
    });
    const reader = (await fetch('/v1/x')).body?.getReader();
    expect((await reader?.read())?.value).toEqual(new Uint8Array([1]));
    next.resolve();
    expect((await reader?.read())?.value).toEqual(new Uint8Array([2]));
    expect((await reader?.read())?.done).toBe(true);
  });

  test('whoever transfers a piece does no harm to other streams', async () => {
    const { fetch } = testHost(async (exchange, { path }) => {
      await reply(exchange, 200, [], path.repeat(20));
    });
    const [one, two] = await Promise.all([fetch('/v1/one'), fetch('/v1/two')]);
    const piece = (await one.body?.getReader().read())?.value;
    structuredClone(piece, { transfer: [piece?.buffer as ArrayBuffer] });
    expect(await two.text()).toBe('/v1/two'.repeat(20));
  });

  test('that nobody reads stop the host at the credit', async () => {
    let sent = 0;
    const { fetch, client } = testHost(async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      for (; sent < 100; sent++) await exchange.sendData(new Uint8Array(64 * 1024));
    });
    const response = await fetch('/v1/x');
    await settle();
    await settle();
    // 1 MiB of credit, the read-ahead, and what a writer may queue.
    expect(sent * 64 * 1024).toBeLessThan(1_500_000);
    expect(client.heldBytes).toBeLessThanOrEqual(1024 * 1024);
    await response.body?.cancel();
    await settle();
    expect(client.streamCount).toBe(0);
  });

  test('that nobody can read any more are given up', async () => {
    const { fetch, client } = testHost((exchange) => reply(exchange, 200, [], noise(500_000)));
    await fetch('/v1/x');
    expect(client.streamCount).toBe(1);
    const deadline = Date.now() + 5_000;
    while (client.streamCount > 0 && Date.now() < deadline) {
      collectGarbage();
      await settle();
    }
    expect(client.streamCount).toBe(0);
  });

  test('that somebody still reads are not', async () => {
    const { fetch } = testHost((exchange) => reply(exchange, 200, [], noise(500_000)));
    const body = (await fetch('/v1/x')).arrayBuffer();
    for (let i = 0; i < 5; i++) collectGarbage();
    expect((await body).byteLength).toBe(500_000);
  });

  test('small ones end even if nobody reads them', async () => {
    const { fetch, client } = testHost((exchange) => reply(exchange, 200, [], 'x'.repeat(10_000)));
    await fetch('/v1/x');
    await settle();
    expect(client.streamCount).toBe(0);
  });

  test('a stream that the host resets before the head is a TypeError with its code', async () => {
    const { fetch, https } = testHost(async (exchange) => exchange.abort('E_UPSTREAM_UNREACHABLE'));
    const { error, code } = await failure(fetch('/v1/x'));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain('The host could not reach its LLM server.');
    expect(code).toBe('E_UPSTREAM_UNREACHABLE');
    expect(https).toEqual([]);
  });

  test('a stream that the host resets in mid-body errors the body with its code', async () => {
    const { fetch } = testHost(async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await exchange.sendData(new Uint8Array(3));
      await settle();
      exchange.abort('E_UPSTREAM_FAILED');
    });
    const response = await fetch('/v1/x');
    expect((await failure(response.text())).code).toBe('E_UPSTREAM_FAILED');
  });

  test('a malformed head is a TypeError, and the session lives', async () => {
    let broken = true;
    const { fetch, client } = testHost(async (exchange) => {
      if (!broken) return reply(exchange, 200, [], 'fine');
      broken = false;
      await exchange.stream.write(new Uint8Array([1, 2, 123, 125]));
    });
    expect((await failure(fetch('/v1/x'))).code).toBe('E_PROTOCOL');
    expect(client.error).toBeUndefined();
    expect(await (await fetch('/v1/x')).text()).toBe('fine');
  });
});
