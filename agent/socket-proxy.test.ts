import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { DirectError } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import type { HeaderList, ResponseHead } from '../shared/head.ts';
import { INITIAL_STREAM_CREDIT, MAX_SOCKET_MESSAGE_BYTES } from '../shared/limits.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { SocketMessage } from '../shared/socket-exchange.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { agentSession, clientSession } from '../shared/test-sessions.ts';
import { UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { oneUpstream } from './test-upstreams.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface RigOptions {
  own?: Record<string, string>;
  base?: string;
  /** Refuses the upgrade with this, as raw HTTP. */
  refusal?: string;
  /** The upstream is known only then. */
  known?: Promise<void>;
  choose?: (offered: Set<string>) => string | false;
}

/** A real WebSocket server behind the proxy; `accept` gets its end of each socket. */
async function rig(accept: (socket: WebSocket, request: IncomingMessage) => void, options: RigOptions = {}) {
  const sockets = new WebSocketServer({ noServer: true, ...(options.choose && { handleProtocols: options.choose }) });
  const upstream = createServer((_request, response) => response.end('plain'));
  const connections: Socket[] = [];
  upstream.on('upgrade', (request, socket: Socket, head) => {
    connections.push(socket);
    if (options.refusal !== undefined) socket.end(options.refusal);
    else sockets.handleUpgrade(request, socket, head, (opened) => accept(opened, request));
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const log: string[] = [];
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(origin + (options.base ?? ''), options.own, options.known),
    policy: { allowedPrefixes: [], allowManagement: false },
    maxBodyBytes: 1000,
    log: (line) => log.push(line),
  });
  const [left, right] = memoryPaths();
  const common = { sessionId: 'test', environment: nodeEnvironment };
  const events = {
    stream: (stream: ConstructorParameters<typeof ClientExchange>[0]) => void proxy.serve(stream, { subject: 'owner' }),
  };
  const agent = agentSession({ ...common, path: right, events });
  const client = clientSession({ ...common, path: left });
  cleanups.push(() => {
    client.close('E_GOING_AWAY');
    agent.close('E_GOING_AWAY');
    for (const connection of connections) connection.destroy();
    upstream.closeAllConnections();
    upstream.close();
    return proxy.close();
  });
  const ask = async (path: string, headers: HeaderList = []) => {
    const exchange = new ClientExchange(client.openStream());
    void exchange.sendHead({ method: 'GET', path, protocol: 'websocket', headers });
    return { exchange, head: await exchange.readHead() };
  };
  const open = async (path = '/v1/realtime', headers: HeaderList = []) => {
    const { exchange, head } = await ask(path, headers);
    expect(head.status).toBe(101);
    return exchange.socket();
  };
  return { client, agent, connections, log, origin, upstream, ask, open };
}

async function bodyOf(exchange: ClientExchange): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  return Buffer.concat(parts).toString();
}
const text = (value: string): SocketMessage => ({ type: 'text', text: value });
const binary = (bytes: Uint8Array): SocketMessage => ({ type: 'binary', bytes });
const echo = (socket: WebSocket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
const valuesOf = (head: ResponseHead, wanted: string) =>
  head.headers.filter(([name]) => name === wanted).map(([, value]) => value);
const until = (condition: () => boolean) => vi.waitUntil(condition, { ...PATIENCE, interval: 2 });
/** The code of the error that `promise` rejects with. */
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof DirectError ? error.code : error),
  );

test('text and binary pass both ways, from empty to the greatest length', async () => {
  const { open, log } = await rig(echo);
  const socket = await open('/v1/realtime?model=a');
  const large = new Uint8Array(MAX_SOCKET_MESSAGE_BYTES).map((_, i) => i % 251);
  const messages = [text('hi'), text(''), text('\ufeffü→😀'), binary(new Uint8Array()), binary(large), text('end')];
  for (const message of messages) void socket.send(message);
  for (const message of messages) {
    const got = await socket.read();
    if (got.type === 'binary' && message.type === 'binary') expect(Buffer.compare(got.bytes, message.bytes)).toBe(0);
    else expect(got).toEqual(message);
  }
  socket.close(1000);
  expect(await socket.read()).toEqual({ type: 'close', code: 1000, reason: '' });
  await until(() => log.length > 0);
  // Without the query, which may hold a key.
  expect(log).toEqual(['GET /v1/realtime 101']);
});

test('messages that come with the 101 are not lost', async () => {
  const { open } = await rig((socket) => {
    socket.send('first');
    socket.send('second');
  });
  const socket = await open();
  expect([await socket.read(), await socket.read()]).toEqual([text('first'), text('second')]);
});

