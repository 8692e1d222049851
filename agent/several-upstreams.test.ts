/** Several real servers behind one proxy: who gets which request, as what, and when. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { ClientExchange } from '../shared/exchange.ts';
import type { HeaderList } from '../shared/head.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { Session } from '../shared/session.ts';
import { type SessionGrant, Sessions } from '../shared/sessions.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { clientSession } from '../shared/test-sessions.ts';
import type { ServerKind } from './discovery.ts';
import { type ProxyOptions, UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { type Asked, begin } from './test-request.ts';
import { Upstreams, type UpstreamsOptions } from './upstreams.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Real {
  readonly url: string;
  /** `METHOD /target body`, as they came. */
  readonly seen: string[];
  readonly requests: IncomingMessage[];
  /** With `hold`, requests that wait for their answers. */
  readonly open: ServerResponse[];
  models: string[];
  stop(): Promise<void>;
}

interface RealOptions {
  models?: string[];
  key?: string;
  hold?: boolean;
}

/** A server that lists models in OpenAI's and Ollama's form, and answers everything else with `fine`. */
async function serve({ models = [], key, hold = false }: RealOptions = {}): Promise<Real> {
  const real: Omit<Real, 'url' | 'stop'> = { seen: [], requests: [], open: [], models };
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { method = '', url = '', headers } = request;
    if (key !== undefined && headers.authorization !== key) return void response.writeHead(401).end('{}');
    if (url === '/v1/models') {
      const data = real.models.map((id) => ({ id, object: 'model', created: 7, max_model_len: 8192 }));
      return void response.end(JSON.stringify({ object: 'list', data }));
    }
    if (url === '/api/tags') {
      return void response.end(JSON.stringify({ models: real.models.map((name) => ({ name, model: name, size: 1 })) }));
    }
    real.seen.push(`${method} ${url} ${Buffer.concat(parts)}`.trim());
    real.requests.push(request);
    if (hold) real.open.push(response);
    else response.end('fine');
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (_socket, request) => void real.seen.push(`SOCKET ${request.url}`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  cleanups.push(stop);
  return Object.assign(real, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop });
}

type Servers = [kind: ServerKind, real: Real, needsKey?: boolean][];

async function rig(servers: Servers, more: Partial<ProxyOptions & UpstreamsOptions> = {}) {
  const upstreams = new Upstreams({
    servers: servers.map(([kind, { url, models }, needsKey = false]) => {
      return { kind, name: kind, url, models: needsKey ? [] : [...models], needsKey };
    }),
    configured: servers.map(([, { url }]) => url),
    ...more,
  });
  const proxy = new UpstreamProxy({
    policy: { allowedPrefixes: ['/custom'], allowManagement: true },
    maxBodyBytes: 1_000_000,
    log: () => {},
    ...more,
    upstreams,
  });
  const sessions = new Sessions({
    environment: nodeEnvironment,
    stream: (stream, grant) => void proxy.serve(stream, grant),
  });
  const client = (grant: SessionGrant = { subject: 'owner' }) => {
    const [left, right] = memoryPaths();
    sessions.accept(right, { sessionId: 'test', kind: 'relay', grant });
    const session = clientSession({ sessionId: 'test', environment: nodeEnvironment, path: left });
    cleanups.push(() => session.close('E_GOING_AWAY'));
    return session;
  };
  cleanups.push(() => {
    upstreams.close();
    return proxy.close();
  });
  return { upstreams, proxy, client };
}

async function ask(session: Session, path: string, sent: Asked = {}) {
  const exchange = begin(session, path, sent);
  const { status, headers } = await exchange.readHead();
  const parts: Uint8Array[] = [];
  if (status !== 101) {
    for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  }
  return { status, body: Buffer.concat(parts).toString(), headers };
}

const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 20_000, interval: 2 });
const CHAT = '/v1/chat/completions';
const asking = (model: string) => ({ body: `{"n": 12345678901234567890, "model": "${model}"}` });
const ids = (body: string) => (JSON.parse(body) as { data: { id: string }[] }).data.map(({ id }) => id);

