/** The tunnel from end to end: programs without our client, plain HTTP to the edge, and the page where WebRTC is off. */
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { countedTokens } from './fake-answers.ts';
import { testBytes } from './fake-llm.ts';
import { AGENT_TOKEN, OWNER_TOKEN, Stack } from './stack.ts';

const BIG = 100_000_000;
const OWNER = { authorization: `Bearer ${OWNER_TOKEN}` };

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ flags: { maxBodyBytes: `${BIG}` }, variables: { OPEN_HOSTS: 'home' } });
});
afterAll(() => stack?.close());

const ask = (path: string, init: RequestInit = {}) =>
  fetch(stack.edge.url + path, { ...init, headers: { ...OWNER, ...(init.headers as Record<string, string>) } });
const seen = (path: string) => stack.fake.requests.filter(({ url }) => url === path);
const field = (path: string, name: string) =>
  seen(path)
    .at(-1)
    ?.headers.filter(([key]) => key.toLowerCase() === name)
    .map(([, value]) => value);

/**
 * Announces a body of `length` bytes and sends the first of them only. A server that refuses may close the connection
 * with an answer on it, and a client that is still writing then sees the closing and not the answer.
 */
async function announce(path: string, length: number): Promise<{ status: number; body: string }> {
  const headers = { ...OWNER, 'content-length': length };
  const asked = request(stack.edge.url + path, { method: 'POST', headers });
  asked.on('error', () => {});
  asked.write('x');
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const parts = await response.toArray();
  asked.destroy();
  return { status: response.statusCode ?? 0, body: Buffer.concat(parts as Buffer[]).toString() };
}

async function* counted(chunks: AsyncIterable<Uint8Array>, hash: Hash) {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

describe('programs without our client', () => {
  test('the openai package streams, counts and reports errors', async () => {
    const openai = new OpenAI({ apiKey: OWNER_TOKEN, baseURL: `${stack.edge.url}/v1`, maxRetries: 0 });
    const models = [];
    for await (const model of openai.models.list()) models.push(model.id);
    expect(models).toContain('tokens-1000');
    const stream = await openai.chat.completions.create({
      model: 'tokens-1000',
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'go' }],
    });
    let text = '';
    let tokens = 0;
    for await (const part of stream) {
      text += part.choices[0]?.delta.content ?? '';
      tokens = part.usage?.completion_tokens ?? tokens;
    }
    expect([text, tokens]).toEqual([countedTokens(1000).join(''), 1000]);
    await expect(openai.chat.completions.create({ model: 'nothing', messages: [] })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    const broken = await openai.chat.completions.create({ model: 'abort-mid-stream', stream: true, messages: [] });
    await expect(async () => {
      for await (const _part of broken);
    }).rejects.toThrow();
  });

  test('the ollama package streams NDJSON, and understands our errors', async () => {
    const ollama = new Ollama({ host: stack.edge.url, headers: OWNER });
    expect((await ollama.list()).models.length).toBeGreaterThan(0);
    let text = '';
    for await (const part of await ollama.generate({ model: 'tokens-1000', prompt: 'go', stream: true }))
      text += part.response;
    expect(text).toBe(countedTokens(1000).join(''));
    await expect(ollama.delete({ model: 'fake' })).rejects.toThrow('does not serve');
    const stranger = new Ollama({ host: stack.edge.url });
    await expect(stranger.list()).rejects.toThrow('missing, wrong, expired or revoked');
  });

  test('what the upstream sees is the client’s request, without the key and the way that it came', async () => {
    const path = '/v1/test/echo?a=%20b&c=1';
    const response = await ask(path, {
      method: 'POST',
      headers: {
        'content-type': 'text/weird',
        'x-own': 'kept',
        cookie: 'c=1',
        'x-forwarded-for': '192.0.2.1',
        // What the edge says stands, and not what a client claims.
        'direct-grant': '{"subject":"key:claimed","prefixes":[]}',
      },
      body: 'text',
    });
    expect(await response.json()).toMatchObject({ method: 'POST', url: path, bodyLength: 4 });
    expect(field(path, 'content-type')).toEqual(['text/weird']);
    expect(field(path, 'x-own')).toEqual(['kept']);
    expect(field(path, 'cookie')).toEqual(['c=1']);
    expect(field(path, 'content-length')).toEqual(['4']);
    const names = seen(path)
      .at(-1)
      ?.headers.map(([name]) => name.toLowerCase());
    expect(names?.filter((name) => /^(authorization|direct-|cf-|x-forwarded|x-real-ip|via)/.test(name))).toEqual([]);
  });
});