test('the upstream sees its own Host and Origin, our key and no handshake but the proxy’s', async () => {
  let seen: IncomingMessage | undefined;
  const { open, origin } = await rig(
    (_socket, request) => {
      seen = request;
    },
    { own: { Authorization: 'Bearer local' }, base: '/prefix' },
  );
  await open('/v1/realtime?model=a%20b', [
    ['host', 'edge.example'],
    ['origin', 'https://edge.example'],
    ['authorization', 'Bearer foreign'],
    ['sec-websocket-key', 'AAAA'],
    ['sec-websocket-extensions', 'permessage-deflate'],
    ['sec-fetch-mode', 'websocket'],
    ['x-own', '1'],
    ['x-own', '2'],
  ]);
  expect(seen?.url).toBe('/prefix/v1/realtime?model=a%20b');
  expect(seen?.headers).toMatchObject({
    host: origin.slice('http://'.length),
    origin,
    authorization: 'Bearer local',
    'x-own': '1, 2',
  });
  expect(seen?.headers).not.toHaveProperty('sec-websocket-extensions');
  expect(seen?.headers).not.toHaveProperty('sec-fetch-mode');
  expect(seen?.headers['sec-websocket-key']).not.toBe('AAAA');
});

test.each([
  ['the second', () => 'b', ['b']],
  // A browser would give up now, other clients go on; that is for them to say.
  ['none', () => false as const, []],
])('subprotocols are offered in order, and %s may be chosen', async (_name, choose, chosen) => {
  let offered: string | undefined;
  const { ask } = await rig((_socket, request) => (offered = request.headers['sec-websocket-protocol']), { choose });
  const { head } = await ask('/v1/realtime', [['sec-websocket-protocol', 'a, b']]);
  expect([head.status, offered, valuesOf(head, 'sec-websocket-protocol')]).toEqual([101, 'a, b', chosen]);
  expect(head.headers.filter(([name]) => /^(sec-websocket-accept|upgrade|connection)$/.test(name))).toEqual([]);
});

test('a refused upgrade is passed on with status, fields and body', async () => {
  const refusal =
    'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nX-Why: key\r\nConnection: close\r\n\r\n{"error":1}';
  const { ask, log } = await rig(() => {}, { refusal });
  const { head, exchange } = await ask('/v1/realtime');
  expect([head.status, valuesOf(head, 'x-why'), valuesOf(head, 'connection')]).toEqual([401, ['key'], []]);
  expect(await bodyOf(exchange)).toBe('{"error":1}');
  await until(() => log.length > 0);
  expect(log).toEqual(['GET /v1/realtime 401']);
});

test('the policy for paths is that of requests', async () => {
  const { ask, connections } = await rig(echo);
  for (const [path, status, code] of [
    ['/ws', 403, 'E_FORBIDDEN_TARGET'],
    ['/v1/../api/pull', 400, 'E_BAD_TARGET'],
  ] as const) {
    const { head, exchange } = await ask(path);
    expect([head.status, JSON.parse(await bodyOf(exchange))]).toMatchObject([status, { error: { code } }]);
  }
  expect(connections).toEqual([]);
});

test('an upstream that is not there, or answers with no WebSocket, is 502', async () => {
  const { ask, upstream } = await rig(echo, {
    refusal: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  });
  const wrong = await ask('/v1/realtime');
  expect([wrong.head.status, await bodyOf(wrong.exchange)]).toMatchObject([
    502,
    expect.stringContaining('Sec-WebSocket-Accept'),
  ]);
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
  const away = await ask('/v1/realtime');
  expect([away.head.status, JSON.parse(await bodyOf(away.exchange))]).toMatchObject([
    502,
    { error: { code: 'E_UPSTREAM_UNREACHABLE' } },
  ]);
});

test('the client’s close reaches the upstream, and its answer the client', async () => {
  const ended = Promise.withResolvers<[number, Buffer]>();
  const { open } = await rig((socket) => {
    socket.once('close', (...end) => ended.resolve(end));
  });
  const socket = await open();
  void socket.send(text('last'));
  socket.close(4001, 'bye');
  const [code, reason] = await ended.promise;
  expect([code, reason.toString()]).toEqual([4001, 'bye']);
  expect(await socket.read()).toEqual({ type: 'close', code: 4001, reason: 'bye' });
});

test.each([
  [4002, 'enough'],
  [1001, ''],
  [undefined, ''],
])('the upstream’s close reaches the client: %s %s', async (code, reason) => {
  const { open, client } = await rig((socket) => {
    socket.send('last');
    socket.close(code, reason);
  });
  const socket = await open();
  expect(await socket.read()).toEqual(text('last'));
  expect(await socket.read()).toEqual({ type: 'close', code, reason });
  socket.close(code, reason);
  await until(() => client.streamCount === 0);
});

