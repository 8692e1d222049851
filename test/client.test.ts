import { createHash } from 'node:crypto';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { addModule, openClientPage, untilPath } from './client-page.ts';
import { countedTokens } from './fake-answers.ts';
import { testBytes } from './fake-llm.ts';
import { Stack } from './stack.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(withoutChromium)(`the client library in Chromium (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start({ flags: { maxBodyBytes: '4MB' } }), launchChromium()]);
    ({ page } = await openClientPage(browser, stack));
    await untilPath(page, 'direct');
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });
  const seen = (path: string) => stack.fake.requests.filter(({ url }) => url.startsWith(path));
  /** Requests of the test before do not count. */
  const last = (path: string) => seen(path).at(-1);

  test('is on the direct path, and its requests reach the upstream through it', async () => {
    expect(await page.evaluate(() => globalThis.client.path)).toBe('direct');
    const answer = await page.evaluate(async () => {
      const response = await globalThis.client.fetch('/v1/models');
      return { status: response.status, url: response.url, body: (await response.json()) as { object: string } };
    });
    expect(answer).toMatchObject({ status: 200, body: { object: 'list' } });
    expect(answer.url).toBe(`${stack.edge.url.replace('127.0.0.1', 'localhost')}/v1/models`);
    expect(stack.log.join('\n')).toContain('proxy: GET /v1/models 200');
    const headers = new Map(last('/v1/models')?.headers.map(([name, value]) => [name.toLowerCase(), value]));
    expect(headers.get('host')).toBe(`127.0.0.1:${stack.fake.port}`);
    expect([...headers.values()].join()).not.toContain('owner-token');
  });

  test('100,000 streamed tokens arrive complete and in order, while they are sent', async () => {
    const { text, reads } = await page.evaluate(async () => {
      const response = await globalThis.client.fetch('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'tokens-100000', stream: true, messages: [{ role: 'user', content: 'go' }] }),
      });
      let text = '';
      let reads = 0;
      let rest = '';
      for await (const part of (response.body as ReadableStream<Uint8Array>).pipeThrough(
        new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>,
      )) {
        reads++;
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue;
          const { choices } = JSON.parse(line.slice(6)) as { choices: { delta: { content?: string } }[] };
          text += choices[0]?.delta.content ?? '';
        }
      }
      return { text, reads };
    });
    expect(text).toBe(countedTokens(100_000).join(''));
    expect(reads).toBeGreaterThan(100);
  });

  test('NDJSON streams line by line', async () => {
    const text = await page.evaluate(async () => {
      const response = await globalThis.client.fetch('/api/generate', {
        method: 'POST',
        body: JSON.stringify({ model: 'tokens-1000', prompt: 'go' }),
      });
      const lines = (await response.text()).trim().split('\n');
      return lines.map((line) => (JSON.parse(line) as { response: string }).response).join('');
    });
    expect(text).toBe(countedTokens(1000).join(''));
  });

  test('binary bodies are intact in both directions', async () => {
    const down = await page.evaluate(async () => {
      const response = await globalThis.client.fetch('/v1/test/bytes?n=20000000');
      const hash = await crypto.subtle.digest('SHA-256', await response.arrayBuffer());
      return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    });
    expect(down).toBe(sha256(testBytes(20_000_000)));
    const up = await page.evaluate(async () => {
      const body = new Uint8Array(3_900_000).map((_, i) => (i * 7) % 251);
      const response = await globalThis.client.fetch('/v1/test/sink', { method: 'POST', body });
      return (await response.json()) as { bytes: number; sha256: string };
    });
    expect(up).toEqual({ bytes: 3_900_000, sha256: sha256(new Uint8Array(3_900_000).map((_, i) => (i * 7) % 251)) });
  });

  test('speech comes back as audio, and a recording goes up as a form', async () => {
    const speech = await page.evaluate(async () => {
      const body = JSON.stringify({ model: 'fake', input: 'hello', voice: 'alloy' });
      const response = await globalThis.client.fetch('/v1/audio/speech', { method: 'POST', body });
      const blob = await response.blob();
      return { type: blob.type, size: blob.size };
    });
    expect(speech).toEqual({ type: 'audio/mpeg', size: 5 * 997 });
    const { text } = await page.evaluate(async () => {
      const form = new FormData();
      form.set('model', 'fake');
      form.set('file', new Blob([new Uint8Array(100_000)]), 'voice.webm');
      const response = await globalThis.client.fetch('/v1/audio/transcriptions', { method: 'POST', body: form });
      return (await response.json()) as { text: string };
    });
    expect(text).toBe(`voice.webm: 100000 bytes, sha256 ${sha256(new Uint8Array(100_000))}, model fake`);
  });

  test('an abort rejects at once and reaches the upstream', async () => {
    for (const path of ['/v1/test/hang?abort', '/v1/test/trickle?ms=20&n=100000&abort']) {
      const name = await page.evaluate(async (path) => {
        const abort = new AbortController();
        setTimeout(() => abort.abort(), 200);
        try {
          const response = await globalThis.client.fetch(path, { signal: abort.signal });
          await response.text();
          return 'no error';
        } catch (error) {
          return (error as Error).name;
        }
      }, path);
      expect(name).toBe('AbortError');
      await expect.poll(() => last(path)?.aborted).toBe(true);
    }
  });

  test('an upstream that breaks off is an error, never a normal end', async () => {
    const failure = await page.evaluate(async () => {
      const body = JSON.stringify({ model: 'abort-mid-stream', stream: true, messages: [] });
      const response = await globalThis.client.fetch('/v1/chat/completions', { method: 'POST', body });
      return response.text().then(
        () => 'no error',
        (error: TypeError) => `${error.name} ${(error.cause as { code?: string }).code}`,
      );
    });
    expect(failure).toBe('TypeError E_UPSTREAM_FAILED');
  });

  test('a body over the limit is answered with 413 while it is sent', async () => {
    const { status, code } = await page.evaluate(async () => {
      const response = await globalThis.client.fetch('/v1/test/sink?large', {
        method: 'POST',
        body: new Uint8Array(4_000_001),
      });
      const { error } = (await response.json()) as { error: { code: string } };
      return { status: response.status, code: error.code };
    });
    expect([status, code]).toEqual([413, 'E_BODY_TOO_LARGE']);
    expect(last('/v1/test/sink?large')?.bodyBytes ?? 0).toBeLessThanOrEqual(4_000_000);
  });

  test('a slow first byte harms nothing: others are served meanwhile', async () => {
    const order = await page.evaluate(async () => {
      const done: string[] = [];
      const ask = async (model: string) => {
        const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'x' }] });
        const response = await globalThis.client.fetch('/v1/chat/completions', { method: 'POST', body });
        await response.text();
        done.push(`${model} ${response.status}`);
      };
      await Promise.all([ask('slow-2500'), ask('fake'), ask('error-429'), ask('error-500')]);
      return done;
    });
    expect(order.at(-1)).toBe('slow-2500 200');
    expect(order.slice(0, 3).sort()).toEqual(['error-429 429', 'error-500 500', 'fake 200']);
    // Polled: another file's lab may take a network away that this path went by.
    await expect.poll(() => page.evaluate(() => globalThis.client.path)).toBe('direct');
  });

  test('100 requests at once are all answered', async () => {
    const bodies = await page.evaluate(() =>
      Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          const response = await globalThis.client.fetch(`/v1/test/echo?i=${i}`);
          return ((await response.json()) as { url: string }).url;
        }),
      ),
    );
    expect(bodies).toEqual(Array.from({ length: 200 }, (_, i) => `/v1/test/echo?i=${i}`));
  });

  test('patchFetch takes the API’s paths of this origin and nothing else', async () => {
    const urls = await page.evaluate(async () => {
      const restore = globalThis.library.patchFetch(globalThis.client);
      try {
        const inside = await fetch('/v1/models');
        const asset = await fetch('/_direct/client.js');
        return [inside.status, asset.headers.get('content-type')];
      } finally {
        restore();
      }
    });
    expect(urls[0]).toBe(200);
    expect(urls[1]).toContain('javascript');
    // The tunnel asks for the key that only the client has.
    expect(await page.evaluate(async () => (await fetch('/v1/models')).status)).toBe(401);
  });

  test('the openai package works with it', async () => {
    await addModule(page, 'OpenAI', `export { default } from 'openai'`);
    const result = await page.evaluate(async () => {
      type Module = { default: typeof import('openai').default };
      const { default: OpenAI } = (globalThis as unknown as { OpenAI: Module }).OpenAI;
      const openai = new OpenAI({
        apiKey: 'none',
        baseURL: `${location.origin}/v1`,
        fetch: globalThis.client.fetch as typeof fetch,
        dangerouslyAllowBrowser: true,
        maxRetries: 0,
      });
      const models = [];
      for await (const model of openai.models.list()) models.push(model.id);
      const stream = await openai.chat.completions.create({
        model: 'fake',
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: 'user', content: 'one two three' }],
      });
      let text = '';
      let tokens = 0;
      for await (const part of stream) {
        text += part.choices[0]?.delta.content ?? '';
        tokens = part.usage?.completion_tokens ?? tokens;
      }
      const error = await openai.chat.completions
        .create({ model: 'no-such-model', messages: [] })
        .catch((error: { status: number; code: string }) => `${error.status} ${error.code}`);
      const speech = await openai.audio.speech.create({ model: 'fake', voice: 'alloy', input: 'hello' });
      return { models, text, tokens, error, speech: (await speech.arrayBuffer()).byteLength };
    });
    expect(result).toEqual({
      models: expect.arrayContaining(['fake', 'tokens-1000']),
      text: 'This is the fake answer to: one two three',
      tokens: 9,
      error: '404 model_not_found',
      speech: 5 * 997,
    });
  });

  test('the ollama package works with it', async () => {
    await addModule(page, 'OllamaModule', `export * from 'ollama/browser'`);
    const result = await page.evaluate(async () => {
      type Module = typeof import('ollama/browser');
      const { Ollama } = (globalThis as unknown as { OllamaModule: Module }).OllamaModule;
      const ollama = new Ollama({ host: location.origin, fetch: globalThis.client.fetch as typeof fetch });
      const { models } = await ollama.list();
      let text = '';
      const messages = [{ role: 'user', content: 'four five' }];
      for await (const part of await ollama.chat({ model: 'fake', stream: true, messages }))
        text += part.message.content;
      const error = await ollama
        .chat({ model: 'error-mid-stream', stream: true, messages })
        .then(async (stream) => {
          for await (const _part of stream);
          return 'no error';
        })
        .catch((error: Error) => error.message);
      return { models: models.map(({ name }) => name), text, error };
    });
    expect(result.models).toContain('fake:latest');
    expect(result.text).toBe('This is the fake answer to: four five');
    expect(result.error).toContain('CUDA error');
  });
});
