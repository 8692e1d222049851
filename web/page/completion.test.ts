import { expect, test } from 'vitest';
import { ApiError } from '../access/api-error.ts';
import { type ChatMessage, complete, type Delta } from './completion.ts';

const messages: ChatMessage[] = [{ role: 'user', content: 'hi' }];
const { signal } = new AbortController();

/** Every byte by itself, so that characters, lines and events are split everywhere. */
function bytewise(text: string): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
}

const sse = (text: string) => new Response(bytewise(text), { headers: { 'content-type': 'text/event-stream' } });
const delta = (value: object) => `data: ${JSON.stringify({ choices: [{ delta: value }] })}\n\n`;

async function run(response: Response): Promise<{ deltas: Delta[]; error?: unknown }> {
  const deltas: Delta[] = [];
  try {
    for await (const one of complete(async () => response, 'm', messages, signal)) deltas.push(one);
  } catch (error) {
    return { deltas, error };
  }
  return { deltas };
}

test('asks for a stream', async () => {
  const calls: [string, RequestInit | undefined][] = [];
  const answers = complete(
    async (url, init) => {
      calls.push([url, init]);
      return sse('data: [DONE]\n\n');
    },
    'qwen3',
    messages,
    signal,
  );
  for await (const _ of answers) throw new Error('there is nothing');
  expect(calls[0]?.[0]).toBe('/v1/chat/completions');
  expect(JSON.parse(String(calls[0]?.[1]?.body))).toEqual({ model: 'qwen3', messages, stream: true });
  expect(calls[0]?.[1]?.signal).toBe(signal);
});

test('gives text as it comes, split anywhere', async () => {
  const { deltas, error } = await run(
    sse(
      `${delta({ role: 'assistant' })}${delta({ content: 'grü' })}\r\n: ping\r\n\r\n${delta({ content: 'ße\u{1F642}' })}data: [DONE]\n\n`,
    ),
  );
  expect(deltas).toEqual([
    { type: 'text', text: 'grü' },
    { type: 'text', text: 'ße\u{1F642}' },
  ]);
  expect(error).toBeUndefined();
});

test.each(['reasoning_content', 'reasoning'])('says that the model thinks when it sends %s', async (name) => {
  const { deltas } = await run(sse(`${delta({ [name]: 'hm', content: null })}data: [DONE]\n\n`));
  expect(deltas).toEqual([{ type: 'thinking' }]);
});

test('reads no further than [DONE], and lets the response go', async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: [DONE]\n\n')),
    cancel: () => {
      cancelled = true;
    },
  });
  expect(await run(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))).toEqual({ deltas: [] });
  await new Promise((resolve) => setTimeout(resolve));
  expect(cancelled).toBe(true);
});

test('a finish reason ends the answer too', async () => {
  const end = `data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: 'stop' }] })}\n\n`;
  expect((await run(sse(delta({ content: 'a' }) + end))).error).toBeUndefined();
});

test('an answer that just stops is an error', async () => {
  const { deltas, error } = await run(sse(delta({ content: 'a' })));
  expect(deltas).toHaveLength(1);
  expect(error).toMatchObject({ message: 'The answer ended early.' });
});

test('a server without streaming answers in one piece', async () => {
  const { deltas } = await run(Response.json({ choices: [{ message: { content: 'whole' } }] }));
  expect(deltas).toEqual([{ type: 'text', text: 'whole' }]);
});

test.each<[string, () => Response, Partial<ApiError>]>([
  [
    'ours',
    () => Response.json({ error: { code: 'E_NO_UPSTREAM', message: 'none', hint: 'start one' } }, { status: 503 }),
    { message: 'none', code: 'E_NO_UPSTREAM', hint: 'start one', status: 503 },
  ],
  [
    'OpenAI’s',
    () => Response.json({ error: { message: 'no such model', code: 404 } }, { status: 404 }),
    { message: 'no such model' },
  ],
  ['Ollama’s', () => Response.json({ error: 'model not found' }, { status: 404 }), { message: 'model not found' }],
  ['FastAPI’s', () => Response.json({ message: 'bad' }, { status: 400 }), { message: 'bad' }],
  ['text', () => new Response('Bad Gateway', { status: 502 }), { message: 'Bad Gateway', status: 502 }],
  ['nothing', () => new Response('', { status: 500 }), { message: 'The server answered 500.' }],
  ['an event', () => sse('data: {"error":{"message":"out of memory"}}\n\n'), { message: 'out of memory' }],
  ['a named event', () => sse('event: error\ndata: {"message":"overloaded"}\n\n'), { message: 'overloaded' }],
  ['no JSON', () => sse('data: <html>\n\n'), { message: 'The server sent something that is not JSON.' }],
])('errors as %s are shown in words', async (_, response, expected) => {
  const { error } = await run(response());
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject(expected);
});
