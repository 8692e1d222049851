import { expect, test } from 'vitest';
import type { HostClient, LocalRequest } from './host-client.ts';
import { MergedHosts } from './merged-hosts.ts';

interface Asked {
  method: string;
  target: string;
  body: string;
}

class FakeHost {
  readonly name: string;
  readonly asked: Asked[] = [];
  models: string[];
  path: 'direct' | 'offline' = 'direct';
  readonly dialed: string[] = [];
  readonly client: HostClient & { path: 'direct' | 'offline' };

  constructor(name: string, ...models: string[]) {
    this.name = name;
    this.models = models;
    const host = this;
    this.client = {
      origin: 'https://edge.example',
      get path() {
        return host.path;
      },
      fetch: (async (request: Request) => host.#answer(request)) as HostClient['fetch'],
      dial: async ({ url }) => {
        host.dialed.push(url.pathname + url.search);
        throw new Error('no WebSocket');
      },
    };
  }

  async #answer(request: Request): Promise<Response> {
    if (this.path === 'offline') throw new TypeError('offline');
    const { pathname, search } = new URL(request.url);
    const target = pathname + search;
    if (target === '/v1/models') {
      return Response.json({ object: 'list', data: this.models.map((id) => ({ id, owned_by: this.name })) });
    }
    if (target === '/api/tags') {
      return Response.json({ models: this.models.map((name) => ({ name, model: name, size: 1 })) });
    }
    this.asked.push({ method: request.method, target, body: await request.text() });
    return new Response(this.name);
  }
}

function merge(...hosts: FakeHost[]) {
  let time = 0;
  const merged = new MergedHosts({ hosts, now: () => time });
  const ask = async (target: string, body?: unknown, given: Partial<LocalRequest> = {}) => {
    const response = await merged.request({
      method: body === undefined ? 'GET' : 'POST',
      target,
      headers: new Headers({ 'content-type': 'application/json' }),
      body: body === undefined ? null : new TextEncoder().encode(JSON.stringify(body)),
      signal: new AbortController().signal,
      ...given,
    });
    return response;
  };
  return { merged, ask, pass: (ms: number) => (time += ms) };
}

const text = async (response: Promise<Response>) => (await response).text();

test('lists are the union; the first host’s names stay, the same ones of others get the host’s', async () => {
  const { ask } = merge(new FakeHost('home', 'a', 'b'), new FakeHost('attic', 'b', 'c'), new FakeHost('lab', 'b'));
  expect(await (await ask('/v1/models')).json()).toEqual({
    object: 'list',
    data: [
      { id: 'a', owned_by: 'home' },
      { id: 'b', owned_by: 'home' },
      { id: 'attic/b', owned_by: 'attic' },
      { id: 'c', owned_by: 'attic' },
      { id: 'lab/b', owned_by: 'lab' },
    ],
  });
  const { models } = (await (await ask('/api/tags')).json()) as { models: { name: string; model: string }[] };
  expect(models.map(({ name }) => name)).toEqual(['a', 'b', 'attic/b', 'c', 'lab/b']);
  expect(models.map(({ model }) => model)).toEqual(['a', 'b', 'attic/b', 'c', 'lab/b']);
});

test('the model decides who answers, and is called as there', async () => {
  const [home, attic] = [new FakeHost('home', 'a', 'b', 'org/x'), new FakeHost('attic', 'b', 'c:latest')];
  const { ask } = merge(home, attic);
  const chat = (model: string) => text(ask('/v1/chat/completions', { model, seed: 1 }));
  expect(await chat('a')).toBe('home');
  expect(await chat('b')).toBe('home');
  expect(await chat('c')).toBe('attic');
  expect(await chat('attic/b')).toBe('attic');
  expect(await chat('home/a')).toBe('home');
  expect(await chat('org/x')).toBe('home');
  expect(home.asked.map(({ body }) => JSON.parse(body).model)).toEqual(['a', 'b', 'a', 'org/x']);
  expect(attic.asked.map(({ body }) => JSON.parse(body))).toEqual([
    { model: 'c', seed: 1 },
    { model: 'b', seed: 1 },
  ]);
  expect(await text(ask('/v1/models/attic/b'))).toBe('attic');
  expect(await text(ask('/api/show', { name: 'attic/c:latest' }))).toBe('attic');
  expect(attic.asked.slice(2)).toEqual([
    { method: 'GET', target: '/v1/models/b', body: '' },
    { method: 'POST', target: '/api/show', body: '{"name":"c:latest"}' },
  ]);
});

