import { expect, test } from 'vitest';
import type { AgentExchange } from '../../shared/exchange.ts';
import { INITIAL_STREAM_CREDIT, MAX_SOCKET_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { SocketMessage } from '../../shared/socket-exchange.ts';
import { settle } from '../../shared/test-clock.ts';
import { FAILED, LOST, type SocketEnd } from './socket-link.ts';
import { openOverSession } from './socket-over-session.ts';
import { type Answer, reply, testHost } from './test-host.ts';

const accepted = (exchange: AgentExchange, protocol?: string) =>
  exchange.sendHead({
    status: 101,
    statusText: '',
    headers: protocol === undefined ? [] : [['sec-websocket-protocol', protocol]],
  });

function open(answer: Answer, protocols: string[] = [], signal = new AbortController().signal) {
  const host = testHost(answer);
  const head = { method: 'GET', path: '/live', protocol: 'websocket', headers: [] } as const;
  return { host, link: openOverSession(host.client, { head: { ...head, headers: [] }, protocols, signal }) };
}

/** What it delivers. `message` says when the next one is read. */
async function heard(answer: Answer, message = async () => {}) {
  const { host, link } = open(answer);
  const messages: SocketMessage[] = [];
  const end = Promise.withResolvers<SocketEnd>();
  const events: string[] = [];
  const opened = await link;
  opened.start({
    message: (each) => {
      messages.push(each);
      return message();
    },
    closing: () => events.push('closing'),
    closed: end.resolve,
  });
  return { host, link: opened, messages, events, end: end.promise };
}

test.each<[string, Answer, string[]]>([
  ['a refusal', (exchange) => reply(exchange, 401), []],
  ['a success that is no WebSocket', (exchange) => reply(exchange, 200), []],
  ['a subprotocol that nobody offered', (exchange) => accepted(exchange, 'b'), ['a']],
  ['a subprotocol where none was offered', (exchange) => accepted(exchange, 'b'), []],
  ['none of those that were offered', (exchange) => accepted(exchange), ['a']],
  ['a reset', async (exchange) => exchange.abort('E_UPSTREAM_UNREACHABLE'), []],
])('%s does not open, and its stream ends', async (_, answer, protocols) => {
  const { host, link } = open(answer, protocols);
  await expect(link).rejects.toThrow();
  await settle();
  expect(host.client.streamCount).toBe(0);
});

test('a page that gives up while it opens ends the stream', async () => {
  const abort = new AbortController();
  const { host, link } = open(() => new Promise(() => {}), [], abort.signal);
  await settle();
  abort.abort();
  await expect(link).rejects.toThrow('aborted');
  await settle();
  expect(host.client.streamCount).toBe(0);
});

test.each<[string, SocketEnd, (exchange: AgentExchange) => void]>([
  [
    'CLOSE',
    { code: 4001, reason: 'bye', wasClean: true, failed: false },
    (exchange) => exchange.socket().close(4001, 'bye'),
  ],
  [
    'CLOSE without a code',
    { code: 1005, reason: '', wasClean: true, failed: false },
    (e) => e.socket().close(undefined),
  ],
  ['a reset', LOST, (exchange) => exchange.abort('E_UPSTREAM_FAILED')],
  ['FIN without CLOSE', FAILED, (exchange) => exchange.finish()],
  ['a body', FAILED, (exchange) => void exchange.sendData(Uint8Array.of(1))],
])('%s is its end', async (_, expected, act) => {
  const { end } = await heard(async (exchange) => {
    await accepted(exchange);
    act(exchange);
  });
  expect(await end).toEqual(expected);
});

test('the end of the session is its end', async () => {
  const { host, end } = await heard((exchange) => accepted(exchange));
  host.client.close('E_PATH_LOST');
  expect(await end).toEqual(LOST);
});

test('the other end’s CLOSE is answered with the same', async () => {
  const answered = Promise.withResolvers<unknown>();
  const { events, end } = await heard(async (exchange) => {
    await accepted(exchange);
    const socket = exchange.socket();
    socket.close(4001, 'bye');
    answered.resolve(await socket.read());
  });
  await end;
  expect(events).toEqual(['closing']);
  expect(await answered.promise).toEqual({ type: 'close', code: 4001, reason: 'bye' });
});

test('a message that is too long closes with 1009, and is not sent', async () => {
  const received = Promise.withResolvers<unknown>();
  const { link } = await heard(async (exchange) => {
    await accepted(exchange);
    received.resolve(await exchange.socket().read());
  });
  link.send({ type: 'binary', bytes: new Uint8Array(MAX_SOCKET_MESSAGE_BYTES + 1) }, MAX_SOCKET_MESSAGE_BYTES + 1);
  link.send({ type: 'text', text: 'late' }, 4);
  expect(await received.promise).toMatchObject({ type: 'close', code: 1009 });
});

test('while a message is not taken, the sender stops at the credit', async () => {
  const size = 100_000;
  let sent = 0;
  const { messages } = await heard(
    async (exchange) => {
      await accepted(exchange);
      const socket = exchange.socket();
      for (let i = 0; i < 100; i++) {
        await socket.send({ type: 'binary', bytes: new Uint8Array(size) });
        sent += 1;
      }
    },
    () => new Promise(() => {}),
  );
  for (let i = 0; i < 20; i++) await settle();
  expect(messages.length).toBe(1);
  // The credit, what the parser has cut already, and what waits at the sender.
  expect(sent * size).toBeGreaterThan(INITIAL_STREAM_CREDIT / 2);
  expect(sent * size).toBeLessThan(2 * INITIAL_STREAM_CREDIT);
});

test('bufferedAmount is what the stream has not taken', async () => {
  const { host, link } = await heard((exchange) => accepted(exchange));
  for (let i = 0; i < 5; i++) link.send({ type: 'binary', bytes: new Uint8Array(500_000) }, 500_000);
  expect(link.bufferedAmount).toBe(2_500_000);
  for (let i = 0; i < 20; i++) await settle();
  expect(link.bufferedAmount).toBeGreaterThan(0);
  expect(link.bufferedAmount).toBeLessThan(2_500_000);
  host.client.close('E_CANCELLED');
});
