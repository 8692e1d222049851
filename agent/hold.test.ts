/** Held responses from the client's stream to the upstream: what the proxy makes of `hold` and `resume`. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ErrorBody } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { encodeGrant, type Grant } from '../shared/grant.ts';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import { SESSION_SURVIVAL_MS } from '../shared/limits.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import { newId } from '../shared/new-id.ts';
import type { Session } from '../shared/session.ts';
import { type SessionGrant, Sessions } from '../shared/sessions.ts';
import { TestClock } from '../shared/test-clock.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { oneUpstream } from './test-upstreams.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const OWNER: Grant = { subject: 'owner' };

async function rig() {
  /** Requests that reached the upstream, in order; each is answered by the test. */
  const asked: { request: IncomingMessage; response: ServerResponse; lost: boolean }[] = [];
  const upstream = createServer((request, response) => {
    const entry = { request, response, lost: false };
    response.on('close', () => {
      entry.lost = !response.writableFinished;
    });
    asked.push(entry);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const clock = new TestClock();
  const log: string[] = [];
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`),
    policy: { allowedPrefixes: [], allowManagement: false },
    maxBodyBytes: 1_000_000,
    timer: clock.timer,
    log: (line) => void log.push(line),
  });
  const sessions = new Sessions({
    environment: nodeEnvironment,
    stream: (stream, grant) => void proxy.serve(stream, grant),
  });
  /** Another page: a client with a session of its own. */
  const client = (grant: SessionGrant = OWNER) => {
    const [left, right] = memoryPaths();
    sessions.accept(right, { sessionId: 'test', kind: 'relay', grant });
    const session = clientSession({ sessionId: 'test', environment: nodeEnvironment, path: left });
    cleanups.push(() => session.close('E_GOING_AWAY'));
    return session;
  };
  cleanups.push(() => {
    upstream.closeAllConnections();
    upstream.close();
    return proxy.close();
  });
  const until = async (count: number) => {
    await vi.waitUntil(() => asked.length === count, { ...PATIENCE, interval: 2 });
    return asked[count - 1] as (typeof asked)[number];
  };
  return { asked, until, clock, log, proxy, sessions, client };
}

function begin(session: Session, head: Partial<RequestHead>, body = ''): ClientExchange {
  const exchange = new ClientExchange(session.openStream());
  const method = head.hold === undefined ? 'GET' : 'POST';
  exchange.sendHead({ method, path: '/', headers: [], ...head }).catch(() => {});
  void exchange.sendData(Buffer.from(body)).catch(() => {});
  exchange.finish();
  return exchange;
}

const hold = (session: Session, id: string, headers: HeaderList = []) =>
  begin(session, { hold: id, path: '/v1/chat/completions', headers }, '{"model":"a"}');
const resume = (session: Session, id: string, from: number, head: Partial<RequestHead> = {}) =>
  begin(session, { resume: { id, from }, ...head });

/** Reads up to `bytes`, or to the end. */
async function read(exchange: ClientExchange, bytes = Number.POSITIVE_INFINITY): Promise<string> {
  let text = '';
  while (text.length < bytes) {
    const piece = await exchange.readData();
    if (piece === null) break;
    text += Buffer.from(piece).toString();
  }
  return text;
}

async function outcome(exchange: ClientExchange): Promise<[status: number, code: string | undefined]> {
  const { status } = await exchange.readHead();
  const body = await read(exchange);
  return [status, status < 400 ? undefined : (JSON.parse(body) as ErrorBody).error.code];
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

describe('a page that is reloaded', () => {
  test.each<[string, (page: Session, exchange: ClientExchange) => void]>([
    ['closes its session', (page) => page.close('E_GOING_AWAY')],
    ['loses it without a word', (page) => page.close('E_PATH_LOST')],
    ['aborts its requests', (_, exchange) => exchange.abort('E_CANCELLED')],
    ['is not noticed to be gone', () => {}],
  ])('and %s reads on where it was, and the upstream is asked once', async (_, leave) => {
    const { asked, until, client, log } = await rig();
    const page = client();
    const id = newId();
    const first = hold(page, id);
    const { response } = await until(1);
    response.writeHead(203, { 'x-own': 'kept', trailer: 'x-sum' });
    response.write('one two ');
    expect((await first.readHead()).status).toBe(203);
    const before = await read(first, 8);
    leave(page, first);
    response.write('three ');
    const next = client();
    const again = resume(next, id, before.length);
    const { status, headers } = await again.readHead();
    expect([status, headers.find(([name]) => name === 'x-own')?.[1]]).toEqual([203, 'kept']);
    response.write('four');
    response.addTrailers({ 'x-sum': '4' });
    response.end();
    expect(before + (await read(again))).toBe('one two three four');
    expect(again.trailers).toEqual([['x-sum', '4']]);
    // Once more, from the beginning, after its end.
    const third = resume(client(), id, 0);
    await third.readHead();
    expect(await read(third)).toBe('one two three four');
    expect(asked.length).toBe(1);
    expect(log.join()).not.toContain(id);
  });

  test('while the model thinks gets the head as well', async () => {
    const { until, client } = await rig();
    const page = client();
    const id = newId();
    hold(page, id);
    const { response } = await until(1);
    page.close('E_GOING_AWAY');
    const again = resume(client(), id, 0);
    response.writeHead(429, { 'retry-after': '7' });
    response.end('busy');
    const { status, headers } = await again.readHead();
    expect([status, headers.find(([name]) => name === 'retry-after')?.[1]]).toEqual([429, '7']);
    expect(await read(again)).toBe('busy');
  });

  test('cuts its predecessor off', async () => {
    const { until, client } = await rig();
    const id = newId();
    const first = hold(client(), id);
    const { response } = await until(1);
    response.write('one');
    await first.readHead();
    await read(first, 3);
    const again = resume(client(), id, 3);
    await again.readHead();
    expect(await codeOf(first.readData())).toBe('E_CANCELLED');
    response.end('two');
    expect(await read(again)).toBe('two');
  });

  test('finds a decoded body with the offsets of what it has read', async () => {
    const { until, client } = await rig();
    const id = newId();
    const page = client();
    const first = hold(page, id);
    const { response } = await until(1);
    const body = gzipSync('compressed on its way');
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length }).end(body);
    await first.readHead();
    expect(await read(first)).toBe('compressed on its way');
    const again = resume(client(), id, 11);
    expect((await again.readHead()).headers.map(([name]) => name)).not.toContain('content-length');
    expect(await read(again)).toBe('on its way');
  });

  test('may do so through the edge’s own channels and back', async () => {
    const { asked, until, client } = await rig();
    const id = newId();
    const first = hold(client(), id);
    const { response } = await until(1);
    response.write('one');
    await first.readHead();
    const grant: [string, string] = ['direct-grant', encodeGrant(OWNER)];
    const again = resume(client('in-heads'), id, 1, { headers: [grant] });
    await again.readHead();
    response.end('two');
    expect(await read(again)).toBe('netwo');
    const back = resume(client(), id, 4);
    await back.readHead();
    expect([await read(back), asked.length]).toEqual(['wo', 1]);
  });
});

describe('a response that fails', () => {
  test('in the middle does so for who comes later too', async () => {
    const { until, client, clock } = await rig();
    const page = client();
    const id = newId();
    const first = hold(page, id);
    const { response } = await until(1);
    response.write('one');
    await first.readHead();
    await read(first, 3);
    page.close('E_GOING_AWAY');
    response.destroy();
    const again = resume(client(), id, 1);
    await again.readHead();
    expect(await read(again, 2)).toBe('ne');
    const failed = codeOf(again.readData());
    await clock.advance(1_000);
    expect(await failed).toBe('E_UPSTREAM_FAILED');
  });

  test('before its head is the same error again', async () => {
    const { client, until } = await rig();
    const id = newId();
    const page = client();
    const first = hold(page, id);
    (await until(1)).response.destroy();
    expect(await outcome(first)).toEqual([502, 'E_UPSTREAM_UNREACHABLE']);
    expect(await outcome(resume(client(), id, 0))).toEqual([502, 'E_UPSTREAM_UNREACHABLE']);
    const refused = newId();
    const path = '/api/delete';
    expect((await begin(page, { hold: refused, path }, '{}').readHead()).status).toBe(403);
    expect((await resume(client(), refused, 0).readHead()).status).toBe(403);
  });

  test('because its request never came whole leaves nothing', async () => {
    const { client, until } = await rig();
    const page = client();
    const id = newId();
    const exchange = new ClientExchange(page.openStream());
    await exchange.sendHead({ method: 'POST', path: '/v1/chat/completions', headers: [], hold: id });
    await exchange.sendData(Buffer.from('{"model":'));
    const entry = await until(1);
    page.close('E_GOING_AWAY');
    await vi.waitUntil(() => entry.lost, PATIENCE);
    expect(await outcome(resume(client(), id, 0))).toEqual([404, 'E_NOT_FOUND']);
  });
});

describe('a response that nobody wants', () => {
  test('ends at the upstream when it is released, and for who reads it', async () => {
    const { until, client, log } = await rig();
    const page = client();
    const id = newId();
    const first = hold(page, id);
    const entry = await until(1);
    entry.response.write('one');
    await first.readHead();
    await read(first, 3);
    const released = resume(page, id, 0, { method: 'DELETE' });
    expect(await outcome(released)).toEqual([204, undefined]);
    await vi.waitUntil(() => entry.lost, PATIENCE);
    expect(await codeOf(first.readData())).toBe('E_CANCELLED');
    for (const method of ['GET', 'DELETE']) {
      expect(await outcome(resume(page, id, 0, { method }))).toEqual([404, 'E_NOT_FOUND']);
    }
    expect(log).toContain('given up 204');
  });

  test('ends when its time is over', async () => {
    const { until, client, clock } = await rig();
    const page = client();
    const id = newId();
    const first = hold(page, id);
    const entry = await until(1);
    entry.response.write('one');
    await first.readHead();
    page.close('E_GOING_AWAY');
    await vi.waitUntil(() => clock.pending === 1, PATIENCE);
    await clock.advance(SESSION_SURVIVAL_MS);
    await vi.waitUntil(() => entry.lost, PATIENCE);
    expect(await outcome(resume(client(), id, 0))).toEqual([404, 'E_NOT_FOUND']);
  });

  test('is not held: an ordinary request ends with its client, as ever', async () => {
    const { until, client } = await rig();
    const page = client();
    const exchange = begin(page, { path: '/v1/models' });
    const entry = await until(1);
    exchange.abort('E_CANCELLED');
    await vi.waitUntil(() => entry.lost, PATIENCE);
  });
});

describe('a grant', () => {
  test('of another subject finds nothing, to read or to release', async () => {
    const { until, client } = await rig();
    const id = newId();
    const first = hold(client({ subject: 'key:a' }), id);
    const { response } = await until(1);
    response.write('one');
    await first.readHead();
    for (const subject of ['key:b', 'owner', 'anonymous']) {
      for (const method of ['GET', 'DELETE']) {
        expect(await outcome(resume(client({ subject }), id, 0, { method }))).toEqual([404, 'E_NOT_FOUND']);
      }
    }
    response.end();
    expect(await read(first)).toBe('one');
    // Whom the edge has not let in does not get so far.
    expect(await outcome(resume(client('in-heads'), id, 0))).toEqual([403, 'E_FORBIDDEN']);
  });

  test('holds for the request that is held', async () => {
    const { asked, client } = await rig();
    const page = client({ subject: 'key:a', models: ['b'], prefixes: ['/v1'], requests_per_minute: 2 });
    expect(await outcome(hold(page, newId()))).toEqual([403, 'E_FORBIDDEN']);
    expect(await outcome(begin(page, { hold: newId(), path: '/api/chat' }, '{"model":"b"}'))).toEqual([403, undefined]);
    expect(await outcome(hold(page, newId()))).toEqual([429, 'E_RATE_LIMITED']);
    expect(asked.length).toBe(0);
  });

  test('that is revoked ends what is held for it, in whatever session it is read', async () => {
    const { until, client, sessions, proxy } = await rig();
    const subject = 'key:a';
    const left = client({ subject });
    const id = newId();
    hold(left, id);
    const entry = await until(1);
    left.close('E_GOING_AWAY');
    const tunnel = client('in-heads');
    const grant: [string, string] = ['direct-grant', encodeGrant({ subject })];
    const waiting = resume(tunnel, id, 0, { headers: [grant] });
    await vi.waitUntil(() => tunnel.streamCount === 1, PATIENCE);
    await new Promise((resolve) => setTimeout(resolve, 20));
    sessions.revoke(subject);
    proxy.revoke(subject);
    expect(await outcome(waiting)).toEqual([401, 'E_UNAUTHORIZED']);
    await vi.waitUntil(() => entry.lost, PATIENCE);
    expect(await outcome(resume(client({ subject }), id, 0))).toEqual([404, 'E_NOT_FOUND']);
  });
});

test('an agent that stops ends what it holds', async () => {
  const { until, client, proxy } = await rig();
  const page = client();
  hold(page, newId());
  const entry = await until(1);
  page.close('E_GOING_AWAY');
  await proxy.close();
  await vi.waitUntil(() => entry.lost, PATIENCE);
});

test('the fields of the tunnel never reach an upstream', async () => {
  const { until, client } = await rig();
  hold(client(), newId(), [
    ['direct-hold', newId()],
    ['direct-credentials', 'omit'],
    ['direct-resume', `${newId()} 0`],
    ['x-own', 'kept'],
  ]);
  const { request } = await until(1);
  expect(request.headers).toMatchObject({ 'x-own': 'kept' });
  expect(Object.keys(request.headers).filter((name) => name.startsWith('direct-'))).toEqual([]);
});