describe('lists', () => {
  test('are the union in OpenAI’s form, with a prefix where names clash, and with what the servers say', async () => {
    const one = await serve({ models: ['llama3:latest', 'qwen3'] });
    const two = await serve({ models: ['llama3', 'org/model'] });
    const { client } = await rig([
      ['ollama', one],
      ['vllm', two],
    ]);
    const session = client();
    const { body, headers } = await ask(session, '/v1/models');
    expect(ids(body)).toEqual(['llama3:latest', 'qwen3', 'vllm/llama3', 'org/model']);
    expect(JSON.parse(body).data[2]).toEqual({ id: 'vllm/llama3', object: 'model', created: 7, max_model_len: 8192 });
    expect(headers).toContainEqual(['content-type', 'application/json']);
    for (const id of ['vllm/llama3', 'org/model', 'vllm/org/model', 'ollama/qwen3']) {
      expect(JSON.parse((await ask(session, `/v1/models/${encodeURI(id)}`)).body).id).toBe(id);
    }
    expect((await ask(session, '/v1/models/other')).status).toBe(404);
    expect(await ask(session, '/v1/models', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect([one.seen, two.seen]).toEqual([[], []]);
  });

  test('have what was added since', async () => {
    const [one, two] = [await serve({ models: ['a'] }), await serve({ models: ['b'] })];
    const { client } = await rig([
      ['ollama', one],
      ['vllm', two],
    ]);
    two.models.push('new');
    expect(ids((await ask(client(), '/v1/models')).body)).toEqual(['a', 'b', 'new']);
  });

  test('of two Ollamas are one in Ollama’s form, of one are its own', async () => {
    const [one, two] = [await serve({ models: ['x:latest'] }), await serve({ models: ['x:latest', 'y'] })];
    const other = await serve({ models: ['z'] });
    const both = await rig([
      ['ollama', one],
      ['ollama', two],
      ['vllm', other],
    ]);
    expect(JSON.parse((await ask(both.client(), '/api/tags')).body)).toEqual({
      models: [
        { name: 'x:latest', model: 'x:latest', size: 1 },
        { name: 'ollama-2/x:latest', model: 'ollama-2/x:latest', size: 1 },
        { name: 'y', model: 'y', size: 1 },
      ],
    });
    const single = await rig([
      ['vllm', other],
      ['ollama', one],
    ]);
    expect(JSON.parse((await ask(single.client(), '/api/tags')).body)).toEqual({
      models: [{ name: 'x:latest', model: 'x:latest', size: 1 }],
    });
  });
});

describe('requests', () => {
  async function two() {
    const one = await serve({ models: ['llama3:latest', 'qwen3'] });
    const other = await serve({ models: ['llama3', 'org/model'] });
    const rigged = await rig([
      ['ollama', one],
      ['vllm', other],
    ]);
    return { one, other, session: rigged.client(), ...rigged };
  }

  test('go by their model, byte for byte unless it had a prefix', async () => {
    const { one, other, session } = await two();
    for (const model of ['llama3', 'org/model', 'qwen3', 'vllm/llama3', 'ollama/llama3']) {
      expect(await ask(session, CHAT, asking(model))).toMatchObject({ status: 200, body: 'fine' });
    }
    expect(one.seen).toEqual(['llama3', 'qwen3', 'llama3:latest'].map((model) => `POST ${CHAT} ${asking(model).body}`));
    expect(other.seen).toEqual(['org/model', 'llama3'].map((model) => `POST ${CHAT} ${asking(model).body}`));
    const { body } = asking('vllm/llama3');
    const headers: HeaderList = [['content-length', `${body.length}`]];
    expect((await ask(session, CHAT, { body, headers })).status).toBe(200);
    expect(other.requests.at(-1)?.headers['content-length']).toBe(`${asking('llama3').body.length}`);
  });

  test('for a model that nobody has are refused in the form of the path, with what there is', async () => {
    const { one, other, session } = await two();
    const { status, body } = await ask(session, CHAT, asking('gpt-9'));
    expect([status, JSON.parse(body).error]).toEqual([
      404,
      {
        message:
          'No server of this host has the model “gpt-9”. There are: llama3:latest, qwen3, vllm/llama3, org/model.',
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    ]);
    expect([one.seen, other.seen]).toEqual([[], []]);
    // Unless it came a moment ago.
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    other.models.push('gpt-9');
    expect((await ask(session, CHAT, asking('gpt-9'))).status).toBe(200);
    expect(other.seen.length).toBe(1);
  });

  test('in Ollama’s own API go to Ollama, whatever the others have', async () => {
    const { one, other, session } = await two();
    for (const model of ['llama3', 'org/model', 'ollama/qwen3']) await ask(session, '/api/chat', asking(model));
    await ask(session, '/api/pull', asking('new'));
    await ask(session, '/api/version');
    expect(one.seen).toEqual([
      `POST /api/chat ${asking('llama3').body}`,
      `POST /api/chat ${asking('org/model').body}`,
      `POST /api/chat ${asking('qwen3').body}`,
      `POST /api/pull ${asking('new').body}`,
      'GET /api/version',
    ]);
    expect(other.seen).toEqual([]);
  });

  test('without a model, or none that can be read, go to who has the path, or to the first', async () => {
    const [one, other] = [await serve({ models: ['a'] }), await serve({ models: ['b'] })];
    const { client } = await rig([
      ['ollama', one],
      ['llamacpp', other],
    ]);
    const session = client();
    await ask(session, '/props');
    await ask(session, '/v1/files');
    await ask(session, CHAT, { body: 'no JSON' });
    await ask(session, CHAT, { body: '{"messages":[]}' });
    expect(one.seen).toEqual(['GET /v1/files', `POST ${CHAT} no JSON`, `POST ${CHAT} {"messages":[]}`]);
    expect(other.seen).toEqual(['GET /props']);
  });

  test('as forms and as WebSockets go by their model, too', async () => {
    const { other, session } = await two();
    const form = new FormData();
    form.append('file', new File(['audio'], 'a.wav'));
    form.append('model', 'vllm/whisper');
    const response = new Response(form);
    const body = new Uint8Array(await response.arrayBuffer());
    const headers: HeaderList = [['content-type', response.headers.get('content-type') ?? '']];
    expect((await ask(session, '/v1/audio/transcriptions', { body, headers })).status).toBe(200);
    expect(other.seen[0]).toMatch(/name="model"\r\n\r\nwhisper\r\n--/);
    const socket = await ask(session, '/v1/realtime?x=1&model=vllm%2Forg%2Fmodel&y=2', { protocol: 'websocket' });
    expect(socket.status).toBe(101);
    await until(() => other.seen.length === 2);
    expect(other.seen[1]).toBe('SOCKET /v1/realtime?x=1&model=org%2Fmodel&y=2');
  });

  test('go to another server that has the model when nobody is at the first', async () => {
    const { one, other, session, upstreams } = await two();
    await one.stop();
    expect(await ask(session, CHAT, asking('llama3'))).toMatchObject({ status: 200 });
    expect(other.seen.length).toBe(1);
    expect(upstreams.known.map(({ name, isUp }) => [name, isUp])).toEqual([
      ['vllm', true],
      ['ollama', false],
    ]);
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['llama3', 'org/model']);
    // What only the dead one has is said to be unreachable.
    const { status, body } = await ask(session, CHAT, asking('qwen3'));
    expect([status, JSON.parse(body).error.code]).toEqual([502, 'E_UPSTREAM_UNREACHABLE']);
    expect(await ask(session, '/v1/files')).toMatchObject({ status: 200 });
  });

  test('reach a server of which the list cannot be read, if it is the only one that a model can be at', async () => {
    const one = await serve({ models: ['a'] });
    const other = await serve({ models: ['b'], key: 'Bearer k' });
    const { client } = await rig([
      ['ollama', one],
      ['vllm', other, true],
    ]);
    expect((await ask(client(), CHAT, asking('b'))).status).toBe(401);
    const headers: HeaderList = [['authorization', 'Bearer k']];
    expect((await ask(client(), CHAT, { ...asking('b'), headers })).status).toBe(200);
    expect(one.seen).toEqual([]);
  });

  test('carry the key of their server, and of no other', async () => {
    const one = await serve({ models: ['a'] });
    const other = await serve({ models: ['b'], key: 'Bearer k' });
    const { client } = await rig(
      [
        ['ollama', one],
        ['vllm', other, true],
      ],
      { headers: { any: { authorization: 'Bearer k' }, of: {} } },
    );
    const session = client();
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['a', 'b']);
    expect((await ask(session, CHAT, asking('a'))).status).toBe(200);
    expect((await ask(session, CHAT, asking('b'))).status).toBe(200);
    expect([one, other].map(({ requests }) => requests[0]?.headers.authorization)).toEqual([undefined, 'Bearer k']);
  });
});

test('bodies are not kept while their answers last', async () => {
  const server = await serve({ models: ['a'], hold: true });
  const other = await serve({ models: ['b'] });
  const { client } = await rig([
    ['ollama', server],
    ['vllm', other],
  ]);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 1e6;
  };
  const session = client();
  const before = used();
  const count = 30;
  const all = Array.from({ length: count }, () =>
    begin(session, CHAT, { body: `{"model":"ollama/a","x":"${'x'.repeat(900_000)}"}` }),
  );
  await until(() => server.open.length === count);
  for (const response of server.open) response.write('begun');
  for (const exchange of all) await exchange.readHead();
  server.seen.length = 0;
  await vi.waitUntil(() => used() - before < 12, { ...PATIENCE, interval: 100 });
  for (const response of server.open) response.end();
});

