import { afterEach, describe, expect, test, vi } from 'vitest';
import { BATCH_TYPE, decodeBatch, encodePart, type LinkMessage } from '../shared/channel.ts';
import { DirectError, errorBody } from '../shared/errors.ts';
import { MAX_BATCH_BYTES } from '../shared/limits.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { PollConnection } from './poll-connection.ts';

interface Sent {
  path: string;
  query: URLSearchParams;
  messages: LinkMessage[];
  answer(response: Response | Error): void;
}

const connections: PollConnection[] = [];
afterEach(() => {
  for (const connection of connections.splice(0)) connection.end('the test is over');
});

/** An edge that answers when the test says so. */
function rig(options: { intervalMs?: number } = {}) {
  const polls: Sent[] = [];
  const posts: Sent[] = [];
  const ended: string[] = [];
  const connection = new PollConnection({
    request: (path, { method, body, signal }) =>
      new Promise((resolve, reject) => {
        const url = new URL(path, 'https://edge.example');
        signal?.addEventListener('abort', () => reject(new Error('aborted')));
        (method === 'POST' ? posts : polls).push({
          path: url.pathname,
          query: url.searchParams,
          messages: body instanceof Uint8Array ? decodeBatch(body) : [],
          answer: (response) => (response instanceof Error ? reject(response) : resolve(response)),
        });
      }),
    ended: (reason) => void ended.push(reason),
    intervalMs: options.intervalMs ?? 0,
    retryMs: 1,
  });
  connections.push(connection);
  const done: LinkMessage[] = [];
  const send = (message: LinkMessage) => connection.send(message, () => void done.push(message));
  return { connection, polls, posts, ended, done, send };
}

const until = (condition: () => boolean) => vi.waitUntil(condition, { ...PATIENCE, interval: 1 });
const accepted = () => new Response(null, { status: 204 });
const refused = (code: 'E_SESSION_UNKNOWN' | 'E_UNAUTHORIZED' | 'E_PROTOCOL') =>
  Response.json(errorBody(new DirectError(code)), { status: new DirectError(code).entry.http });
const batch = (...messages: LinkMessage[]) =>
  new Response(Buffer.concat(messages.map(encodePart)), { headers: { 'content-type': BATCH_TYPE } });

describe('a poll', () => {
  test('brings messages in order, and says how many answers have come', async () => {
    const { connection, polls } = rig();
    const first = connection.poll();
    polls[0]?.answer(batch('{"a":1}', new Uint8Array([1, 2])));
    expect(await first).toEqual(['{"a":1}', new Uint8Array([1, 2])]);
    const second = connection.poll();
    polls[1]?.answer(accepted());
    expect(await second).toEqual([]);
    void connection.poll();
    expect(polls.map(({ query }) => [query.get('batch'), query.get('after')])).toEqual([
      ['1', '0'],
      ['1', '1'],
      ['1', '1'],
    ]);
    expect(new Set(polls.map(({ query }) => query.get('channels'))).size).toBe(1);
  });

  test('that failed asks for the same again', async () => {
    const { connection, polls } = rig();
    const first = connection.poll();
    polls[0]?.answer(new Error('cut'));
    await expect(first).rejects.toThrow('cut');
    void connection.poll();
    expect(polls[1]?.query.get('after')).toBe('0');
    expect(connection.open).toBe(true);
  });

  test('takes the list of an edge that has no channels for it', async () => {
    const { connection, polls } = rig();
    const first = connection.poll();
    polls[0]?.answer(Response.json([{ type: 'offer' }]));
    expect(await first).toEqual(['[{"type":"offer"}]']);
    void connection.poll();
    expect(polls[1]?.query.get('after')).toBe('0');
  });

  test('of a connection that the edge has lost ends it; another refusal does not', async () => {
    const { connection, polls, ended } = rig();
    const first = connection.poll();
    polls[0]?.answer(refused('E_UNAUTHORIZED'));
    await expect(first).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
    expect(connection.open).toBe(true);
    const second = connection.poll();
    polls[1]?.answer(refused('E_SESSION_UNKNOWN'));
    await expect(second).rejects.toMatchObject({ code: 'E_SESSION_UNKNOWN' });
    expect([connection.open, ended.length]).toEqual([false, 1]);
  });
});

