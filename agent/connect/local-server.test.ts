import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { DirectError } from '../../shared/errors.ts';
import type { LocalRequest } from './host-client.ts';
import { type Answer, ask, listen, open, PATIENCE, standstill } from './test-local-server.ts';

const networkError = (error: DirectError) => new TypeError('fetch failed', { cause: error });

/** With a target that no URL can have. */
const askFor = (base: string, path: string, method = 'GET') => {
  const { hostname, port } = new URL(base);
  return ask('http://x', { hostname, port, path, method, headers: { host: 'localhost' } });
};

test('the request comes with what the program said, without what was for this port', async () => {
  const seen: LocalRequest[] = [];
  const base = await listen((request) => {
    seen.push(request);
    return new Response('ok');
  });
  const headers = {
    authorization: 'Bearer invented',
    'upstream-authorization': 'Bearer real',
    'accept-encoding': 'gzip',
    connection: 'keep-alive, x-hop',
    'x-hop': '1',
    'direct-host': 'other',
    'direct-service': 'web_ui',
    cookie: 'a=1',
    'x-own': 'yes',
  };
  await ask(`${base}/v1/a/../b%20c?q=1#x`, { method: 'POST', headers }, 'body');
  const [request] = seen;
  expect([request?.method, request?.target]).toEqual(['POST', '/v1/b%20c?q=1']);
  expect(Object.fromEntries(request?.headers ?? [])).toEqual({
    authorization: 'Bearer real',
    cookie: 'a=1',
    'x-own': 'yes',
    'content-length': '4',
  });
  expect(Buffer.from(request?.body as Uint8Array).toString()).toBe('body');
});

test.each([
  '/_direct/api/hosts',
  '/v1/../_direct/',
  '//_direct/x',
  '/%5fdirect/',
  '/v1/..%2f_direct/api',
  '/v1\\..\\_direct/',
])('the edge’s own addresses are out of reach: %s', async (path) => {
  const base = await listen(() => new Response('no'));
  const answer = await askFor(base, path);
  expect([answer.statusCode, JSON.parse(answer.text).error.code]).toEqual([403, 'E_FORBIDDEN_TARGET']);
});

test('every response says that this port is no LLM server, so that an agent on the same machine does not serve it', async () => {
  const base = await listen(() => new Response('ok', { headers: { 'x-own': 'yes' } }));
  for (const path of ['/v1/models', '/_direct/']) {
    expect((await askFor(base, path)).headers['direct-connect']).toBe('1');
  }
});

test.each(['http://evil.example/v1', '*', '/v1/%zz'])('no target: %s', async (path) => {
  const base = await listen(() => new Response('no'));
  const answer = await askFor(base, path, path === '*' ? 'OPTIONS' : 'GET');
  expect([answer.statusCode, JSON.parse(answer.text).error.code]).toEqual([400, 'E_BAD_TARGET']);
});

test('two slashes are a path and no other server; a longer target than the agent takes is refused', async () => {
  const base = await listen(({ target }) => new Response(target));
  expect((await askFor(base, '//evil.example:99999/')).text).toBe('//evil.example:99999/');
  expect((await ask(`${base}/${'a'.repeat(9000)}`)).statusCode).toBe(400);
});

test('the response comes as it is, without what was of its connection', async () => {
  const base = await listen(
    () =>
      new Response('decoded', {
        status: 201,
        statusText: 'Made',
        headers: [
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
          ['content-encoding', 'gzip'],
          ['content-length', '3'],
          ['transfer-encoding', 'chunked'],
          ['alt-svc', 'h3=":443"'],
          ['x-own', 'é'],
        ],
      }),
  );
  const { statusCode, statusMessage, headers, text } = await ask(`${base}/`);
  expect([statusCode, statusMessage, text]).toEqual([201, 'Made', 'decoded']);
  expect(headers['set-cookie']).toEqual(['a=1', 'b=2']);
  const { 'content-encoding': coding, 'content-length': length, 'alt-svc': other, 'x-own': own } = headers;
  expect([coding, length, other, own]).toEqual([undefined, undefined, undefined, 'é']);
});

test('the head leaves before the first byte of the body, and each piece as it comes', async () => {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
  });
  const base = await listen(() => new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
  const response = await fetch(`${base}/`);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const reader = response.body?.getReader();
  for (const text of ['one', 'two']) {
    controller?.enqueue(new TextEncoder().encode(text));
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(text);
  }
  controller?.close();
  expect((await reader?.read())?.done).toBe(true);
});