test('a body passes byte for byte where its model keeps its name; one that streams is read', async () => {
  const [home, attic] = [new FakeHost('home', 'a'), new FakeHost('attic', 'c')];
  const { ask } = merge(home, attic);
  const odd = '{ "model":"c",\n "seed": 12345678901234567890 }';
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const part of [odd.slice(0, 9), odd.slice(9)]) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });
  expect(await text(ask('/v1/chat/completions', {}, { body }))).toBe('attic');
  expect(attic.asked[0]?.body).toBe(odd);
});

test('a form names its model as well', async () => {
  const [home, attic] = [new FakeHost('home', 'a'), new FakeHost('attic', 'a')];
  const { ask } = merge(home, attic);
  const form = new FormData();
  form.set('file', new File(['sound'], 'a.webm'));
  form.set('model', 'attic/a');
  const made = new Response(form);
  const headers = new Headers({ 'content-type': made.headers.get('content-type') ?? '' });
  expect(await text(ask('/v1/audio/transcriptions', {}, { headers, body: await made.bytes() }))).toBe('attic');
  expect(attic.asked[0]?.body).toMatch(/name="model"\r\n\r\na\r\n/);
  expect(attic.asked[0]?.body).toContain('sound');
});

test('a host that is offline has no models in the list, and another one that has them answers', async () => {
  const [home, attic] = [new FakeHost('home', 'a', 'only'), new FakeHost('attic', 'a')];
  const { ask } = merge(home, attic);
  await ask('/v1/models');
  home.path = 'offline';
  const { data } = (await (await ask('/v1/models')).json()) as { data: { id: string }[] };
  expect(data.map(({ id }) => id)).toEqual(['a']);
  expect(await text(ask('/v1/chat/completions', { model: 'a' }))).toBe('attic');
  // What only it has fails as it does, rather than as a model that does not exist.
  await expect(ask('/v1/chat/completions', { model: 'only' })).rejects.toThrow('offline');
});

test('what names no model, or one that nobody has, is for the first host; new models are found', async () => {
  const [home, attic] = [new FakeHost('home', 'a'), new FakeHost('attic')];
  const { ask, pass } = merge(home, attic);
  expect(await text(ask('/api/version'))).toBe('home');
  expect(await text(ask('/v1/chat/completions', { model: 'new' }))).toBe('home');
  expect(await text(ask('/v1/chat/completions', 'no object'))).toBe('home');
  attic.models.push('new');
  expect(await text(ask('/v1/chat/completions', { model: 'new' }))).toBe('home');
  pass(10_000);
  expect(await text(ask('/v1/chat/completions', { model: 'new' }))).toBe('attic');
});

test('a target that begins with two slashes is of the host like any other', async () => {
  const { ask } = merge(new FakeHost('home', 'a'), new FakeHost('attic', 'c'));
  expect(await text(ask('//'))).toBe('home');
  expect(await text(ask('//x/v1/y?model=c'))).toBe('attic');
});

test('a body that is too large to be read is refused', async () => {
  const { ask } = merge(new FakeHost('home', 'a'), new FakeHost('attic'));
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 1;
      controller.enqueue(new Uint8Array(1024 * 1024));
    },
  });
  await expect(ask('/v1/chat/completions', {}, { body })).rejects.toMatchObject({ code: 'E_BODY_TOO_LARGE' });
  expect(sent).toBeLessThan(40);
});

test('WebSockets go by the model in their address', async () => {
  const [home, attic] = [new FakeHost('home', 'a'), new FakeHost('attic', 'c')];
  const { merged } = merge(home, attic);
  const { signal } = new AbortController();
  const dial = (target: string) => merged.socket({ target, protocols: [], headers: [], signal }).catch(() => {});
  await dial('/v1/realtime?model=c');
  await dial('/v1/realtime?model=attic/c&x=1');
  await dial('/v1/realtime');
  expect(attic.dialed).toEqual(['/v1/realtime?model=c', '/v1/realtime?model=c&x=1']);
  expect(home.dialed).toEqual(['/v1/realtime']);
});
