/** The answer of a model by OpenAI's chat completions API, as it comes. */
import { ApiError, apiError, errorFrom } from '../access/api-error.ts';
import { EventBytes } from './event-bytes.ts';
import type { ServerSentEvent } from './sse.ts';

export type Delta =
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'usage'; tokens: number }
  | { type: 'speed'; tokensPerSecond: number };

export interface Piece {
  deltas: Delta[];
  /** Bytes of the body that are in the deltas so far: whoever goes on later does it from here. */
  consumed: number;
}

/** What servers send; every part may be missing. */
interface Chunk {
  error?: unknown;
  choices?: {
    delta?: Partial<Record<string, unknown>>;
    message?: Partial<Record<string, unknown>>;
    finish_reason?: unknown;
  }[];
  usage?: { completion_tokens?: unknown } | null;
  /** Of llama.cpp. */
  timings?: { predicted_per_second?: unknown };
}

/**
 * `from`: where in the whole body this response begins.
 * @throws ApiError when the server says that it failed, or has broken off; whatever reading the body throws.
 */
export async function* readAnswer(response: Response, from = 0): AsyncGenerator<Piece, void> {
  if (!response.ok) throw await apiError(response);
  if (response.headers.get('content-type')?.startsWith('application/json')) {
    // A server without streaming answers in one piece.
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (from > 0 && bytes.length === 0) return;
    const chunk = parseChunk(new TextDecoder().decode(bytes), 'message');
    const { content, reasoning_content, reasoning } = chunk.choices?.[0]?.message ?? {};
    const deltas = [...deltasOf({ content, reasoning_content, reasoning }), ...numbersOf(chunk)];
    yield { deltas, consumed: from + bytes.length };
    return;
  }
  const answer = new AnswerEvents();
  const events = new EventBytes(from);
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      yield { deltas: answer.take(events.push(part.value)), consumed: events.consumed };
      if (answer.error !== undefined) throw answer.error;
      if (answer.done) return;
    }
    yield { deltas: answer.take(events.end()), consumed: events.consumed };
  } finally {
    // Also after `[DONE]`, where some servers keep the response open.
    reader.cancel().catch(() => {});
  }
  if (answer.error !== undefined) throw answer.error;
  // The word that ends it may have been the last thing before `from`.
  if (answer.done || answer.finished || (from > 0 && events.consumed === from)) return;
  throw new ApiError('The answer ended early.', 200, undefined, 'Look at the LLM server’s own log.');
}

class AnswerEvents {
  /** `[DONE]` has come. */
  done = false;
  /** A reason for the end has come. */
  finished = false;
  error: ApiError | undefined;

  /** Up to the end of the answer, or to an error. */
  take(events: readonly ServerSentEvent[]): Delta[] {
    const deltas: Delta[] = [];
    for (const event of events) {
      if (event.data.trim() === '[DONE]') this.done = true;
      if (this.done || this.error !== undefined) break;
      try {
        const chunk = parseChunk(event.data, event.type);
        const [choice] = chunk.choices ?? [];
        if (choice?.finish_reason != null) this.finished = true;
        deltas.push(...deltasOf(choice?.delta ?? {}), ...numbersOf(chunk));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.error = error;
      }
    }
    return deltas;
  }
}

/** DeepSeek, llama.cpp and LM Studio say `reasoning_content`, Ollama and vLLM `reasoning`. */
function deltasOf({ content, reasoning_content, reasoning }: Partial<Record<string, unknown>>): Delta[] {
  const deltas: Delta[] = [];
  const thought = reasoning_content ?? reasoning;
  if (typeof thought === 'string' && thought !== '') deltas.push({ type: 'reasoning', text: thought });
  if (typeof content === 'string' && content !== '') deltas.push({ type: 'text', text: content });
  return deltas;
}

function numbersOf({ usage, timings }: Chunk): Delta[] {
  const deltas: Delta[] = [];
  const tokens = usage?.completion_tokens;
  const tokensPerSecond = timings?.predicted_per_second;
  if (isCount(tokens)) deltas.push({ type: 'usage', tokens });
  if (isCount(tokensPerSecond)) deltas.push({ type: 'speed', tokensPerSecond });
  return deltas;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/** @throws ApiError when it is no JSON, or says that something failed. */
function parseChunk(data: string, type: string): Chunk {
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
