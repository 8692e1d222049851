import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test, vi } from 'vitest';
import { DirectError, type ErrorBody, type OllamaErrorBody } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import type { HeaderList, ResponseHead } from '../shared/head.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { Session } from '../shared/session.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { agentSession, clientSession } from '../shared/test-sessions.ts';
import { UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { oneUpstream } from './test-upstreams.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Rig {
  client: Session;
  log: string[];
  upstream: Server;
  origin: string;
  /** Sends a request with a whole body. */
  ask(
    method: string,
    path: string,
    options?: { headers?: HeaderList; body?: Uint8Array | string },
  ): Promise<{ head: ResponseHead; body: Buffer; exchange: ClientExchange }>;
  open(): ClientExchange;
}

async function rig(
  handler: Handler,
  options: { maxBodyBytes?: number; own?: Record<string, string>; base?: string } = {},
) {
  const upstream = createServer((request, response) => void handler(request, response));
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const log: string[] = [];
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(origin + (options.base ?? ''), options.own),
    policy: { allowedPrefixes: [], allowManagement: false },
    maxBodyBytes: options.maxBodyBytes ?? 1_000_000,
    log: (line) => log.push(line),
  });
  const [left, right] = memoryPaths();
  const common = { sessionId: 'test', environment: nodeEnvironment };
  const agent = agentSession({
    ...common,
    path: right,
    events: { stream: (stream) => void proxy.serve(stream, { subject: 'owner' }) },
  });
  const client = clientSession({ ...common, path: left });
  cleanups.push(() => {
    client.close('E_GOING_AWAY');
    agent.close('E_GOING_AWAY');
    upstream.closeAllConnections();
    upstream.close();
    return proxy.close();
  });
  const open = () => new ClientExchange(client.openStream());
  const ask: Rig['ask'] = async (method, path, { headers = [], body } = {}) => {
    const exchange = open();
    await exchange.sendHead({ method, path, headers });
    if (body !== undefined) void exchange.sendData(Buffer.from(body)).catch(() => {});
    exchange.finish();
    const head = await exchange.readHead();
    return { head, body: await readBody(exchange), exchange };
  };
  return { client, log, upstream, origin, ask, open } satisfies Rig;
}

async function readBody(exchange: ClientExchange): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  return Buffer.concat(parts);
}

