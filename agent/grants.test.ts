/** What a grant allows, request by request, with a real upstream behind the agent. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import type { ErrorBody } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { encodeGrant, type Grant } from '../shared/grant.ts';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { Session } from '../shared/session.ts';
import { type SessionGrant, Sessions } from '../shared/sessions.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { type Asked, begin } from './test-request.ts';
import { oneUpstream } from './test-upstreams.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Seen {
  url: string;
  body: string;
  headers: IncomingMessage['headers'];
  fields: string[];
}

interface RigOptions {
  handler?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Revoked in the turn in which the first request arrives. */
  revoked?: string | undefined;
}

async function rig(options: RigOptions = {}) {
  const seen: Seen[] = [];
  /** Requests that the upstream has lost. */
  const lost: string[] = [];
  const upstream = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => void parts.push(part));
    response.on('close', () => {
      if (!response.writableFinished) lost.push(request.url ?? '');
    });
    request.on('end', () => {
      const { url = '', headers, rawHeaders } = request;
      seen.push({ url, headers, body: Buffer.concat(parts).toString(), fields: rawHeaders });
      if (options.handler === undefined) response.end('fine');
      else options.handler(request, response);
    });
  });
  const sockets = new WebSocketServer({ server: upstream });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const time = { now: 0 };
  const log: string[] = [];
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`),
    policy: { allowedPrefixes: ['/custom'], allowManagement: false },
    maxBodyBytes: 1_000_000,
    now: () => time.now,
    log: (line) => void log.push(line),
  });
  const sessions = new Sessions({
    environment: nodeEnvironment,
    stream: (stream, grant) => {
      void proxy.serve(stream, grant);
      if (options.revoked !== undefined) proxy.revoke(options.revoked);
      options.revoked = undefined;
    },
  });
  const clients: Session[] = [];
  /** A client's session with `grant`. */
  const client = (grant: SessionGrant) => {
    const [left, right] = memoryPaths();
    sessions.accept(right, { sessionId: 'test', kind: 'relay', grant });
    const session = clientSession({ sessionId: 'test', environment: nodeEnvironment, path: left });
    clients.push(session);
    return session;
  };
  cleanups.push(() => {
    for (const session of clients) session.close('E_GOING_AWAY');
    sockets.close();
    upstream.closeAllConnections();
    upstream.close();
    return proxy.close();
  });
  return { seen, lost, log, time, proxy, sessions, client, sockets };
}

async function text(exchange: ClientExchange): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** The status, with the code if it is an error of ours. */
async function ask(session: Session, path: string, asked: Asked = {}) {
  const exchange = begin(session, path, asked);
  const { status, headers } = await exchange.readHead();
  const body = status === 101 ? '' : await text(exchange);
  const code = status < 400 ? undefined : (JSON.parse(body) as ErrorBody).error.code;
  return { status, code, body, field: (name: string) => headers.find(([key]) => key === name)?.[1] };
}

const tagged = (grant: Grant, more: HeaderList = []): Asked => ({
  headers: [['direct-grant', encodeGrant(grant)], ...more],
});
const until = (condition: () => boolean) => vi.waitUntil(condition, { ...PATIENCE, interval: 2 });
const CHAT = '/v1/chat/completions';
const FORBIDDEN = { status: 403, code: 'E_FORBIDDEN' };

describe('whose a request is', () => {
  test('a session says for all of its requests, and no request for itself', async () => {
    const { client, seen } = await rig();
    const scoped = client({ subject: 'key:a', prefixes: ['/v1/models'] });
    expect(await ask(scoped, '/v1/models', tagged({ subject: 'owner' }))).toMatchObject({ status: 200 });
    expect(await ask(scoped, CHAT, tagged({ subject: 'owner' }))).toMatchObject(FORBIDDEN);
    expect(seen.map(({ url, headers }) => [url, headers['direct-grant']])).toEqual([['/v1/models', undefined]]);
  });

  test('the edge’s own session says in each head', async () => {
    const { client, seen } = await rig();
    const edge = client('in-heads');
    const grant = { subject: 'key:a', prefixes: ['/v1/models'], models: ['größe'] };
    expect(await ask(edge, CHAT, tagged({ subject: 'owner' }))).toMatchObject({ status: 200 });
    expect(await ask(edge, CHAT, tagged(grant))).toMatchObject(FORBIDDEN);
    expect(await ask(edge, CHAT)).toMatchObject(FORBIDDEN);
    expect(await ask(edge, CHAT, tagged({ subject: 'owner' }, [['direct-grant', '{}']]))).toMatchObject(FORBIDDEN);
    expect(await ask(edge, CHAT, { headers: [['direct-grant', 'owner']] })).toMatchObject({ code: 'E_BAD_REQUEST' });
    expect(seen.map(({ url, headers }) => [url, headers['direct-grant']])).toEqual([[CHAT, undefined]]);
  });

  test('without a word of the edge nothing is allowed', async () => {
    const { client, seen } = await rig();
    expect(await ask(client(undefined), '/v1/models', tagged({ subject: 'owner' }))).toMatchObject(FORBIDDEN);
    expect(seen).toEqual([]);
  });
});

describe('prefixes', () => {
  test('are looked for in the path that is forwarded, and allow nothing that the host does not serve', async () => {
    const { client, seen } = await rig();
    const session = client({ subject: 'key:a', prefixes: ['/v1/chat', '/api/pull'] });
    expect(await ask(session, '/v1/%63hat/completions')).toMatchObject({ status: 200 });
    expect(await ask(session, '/v1/chatx')).toMatchObject(FORBIDDEN);
    expect(await ask(session, '/v1/chat/../models')).toMatchObject({ code: 'E_BAD_TARGET' });
    const refused = await ask(session, '/api/pull', { body: '{}' }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 403 });
    expect(seen.map(({ url }) => url)).toEqual([CHAT]);
  });

  test('hold for WebSockets', async () => {
    const { client } = await rig();
    const session = client({ subject: 'key:a', prefixes: ['/v1/realtime'] });
    expect(await ask(session, '/v1/realtime', { protocol: 'websocket' })).toMatchObject({ status: 101 });
    expect(await ask(session, '/v1/other', { protocol: 'websocket' })).toMatchObject(FORBIDDEN);
  });
});

describe('requests per minute', () => {
  test('are those of a subject, by all its sessions and the tunnel, with the time to wait', async () => {
    const { client, time, seen } = await rig();
    const grant: Grant = { subject: 'key:a', requests_per_minute: 3 };
    const [one, two, edge] = [client(grant), client(grant), client('in-heads')];
    expect(await ask(one, '/v1/models')).toMatchObject({ status: 200 });
    time.now = 10_000;
    expect(await ask(two, '/v1/models')).toMatchObject({ status: 200 });
    expect(await ask(edge, '/v1/models', tagged(grant))).toMatchObject({ status: 200 });
    time.now = 15_500;
    for (const session of [one, two]) {
      const refused = await ask(session, '/v1/models');
      expect([refused.status, refused.code, refused.field('retry-after')]).toEqual([429, 'E_RATE_LIMITED', '45']);
    }
    expect(await ask(edge, '/v1/models', tagged(grant))).toMatchObject({ status: 429 });
    expect(await ask(edge, '/v1/models', tagged({ ...grant, subject: 'key:b' }))).toMatchObject({ status: 200 });
    time.now = 60_000;
    expect(await ask(edge, '/v1/models', tagged(grant))).toMatchObject({ status: 200 });
    expect(seen.length).toBe(5);
  });
});

describe('models', () => {
  const grant: Grant = { subject: 'key:a', models: ['one'] };

  test('are checked, and the bytes go on as they came', async () => {
    const { client, seen, log } = await rig();
    const session = client(grant);
    const body = '{ "seed": 12345678901234567890, "x": 1.10, "model":\t"one" }';
    expect(await ask(session, CHAT, { body })).toMatchObject({ status: 200 });
    expect(await ask(session, CHAT, { body: body.replace('one', 'two') })).toMatchObject(FORBIDDEN);
    expect(await ask(session, CHAT, { body: '{"model":"one","Model":"two"}' })).toMatchObject(FORBIDDEN);
    expect(await ask(session, CHAT, { method: 'POST' })).toMatchObject(FORBIDDEN);
    expect(await ask(session, '/custom/thing', { body })).toMatchObject(FORBIDDEN);
    expect(seen.map((request) => request.body)).toEqual([body]);
    expect(log.join('\n')).not.toContain('two');
  });

  test('are in JSON for the upstream, too, whatever the client calls it', async () => {
    const { client, seen } = await rig();
    const headers: HeaderList = [
      ['content-type', 'application/x-www-form-urlencoded'],
      ['content-type', 'text/plain'],
      ['content-length', '36'],
    ];
    const body = '{"model":"one","x":"&model=two&x=1"}';
    expect(await ask(client(grant), CHAT, { body, headers })).toMatchObject({ status: 200 });
    expect(seen[0]?.fields.filter((_, i, all) => all[i - (i % 2)]?.toLowerCase() === 'content-type')).toEqual([
      'content-type',
      'application/json',
    ]);
    expect([seen[0]?.headers['content-length'], seen[0]?.body]).toEqual(['36', body]);
  });

  test('are not named by the client’s Authorization, which LocalAI prefers to the body', async () => {
    const { client, seen } = await rig();
    const headers: HeaderList = [['authorization', 'Bearer two']];
    const body = '{"model":"one"}';
    expect(await ask(client(grant), CHAT, { body, headers })).toMatchObject({ status: 200 });
    expect(await ask(client({ subject: 'owner' }), CHAT, { body, headers })).toMatchObject({ status: 200 });
    expect(seen.map((request) => request.headers.authorization)).toEqual([undefined, 'Bearer two']);
  });

  test('in bodies that are too long or break off are not found', async () => {
    const { client, seen } = await rig();
    const session = client(grant);
    const body = `{"model":"one","x":"${'y'.repeat(1_000_000)}"}`;
    expect(await ask(session, CHAT, { body })).toMatchObject({ status: 413, code: 'E_BODY_TOO_LARGE' });
    const headers: HeaderList = [['content-length', '20']];
    expect(await ask(session, CHAT, { body: '{"model":"one"}', headers })).toMatchObject({ code: 'E_PROTOCOL' });
    const broken = begin(session, CHAT, { method: 'POST', protocol: undefined, body: '{"model":"one"}' });
    broken.abort('E_CANCELLED');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toEqual([]);
  });

  test('of which too many are in large bodies at once are refused, and not for longer', async () => {
    const { client } = await rig();
    const session = client(grant);
    const head = { method: 'POST', path: CHAT, headers: [] };
    const start = `{"model":"one","x":"`;
    // 70 bodies of a megabyte each, none of which ends.
    const open = Array.from({ length: 70 }, () => new ClientExchange(session.openStream()));
    const replies = open.map(async (exchange) => {
      await exchange.sendHead(head);
      exchange.sendData(Buffer.from(start + 'y'.repeat(999_000))).catch(() => {});
      return exchange.readHead();
    });
    const first = await Promise.race(replies);
    expect([first.status, first.headers.find(([name]) => name === 'retry-after')?.[1]]).toEqual([429, '1']);
    for (const exchange of open) exchange.abort('E_CANCELLED');
    await Promise.allSettled(replies);
    await vi.waitUntil(async () => (await ask(session, CHAT, { body: '{"model":"one"}' })).status === 200, PATIENCE);
  });

  test('are the only ones in lists, however the upstream encodes them', async () => {
    const list = JSON.stringify({ object: 'list', data: [{ id: 'one' }, { id: 'two' }] });
    const { client } = await rig({
      handler: (request, response) => {
        if (request.url?.startsWith('/v1/models') === false) response.writeHead(404).end('{"error":{}}');
        else if (request.url?.endsWith('?gzip')) {
          response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'application/json' });
          response.end(gzipSync(list));
        } else response.writeHead(200, { 'content-length': list.length, etag: '"1"' }).end(list);
      },
    });
    const session = client(grant);
    const filtered = '{"object":"list","data":[{"id":"one"}]}';
    for (const path of ['/v1/models', '/v1/models?gzip']) {
      const answer = await ask(session, path);
      expect([answer.status, answer.body, answer.field('content-length')]).toEqual([200, filtered, '39']);
      expect([answer.field('content-encoding'), answer.field('etag')]).toEqual([undefined, undefined]);
    }
    // Errors of the upstream pass as they are.
    expect(await ask(session, '/api/v0/models')).toMatchObject({ status: 404, body: '{"error":{}}' });
    expect((await ask(client({ subject: 'owner' }), '/v1/models')).body).toBe(list);
  });

  test('in lists that are none, or with a body, or by WebSocket are refused', async () => {
    const { client, sockets } = await rig();
    const session = client(grant);
    expect(await ask(session, '/v1/models')).toMatchObject(FORBIDDEN);
    expect(await ask(session, '/v1/models', { method: 'GET', body: '{"model":"one"}' })).toMatchObject(FORBIDDEN);
    expect(await ask(session, '/v1/realtime', { protocol: 'websocket' })).toMatchObject(FORBIDDEN);
    expect(sockets.clients.size).toBe(0);
  });
});