test('a program that does not read holds the host back, and one that leaves ends the request', async () => {
  let pulled = 0;
  let cancelled = false;
  let signal: AbortSignal | undefined;
  const piece = new Uint8Array(64 * 1024);
  const base = await listen((request) => {
    ({ signal } = request);
    const source: UnderlyingDefaultSource<Uint8Array> = {
      pull(controller) {
        pulled += piece.length;
        controller.enqueue(piece);
      },
      cancel() {
        cancelled = true;
      },
    };
    return new Response(new ReadableStream(source, { highWaterMark: 0 }));
  });
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  // What the kernel takes, and no more.
  expect(await standstill(() => pulled)).toBeLessThan(30_000_000);
  socket.destroy();
  await expect.poll(() => [signal?.aborted, cancelled], PATIENCE).toEqual([true, true]);
});

test('a program that leaves before the head ends the request', async () => {
  let signal: AbortSignal | undefined;
  const base = await listen((request) => {
    ({ signal } = request);
    return new Promise(() => {});
  });
  const gone = new AbortController();
  const asked = fetch(`${base}/`, { signal: gone.signal });
  await expect.poll(() => signal?.aborted, PATIENCE).toBe(false);
  gone.abort();
  await expect(asked).rejects.toThrow();
  await expect.poll(() => signal?.aborted, PATIENCE).toBe(true);
});

test('a large upload streams as the host takes it, and need not be taken as a whole', async () => {
  let taken = 0;
  const base = await listen(async ({ body, target }) => {
    if (!(body instanceof ReadableStream)) return new Response('small');
    for await (const piece of body) {
      taken += piece.length;
      if (target === '/stop' && taken > 100_000) break;
    }
    return target === '/stop' ? Response.json({ enough: true }, { status: 413 }) : new Response(String(taken));
  });
  const whole = await fetch(`${base}/`, { method: 'POST', body: Buffer.alloc(3_000_000) });
  expect(await whole.text()).toBe('3000000');
  taken = 0;
  const chunked = await ask(`${base}/`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } }, 'pieces');
  expect(chunked.text).toBe('6');
  taken = 0;
  const stopped = await ask(`${base}/stop`, { method: 'POST' }, 'x'.repeat(3_000_000));
  expect([stopped.statusCode, stopped.text]).toEqual([413, '{"enough":true}']);
});

test('who expects 100 hears it when the request is welcome, and its refusal otherwise', async () => {
  const base = await listen(({ body }) => new Response(`${(body as Uint8Array).length}`));
  const headers = { expect: '100-continue', 'content-length': 4 };
  const request = httpRequest(`${base}/`, { method: 'POST', headers });
  request.flushHeaders();
  await once(request, 'continue');
  request.end('body');
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  expect(String((await response.toArray())[0])).toBe('4');
  const refused = httpRequest(`${base}/`, { method: 'POST', headers: { ...headers, host: 'evil.example' } });
  refused.on('error', () => {}).flushHeaders();
  const [refusal] = (await once(refused, 'response')) as [IncomingMessage];
  expect([refusal.statusCode, refusal.headers.connection]).toEqual([403, 'close']);
  refused.destroy();
});

test('an error before the head is JSON in the form of the API, with our code, and whether to try again', async () => {
  const base = await listen(({ target }) => {
    const code = target.includes('unknown') ? 'E_OUTCOME_UNKNOWN' : 'E_HOST_OFFLINE';
    throw networkError(new DirectError('E_PATH_LOST', undefined, { cause: new DirectError(code) }));
  });
  const offline = await ask(`${base}/v1/models`);
  expect([offline.statusCode, offline.headers['x-should-retry']]).toEqual([503, 'true']);
  const text = expect.any(String);
  expect(JSON.parse(offline.text)).toEqual({
    error: { code: 'E_HOST_OFFLINE', type: 'direct_agent_error', message: text, hint: text, retry: true },
  });
  const ollama = await ask(`${base}/api/tags?unknown`);
  expect([ollama.statusCode, ollama.headers['x-should-retry']]).toEqual([502, 'false']);
  expect(JSON.parse(ollama.text)).toMatchObject({ error: text, code: 'E_OUTCOME_UNKNOWN' });
});

