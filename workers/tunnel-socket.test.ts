import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { decodeFrames } from '../shared/frame.ts';
import type { HeaderList } from '../shared/head.ts';
import { MAX_SOCKET_BACKLOG_BYTES, MAX_SOCKET_MESSAGE_BYTES } from '../shared/limits.ts';
import type { SocketExchange } from '../shared/socket-exchange.ts';
import { reply, type Script, TestAgent } from './test-agent.ts';
import { type Call, call, codeOf, hostStub, newHost, OWNER } from './test-edge.ts';

const PATH = '/v1/realtime?model=a';

const ask = (host: string, path = PATH, options: Call = {}) =>
  call(path, { token: OWNER, ...options, headers: { 'Direct-Host': host, Upgrade: 'websocket', ...options.headers } });
const sessions = (host: string) => runInDurableObject(hostStub(host), (object) => object.tunnel.size);

/** Accepts, and then does as the test says. */
const accept =
  (act: (socket: SocketExchange) => unknown, headers: HeaderList = []): Script =>
  async (exchange) => {
    await exchange.sendHead({ status: 101, statusText: '', headers });
    await act(exchange.socket());
  };

const echo = accept(async (socket) => {
  for (;;) {
    const message = await socket.read();
    if (message.type === 'close') return socket.close(message.code, message.reason);
    await socket.send(message);
  }
});

/** The client's end, with what it received. */
class Client {
  readonly messages: (string | ArrayBuffer)[] = [];
  readonly closed: Promise<[code: number, reason: string]>;
  readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => void this.messages.push(data as string | ArrayBuffer));
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => resolve([code, reason]));
    });
    socket.accept();
  }

  static async open(host: string, options: Call = {}): Promise<Client> {
    const { webSocket, status } = await ask(host, PATH, options);
    if (webSocket === null) throw new Error(`no WebSocket: ${status}`);
    return new Client(webSocket);
  }
}

describe('a WebSocket', () => {
  it('is asked for in the head, with its subprotocols and without the rest of the handshake', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const response = ask(host, PATH, {
      headers: {
        'Sec-WebSocket-Protocol': 'a, b',
        'Sec-WebSocket-Key': 'AAAA',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Extensions': 'permessage-deflate',
        'Upstream-Authorization': 'Bearer local',
        'Direct-Grant': '{"subject":"key:claimed"}',
      },
    });
    await expect.poll(() => agent.received.length).toBe(1);
    const [first] = agent.received;
    const head = decodeFrames(first?.message ?? new Uint8Array()).find(({ type }) => type === 'STREAM');
    // Not the end: messages follow if the upstream agrees.
    if (head?.type !== 'STREAM' || head.fin) throw new Error('no head, or no more than that');
    const text = new TextDecoder().decode(head.data);
    expect(JSON.parse(text.slice(text.indexOf('{')))).toEqual({
      method: 'GET',
      path: PATH,
      protocol: 'websocket',
      headers: [
        ['direct-grant', '{"subject":"owner"}'],
        ['sec-websocket-protocol', 'a, b'],
        ['authorization', 'Bearer local'],
      ],
    });
    agent.close(first?.channel ?? 0);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
    expect(await sessions(host)).toBe(0);
  });

  it('opens with the upstream’s subprotocol and fields, once the upstream has agreed', async () => {
    const host = newHost();
    let agree: () => void = () => {};
    const agreed = new Promise<void>((resolve) => {
      agree = resolve;
    });
    await TestAgent.connect(host, async (exchange, head) => {
      await agreed;
      const fields: HeaderList = [
        ['sec-websocket-protocol', 'b'],
        ['sec-websocket-accept', 'foreign'],
        ['set-cookie', 'a=1'],
      ];
      await accept(() => {}, fields)(exchange, head);
    });
    let answered = false;
    const response = ask(host, PATH, { headers: { 'Sec-WebSocket-Protocol': 'a, b' } }).finally(() => {
      answered = true;
    });
    await expect.poll(() => sessions(host)).toBe(1);
    expect(answered).toBe(false);
    agree();
    const { status, headers, webSocket } = await response;
    expect([status, headers.get('Sec-WebSocket-Protocol'), headers.getSetCookie()]).toEqual([101, 'b', ['a=1']]);
    expect(headers.get('Sec-WebSocket-Accept')).toBeNull();
    webSocket?.accept();
    webSocket?.close();
  });

  it('passes text and binary both ways, from empty to the greatest length', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echo);
    const { socket, messages, closed } = await Client.open(host);
    const large = new Uint8Array(MAX_SOCKET_MESSAGE_BYTES).map((_, i) => i % 251);
    const longest = 'ü'.repeat(MAX_SOCKET_MESSAGE_BYTES / 2);
    for (const message of ['hi', '', '\ufeffü→😀', Uint8Array.of(0), new Uint8Array(), large, longest]) {
      socket.send(message);
    }
    await expect.poll(() => messages.length).toBe(7);
    const [hi, empty, odd, one, none, bytes, text] = messages;
    expect([hi, empty, odd, one, none]).toEqual(['hi', '', '\ufeffü→😀', new ArrayBuffer(1), new ArrayBuffer(0)]);
    expect(new Uint8Array(bytes as ArrayBuffer).every((byte, i) => byte === i % 251)).toBe(true);
    expect(text === longest).toBe(true);
    socket.close(1000, 'done');
    expect(await closed).toEqual([1000, 'done']);
    await expect.poll(() => agent.closed).toContain(agent.opened[0]);
    expect([await sessions(host), agent.aborted]).toEqual([0, 0]);
  });

  it('keeps the order of many small messages', async () => {
    const host = newHost();
    await TestAgent.connect(host, echo);
    const { socket, messages } = await Client.open(host);
    const sent = Array.from({ length: 1000 }, (_, i) => `${i}`);
    for (const message of sent) socket.send(message);
    await expect.poll(() => messages.length).toBe(1000);
    expect(messages).toEqual(sent);
    socket.close();
  });

  it('is what an upgrade to anything else is not', async () => {
    const host = newHost();
    await TestAgent.connect(host, (exchange, head) => reply(exchange, 200, `${head.protocol}`));
    const response = await ask(host, PATH, { headers: { Upgrade: 'h2c' } });
    expect([response.status, await response.text()]).toEqual([200, 'undefined']);
  });
});

