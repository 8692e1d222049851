import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

/**
 * What is served when no LLM server runs: it speaks OpenAI's wire format, so that everything can be tried, and says
 * that it is no language model.
 */
export interface Demo {
  /** Base URL, without `/v1`. */
  readonly url: string;
  close(): Promise<void>;
}

export interface DemoOptions {
  /** Waits before token number `index`; rejects when `signal` is aborted. */
  readonly pace?: (index: number, signal: AbortSignal) => Promise<unknown>;
}

const MODEL = 'demo';
/** About the speed of a small model on a good laptop, 30 tokens a second. */
const TOKEN_MS = 33;
/** A conversation with pictures; the proxy has its own limit before this one. */
const MAX_REQUEST_BYTES = 10 * 1024 * 1024;
/** Enough to see that it is one's own question. */
const MAX_ECHO_LENGTH = 120;

const completionRequest = z.object({
  model: z.string(),
  messages: z.array(
    z.object({
      role: z.string(),
      content: z
        .union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() })), z.null()])
        .optional(),
    }),
  ),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
});
type CompletionRequest = z.infer<typeof completionRequest>;

/** Starts the demo on a free port of 127.0.0.1. */
export async function startDemo({ pace = naturalPace }: DemoOptions = {}): Promise<Demo> {
  const server = createServer((request, response) => {
    serve(request, response, pace).catch((error: unknown) => {
      // The client has gone; there is nobody to tell.
      if (response.destroyed || response.headersSent) response.destroy();
      else fail(response, error instanceof Refusal ? error : new Refusal(500, 'The demo failed.'));
    });
  });
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(0, '127.0.0.1', done);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The demo got no port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function serve(request: IncomingMessage, response: ServerResponse, pace: NonNullable<DemoOptions['pace']>) {
  const path = request.url?.split('?')[0];
  const route = `${request.method} ${path}`;
  if (route === 'GET /v1/models') return send(response, { object: 'list', data: [model] });
  if (route === `GET /v1/models/${MODEL}`) return send(response, model);
  if (route !== 'POST /v1/chat/completions') throw new Refusal(404, `The built-in demo does not serve ${route}.`);

  const completion = parse(await readBody(request));
  const tokens = answer(completion);
  if (completion.stream === true) return await stream(response, completion, tokens, pace);
  send(response, {
    ...frame('chat.completion'),
    choices: [
      { index: 0, message: { role: 'assistant', content: tokens.join('') }, logprobs: null, finish_reason: 'stop' },
    ],
    usage: usage(completion, tokens),
  });
}

async function stream(
  response: ServerResponse,
  completion: CompletionRequest,
  tokens: readonly string[],
  pace: NonNullable<DemoOptions['pace']>,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  const head = frame('chat.completion.chunk');
  const write = (data: object | string) =>
    response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
  const chunk = (delta: object, finish_reason: 'stop' | null) =>
    write({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason }] });

  chunk({ role: 'assistant', content: '' }, null);
  for (const [index, content] of tokens.entries()) {
    await pace(index, gone.signal);
    chunk({ content }, null);
  }
  chunk({}, 'stop');
  if (completion.stream_options?.include_usage === true)
    write({ ...head, choices: [], usage: usage(completion, tokens) });
  write('[DONE]');
  response.end();
}

/** Evenly spaced tokens look like a machine; a little wave and a pause after a sentence look like a model. */
function naturalPace(index: number, signal: AbortSignal): Promise<unknown> {
  return delay(TOKEN_MS + 12 * Math.sin(index * 1.7) + (index % 17 === 16 ? 4 * TOKEN_MS : 0), undefined, { signal });
}

function answer({ messages }: CompletionRequest): string[] {
  const asked = textOf(messages.findLast(({ role }) => role === 'user')?.content)
    .replace(/\s+/g, ' ')
    .trim();
  const characters = [...asked];
  const short = characters.length > MAX_ECHO_LENGTH ? `${characters.slice(0, MAX_ECHO_LENGTH).join('')}…` : asked;
  const echo = short === '' ? '' : `You wrote: “${short}”\n\n`;
  const text = `${echo}I am the demo that is built into direct-agent, not a language model, so I cannot answer that. \
But these words came all the way from your machine, token by token, and so would a model’s.

To talk to a real model, run one on this machine:

1. Install Ollama from https://ollama.com/download
2. ollama pull llama3.2
3. Start the agent again. It finds Ollama, LM Studio, llama.cpp, vLLM and others by itself.
`;
  // A word with the space before it, as tokenizers cut.
  return text.match(/\s*\S+|\s+$/g) ?? [];
}

function textOf(content: CompletionRequest['messages'][number]['content']): string {
  if (!Array.isArray(content)) return content ?? '';
  return content.map(({ text = '' }) => text).join(' ');
}

function usage({ messages }: CompletionRequest, tokens: readonly string[]) {
  const prompt = messages.reduce((sum, { content }) => sum + (textOf(content).match(/\S+/g)?.length ?? 0), 0);
  return { prompt_tokens: prompt, completion_tokens: tokens.length, total_tokens: prompt + tokens.length };
}

const model = { id: MODEL, object: 'model', created: 0, owned_by: 'direct-agent' };

function frame(object: 'chat.completion' | 'chat.completion.chunk') {
  const id = `chatcmpl-${crypto.randomUUID().replaceAll('-', '')}`;
  return { id, object, created: Math.floor(Date.now() / 1000), model: MODEL };
}

// ---- requests and errors ---------------------------------------------------------------------

/** An error in OpenAI's shape, which its clients show. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string | null;

  constructor(status: number, message: string, code: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function fail(response: ServerResponse, { status, message, code }: Refusal): void {
  const type = status === 500 ? 'server_error' : 'invalid_request_error';
  send(response, { error: { message, type, param: null, code } }, status);
}

function send(response: ServerResponse, body: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_REQUEST_BYTES) throw new Refusal(413, `The demo reads at most ${MAX_REQUEST_BYTES} bytes.`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function parse(body: string): CompletionRequest {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new Refusal(400, 'The request body is not valid JSON.');
  }
  const { data, error } = completionRequest.safeParse(json);
  if (data === undefined) {
    const [issue] = error.issues;
    throw new Refusal(400, `Invalid request: ${issue?.path.join('.')}: ${issue?.message}`);
  }
  if (data.model !== MODEL) {
    throw new Refusal(
      404,
      `The model “${data.model}” does not exist. This is the built-in demo; use “${MODEL}”.`,
      'model_not_found',
    );
  }
  return data;
}