describe('a revocation', () => {
  const mine: Grant = { subject: 'key:a' };

  test('ends the subject’s sessions with all that runs in them', async () => {
    const { client, sessions, lost, seen } = await rig({
      handler: (_request, response) => void response.writeHead(200).write('token'),
    });
    const [session, other] = [client(mine), client({ subject: 'key:b' })];
    const [stream, kept] = [begin(session, '/v1/a'), begin(other, '/v1/b')];
    for (const exchange of [stream, kept]) {
      await exchange.readHead();
      await exchange.readData();
    }
    sessions.revoke('key:a');
    await expect(stream.readData()).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
    await until(() => lost.length === 1);
    expect([seen.length, lost, other.error]).toEqual([2, ['/v1/a'], undefined]);
  });

  test('that comes in one turn with a request on the edge’s channel ends it', async () => {
    for (const [subject, status] of [
      ['key:a', 401],
      ['key:b', 200],
    ] as const) {
      const { client, seen } = await rig({ revoked: 'key:a' });
      const edge = client('in-heads');
      const first = begin(edge, '/v1/a', tagged({ subject }));
      expect((await first.readHead()).status).toBe(status);
      const later = begin(edge, '/v1/b', tagged({ subject }));
      expect((await later.readHead()).status).toBe(200);
      expect(seen.map(({ url }) => url)).toEqual(status === 401 ? ['/v1/b'] : ['/v1/a', '/v1/b']);
    }
  });

  test('ends the subject’s requests on the edge’s channels, at whatever stage, and no other', async () => {
    const { client, proxy, lost, seen, sockets } = await rig({
      handler: (request, response) => {
        if (request.url !== '/v1/thinking') response.writeHead(200).write(Buffer.alloc(3_000_000));
      },
    });
    const edge = client('in-heads');
    const thinking = begin(edge, '/v1/thinking', tagged(mine));
    const streaming = begin(edge, '/v1/streaming', tagged(mine));
    const others = begin(edge, '/v1/others', tagged({ subject: 'key:b' }));
    const socket = begin(edge, '/v1/socket', { ...tagged(mine), protocol: 'websocket' });
    // Its body does not come.
    const asking = new ClientExchange(edge.openStream());
    await asking.sendHead({ method: 'POST', path: '/v1/asking', ...tagged(mine) } as RequestHead);
    // Nobody reads them: the agent waits for credit.
    for (const exchange of [streaming, others, socket]) await exchange.readHead();
    await until(() => seen.length === 3 && sockets.clients.size === 1);
    proxy.revoke('key:a');
    for (const exchange of [thinking, asking]) {
      expect((await exchange.readHead()).status).toBe(401);
      expect(JSON.parse(await text(exchange))).toMatchObject({ error: { code: 'E_UNAUTHORIZED' } });
    }
    await expect(text(streaming)).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
    await expect(socket.socket().read()).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
    await until(() => lost.length === 2 && sockets.clients.size === 0);
    expect([lost.sort(), edge.error]).toEqual([['/v1/streaming', '/v1/thinking'], undefined]);
    expect((await others.readData())?.length).toBeGreaterThan(0);
    // What has ended is forgotten, and what comes later is the edge's to refuse.
    const again = begin(edge, '/v1/again', tagged(mine));
    expect((await again.readHead()).status).toBe(200);
  });
});