async function collect(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** The error of a response, whichever of the two forms it has. */
function errorOf(body: Buffer): { code: string; message: string } {
  const json = JSON.parse(body.toString()) as ErrorBody | OllamaErrorBody;
  return typeof json.error === 'string' ? { code: (json as OllamaErrorBody).code, message: json.error } : json.error;
}
const valuesOf = (head: ResponseHead, wanted: string) =>
  head.headers.filter(([name]) => name === wanted).map(([, value]) => value);
const until = (condition: () => boolean) => vi.waitUntil(condition, { ...PATIENCE, interval: 2 });

test('a request and its response pass with method, path, query, status and body', async () => {
  const { ask, log } = await rig(async (request, response) => {
    const body = await collect(request);
    response.writeHead(201, { 'x-answer': 'yes' });
    response.end(`${request.method} ${request.url} ${body}`);
  });
  const { head, body } = await ask('POST', '/v1/chat/completions?a=../b&c=%2F', { body: 'hello' });
  expect(head.status).toBe(201);
  expect(valuesOf(head, 'x-answer')).toEqual(['yes']);
  expect(body.toString()).toBe('POST /v1/chat/completions?a=../b&c=%2F hello');
  expect(log).toEqual(['POST /v1/chat/completions 201']);
});

test('binary bodies are intact in both directions', async () => {
  const { ask } = await rig(async (request, response) => {
    response.end(await collect(request));
  });
  const body = randomBytes(900_000);
  const reply = await ask('POST', '/v1/audio/transcriptions', { body });
  expect(createHash('sha256').update(reply.body).digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
});

test('Host and Origin are the upstream’s, hop-by-hop fields and the browser’s provenance are gone', async () => {
  let seen: IncomingMessage | undefined;
  const { ask, origin } = await rig(
    (request, response) => {
      seen = request;
      response.setHeader('keep-alive', 'timeout=5');
      response.setHeader('connection', 'x-private');
      response.setHeader('x-private', '1');
      response.end();
    },
    { own: { Authorization: 'Bearer local' } },
  );
  const { head } = await ask('GET', '/v1/models', {
    headers: [
      ['host', 'evil.example'],
      ['origin', 'https://edge.example'],
      ['referer', 'https://edge.example/chat'],
      ['sec-fetch-site', 'same-origin'],
      ['x-forwarded-for', '1.2.3.4'],
      ['connection', 'keep-alive, X-Drop'],
      ['x-drop', '1'],
      ['te', 'trailers'],
      ['accept-encoding', 'gzip, br'],
      ['authorization', 'Bearer client'],
      ['x-keep', '1'],
    ],
  });
  expect(seen?.headers).toMatchObject({ host: origin.slice(7), origin, 'x-keep': '1', authorization: 'Bearer local' });
  for (const name of ['referer', 'sec-fetch-site', 'x-forwarded-for', 'x-drop', 'te', 'accept-encoding']) {
    expect(seen?.headers[name]).toBeUndefined();
  }
  expect(head.headers.map(([name]) => name)).not.toContain('x-private');
  expect(head.headers.map(([name]) => name)).not.toContain('keep-alive');
});

test('repeated fields stay repeated', async () => {
  const { ask } = await rig((_request, response) => {
    response.setHeader('set-cookie', ['a=1', 'b=2; Path=/']);
    response.end();
  });
  const { head } = await ask('GET', '/v1/models');
  expect(valuesOf(head, 'set-cookie')).toEqual(['a=1', 'b=2; Path=/']);
});

test('a compressed response arrives decoded and without the stale fields', async () => {
  const { ask } = await rig((_request, response) => {
    const body = gzipSync('{"models":[]}');
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length });
    response.end(body);
  });
  const { head, body } = await ask('GET', '/v1/models');
  expect(body.toString()).toBe('{"models":[]}');
  expect(head.headers.map(([name]) => name)).not.toContain('content-encoding');
  expect(head.headers.map(([name]) => name)).not.toContain('content-length');
  const { head: empty } = await ask('HEAD', '/v1/models');
  expect(empty.status).toBe(200);
});

test('redirects are passed on, inside the session as a path', async () => {
  const { ask } = await rig(
    (request, response) => {
      const inside = request.url === '/base/v1/inside';
      response.writeHead(307, {
        location: inside ? `http://${request.headers.host}/base/v1/x?y` : 'https://else.example/',
      });
      response.end();
    },
    { base: '/base' },
  );
  expect(valuesOf((await ask('GET', '/v1/inside')).head, 'location')).toEqual(['/v1/x?y']);
  expect(valuesOf((await ask('GET', '/v1/outside')).head, 'location')).toEqual(['https://else.example/']);
});

test('the response streams: each token arrives while the upstream still thinks', async () => {
  let next = () => {};
  const { open } = await rig((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let n = 0;
    next = () => void response.write(`data: ${n++}\n\n`);
    next();
  });
  const exchange = open();
  await exchange.sendHead({ method: 'GET', path: '/v1/stream', headers: [] });
  exchange.finish();
  expect((await exchange.readHead()).status).toBe(200);
  for (let n = 0; n < 5; n++) {
    expect(Buffer.from((await exchange.readData()) ?? []).toString()).toBe(`data: ${n}\n\n`);
    next();
  }
  exchange.abort('E_CANCELLED');
});

