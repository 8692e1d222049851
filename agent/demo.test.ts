import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { type Demo, type DemoOptions, startDemo } from './demo.ts';
import { discoverServers } from './discovery.ts';

const running: Demo[] = [];

async function start(options: DemoOptions = { pace: async () => undefined }) {
  const demo = await startDemo(options);
  running.push(demo);
  return { ...demo, client: new OpenAI({ baseURL: `${demo.url}/v1`, apiKey: 'none', maxRetries: 0 }) };
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((demo) => demo.close()));
});

const question = { model: 'demo', messages: [{ role: 'user' as const, content: 'What  is\nlove?' }] };

describe('the demo model', () => {
  it('is found as an OpenAI-compatible server', async () => {
    const { url, client } = await start();
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['demo']);
    expect((await client.models.retrieve('demo')).id).toBe('demo');
    expect(await discoverServers({ candidates: [url], env: {} })).toMatchObject([{ kind: 'openai', models: ['demo'] }]);
  });

  it('answers in one piece, and says what it is', async () => {
    const { client } = await start();
    const { choices, usage } = await client.chat.completions.create(question);
    expect(choices[0]?.finish_reason).toBe('stop');
    expect(choices[0]?.message.content).toContain('What is love?');
    expect(choices[0]?.message.content).toMatch(/not a language model[\s\S]*ollama\.com/);
    expect(usage?.prompt_tokens).toBe(3);
    expect(usage?.total_tokens).toBe(3 + (usage?.completion_tokens ?? 0));
  });

  it('streams the same, token by token', async () => {
    const { client } = await start();
    const whole = (await client.chat.completions.create(question)).choices[0]?.message.content;
    const chunks = [];
    const stream = await client.chat.completions.create({
      ...question,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(whole);
    expect(chunks.length).toBeGreaterThan(40);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(chunks.length - 3);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it('ends its stream as OpenAI does', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ ...question, stream: true }),
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const text = await response.text();
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text).not.toContain('"usage"');
  });

  it('takes its time like a model', async () => {
    const { client } = await start({});
    const start0 = performance.now();
    let tokens = 0;
    for await (const _ of await client.chat.completions.create({ ...question, stream: true }))
      if (++tokens === 8) break;
    expect(performance.now() - start0).toBeGreaterThan(100);
  });

  it('stops working when the client goes', async () => {
    let tokens = 0;
    let stopped = () => {};
    const gone = new Promise<void>((done) => {
      stopped = done;
    });
    const { client } = await start({
      pace: (_, signal) =>
        new Promise((next, stop) => {
          tokens++;
          const timer = setTimeout(next, 5);
          signal.addEventListener('abort', () => {
            clearTimeout(timer);
            stopped();
            stop(signal.reason);
          });
        }),
    });
    const stream = await client.chat.completions.create({ ...question, stream: true });
    for await (const _ of stream) if (tokens > 3) break;
    await gone;
    const reached = tokens;
    await new Promise((done) => setTimeout(done, 50));
    expect(tokens).toBe(reached);
  });

  it('shows pictures’ captions only, and cuts long questions', async () => {
    const { client } = await start();
    const ask = async (content: OpenAI.ChatCompletionUserMessageParam['content']) =>
      (await client.chat.completions.create({ model: 'demo', messages: [{ role: 'user', content }] })).choices[0]
        ?.message.content;
    const picture = { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,AAAA' } };
    expect(await ask([{ type: 'text', text: 'and this?' }, picture])).toContain('“and this?”');
    expect(await ask('😀'.repeat(500))).toContain(`“${'😀'.repeat(120)}…”`);
    expect(await ask('')).not.toContain('You wrote');
  });

  it.each([
    ['another model', { ...question, model: 'gpt-4' }, 404, /gpt-4.*demo/],
    ['no messages', { model: 'demo' }, 400, /messages/],
    ['messages of a wrong type', { model: 'demo', messages: [{ role: 1 }] }, 400, /messages\.0\.role/],
    ['no JSON', '{', 400, /not valid JSON/],
    ['too much', 'x'.repeat(11 * 1024 * 1024), 413, /at most/],
  ])('refuses %s in OpenAI’s shape', async (_, body, status, message) => {
    const { url } = await start();
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: text });
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringMatching(message),
        type: 'invalid_request_error',
        param: null,
        code: status === 404 ? 'model_not_found' : null,
      },
    });
  });

  it('refuses what it does not serve', async () => {
    const { url, client } = await start();
    expect((await fetch(`${url}/v1/embeddings`, { method: 'POST' })).status).toBe(404);
    await expect(client.models.retrieve('x')).rejects.toThrow(OpenAI.NotFoundError);
  });

  it('closes at once although a client is reading', async () => {
    const { client, close } = await start({ pace: () => new Promise(() => {}) });
    const stream = await client.chat.completions.create({ ...question, stream: true });
    await close();
    const reading = (async () => {
      for await (const _ of stream);
    })();
    await expect(reading).rejects.toThrow();
  });
});