describe('streaming', () => {
  test.each(['text/event-stream', 'application/x-ndjson'])('%s arrives token by token', async (type) => {
    // It never ends, so only what is passed on at once arrives at all; the client accepts compression, as all do.
    const abort = new AbortController();
    const response = await ask(`/v1/test/trickle?ms=100&n=1000000&type=${type}`, { signal: abort.signal });
    expect(response.headers.get('content-type')).toBe(type);
    let text = '';
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      if (text.split('\n').length > 5) break;
    }
    abort.abort();
    expect(text).toMatch(/^0\n1\n2\n3\n4\n/);
  });

  test('the head is there while the model still thinks about the body', async () => {
    const abort = new AbortController();
    const response = await ask('/v1/test/trickle?ms=600000', { signal: abort.signal });
    expect(response.status).toBe(200);
    abort.abort();
  });

  test('100 MB in both directions, compared by hash and never held', async () => {
    const expected = createHash('sha256').update(testBytes(BIG)).digest('hex');
    const before = process.memoryUsage().rss;
    const up = createHash('sha256');
    async function* pieces() {
      const piece = testBytes(64_000);
      for (let sent = 0; sent < BIG; sent += piece.length) yield piece.subarray(0, Math.min(piece.length, BIG - sent));
    }
    const uploaded = await ask('/v1/test/sink', {
      method: 'POST',
      body: counted(pieces(), up),
      duplex: 'half',
    } as unknown as RequestInit);
    expect(await uploaded.json()).toEqual({ bytes: BIG, sha256: up.digest('hex') });

    const down = createHash('sha256');
    const downloaded = await ask(`/v1/test/bytes?n=${BIG}`);
    expect(downloaded.headers.get('content-length')).toBe(`${BIG}`);
    for await (const chunk of downloaded.body ?? []) down.update(chunk);
    expect(down.digest('hex')).toBe(expected);
    const grown = Math.round((process.memoryUsage().rss - before) / 1e6);
    // Agent, upstream and this client together; printed, since a garbage collector decides.
    console.log(`tunnel: after 100 MB up and down the test's process has grown by ${grown} MB`);
  });

  test('200 requests at once are all answered', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const response = await ask(`/v1/test/echo?i=${i}`);
        return ((await response.json()) as { url: string }).url;
      }),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => `/v1/test/echo?i=${i}`));
  });

  test('two uploads and ten streams at once do not mix', async () => {
    const uploads = ['a', 'b'].map(async (letter) => {
      const body = Buffer.alloc(3_000_000, letter);
      const { sha256 } = (await (await ask('/v1/test/sink', { method: 'POST', body })).json()) as { sha256: string };
      expect(sha256).toBe(createHash('sha256').update(body).digest('hex'));
    });
    const streams = Array.from({ length: 10 }, async (_, i) => {
      const text = await (await ask(`/v1/test/trickle?ms=5&n=${20 + i}`)).text();
      expect(text).toBe(Array.from({ length: 20 + i }, (_, line) => `${line}\n`).join(''));
    });
    await Promise.all([...uploads, ...streams]);
  });
});