test('the request streams: the upstream reads the first piece before the last was written', async () => {
  const got: string[] = [];
  const { open } = await rig(async (request, response) => {
    for await (const part of request) got.push(String(part));
    response.end(got.join('|'));
  });
  const exchange = open();
  await exchange.sendHead({ method: 'POST', path: '/v1/upload', headers: [] });
  await exchange.sendData(Buffer.from('one'));
  await until(() => got.length === 1);
  await exchange.sendData(Buffer.from('two'));
  await until(() => got.length === 2);
  exchange.finish();
  expect((await exchange.readHead()).status).toBe(200);
  expect((await readBody(exchange)).toString()).toBe('one|two');
});

test('an aborted request reaches the upstream at once, before and after its head', async () => {
  const closed: number[] = [];
  const arrived: string[] = [];
  const { open, client } = await rig((request, response) => {
    arrived.push(request.url ?? '');
    response.on('close', () => closed.push(performance.now()));
    if (request.url === '/v1/after') response.write('data: 1\n\n');
  });
  for (const path of ['/v1/before', '/v1/after']) {
    const exchange = open();
    await exchange.sendHead({ method: 'POST', path, headers: [] });
    exchange.finish();
    await until(() => arrived.includes(path));
    if (path === '/v1/after') await exchange.readHead();
    const count = closed.length;
    const at = performance.now();
    exchange.abort('E_CANCELLED');
    await until(() => closed.length === count + 1);
    // The issue asks for 100 ms; it takes about 2. The bound is loose because two cores run many tests.
    expect((closed.at(-1) ?? 0) - at).toBeLessThan(5_000);
  }
  await until(() => client.streamCount === 0);
});

test('a body over the limit gets 413, and nothing beyond the limit reaches the upstream', async () => {
  let requests = 0;
  let bytes = 0;
  const { ask, open } = await rig(
    (request) => {
      requests++;
      request.on('data', (part: Buffer) => {
        bytes += part.length;
      });
      request.on('error', () => {});
    },
    { maxBodyBytes: 100_000 },
  );
  const declared = await ask('POST', '/v1/chat/completions', { headers: [['content-length', '100001']] });
  expect([declared.head.status, errorOf(declared.body).code, requests]).toEqual([413, 'E_BODY_TOO_LARGE', 0]);

  const exchange = open();
  await exchange.sendHead({ method: 'POST', path: '/v1/chat/completions', headers: [] });
  const sending = (async () => {
    for (let i = 0; i < 300; i++) await exchange.sendData(new Uint8Array(1000));
  })().catch((error: unknown) => error);
  expect((await exchange.readHead()).status).toBe(413);
  expect(errorOf(await readBody(exchange)).code).toBe('E_BODY_TOO_LARGE');
  exchange.finish();
  await sending;
  expect(requests).toBe(1);
  expect(bytes).toBeLessThanOrEqual(100_000);
});

test.each([
  ['/v1/../etc/passwd', 'E_BAD_TARGET'],
  ['/v1/%2e%2e/api/delete', 'E_BAD_TARGET'],
  ['/v1//models', 'E_BAD_TARGET'],
  ['/v1\\..\\models', 'E_BAD_TARGET'],
  ['http://127.0.0.1:22/', 'E_BAD_TARGET'],
  ['//evil.example/v1/models', 'E_BAD_TARGET'],
  ['/v1/mo\r\nHost: evil', 'E_BAD_TARGET'],
  ['/etc/passwd', 'E_FORBIDDEN_TARGET'],
  ['/api/delete', 'E_FORBIDDEN_TARGET'],
  ['/v1evil', 'E_FORBIDDEN_TARGET'],
])('%s is refused before the upstream sees anything', async (path, code) => {
  let requests = 0;
  const { ask, log } = await rig((_request, response) => {
    requests++;
    response.end();
  });
  const { head, body } = await ask('POST', path);
  expect([errorOf(body).code, requests]).toEqual([code, 0]);
  expect(head.status).toBe(code === 'E_BAD_TARGET' ? 400 : 403);
  expect(log.join('')).not.toMatch(/[\r\n]/);
});