describe('a WebSocket that is refused', () => {
  it('by the upstream: its status, fields and body', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, (exchange) => reply(exchange, 401, 'who are you?'));
    const response = await ask(host);
    expect([response.status, response.webSocket, await response.text()]).toEqual([401, null, 'who are you?']);
    await expect.poll(() => agent.closed).toContain(agent.opened[0]);
    expect([await sessions(host), agent.aborted]).toEqual([0, 0]);
  });

  it.each([
    ['no token', undefined],
    ['a wrong token', 'wrong'],
  ])('for %s: 401, and the host hears nothing', async (_name, token) => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echo);
    const response = await call(PATH, {
      headers: { 'Direct-Host': host, Upgrade: 'websocket' },
      ...(token === undefined ? {} : { token }),
    });
    expect([response.status, await codeOf(response), agent.opened]).toEqual([401, 'E_UNAUTHORIZED', []]);
  });

  it('because the host is offline: 503', async () => {
    const response = await ask(newHost());
    expect([response.status, await codeOf(response)]).toEqual([503, 'E_HOST_OFFLINE']);
  });
});

describe('the end', () => {
  it.each([
    [4001, 'bye'],
    [3000, ''],
    [undefined, ''],
  ])('by the client reaches the agent: %s %s', async (code, reason) => {
    const host = newHost();
    let end: unknown;
    const agent = await TestAgent.connect(
      host,
      accept(async (socket) => {
        end = await socket.read();
        socket.close(code, reason);
      }),
    );
    const { socket, closed } = await Client.open(host);
    if (code === undefined) socket.close();
    else socket.close(code, reason);
    await expect.poll(() => end).toEqual({ type: 'close', code, reason });
    expect(await closed).toEqual([code ?? 1005, reason]);
    await expect.poll(() => agent.closed).toContain(agent.opened[0]);
    expect(agent.aborted).toBe(0);
  });

  it.each([
    [4002, 'enough'],
    [1012, ''],
    [undefined, ''],
  ])('by the upstream reaches the client, after its last message: %s %s', async (code, reason) => {
    const host = newHost();
    const agent = await TestAgent.connect(
      host,
      accept(async (socket) => {
        void socket.send({ type: 'text', text: 'last' });
        socket.close(code, reason);
      }),
    );
    const { messages, closed } = await Client.open(host);
    expect(await closed).toEqual([code ?? 1005, reason]);
    expect(messages).toEqual(['last']);
    await expect.poll(() => agent.closed).toContain(agent.opened[0]);
    expect(await sessions(host)).toBe(0);
  });

  it.each([
    ['the upstream was lost', 1011, 'E_UPSTREAM_FAILED', (socket: SocketExchange) => socket.abort('E_UPSTREAM_FAILED')],
    ['the agent sends no WebSocket', 1011, 'E_PROTOCOL', (socket: SocketExchange) => socket.stream.finish()],
  ])('because %s: %i', async (_name, code, reason, act) => {
    const host = newHost();
    await TestAgent.connect(host, accept(act));
    const [got, why] = await (await Client.open(host)).closed;
    expect([got, why]).toEqual([code, expect.stringContaining(reason)]);
    await expect.poll(() => sessions(host)).toBe(0);
  });

  it('because the agent was lost: 1012, so that clients come again', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echo);
    const { closed } = await Client.open(host);
    agent.socket.close(1001);
    expect(await closed).toEqual([1012, expect.stringContaining('E_PATH_LOST')]);
    expect(await sessions(host)).toBe(0);
  });
});

describe('a client that sends too much', () => {
  it('in one message: 1009 on both sides', async () => {
    const host = newHost();
    let end: unknown;
    await TestAgent.connect(
      host,
      accept(async (socket) => {
        end = await socket.read();
        socket.close(1009);
      }),
    );
    const { socket, closed } = await Client.open(host);
    socket.send('ü'.repeat(MAX_SOCKET_MESSAGE_BYTES / 2 + 1));
    expect((await closed)[0]).toBe(1009);
    await expect.poll(() => end).toMatchObject({ type: 'close', code: 1009 });
    await expect.poll(() => sessions(host)).toBe(0);
  });

  it('for a host that does not take it: 1013, before the object’s memory is full', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(
      host,
      accept(() => {}),
    );
    const { socket, closed } = await Client.open(host);
    const piece = new Uint8Array(MAX_SOCKET_MESSAGE_BYTES);
    for (let sent = 0; sent < 2 * MAX_SOCKET_BACKLOG_BYTES; sent += piece.length) socket.send(piece);
    expect((await closed)[0]).toBe(1013);
    await expect.poll(() => agent.aborted).toBe(1);
    await expect.poll(() => sessions(host)).toBe(0);
  });
});