describe('a grant for certain models', () => {
  async function limited(models: string[], more: Partial<ProxyOptions> = {}) {
    const one = await serve({ models: ['llama3:latest', 'qwen3'] });
    const other = await serve({ models: ['llama3', 'org/model', 'qwen3'] });
    const rigged = await rig(
      [
        ['ollama', one],
        ['vllm', other],
      ],
      more,
    );
    const session = rigged.client({ subject: 'key:a', models });
    const statuses = (...asked: string[]) =>
      Promise.all(asked.map(async (model) => (await ask(session, CHAT, asking(model))).status));
    return { one, other, session, statuses, ...rigged };
  }

  test('means the model of that name, however it is called, and no other server’s', async () => {
    const { session, statuses, one, other } = await limited(['llama3']);
    expect(await statuses('llama3', 'llama3:latest', 'ollama/llama3')).toEqual([200, 200, 200]);
    expect(await statuses('vllm/llama3', 'qwen3', 'ollama/qwen3', 'vllm/other', 'other')).toEqual(Array(5).fill(403));
    expect([one.seen.length, other.seen.length]).toEqual([3, 0]);
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['llama3:latest']);
    expect((await ask(session, '/v1/models/llama3')).status).toBe(200);
    expect((await ask(session, '/v1/models/vllm/llama3')).status).toBe(403);
    const { models } = JSON.parse((await ask(session, '/api/tags')).body) as { models: { name: string }[] };
    expect(models.map(({ name }) => name)).toEqual(['llama3:latest']);
    expect((await ask(session, '/api/chat', asking('llama3'))).status).toBe(200);
    expect((await ask(session, '/api/chat', asking('qwen3'))).status).toBe(403);
  });

  test('decides where to, however the body is said to be', async () => {
    const { session, one, other } = await limited(['vllm/qwen3']);
    for (const headers of [
      [['content-encoding', 'identity']],
      [['content-type', 'text/plain']],
      [['content-type', 'multipart/form-data; boundary=x']],
      [
        ['content-encoding', 'identity'],
        ['content-encoding', 'gzip'],
      ],
    ] satisfies HeaderList[]) {
      const { status } = await ask(session, CHAT, { ...asking('vllm/qwen3'), headers });
      expect([200, 403]).toContain(status);
    }
    expect([one.seen.length, other.seen.length]).toEqual([0, 2]);
  });

  test('may name a server’s', async () => {
    const { session, statuses, one, other } = await limited(['vllm/qwen3', 'vllm/org/model']);
    expect(await statuses('vllm/qwen3', 'org/model', 'vllm/org/model')).toEqual([200, 200, 200]);
    expect(await statuses('qwen3', 'ollama/qwen3', 'vllm/llama3')).toEqual([403, 403, 403]);
    expect([one.seen.length, other.seen.length]).toEqual([0, 3]);
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['org/model', 'vllm/qwen3']);
  });

  test('that names a server’s means the same while there is no other', async () => {
    const one = await serve({ models: ['llama3:latest', 'qwen3'] });
    const { client } = await rig([['ollama', one]]);
    const session = client({ subject: 'key:a', models: ['ollama/qwen3'] });
    for (const model of ['qwen3', 'ollama/qwen3']) expect((await ask(session, CHAT, asking(model))).status).toBe(200);
    expect((await ask(session, CHAT, asking('llama3'))).status).toBe(403);
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['qwen3']);
    expect(one.seen).toEqual(Array(2).fill(`POST ${CHAT} ${asking('qwen3').body}`));
    // Without such a name nothing is read into slashes.
    expect((await ask(client({ subject: 'key:b', models: ['qwen3'] }), CHAT, asking('ollama/qwen3'))).status).toBe(403);
  });

  test('that names a server leads nowhere else when that is gone', async () => {
    const { statuses, one, other } = await limited(['ollama/qwen3']);
    await one.stop();
    expect(await statuses('qwen3')).toEqual([502]);
    expect(await statuses('qwen3', 'vllm/qwen3')).toEqual([403, 403]);
    expect(other.seen).toEqual([]);
  });

  test('is narrowed by the host’s policy, which is named', async () => {
    const policy = { allowedPrefixes: [], allowManagement: false, rules: { keys: { models: ['qwen3', 'org/model'] } } };
    const { session, statuses } = await limited(['llama3', 'qwen3'], { policy });
    expect(await statuses('qwen3', 'llama3', 'org/model')).toEqual([200, 403, 403]);
    const message = async (model: string) => JSON.parse((await ask(session, CHAT, asking(model))).body).error.message;
    expect(await message('llama3')).toContain('the host’s policy for keys is not for the model “llama3”');
    expect(await message('org/model')).toContain('the credential is not for the model “org/model”');
    expect(ids((await ask(session, '/v1/models')).body)).toEqual(['qwen3']);
  });
});