test('methods that are not for origin servers are refused', async () => {
  let requests = 0;
  const { ask } = await rig((_request, response) => {
    requests++;
    response.end();
  });
  for (const method of ['CONNECT', 'TRACE']) {
    const { head } = await ask(method, '/v1/models');
    expect([method, head.status]).toEqual([method, 403]);
  }
  expect(requests).toBe(0);
});

test('an upstream that is down is answered with 502 and the reason', async () => {
  const { ask, upstream } = await rig(() => {});
  await new Promise((resolve) => upstream.close(resolve));
  const { head, body } = await ask('POST', '/v1/chat/completions', { body: '{}' });
  expect([head.status, errorOf(body).code]).toEqual([502, 'E_UPSTREAM_UNREACHABLE']);
  expect(errorOf(body).message).toContain('ECONNREFUSED');
});

test('an upstream that breaks off in mid-body resets the stream, so that nobody takes it for the end', async () => {
  const { open, log } = await rig((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
    setTimeout(() => response.destroy(), 20);
  });
  const exchange = open();
  await exchange.sendHead({ method: 'GET', path: '/v1/x', headers: [] });
  exchange.finish();
  await exchange.readHead();
  const failure = await readBody(exchange).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(DirectError);
  expect((failure as DirectError).code).toBe('E_UPSTREAM_FAILED');
  await until(() => log.length === 1);
  expect(log).toEqual(['GET /v1/x 200 E_UPSTREAM_FAILED']);
});

test('trailers are passed on', async () => {
  const { ask } = await rig((_request, response) => {
    response.writeHead(200, { trailer: 'x-checksum' });
    response.write('body');
    response.addTrailers({ 'X-Checksum': 'abc' });
    response.end();
  });
  const { exchange } = await ask('GET', '/v1/x');
  expect(exchange.trailers).toEqual([['x-checksum', 'abc']]);
});

test('an error has the form that the clients of the path show to people', async () => {
  const { ask } = await rig(() => {});
  const openai = JSON.parse((await ask('POST', '/v1/../x')).body.toString());
  expect(openai.error.message).toContain('malformed');
  const ollama = JSON.parse((await ask('DELETE', '/api/delete')).body.toString());
  expect(ollama.error).toContain('does not serve');
  expect(ollama.code).toBe('E_FORBIDDEN_TARGET');
});

test('a malformed head is answered with 400 and ends that stream only', async () => {
  const { client, ask } = await rig((_request, response) => void response.end('fine'));
  const stream = client.openStream();
  const json = Buffer.from('{"method":"GET /","path":"/v1/x","headers":[]}');
  void stream.write(Buffer.concat([Buffer.from([1, json.length]), json]));
  stream.finish();
  const exchange = new ClientExchange(stream);
  expect((await exchange.readHead()).status).toBe(400);
  expect(errorOf(await readBody(exchange)).code).toBe('E_PROTOCOL');
  expect((await ask('GET', '/v1/x')).body.toString()).toBe('fine');
});

test('a slow client pauses the upstream', async () => {
  let written = 0;
  const { open } = await rig((_request, response) => {
    const part = Buffer.alloc(64 * 1024);
    const more = () => {
      while (response.write(part)) written += part.length;
    };
    response.on('drain', more);
    more();
  });
  const exchange = open();
  await exchange.sendHead({ method: 'GET', path: '/v1/flood', headers: [] });
  exchange.finish();
  await exchange.readHead();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stalled = written;
  await new Promise((resolve) => setTimeout(resolve, 100));
  // What is under way is the stream's credit and the buffers of two sockets, however long it goes on.
  expect(written).toBe(stalled);
  expect(stalled).toBeLessThan(16 * 1024 * 1024);
  exchange.abort('E_CANCELLED');
});