test('an upstream that is lost is an error, not an end', async () => {
  const { open, log } = await rig((socket) => socket.once('message', () => socket.terminate()));
  const socket = await open();
  void socket.send(text('die'));
  expect(await codeOf(socket.read())).toBe('E_UPSTREAM_FAILED');
  await until(() => log.length > 0);
  expect(log).toEqual(['GET /v1/realtime 101 E_UPSTREAM_FAILED']);
});

test('a message that is too long closes with 1009 on both sides', async () => {
  const ended = Promise.withResolvers<number>();
  const { open } = await rig((socket) => {
    socket.once('close', ended.resolve);
    socket.send(Buffer.alloc(MAX_SOCKET_MESSAGE_BYTES + 1));
  });
  expect(await (await open()).read()).toMatchObject({ type: 'close', code: 1009 });
  expect(await ended.promise).toBe(1009);
});

test('for a client that goes away, or ends without a close, the upstream’s socket is lost', async () => {
  const codes: number[] = [];
  const { open } = await rig((socket) => socket.once('close', (code) => codes.push(code)));
  (await open()).abort('E_CANCELLED');
  await until(() => codes.length === 1);
  (await open()).stream.finish();
  await until(() => codes.length === 2);
  const rude = await open();
  void rude.stream.write(Uint8Array.of(0, 1, 97));
  expect(await codeOf(rude.read())).toBe('E_PROTOCOL');
  await until(() => codes.length === 3);
  expect(codes).toEqual([1006, 1006, 1006]);
});

test('a client that goes away before the upgrade ends it', async () => {
  const { client, upstream } = await rig(echo);
  upstream.removeAllListeners('upgrade');
  const arrived = once(upstream, 'upgrade') as Promise<[IncomingMessage, Socket]>;
  const exchange = new ClientExchange(client.openStream());
  void exchange.sendHead({ method: 'GET', path: '/v1/realtime', protocol: 'websocket', headers: [] });
  const [, socket] = await arrived;
  cleanups.push(() => socket.destroy());
  socket.resume();
  const gone = once(socket, 'end');
  exchange.abort('E_CANCELLED');
  await gone;
});

test('a client that goes away while an upstream is looked for reaches none', async () => {
  const known = Promise.withResolvers<void>();
  const { client, connections, log } = await rig(echo, { known: known.promise });
  const exchange = new ClientExchange(client.openStream());
  await exchange.sendHead({ method: 'GET', path: '/v1/realtime', protocol: 'websocket', headers: [] });
  await delay(10);
  exchange.abort('E_CANCELLED');
  await until(() => client.streamCount === 0);
  known.resolve();
  await until(() => log.length > 0);
  expect([log, connections]).toEqual([['GET /v1/realtime E_CANCELLED'], []]);
});

test('a client that reads slowly stops the upstream after the stream’s credit', async () => {
  let server: WebSocket | undefined;
  const { open, agent } = await rig((socket) => {
    server = socket;
    for (let i = 0; i < 3000; i++) socket.send(Buffer.alloc(10_000, i));
  });
  const socket = await open();
  // What the kernel takes for the connection goes first; then it stands still.
  let before = -1;
  await vi.waitUntil(async () => {
    await delay(50);
    const now = server?.bufferedAmount ?? 0;
    const still = now === before;
    before = now;
    return still;
  }, PATIENCE);
  expect(before).toBeGreaterThan(10_000_000);
  expect(agent.heldBytes).toBeLessThan(INITIAL_STREAM_CREDIT + 4 * 64 * 1024);
  for (let i = 0; i < 3000; i++) {
    const message = await socket.read();
    if (message.type !== 'binary' || message.bytes[0] !== i % 256) throw new Error(`message ${i} is wrong`);
  }
});

test('an upstream that reads slowly stops the client after the stream’s credit', async () => {
  const count = 3000;
  let server: WebSocket | undefined;
  let received = 0;
  const { open } = await rig((socket) => {
    server = socket;
    socket.pause();
    socket.on('message', () => {
      received += 1;
    });
  });
  const socket = await open();
  let sent = 0;
  void (async () => {
    for (; sent < count; sent++) await socket.send(binary(new Uint8Array(10_000)));
  })();
  let before = -1;
  await vi.waitUntil(async () => {
    await delay(50);
    const still = sent === before;
    before = sent;
    return still;
  }, PATIENCE);
  expect(sent).toBeLessThan(count);
  server?.resume();
  await until(() => received === count);
});
