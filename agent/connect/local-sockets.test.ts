import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { LocalSocketRequest, SocketLink } from './host-client.ts';
import { listen, PATIENCE, standstill } from './test-local-server.ts';

type Events = Parameters<SocketLink['start']>[0];

/** The host's end of a WebSocket. */
class FakeLink implements SocketLink {
  readonly extensions = '';
  readonly protocol: string;
  bufferedAmount = 0;
  readonly sent: (string | Uint8Array)[] = [];
  closedWith: [number | undefined, string] | undefined;
  events: Events | undefined;

  constructor(protocol = '') {
    this.protocol = protocol;
  }

  start(events: Events): void {
    this.events = events;
  }

  send(message: Parameters<SocketLink['send']>[0]): void {
    this.sent.push(message.type === 'text' ? message.text : message.bytes);
  }

  close(code: number | undefined, reason: string): void {
    this.closedWith = [code, reason];
  }
}

async function opened(link: FakeLink, protocols: string[] = []): Promise<[WebSocket, LocalSocketRequest]> {
  const requests: LocalSocketRequest[] = [];
  const base = await listen(
    () => new Response(),
    async (request) => {
      requests.push(request);
      return link;
    },
  );
  const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/realtime?model=m`, protocols, {
    headers: { authorization: 'Bearer invented', 'openai-beta': 'realtime=v1' },
  });
  await once(socket, 'open');
  const [request] = requests;
  if (request === undefined) throw new Error('nobody asked');
  return [socket, request];
}

test('a WebSocket is what the host’s answer makes it', async () => {
  const link = new FakeLink('b');
  const [socket, request] = await opened(link, ['a', 'b']);
  expect(request).toMatchObject({
    target: '/v1/realtime?model=m',
    protocols: ['a', 'b'],
    headers: [['openai-beta', 'realtime=v1']],
  });
  expect(socket.protocol).toBe('b');
  const heard: unknown[] = [];
  socket.on('message', (data, isBinary) => heard.push(isBinary ? data : String(data)));
  await link.events?.message({ type: 'text', text: 'ü' });
  await link.events?.message({ type: 'binary', bytes: Uint8Array.of(1, 2) });
  await expect.poll(() => heard, PATIENCE).toEqual(['ü', Buffer.from([1, 2])]);
  socket.send('text');
  socket.send(Uint8Array.of(3));
  await expect.poll(() => link.sent, PATIENCE).toEqual(['text', Uint8Array.of(3)]);
  socket.ping();
  await once(socket, 'pong');
  socket.close(4001, 'bye');
  await expect.poll(() => link.closedWith, PATIENCE).toEqual([4001, 'bye']);
});

test.each([
  [{ code: 4003, reason: 'enough', wasClean: true, failed: false }, 4003],
  [{ code: 1005, reason: '', wasClean: true, failed: false }, 1005],
  [{ code: 1006, reason: '', wasClean: false, failed: false }, 1006],
])('the host’s end of a WebSocket is the program’s: %o', async (end, code) => {
  const link = new FakeLink();
  const [socket] = await opened(link);
  link.events?.closed(end);
  expect((await once(socket, 'close'))[0]).toBe(code);
});

test('a slow host holds the program back, and a lost program is “going away”', async () => {
  const link = new FakeLink();
  const [socket] = await opened(link);
  link.bufferedAmount = 10_000_000;
  const message = 'x'.repeat(100_000);
  for (let i = 0; i < 300; i++) socket.send(message);
  expect(await standstill(() => link.sent.length)).toBeLessThan(250);
  link.bufferedAmount = 0;
  await expect.poll(() => link.sent.length, PATIENCE).toBe(300);
  socket.terminate();
  await expect.poll(() => link.closedWith, PATIENCE).toEqual([1001, '']);
});

test('a slow program holds the host back', async () => {
  const link = new FakeLink();
  const [socket] = await opened(link);
  socket.pause();
  let delivered = 0;
  const deliver = async () => {
    const bytes = new Uint8Array(100_000);
    for (; delivered < 500; delivered++) await link.events?.message({ type: 'binary', bytes });
  };
  const all = deliver();
  expect(await standstill(() => delivered)).toBeLessThan(450);
  socket.resume();
  await all;
});

test('a program that does not read what cannot be held back is given up', async () => {
  const link = new FakeLink();
  const [socket] = await opened(link);
  socket.pause();
  const bytes = new Uint8Array(1_000_000);
  for (let i = 0; i < 40; i++) void link.events?.message({ type: 'binary', bytes });
  await expect.poll(() => link.closedWith, PATIENCE).toEqual([1013, 'the program does not read']);
});

test('a refused WebSocket is answered as a request, to pages of others as well', async () => {
  const base = await listen(() => new Response());
  const refused = async (headers: Record<string, string>) => {
    const socket = new WebSocket(base.replace('http', 'ws'), { headers });
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    const body = String(Buffer.concat(await response.toArray()));
    socket.on('error', () => {}).terminate();
    return [response.statusCode, JSON.parse(body).error.code];
  };
  expect(await refused({})).toEqual([503, 'E_HOST_OFFLINE']);
  expect(await refused({ origin: 'https://evil.example' })).toEqual([403, 'E_ORIGIN']);
  expect(await refused({ host: 'evil.example' })).toEqual([403, 'E_ORIGIN']);
});

test('a program that leaves while the host is asked gives the WebSocket up', async () => {
  let signal: AbortSignal | undefined;
  const base = await listen(
    () => new Response(),
    (request) => {
      ({ signal } = request);
      return new Promise(() => {});
    },
  );
  const socket = new WebSocket(base.replace('http', 'ws'));
  socket.on('error', () => {});
  await expect.poll(() => signal?.aborted, PATIENCE).toBe(false);
  socket.terminate();
  await expect.poll(() => signal?.aborted, PATIENCE).toBe(true);
});

test('a malformed handshake ends alone, though the platform’s WebSocket throws at codes that are not for applications', async () => {
  const closed: unknown[] = [];
  class Strict extends FakeLink {
    override close(code: number | undefined): void {
      if (code !== undefined && code !== 1000 && code < 3000)
        throw new DOMException('invalid code', 'InvalidAccessError');
      closed.push(code);
    }
  }
  const base = await listen(
    () => new Response('still here'),
    async () => new Strict(),
  );
  const { port } = new URL(base);
  const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const request = httpRequest({ port, host: '127.0.0.1', path: '/v1/realtime', headers }).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(400);
  await expect.poll(() => closed).toEqual([undefined]);
});