test('after the head, what has come arrives, and the end of the connection says that it is not all', async () => {
  const half = () => {
    let pieces = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (pieces++ === 0) controller.enqueue(new TextEncoder().encode('half'));
        else controller.error(networkError(new DirectError('E_UPSTREAM_FAILED')));
      },
    });
  };
  const base = await listen(() => new Response(half()));
  const response = await fetch(`${base}/`);
  const reader = response.body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('half');
  await expect(reader?.read()).rejects.toThrow();
  // There, an orderly end would be the end of the answer.
  const old = connect(Number(new URL(base).port), '127.0.0.1');
  old.write('GET / HTTP/1.0\r\nhost: localhost\r\n\r\n');
  old.resume();
  await expect(once(old, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('HEAD and statuses without a body have none; GET with a body and odd methods are refused', async () => {
  const base = await listen(({ target }) => {
    if (target === '/empty') return new Response(null, { status: 204 });
    return new Response(null, { headers: { 'content-length': '70000' } });
  });
  const head = await ask(`${base}/`, { method: 'HEAD' });
  expect([head.statusCode, head.headers['content-length'], head.text]).toEqual([200, '70000', '']);
  expect((await ask(`${base}/empty`)).statusCode).toBe(204);
  expect((await ask(`${base}/`, { method: 'GET', headers: { 'content-length': 1 } }, 'x')).statusCode).toBe(400);
  expect((await ask(`${base}/`, { method: 'TRACE' })).statusCode).toBe(405);
});

test('one connection serves many requests', async () => {
  const base = await listen(() => new Response('ok'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number | undefined>();
  try {
    for (let i = 0; i < 3; i++) {
      const request = httpRequest(`${base}/`, { agent }).end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      ports.add(request.socket?.localPort);
      expect(response.headers['keep-alive']).toBe('timeout=75');
      await response.toArray();
    }
  } finally {
    agent.destroy();
  }
  expect(ports.size).toBe(1);
});

test('pages: foreign ones are refused, allowed ones may read, and their preflight never leaves', async () => {
  const asked: string[] = [];
  const answer: Answer = ({ method, headers }) => {
    asked.push(`${method} ${headers.get('origin')}`);
    return new Response('ok', { headers: { 'access-control-allow-origin': 'http://other' } });
  };
  const base = await listen(answer, undefined, ['https://app.example']);
  const evil = await ask(`${base}/v1/models`, { headers: { origin: 'https://evil.example' } });
  expect([evil.statusCode, JSON.parse(evil.text).error.code]).toEqual([403, 'E_ORIGIN']);
  expect(JSON.parse(evil.text).error.hint).toContain('--allow-origin');
  expect(evil.headers['access-control-allow-origin']).toBe(undefined);
  expect((await ask(`${base}/v1/models`, { headers: { host: 'rebound.example' } })).statusCode).toBe(403);
  expect((await ask(`${base}/v1/models`, { headers: { 'sec-fetch-site': 'cross-site' } })).statusCode).toBe(403);
  expect(asked).toEqual([]);
  const origin = 'https://app.example';
  const preflight = await ask(`${base}/v1/chat/completions`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
  expect(preflight.statusCode).toBe(204);
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': origin,
    'access-control-allow-headers': 'content-type',
    vary: 'Origin',
  });
  expect(asked).toEqual([]);
  const allowed = await ask(`${base}/v1/models`, { headers: { origin } });
  expect([allowed.statusCode, allowed.headers['access-control-allow-origin']]).toEqual([200, origin]);
  expect(asked).toEqual(['GET null']);
});

test('a port in use: the next free one where any will do, an error where not', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  try {
    const address = taken.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    await expect(open({ port, tries: 1 })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const server = await open({ port, tries: 20 });
    expect(server.port).toBeGreaterThan(port);
    expect((await ask(`http://127.0.0.1:${server.port}/`)).text).toBe('ok');
  } finally {
    taken.close();
  }
});

test('an offer of HTTP/2, as Java’s clients make it with every request, is passed over', async () => {
  const seen: LocalRequest[] = [];
  const base = await listen((request) => {
    seen.push(request);
    return new Response(`answer to ${Buffer.from((request.body as Uint8Array | null) ?? []).toString()}`);
  });
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n';
  const post = (body: string) =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${offer}Content-Length: ${body.length}\r\n\r\n`;
  let text = '';
  socket.setEncoding('latin1').on('data', (part) => {
    text += part;
  });
  // The body with the head, after it, and twice over one connection.
  socket.write(`${post('one')}one`);
  await expect.poll(() => text).toContain('answer to one');
  socket.write(post('two'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.write('two');
  await expect.poll(() => text).toContain('answer to two');
  expect(text.match(/HTTP\/1.1 200/g)?.length).toBe(2);
  expect(seen.map(({ headers }) => [...headers.keys()])).toEqual([['content-length'], ['content-length']]);
  socket.destroy();
});

test.each([
  ['a', 'longer', '5'],
  ['a', 'shorter', '500'],
  ['no', 'otherwise', '5, 5'],
])('%s length of which the body is %s (%s) does not change whose the next answer is', async (_, _how, length) => {
  const forged = 'abcdeHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged';
  const base = await listen(({ target }) =>
    target === '/bad' ? new Response(forged, { headers: { 'content-length': length } }) : new Response('good'),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  // Broken off, or whole.
  await ask(`${base}/bad`, { agent }).then(
    ({ text }) => expect(text).toBe(forged),
    (error: unknown) => expect(error).toMatchObject({ code: 'ECONNRESET' }),
  );
  expect((await ask(`${base}/good`, { agent })).text).toBe('good');
  agent.destroy();
});
