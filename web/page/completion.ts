/** Asks the model by OpenAI's chat completions API and gives the answer as it comes. */
import { ApiError, apiError, errorFrom } from '../access/api-error.ts';
import { type ServerSentEvent, SseParser } from './sse.ts';

export interface ChatMessage {
  role: 'user' | 'assistant';
  content: string;
}

export type Delta = { type: 'text'; text: string } | { type: 'thinking' };

type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** What servers send; every part may be missing. */
interface Chunk {
  error?: unknown;
  choices?: { delta?: Partial<Record<string, unknown>>; message?: { content?: unknown }; finish_reason?: unknown }[];
}

/** @throws ApiError, TypeError of `fetch`, or the signal's reason. */
export async function* complete(
  fetch: Fetch,
  model: string,
  messages: readonly ChatMessage[],
  signal: AbortSignal,
): AsyncGenerator<Delta, void> {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, messages, stream: true }),
    signal,
  });
  if (!response.ok) throw await apiError(response);
  if (response.headers.get('content-type')?.startsWith('application/json')) {
    // A server without streaming answers in one piece.
    const chunk = parseChunk(await response.text());
    const content = chunk.choices?.[0]?.message?.content;
    if (typeof content === 'string') yield { type: 'text', text: content };
    return;
  }
  let complete = false;
  for await (const { type, data } of events(response)) {
    if (data.trim() === '[DONE]') return;
    const chunk = parseChunk(data, type);
    const [choice] = chunk.choices ?? [];
    if (choice?.finish_reason != null) complete = true;
    const { content, reasoning_content, reasoning } = choice?.delta ?? {};
    if (typeof content === 'string' && content !== '') yield { type: 'text', text: content };
    else if (reasoning_content || reasoning) yield { type: 'thinking' };
  }
  if (!complete) throw new ApiError('The answer ended early.', 200, undefined, 'Look at the LLM server’s own log.');
}

async function* events(response: Response): AsyncGenerator<ServerSentEvent, void> {
  const parser = new SseParser();
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield* parser.push(part.value);
    yield* parser.end();
  } finally {
    // Also after `[DONE]`, where some servers keep the response open.
    reader.cancel().catch(() => {});
  }
}

/** @throws ApiError when it is no JSON, or says that something failed. */
function parseChunk(data: string, type = 'message'): Chunk {
  let chunk: Chunk | null;
  try {
    chunk = JSON.parse(data) as Chunk | null;
  } catch {
    throw new ApiError('The server sent something that is not JSON.', 200);
  }
  if (chunk?.error !== undefined && chunk.error !== null) throw errorFrom(chunk.error, 200);
  if (type === 'error') throw errorFrom(chunk, 200);
  return chunk ?? {};
}