describe('turns', () => {
  async function busy(more: Partial<ProxyOptions> = {}) {
    const one = await serve({ models: ['a'], hold: true });
    const rigged = await rig([['ollama', one]], { capacityOf: () => 1, ...more });
    const answer = (index: number) => one.open[index]?.end('fine');
    return { one, answer, ...rigged };
  }

  test('are taken by clients, whoever asks how often, and each until its response has ended', async () => {
    const { one, answer, client, proxy } = await busy();
    const [eager, modest] = [client({ subject: 'key:a' }), client({ subject: 'key:b' })];
    const name = (who: string, n: number) => ({ body: `{"model":"a","who":"${who}${n}"}` });
    const replies = [1, 2, 3].map((n) => ask(eager, CHAT, name('a', n)));
    await until(() => proxy.load('ollama').waiting === 2);
    replies.push(ask(modest, CHAT, name('b', 1)));
    await until(() => proxy.load('ollama').waiting === 3);
    expect(proxy.load('ollama')).toEqual({ running: 1, waiting: 3 });
    // What makes nothing compute waits for nobody.
    expect((await ask(modest, '/v1/models')).status).toBe(200);
    await until(() => one.open.length === 1);
    one.open[0]?.write('to');
    for (let n = 0; n < 4; n++) {
      await until(() => one.open.length === n + 1);
      answer(n);
    }
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(one.seen.map((line) => /"who":"(..)"/.exec(line)?.[1])).toEqual(['a1', 'a2', 'b1', 'a3']);
    await until(() => proxy.load('ollama').running === 0);
  });

  test('are left by who gives up, also with a large body that nobody reads', async () => {
    const { one, answer, client, proxy } = await busy();
    const [first, other] = [client({ subject: 'key:a' }), client({ subject: 'key:b' })];
    const running = ask(first, CHAT, asking('a'));
    await until(() => one.open.length === 1);
    const large = begin(other, CHAT, { body: `{"model":"a","x":"${'y'.repeat(900_000)}"}` });
    await until(() => proxy.load('ollama').waiting === 1);
    large.abort('E_CANCELLED');
    await until(() => proxy.load('ollama').waiting === 0);
    answer(0);
    expect((await running).status).toBe(200);
    await until(() => proxy.load('ollama').running === 0);
    expect(one.seen.length).toBe(1);
  });

  test('are not taken by requests of which the end does not come', async () => {
    const server = await serve({ models: ['a'] });
    const { client, proxy } = await rig([['ollama', server]], { capacityOf: () => 1 });
    const stalled = new ClientExchange(client({ subject: 'invitation:a' }).openStream());
    stalled.sendHead({ method: 'POST', path: CHAT, headers: [] }).catch(() => {});
    stalled.sendData(Buffer.from('{"model":')).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(proxy.load('ollama')).toEqual({ running: 0, waiting: 0 });
    expect(await ask(client(), CHAT, asking('a'))).toMatchObject({ status: 200, body: 'fine' });
    stalled.abort('E_CANCELLED');
  });

  test('are left by who is revoked', async () => {
    const { one, answer, client, proxy } = await busy();
    const edge = client('in-heads');
    const by = (subject: string) => ({
      ...asking('a'),
      headers: [['direct-grant', JSON.stringify({ subject })]] satisfies HeaderList,
    });
    const running = ask(edge, CHAT, by('key:a'));
    await until(() => one.open.length === 1);
    const waiting = ask(edge, CHAT, by('key:b'));
    await until(() => proxy.load('ollama').waiting === 1);
    proxy.revoke('key:b');
    expect((await waiting).status).toBe(401);
    expect(proxy.load('ollama')).toEqual({ running: 1, waiting: 0 });
    answer(0);
    expect((await running).status).toBe(200);
    expect(one.seen.length).toBe(1);
  });

  test('are waited for by held responses as well', async () => {
    const { one, answer, client, proxy } = await busy();
    const session = client();
    const running = ask(session, CHAT, asking('a'));
    await until(() => one.open.length === 1);
    const exchange = new ClientExchange(session.openStream());
    await exchange.sendHead({ method: 'POST', path: CHAT, headers: [], hold: 'h'.repeat(22) });
    await exchange.sendData(Buffer.from(asking('a').body));
    exchange.finish();
    await until(() => proxy.load('ollama').waiting === 1);
    answer(0);
    expect((await running).status).toBe(200);
    await until(() => one.open.length === 2);
    // Its reader goes; the response stays, and its place with it.
    exchange.abort('E_CANCELLED');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(proxy.load('ollama')).toEqual({ running: 1, waiting: 0 });
    answer(1);
    await until(() => proxy.load('ollama').running === 0);
  });

  test('beyond those that may wait are refused with the time to come again', async () => {
    const { one, client, answer, proxy } = await busy({ queue: { perClient: 1, total: 1 } });
    const session = client();
    const [first, second] = [ask(session, CHAT, asking('a')), ask(session, CHAT, asking('a'))];
    await until(() => one.open.length === 1 && proxy.load('ollama').waiting === 1);
    const refused = await ask(session, CHAT, asking('a'));
    expect([refused.status, refused.headers.find(([name]) => name === 'retry-after')?.[1]]).toEqual([429, '5']);
    answer(0);
    await until(() => one.open.length === 2);
    answer(1);
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
  });

  test('of a scope are limited for each client', async () => {
    const one = await serve({ models: ['a'], hold: true });
    const policy = { allowedPrefixes: [], allowManagement: false, rules: { guests: { concurrentRequests: 1 } } };
    const { client, proxy } = await rig([['ollama', one]], { policy });
    const guests = ['x', 'y'].map((browser) => client({ subject: 'invitation:i', browser }));
    const replies = guests.flatMap((guest) => [ask(guest, CHAT, asking('a')), ask(guest, CHAT, asking('a'))]);
    await until(() => proxy.load('ollama').waiting === 2);
    await until(() => one.open.length === 2);
    for (let n = 0; n < 4; n++) {
      await until(() => one.open.length > n);
      one.open[n]?.end('fine');
    }
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });
});

test('management is off for all, and on for the scope that may', async () => {
  const one = await serve({ models: ['a'] });
  const policy = { allowedPrefixes: [], allowManagement: false, rules: { owner: { allowManagement: true } } };
  const { client } = await rig([['ollama', one]], { policy });
  expect((await ask(client({ subject: 'session:s' }), '/api/pull', asking('b'))).status).toBe(200);
  expect((await ask(client({ subject: 'key:a' }), '/api/pull', asking('b'))).status).toBe(403);
  expect((await ask(client({ subject: 'invitation:a' }), '/api/pull', asking('b'))).status).toBe(403);
});
