import { expect, test } from 'vitest';
import { ApiError } from '../access/api-error.ts';
import { type Delta, readAnswer } from './completion.ts';

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

async function run(response: Response, from = 0): Promise<{ deltas: Delta[]; consumed: number; error?: unknown }> {
  const read = { deltas: [] as Delta[], consumed: from };
  try {
    for await (const { deltas, consumed } of readAnswer(response, from)) {
      read.deltas.push(...deltas);
      read.consumed = consumed;
    }
  } catch (error) {
    return { ...read, error };
  }
  return read;
}

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

test.each(['reasoning_content', 'reasoning'])('gives what the model thinks as %s', async (name) => {
  const { deltas } = await run(sse(`${delta({ [name]: 'hm', content: null })}data: [DONE]\n\n`));
  expect(deltas).toEqual([{ type: 'reasoning', text: 'hm' }]);
});

test('gives how many tokens there were, and llama.cpp’s own speed', async () => {
  const end = { choices: [], usage: { completion_tokens: 12 }, timings: { predicted_per_second: 31.5 } };
  const { deltas } = await run(sse(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`));
  expect(deltas).toEqual([
    { type: 'usage', tokens: 12 },
    { type: 'speed', tokensPerSecond: 31.5 },
  ]);
});

test('whoever reads from where another stopped, wherever that was, has the whole answer', async () => {
  const texts = ['grü', 'ße ', '\u{1F642}', ' end'];
  const body = new TextEncoder().encode(`${texts.map((content) => delta({ content })).join('')}data: [DONE]\n\n`);
  const all = (deltas: Delta[]) => deltas.map((one) => ('text' in one ? one.text : '')).join('');
  for (let cut = 0; cut <= body.length; cut++) {
    const type = { headers: { 'content-type': 'text/event-stream' } };
    const first = await run(new Response(body.slice(0, cut), type));
    // An end without an empty line is an event of servers that leave it out, but not where the rest is to come.
    const whole = new TextDecoder().decode(body.slice(0, cut)).lastIndexOf('\n\n') + 2;
    const from =
      whole < 2 ? 0 : new TextEncoder().encode(new TextDecoder().decode(body.slice(0, cut)).slice(0, whole)).length;
    const before = await run(new Response(body.slice(0, from), type));
    const after = await run(new Response(body.slice(before.consumed), type), before.consumed);
    expect(before.consumed).toBe(from);
    expect(all(before.deltas) + all(after.deltas)).toBe(texts.join(''));
    expect(first.consumed).toBeLessThanOrEqual(cut);
  }
});

test('what is resumed after the word that ended it is whole', async () => {
  expect((await run(sse(''), 100)).error).toBeUndefined();
  expect((await run(sse(''), 0)).error).toMatchObject({ message: 'The answer ended early.' });
});

test('reads no further than [DONE], and lets the response go', async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: [DONE]\n\n')),
    cancel: () => {
      cancelled = true;
    },
  });
  expect(await run(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))).toMatchObject({
    deltas: [],
  });
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

test('an answer in one piece that was read already is not said again', async () => {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ choices: [{ message: { content: 'grün' } }] });
  const whole = await run(new Response(body, { headers }));
  expect(whole).toEqual({ deltas: [{ type: 'text', text: 'grün' }], consumed: new TextEncoder().encode(body).length });
  expect(await run(new Response('', { headers }), whole.consumed)).toEqual({ deltas: [], consumed: whole.consumed });
});