describe('what is sent', () => {
  test('leaves in one POST at a time, with what gathered meanwhile in the next', async () => {
    const { posts, send, done, polls, connection } = rig();
    void connection.poll();
    send('one');
    send(new Uint8Array([2]));
    await until(() => posts.length === 1);
    send('three');
    send('four');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([posts.length, done]).toEqual([1, []]);
    posts[0]?.answer(accepted());
    await until(() => posts.length === 2);
    expect(done).toEqual(['one', new Uint8Array([2])]);
    expect(posts.map(({ messages }) => messages)).toEqual([
      ['one', new Uint8Array([2])],
      ['three', 'four'],
    ]);
    expect(posts.map(({ path, query }) => [path, query.get('number')])).toEqual([
      ['/channels', '1'],
      ['/channels', '2'],
    ]);
    expect(posts[0]?.query.get('channels')).toBe(polls[0]?.query.get('channels'));
    posts[1]?.answer(accepted());
    await until(() => done.length === 4);
    // From an empty queue it begins anew.
    send('five');
    await until(() => posts.length === 3);
  });

  test('counts as buffered until the edge has it, and is never more than a batch may hold', async () => {
    const { connection, posts, send } = rig();
    for (let n = 0; n < 10; n++) send(new Uint8Array(60_000));
    const all = connection.bufferedAmount;
    expect(all).toBeGreaterThanOrEqual(600_000);
    await until(() => posts.length === 1);
    expect(connection.bufferedAmount).toBe(all);
    expect(posts[0]?.messages.length).toBe(4);
    posts[0]?.answer(accepted());
    await until(() => posts.length === 2);
    expect(all - connection.bufferedAmount).toBeGreaterThanOrEqual(240_000);
    expect(all - connection.bufferedAmount).toBeLessThanOrEqual(MAX_BATCH_BYTES);
    posts[1]?.answer(accepted());
    await until(() => posts.length === 3);
    posts[2]?.answer(accepted());
    await until(() => connection.bufferedAmount === 0);
  });

  test('small, waits for the interval; bulk and the end do not', async () => {
    const { connection, posts, send, done } = rig({ intervalMs: 60_000 });
    send('first');
    await until(() => posts.length === 1);
    posts[0]?.answer(accepted());
    await until(() => done.length === 1);
    send('second');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(posts.length).toBe(1);
    send(new Uint8Array(10_000));
    await until(() => posts.length === 2);
    expect(posts[1]?.messages).toEqual(['second', new Uint8Array(10_000)]);
    posts[1]?.answer(accepted());
    await until(() => done.length === 3);
    send('goodbye');
    await new Promise((resolve) => setTimeout(resolve, 5));
    const flushed = connection.flushed(60_000);
    await until(() => posts.length === 3);
    posts[2]?.answer(accepted());
    await flushed;
  });

  test('is repeated with its number when a POST fails, and once only', async () => {
    const { posts, send, done, ended } = rig();
    send('one');
    await until(() => posts.length === 1);
    posts[0]?.answer(new Error('cut'));
    await until(() => posts.length === 2);
    posts[1]?.answer(new Response('bad gateway', { status: 502 }));
    await until(() => posts.length === 3);
    posts[2]?.answer(accepted());
    await until(() => done.length === 1);
    expect(posts.map(({ query, messages }) => [query.get('number'), messages])).toEqual(
      Array.from({ length: 3 }, () => ['1', ['one']]),
    );
    expect(ended).toEqual([]);
  });

  test.each([
    ['the edge does not know the connection', [refused('E_SESSION_UNKNOWN')]],
    ['the edge refuses it', [refused('E_PROTOCOL')]],
    ['it fails again and again', Array.from({ length: 4 }, () => new Error('cut'))],
  ])('ends the connection when %s', async (_name, answers) => {
    const { connection, posts, send, done, ended } = rig();
    send('one');
    for (const [i, answer] of answers.entries()) {
      await until(() => posts.length === i + 1);
      posts[i]?.answer(answer);
    }
    await until(() => ended.length === 1);
    expect(connection.open).toBe(false);
    // Never, which counts as left too: nobody shall wait for it.
    expect(done).toEqual(['one']);
    send('two');
    await until(() => done.length === 2);
    expect(posts.length).toBe(answers.length);
  });
});

test('the end stops the POST that is under way, and waits that are', async () => {
  const { connection, posts, send, done, ended } = rig({ intervalMs: 60_000 });
  send('one');
  await until(() => posts.length === 1);
  posts[0]?.answer(accepted());
  await until(() => done.length === 1);
  send('two');
  await new Promise((resolve) => setTimeout(resolve, 5));
  connection.end('a WebSocket took over');
  connection.end('again');
  await connection.flushed(60_000);
  expect([ended, done, posts.length]).toEqual([['a WebSocket took over'], ['one', 'two'], 1]);
});
