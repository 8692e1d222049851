import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { Ollama } from 'ollama';
import OpenAI, { toFile } from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { discoverServers } from '../agent/discovery.ts';
import { countedTokens } from './fake-answers.ts';
import { type FakeLlm, type FakeLlmOptions, startFakeLlm, testBytes } from './fake-llm.ts';
import { seededSha256 } from './seeded-bytes.ts';

const running: FakeLlm[] = [];

async function start(options?: FakeLlmOptions) {
  const fake = await startFakeLlm(options);
  running.push(fake);
  const openai = new OpenAI({ baseURL: `${fake.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const ollama = new Ollama({ host: fake.url });
  return { fake, openai, ollama };
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((fake) => fake.close()));
});

const messages = [{ role: 'user' as const, content: 'say hello' }];

async function read(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

describe('OpenAI’s own client', () => {
  it('lists models and gets the same answer in one piece and streamed', async () => {
    const { openai } = await start();
    expect((await openai.models.list()).data.map(({ id }) => id)).toContain('error-mid-stream');
    expect((await openai.models.retrieve('fake')).id).toBe('fake');
    const whole = await openai.chat.completions.create({ model: 'fake', messages });
    expect(whole.choices[0]?.message.content).toBe('This is the fake answer to: say hello');
    expect(await read(await openai.chat.completions.create({ model: 'fake', messages, stream: true }))).toBe(
      'This is the fake answer to: say hello',
    );
    const text = await openai.completions.create({ model: 'fake', prompt: 'x' });
    expect(text.choices[0]?.text).toBe('This is the fake answer to: x');
  });

  it('gets usage when it asks for it', async () => {
    const { openai } = await start();
    const stream = await openai.chat.completions.create({
      model: 'tokens-5',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const usages = [];
    for await (const chunk of stream) usages.push(chunk.usage);
    expect(usages.at(-1)).toEqual({ prompt_tokens: 2, completion_tokens: 5, total_tokens: 7 });
    expect(usages.slice(0, -1).every((usage) => usage === null)).toBe(true);
  });

  it('gets 100,000 tokens whole', async () => {
    const { openai } = await start();
    const stream = await openai.chat.completions.create({ model: 'tokens-100000', messages, stream: true });
    expect(await read(stream)).toBe(countedTokens(100_000).join(''));
  });

  it('gets tokens at the rate it asked for, and the fake knows what it sent to whom', async () => {
    const { fake } = await start();
    const ask = () =>
      fetch(`${fake.url}/v1/chat/completions?turn=7`, {
        method: 'POST',
        body: JSON.stringify({ model: 'tokens-30-at-100', stream: true, messages }),
      });
    const begin = performance.now();
    const text = await (await ask()).text();
    // 30 tokens, one each 10 ms; Node's timers may be a millisecond early.
    expect(performance.now() - begin).toBeGreaterThan(298);
    expect(text.match(/t\d+ /g)).toEqual(countedTokens(30));
    const stopped = await ask();
    await stopped.body?.cancel();
    await expect.poll(() => fake.requests[1]?.aborted).toBe(true);
    const seen = fake.requests.filter(({ url }) => url.includes('turn=7'));
    expect(seen.map(({ sentSha256 }) => sentSha256)).toEqual([sha256(Buffer.from(text)), undefined]);
  });

  it('sees an error in mid-stream', async () => {
    const { openai } = await start();
    const stream = await openai.chat.completions.create({ model: 'error-mid-stream', messages, stream: true });
    await expect(read(stream)).rejects.toThrow('The server had an error');
  });

  it('sees the connection break in mid-stream', async () => {
    const { fake, openai } = await start();
    const stream = await openai.chat.completions.create({ model: 'abort-mid-stream', messages, stream: true });
    let text = '';
    const reading = (async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    })();
    await expect(reading).rejects.toThrow();
    expect(text).toBe('This is the');
    await settled();
    expect(fake.requests[0]?.aborted).toBe(false);
  });

  it('gets errors in OpenAI’s shape', async () => {
    const { openai } = await start();
    const ask = (model: string) => openai.chat.completions.create({ model, messages });
    await expect(ask('error-429')).rejects.toThrow(OpenAI.RateLimitError);
    await expect(ask('error-500')).rejects.toThrow(OpenAI.InternalServerError);
    await expect(ask('gpt-9')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
      type: 'invalid_request_error',
    });
    await expect(openai.models.retrieve('gpt-9')).rejects.toThrow(OpenAI.NotFoundError);
  });

  it('waits for a slow first byte', async () => {
    const { openai } = await start();
    const begin = performance.now();
    await openai.chat.completions.create({ model: 'slow-200', messages });
    expect(performance.now() - begin).toBeGreaterThan(190);
  });

  it('embeds, speaks and transcribes', async () => {
    const { openai } = await start();
    const packed = await openai.embeddings.create({ model: 'fake', input: ['a', 'b'] });
    const plain = await openai.embeddings.create({ model: 'fake', input: ['a', 'b'], encoding_format: 'float' });
    expect(packed.data).toHaveLength(2);
    expect([...(packed.data[0]?.embedding ?? [])]).toEqual(plain.data[0]?.embedding);
    expect(packed.data[0]?.embedding).not.toEqual(packed.data[1]?.embedding);
    const speech = await openai.audio.speech.create({ model: 'fake', input: 'hello', voice: 'alloy' });
    expect(Buffer.from(await speech.arrayBuffer()).equals(testBytes(5 * 997))).toBe(true);
    const sound = testBytes(200_000);
    const { text } = await openai.audio.transcriptions.create({ model: 'fake', file: await toFile(sound, 'a.wav') });
    expect(text).toBe(`a.wav: 200000 bytes, sha256 ${sha256(sound)}, model fake`);
  });

  it('is seen to abort', async () => {
    const { fake, openai } = await start();
    const stream = await openai.chat.completions.create({ model: 'tokens-1000000', messages, stream: true });
    for await (const _ of stream) break;
    await expect.poll(() => fake.requests[0]?.aborted).toBe(true);
  });
});

describe('Ollama’s own client', () => {
  it('lists, shows and chats', async () => {
    const { ollama } = await start();
    expect((await ollama.list()).models[0]?.name).toBe('fake:latest');
    expect((await ollama.show({ model: 'fake' })).details.family).toBe('llama');
    const whole = await ollama.chat({ model: 'fake:latest', messages });
    expect(whole.message.content).toBe('This is the fake answer to: say hello');
    let text = '';
    for await (const part of await ollama.chat({ model: 'fake', messages, stream: true })) text += part.message.content;
    expect(text).toBe(whole.message.content);
    const generated = await ollama.generate({ model: 'tokens-3', prompt: 'x' });
    expect(generated).toMatchObject({ response: 't0 t1 t2 ', done: true, done_reason: 'stop', eval_count: 3 });
  });

  it('sees errors before and in mid-stream', async () => {
    const { ollama } = await start();
    await expect(ollama.chat({ model: 'nope', messages })).rejects.toThrow("model 'nope' not found");
    await expect(ollama.show({ model: 'nope' })).rejects.toThrow("model 'nope' not found");
    await expect(ollama.chat({ model: 'error-500', messages })).rejects.toMatchObject({ status_code: 500 });
    const broken = async (model: string) => {
      for await (const _ of await ollama.generate({ model, prompt: 'x', stream: true }));
    };
    await expect(broken('error-mid-stream')).rejects.toThrow('CUDA error');
    await expect(broken('abort-mid-stream')).rejects.toThrow();
  });

  it('is what discovery takes it for', async () => {
    const { fake } = await start({ strictHost: true });
    expect(await discoverServers({ candidates: [fake.url], env: {} })).toMatchObject([{ kind: 'ollama' }]);
  });
});

describe('test routes', () => {
  it('echo what arrived', async () => {
    const { fake } = await start();
    const body = testBytes(100_000);
    const response = await fetch(`${fake.url}/v1/test/echo?a=1`, { method: 'PUT', body, headers: { 'X-One': 'a' } });
    expect(await response.json()).toMatchObject({
      method: 'PUT',
      url: '/v1/test/echo?a=1',
      bodyLength: 100_000,
      sha256: sha256(body),
      headers: expect.arrayContaining([['X-One', 'a']]),
    });
    expect(fake.requests[0]).toMatchObject({
      method: 'PUT',
      url: '/v1/test/echo?a=1',
      bodyBytes: 100_000,
      aborted: false,
    });
  });

  it('send exactly the bytes', async () => {
    const { fake } = await start();
    const response = await fetch(`${fake.url}/v1/test/bytes?n=1000000`);
    expect(Buffer.from(await response.arrayBuffer()).equals(testBytes(1_000_000))).toBe(true);
    expect(new Set(testBytes(65_521)).size).toBe(256);
  });

  it('honour backpressure', async () => {
    const { fake } = await start();
    const socket = connect(fake.port, '127.0.0.1');
    await new Promise((done) => socket.once('connect', done));
    socket.pause();
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external;
    socket.write(`GET /v1/test/bytes?n=${2 ** 31} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await new Promise((done) => setTimeout(done, 300));
    expect(process.memoryUsage().arrayBuffers + process.memoryUsage().external - before).toBeLessThan(64 * 1024 * 1024);
    expect(socket.bytesRead).toBeLessThan(16 * 1024 * 1024);
    socket.destroy();
    await expect.poll(() => fake.requests[0]?.aborted).toBe(true);
  });

  it('send bytes of a seed, which only that seed gives', async () => {
    const { fake } = await start();
    const get = async (seed: string) =>
      new Uint8Array(await (await fetch(`${fake.url}/v1/test/bytes?n=1000000&seed=${seed}`)).arrayBuffer());
    const bytes = await get('a');
    expect(bytes.length).toBe(1_000_000);
    expect(sha256(bytes)).toBe(seededSha256('a', 1_000_000));
    expect(sha256(await get('b'))).not.toBe(sha256(bytes));
    expect(fake.requests[0]?.sentSha256).toBe(sha256(bytes));
  });

  it('count an upload, also one that is cut off', async () => {
    const { fake } = await start();
    const body = testBytes(300_000);
    const response = await fetch(`${fake.url}/v1/test/sink`, { method: 'POST', body });
    expect(await response.json()).toEqual({ bytes: 300_000, sha256: sha256(body) });
    const upload = httpRequest(`${fake.url}/v1/test/sink`, {
      method: 'POST',
      headers: { 'content-length': 1_000_000 },
    });
    upload.on('error', () => undefined);
    upload.write(body.subarray(0, 1000));
    await expect.poll(() => fake.requests[1]?.bodyBytes).toBe(1000);
    upload.destroy();
    await expect.poll(() => fake.requests[1]?.aborted).toBe(true);
  });

  it('set two cookies, redirect and give any status', async () => {
    const { fake } = await start();
    const cookies = await fetch(`${fake.url}/v1/test/set-cookie`);
    expect(cookies.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/; HttpOnly']);
    const moved = await fetch(`${fake.url}/v1/test/redirect?to=/v1/models&status=307`, { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([307, '/v1/models']);
    for (const status of [204, 304, 418, 503]) {
      expect((await fetch(`${fake.url}/v1/test/status/${status}`)).status).toBe(status);
    }
    expect((await fetch(`${fake.url}/v1/test/nothing`)).status).toBe(404);
  });

  it('trickle', async () => {
    const { fake } = await start();
    const begin = performance.now();
    const response = await fetch(`${fake.url}/v1/test/trickle?ms=30&n=4`);
    const head = performance.now() - begin;
    expect(await response.text()).toBe('0\n1\n2\n3\n');
    // The head does not wait for the body.
    expect(performance.now() - begin).toBeGreaterThan(110);
    expect(head).toBeLessThan(performance.now() - begin);
  });

  it('hang until the client gives up, and close with someone waiting', async () => {
    const { fake } = await start();
    await expect(fetch(`${fake.url}/v1/test/hang`, { signal: AbortSignal.timeout(50) })).rejects.toThrow();
    await expect.poll(() => fake.requests[0]?.aborted).toBe(true);
    const waiting = expect(fetch(`${fake.url}/v1/test/hang`)).rejects.toThrow();
    await expect.poll(() => fake.requests).toHaveLength(2);
    await fake.close();
    await waiting;
    await settled();
    expect(fake.requests[1]?.aborted).toBe(false);
  });
});

describe('strictHost', () => {
  function status(port: number, headers: Record<string, string>): Promise<number | undefined> {
    return new Promise((done, fail) => {
      httpRequest({ port, host: '127.0.0.1', path: '/v1/models', headers, agent: false }, (response) => {
        response.resume();
        done(response.statusCode);
      })
        .on('error', fail)
        .end();
    });
  }

  it.each([
    [{ host: 'localhost:11434' }, 200],
    [{ host: '127.0.0.1' }, 200],
    [{ host: '[::1]:11434' }, 200],
    [{ host: '192.168.1.7:11434' }, 200],
    [{ host: 'box.local' }, 200],
    [{ host: 'edge.example' }, 403],
    [{ host: '8.8.8.8' }, 403],
    [{ host: 'localhost.evil.example' }, 403],
    [{ host: 'localhost', origin: 'http://localhost:3000' }, 200],
    [{ host: 'localhost', origin: 'app://obsidian.md' }, 200],
    [{ host: 'localhost', origin: 'https://edge.example' }, 403],
    [{ host: 'localhost', origin: 'http://localhost.evil.example' }, 403],
    [{ host: 'localhost', origin: 'null' }, 403],
  ] as const)('answers %j with %i', async (headers, expected) => {
    const { fake } = await start({ strictHost: true });
    expect(await status(fake.port, { ...headers })).toBe(expected);
    const { fake: lax } = await start();
    expect(await status(lax.port, { ...headers })).toBe(200);
  });
});

/** The server hears of a closed socket a little after the client. */
function settled(): Promise<void> {
  return new Promise((done) => setTimeout(done, 50));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