describe('HTTP as it should be', () => {
  test('repeated Set-Cookie stays repeated', async () => {
    const { headers } = await ask('/v1/test/set-cookie');
    expect(headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/; HttpOnly']);
  });

  test('HEAD has the length and no body, 204 and 304 have neither', async () => {
    const head = await ask('/v1/test/bytes?n=5000', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5000', '']);
    for (const status of [204, 304]) {
      const empty = await ask(`/v1/test/status/${status}`);
      expect([empty.status, await empty.text()]).toEqual([status, '']);
    }
    const nothing = await ask('/v1/test/bytes?n=0');
    expect([nothing.status, nothing.headers.get('content-length'), await nothing.text()]).toEqual([200, '0', '']);
  });

  test('redirects and errors of the upstream are passed on as they are', async () => {
    const redirect = await ask('/v1/test/redirect?to=/v1/models', { redirect: 'manual' });
    expect([redirect.status, redirect.headers.get('location')]).toEqual([302, '/v1/models']);
    expect((await ask('/v1/test/status/503')).status).toBe(503);
    expect((await ask('/v1/test/status/418')).status).toBe(418);
  });

  test('what the agent refuses is JSON in the form that the client knows', async () => {
    const large = await announce('/v1/test/sink?too-large', BIG + 1);
    expect([large.status, JSON.parse(large.body)]).toMatchObject([413, { error: { code: 'E_BODY_TOO_LARGE' } }]);
    expect(seen('/v1/test/sink?too-large')).toEqual([]);
    const ollama = await ask('/api/delete', { method: 'DELETE' });
    expect([ollama.status, await ollama.json()]).toMatchObject([
      403,
      { code: 'E_FORBIDDEN_TARGET', error: expect.stringContaining('does not serve') },
    ]);
    // Neither ours nor the page's, so it is the host's to refuse; llama.cpp and KoboldCpp have routes at the root.
    const root = await ask('/no-such-page');
    expect([root.status, await root.json()]).toMatchObject([403, { error: { code: 'E_FORBIDDEN_TARGET' } }]);
    expect((await ask('/tokenize', { method: 'POST', body: '{}' })).status).toBe(404);
    expect(seen('/tokenize').length).toBe(1);
  });

  test('a page of another origin may use it, with the key', async () => {
    const preflight = await fetch(`${stack.edge.url}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://chat.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,direct-host',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
    const answer = await ask('/v1/models', { headers: { origin: 'https://chat.example' } });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, '*']);
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
  });
});

describe('who may, and for which host', () => {
  test.each([
    ['no key', {}, 401, 'E_UNAUTHORIZED'],
    ['a wrong key', { authorization: 'Bearer wrong' }, 401, 'E_UNAUTHORIZED'],
    ['the agent’s key', { authorization: `Bearer ${AGENT_TOKEN}` }, 403, 'E_FORBIDDEN'],
  ])(
    '%s is refused, and the upstream hears nothing; though the host is open for signaling',
    async (_name, headers, status, code) => {
      const path = '/v1/test/echo?refused';
      const response = await fetch(stack.edge.url + path, { headers: headers as Record<string, string> });
      expect([response.status, await response.json()]).toMatchObject([status, { error: { code } }]);
      expect(seen(path)).toEqual([]);
    },
  );

  test('Upstream-Authorization reaches the upstream as Authorization', async () => {
    const path = '/v1/test/echo?upstream-key';
    expect((await ask(path, { headers: { 'upstream-authorization': 'Bearer local' } })).status).toBe(200);
    expect(field(path, 'authorization')).toEqual(['Bearer local']);
    expect(field(path, 'upstream-authorization')).toEqual([]);
  });

  test('Direct-Host names the host', async () => {
    expect((await ask('/v1/models', { headers: { 'direct-host': 'home' } })).status).toBe(200);
    const other = await ask('/v1/models', { headers: { 'direct-host': 'other' } });
    expect([other.status, await other.json()]).toMatchObject([503, { error: { code: 'E_HOST_OFFLINE' } }]);
    expect((await ask('/v1/models', { headers: { 'direct-host': '../x' } })).status).toBe(404);
  });
});

describe('a client that goes away', () => {
  test('before the head: the upstream’s work ends', async () => {
    const path = '/v1/test/hang?gone';
    const { hostname, port } = new URL(stack.edge.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${OWNER.authorization}\r\n\r\n`);
    await expect.poll(() => seen(path).length).toBe(1);
    // A bare FIN means nothing to workerd while it has nothing to send: such a client may still read.
    socket.resetAndDestroy();
    await once(socket, 'close');
    await expect.poll(() => seen(path)[0]?.aborted).toBe(true);
  });

  test('in mid-stream: the upstream’s work ends', async () => {
    const path = '/v1/test/trickle?ms=20&n=100000&type=text/event-stream&gone';
    const abort = new AbortController();
    const response = await ask(path, { signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    await expect.poll(() => seen(path)[0]?.aborted).toBe(true);
  });

  test('in mid-upload: the upstream sees a broken body, not a shorter one', async () => {
    const path = '/v1/test/sink?gone';
    const abort = new AbortController();
    async function* endless() {
      for (;;) {
        yield Buffer.alloc(10_000);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    const upload = ask(path, {
      method: 'POST',
      body: endless(),
      duplex: 'half',
      signal: abort.signal,
    } as unknown as RequestInit);
    await expect.poll(() => seen(path)[0]?.bodyBytes ?? 0).toBeGreaterThan(20_000);
    abort.abort();
    await expect(upload).rejects.toThrow();
    await expect.poll(() => seen(path)[0]?.aborted).toBe(true);
  });
});

describe('an agent that goes away', () => {
  afterEach(async () => {
    await stack.stopAgent();
    await stack.startAgent();
  });

  test('in mid-stream: the body breaks off, and does not just end', async () => {
    const path = '/v1/test/trickle?ms=20&n=100000&type=text/event-stream&stopped';
    const response = await ask(path);
    const reader = response.body?.getReader();
    await reader?.read();
    await stack.stopAgent();
    await expect(async () => {
      while ((await reader?.read())?.done === false);
    }).rejects.toThrow('terminated');
  });

  test('before the head: 502, and whether it may have run is said', async () => {
    for (const [method, code] of [
      ['POST', 'E_OUTCOME_UNKNOWN'],
      ['GET', expect.stringMatching(/^E_(PATH_LOST|GOING_AWAY)$/)],
    ] as const) {
      const path = `/v1/test/hang?${method}`;
      const answer = ask(path, { method });
      await expect.poll(() => seen(path).length).toBe(1);
      await stack.stopAgent();
      const response = await answer;
      expect(await response.json()).toMatchObject({ error: { code } });
      // OpenAI's clients would send it again after a 502.
      expect(response.headers.get('x-should-retry')).toBe(method === 'POST' ? 'false' : null);
      await stack.startAgent();
    }
  });

  test('before the request: 503 with Retry-After, without a wait', async () => {
    await stack.stopAgent();
    const response = await ask('/v1/chat/completions', { method: 'POST', body: '{}' });
    expect([response.status, await response.json()]).toMatchObject([503, { error: { code: 'E_HOST_OFFLINE' } }]);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    const ollama = await ask('/api/tags');
    expect(await ollama.json()).toMatchObject({ code: 'E_HOST_OFFLINE', error: expect.any(String) });
  });
});

describe.skipIf(withoutChromium)(`the page in Chromium (${withoutChromium || 'real'})`, () => {
  test('with ?no_webrtc it chats through the relay', async () => {
    const browser = await launchChromium();
    try {
      const page = await (await browser.newContext()).newPage();
      await page.goto(stack.pageUrl.replace('/#', '/?no_webrtc#'));
      await expect.poll(() => page.getByTestId('path').textContent()).toContain('⇅ relay');
      await page.getByTestId('model').selectOption('fake');
      await page.getByTestId('prompt').fill('through the edge');
      await page.getByTestId('prompt').press('Enter');
      await expect
        .poll(() => page.getByTestId('message-assistant').last().textContent())
        .toContain('This is the fake answer to: through the edge');
      expect(stack.connections).toBe(0);
    } finally {
      await browser.close();
    }
  });
});
