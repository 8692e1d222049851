import { describe, expect, test } from 'vitest';
import { DirectError, ProtocolError } from './errors.ts';
import { AgentExchange, ClientExchange } from './exchange.ts';
import { INITIAL_STREAM_CREDIT, MAX_SOCKET_MESSAGE_BYTES } from './limits.ts';
import { memoryPaths } from './memory-path.ts';
import type { SocketClose, SocketExchange, SocketMessage } from './socket-exchange.ts';
import type { Stream } from './stream.ts';
import { settle, TestClock } from './test-clock.ts';
import { agentSession, clientSession } from './test-sessions.ts';

interface Pair {
  client: SocketExchange;
  agent: SocketExchange;
}

/** A client's exchange, and the agent's end of its stream once anything of it was sent. */
function exchange(): { client: ClientExchange; opened: Promise<Stream> } {
  const [left, right] = memoryPaths();
  const environment = new TestClock();
  const opened = Promise.withResolvers<Stream>();
  agentSession({ sessionId: 'test', path: right, environment, events: { stream: opened.resolve } });
  const session = clientSession({ sessionId: 'test', path: left, environment });
  return { client: new ClientExchange(session.openStream()), opened: opened.promise };
}

/** Both ends of a WebSocket on a stream, past the heads. */
async function open(): Promise<Pair> {
  const { client, opened } = exchange();
  void client.sendHead({ method: 'GET', path: '/v1/realtime', protocol: 'websocket', headers: [] });
  const agent = new AgentExchange(await opened);
  expect((await agent.readHead()).protocol).toBe('websocket');
  void agent.sendHead({ status: 101, statusText: '', headers: [] });
  await client.readHead();
  return { client: client.socket(), agent: agent.socket() };
}

const text = (value: string): SocketMessage => ({ type: 'text', text: value });
const binary = (bytes: Uint8Array): SocketMessage => ({ type: 'binary', bytes });
const closed = (code?: number, reason = ''): SocketClose => ({ type: 'close', code, reason });

test('messages of both kinds pass in both directions, in order and whole', async () => {
  const { client, agent } = await open();
  const large = binary(new Uint8Array(MAX_SOCKET_MESSAGE_BYTES).fill(7));
  const messages = [
    text('hi'),
    text(''),
    binary(new Uint8Array()),
    text('\ufeffü→😀'),
    large,
    binary(Uint8Array.of(0)),
  ];
  for (const [from, to] of [
    [client, agent],
    [agent, client],
  ] as const) {
    const sent = Promise.all(messages.map((message) => from.send(message)));
    for (const message of messages) expect(await to.read()).toEqual(message);
    await sent;
  }
});

test('the end has a code and a reason, or none, and nothing follows', async () => {
  const { client, agent } = await open();
  client.close(4001, 'bye');
  client.close(1000);
  await client.send(text('late'));
  expect(await agent.read()).toEqual(closed(4001, 'bye'));
  agent.close(undefined);
  expect(await client.read()).toEqual(closed());
});

test.each([1004, 1005, 1006, 1015, 1016, 2999, 0])('%i is in no Close frame, so it is sent as none', async (code) => {
  const { client, agent } = await open();
  client.close(code, 'lost with its code');
  expect(await agent.read()).toEqual(closed());
});

test('an abort is an error at the other end, not an end', async () => {
  const { client, agent } = await open();
  void client.send(text('one'));
  expect(await agent.read()).toEqual(text('one'));
  client.abort('E_CANCELLED');
  await expect(agent.read()).rejects.toThrow(DirectError);
});

test('a reader that stands still stops the sender after the stream’s credit', async () => {
  const { client, agent } = await open();
  let sent = 0;
  const piece = binary(new Uint8Array(10_000));
  void (async () => {
    for (; sent < 1000; sent++) await client.send(piece);
  })();
  await settle();
  expect(sent * 10_000).toBeLessThan(INITIAL_STREAM_CREDIT + 2 * 64 * 1024);
  expect(client.stream.heldBytes + agent.stream.heldBytes).toBeLessThan(2 * INITIAL_STREAM_CREDIT + 2 * 64 * 1024);
  for (let i = 0; i < 1000; i++) expect((await agent.read()).type).toBe('binary');
});

describe('a peer that breaks the protocol', () => {
  const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

  test.each([
    ['an end without CLOSE', ''],
    ['a body', '00 01 61'],
    ['trailers', '01 02 5b5d'],
    ['a text that is not UTF-8', '11 02 c328'],
    ['half a close code', '18 01 03'],
    ['a close code that may not be sent', '18 02 03ee'],
    ['a reason that is not UTF-8', '18 03 03e8 ff'],
    ['a message after CLOSE', '18 00 11 00'],
    ['a message without its end', '11 02 61'],
  ])('%s', async (_name, hex) => {
    const { client, agent } = await open();
    void client.stream.write(bytes(hex));
    client.stream.finish();
    await expect(agent.read()).rejects.toThrow(ProtocolError);
  });

  test('messages where a body should be', async () => {
    const { client, opened } = exchange();
    void client.sendHead({ method: 'POST', path: '/', headers: [] });
    void client.stream.write(bytes('11 01 61'));
    const agent = new AgentExchange(await opened);
    await agent.readHead();
    await expect(agent.readData()).rejects.toThrow(ProtocolError);
  });
});
