import { BlockList, isIP } from 'node:net';

/**
 * The wire formats of OpenAI (api reference, "Chat", "Completions") and Ollama (docs/api.md), as deterministic text.
 * Which answer comes is chosen by the model's name, so that any client can ask for it.
 */

/** What a model's name makes the fake do. */
export interface Behaviour {
  readonly tokens: readonly string[] | 'of the prompt';
  /** Before the head of the response. */
  readonly delayMs: number;
  /** How fast a streamed answer comes. */
  readonly tokensPerSecond: number;
  /** Instead of an answer. */
  readonly status: 200 | 429 | 500;
  /** After the third token. */
  readonly breaks: 'never' | 'with an error' | 'without a word';
}

/** Listed by the fake; `tokens-N`, `tokens-N-at-R` (a second) and `slow-N` (ms) exist for all numbers. */
export const MODELS: readonly string[] = [
  'fake',
  'tokens-1000',
  'slow-first-byte',
  'error-mid-stream',
  'abort-mid-stream',
  'error-429',
  'error-500',
];
const BREAK_AFTER = 3;
const CREATED = 1_700_000_000;
const CREATED_AT = '2023-11-14T22:13:20.123456Z';

/** undefined: there is no such model. Ollama's clients add `:latest`. */
export function behaviourOf(model: string): Behaviour | undefined {
  const name = model.replace(/:latest$/, '');
  const normal: Behaviour = {
    tokens: 'of the prompt',
    delayMs: 0,
    tokensPerSecond: Number.POSITIVE_INFINITY,
    status: 200,
    breaks: 'never',
  };
  const [, count, rate = 'Infinity'] = /^tokens-(\d{1,7})(?:-at-(\d{1,7}))?$/.exec(name) ?? [];
  if (count !== undefined) return { ...normal, tokens: countedTokens(Number(count)), tokensPerSecond: Number(rate) };
  const delay = /^slow-(\d{1,7})$/.exec(name)?.[1];
  if (delay !== undefined) return { ...normal, delayMs: Number(delay) };
  if (name === 'slow-first-byte') return { ...normal, delayMs: 1_500 };
  if (name === 'error-429') return { ...normal, status: 429 };
  if (name === 'error-500') return { ...normal, status: 500 };
  if (name === 'error-mid-stream') return { ...normal, breaks: 'with an error' };
  if (name === 'abort-mid-stream') return { ...normal, breaks: 'without a word' };
  return name === 'fake' ? normal : undefined;
}

/** The tokens of `tokens-N`: numbered, so that a lost, doubled or swapped one shows. */
export function countedTokens(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `t${i} `);
}

export function tokensFor(behaviour: Behaviour, prompt: string): readonly string[] {
  if (behaviour.tokens !== 'of the prompt') return behaviour.tokens;
  return `This is the fake answer to: ${prompt}`.match(/\s*\S+|\s+$/g) ?? [];
}

export interface Answer {
  readonly contentType: string;
  /** The pieces of a streamed body; those after the break never come. */
  readonly pieces: Iterable<string>;
  /** The piece at which the stream breaks off, if it does. */
  readonly breaksAt: number;
}

export interface Asked {
  readonly model: string;
  readonly behaviour: Behaviour;
  readonly prompt: string;
  readonly includeUsage: boolean;
}

// ---- OpenAI ----------------------------------------------------------------------------------

/** Server-sent events: a role chunk, a chunk for each token, the reason for the end, usage if asked for, `[DONE]`. */
export function openAiStream(asked: Asked, kind: 'chat' | 'text'): Answer {
  return { contentType: 'text/event-stream; charset=utf-8', pieces: events(asked, kind), breaksAt: breakOf(asked, 1) };
}

function* events({ model, behaviour, prompt, includeUsage }: Asked, kind: 'chat' | 'text'): Generator<string> {
  const head =
    kind === 'chat'
      ? { id: 'chatcmpl-fake', object: 'chat.completion.chunk', created: CREATED, model, system_fingerprint: 'fp_fake' }
      : { id: 'cmpl-fake', object: 'text_completion', created: CREATED, model, system_fingerprint: 'fp_fake' };
  const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`;
  const choice = (content: string | undefined, finish_reason: 'stop' | null, role?: 'assistant') =>
    event({
      ...head,
      choices: [
        kind === 'chat'
          ? { index: 0, delta: { role, content }, logprobs: null, finish_reason }
          : { index: 0, text: content ?? '', logprobs: null, finish_reason },
      ],
      // OpenAI sends null in every chunk but the last when usage is asked for.
      ...(includeUsage ? { usage: null } : {}),
    });

  const tokens = tokensFor(behaviour, prompt);
  if (kind === 'chat') yield choice('', null, 'assistant');
  for (const [index, token] of tokens.entries()) {
    if (index === BREAK_AFTER && behaviour.breaks === 'with an error') {
      yield event(
        openAiError('The server had an error while processing your request. Sorry about that!', 'server_error'),
      );
      return;
    }
    yield choice(token, null);
  }
  yield choice(undefined, 'stop');
  if (includeUsage) yield event({ ...head, choices: [], usage: openAiUsage(prompt, tokens.length) });
  yield 'data: [DONE]\n\n';
}

export function openAiCompletion({ model, behaviour, prompt }: Asked, kind: 'chat' | 'text'): object {
  const tokens = tokensFor(behaviour, prompt);
  const content = tokens.join('');
  const end = { index: 0, logprobs: null, finish_reason: 'stop' };
  const common = { created: CREATED, model, system_fingerprint: 'fp_fake', usage: openAiUsage(prompt, tokens.length) };
  if (kind === 'text')
    return { id: 'cmpl-fake', object: 'text_completion', ...common, choices: [{ ...end, text: content }] };
  const message = { role: 'assistant', content, refusal: null };
  return { id: 'chatcmpl-fake', object: 'chat.completion', ...common, choices: [{ ...end, message }] };
}

export function openAiModel(id: string): object {
  return { id, object: 'model', created: CREATED, owned_by: 'library' };
}

export function openAiError(message: string, type: string, code: string | null = null): object {
  return { error: { message, type, param: null, code } };
}

/** Vectors that depend on the text; base64 of little-endian floats is what OpenAI's client asks for by default. */
export function openAiEmbeddings(model: string, inputs: readonly string[], base64: boolean): object {
  const data = inputs.map((input, index) => {
    const vector = Float32Array.from(
      { length: 8 },
      (_, i) => ((input.charCodeAt(i % (input.length || 1)) || 0) % 64) / 64,
    );
    const embedding = base64 ? Buffer.from(vector.buffer).toString('base64') : [...vector];
    return { object: 'embedding', index, embedding };
  });
  const prompt_tokens = inputs.join(' ').split(/\s+/).length;
  return { object: 'list', data, model, usage: { prompt_tokens, total_tokens: prompt_tokens } };
}

function openAiUsage(prompt: string, completion_tokens: number) {
  const prompt_tokens = prompt.split(/\s+/).length;
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

// ---- Ollama ----------------------------------------------------------------------------------

/** One JSON object per line; the last one says `done` and the timings in nanoseconds. */
export function ollamaStream(asked: Asked, kind: 'chat' | 'text'): Answer {
  return { contentType: 'application/x-ndjson', pieces: lines(asked, kind), breaksAt: breakOf(asked, 0) };
}

function* lines(asked: Asked, kind: 'chat' | 'text'): Generator<string> {
  const line = (data: object) => `${JSON.stringify(data)}\n`;
  const tokens = tokensFor(asked.behaviour, asked.prompt);
  for (const [index, token] of tokens.entries()) {
    if (index === BREAK_AFTER && asked.behaviour.breaks === 'with an error') {
      yield line({ error: 'an error was encountered while running the model: CUDA error' });
      return;
    }
    yield line({ model: asked.model, created_at: CREATED_AT, ...ollamaContent(kind, token), done: false });
  }
  yield line(ollamaEnd(asked, kind, '', tokens.length));
}

export function ollamaCompletion(asked: Asked, kind: 'chat' | 'text'): object {
  const tokens = tokensFor(asked.behaviour, asked.prompt);
  return ollamaEnd(asked, kind, tokens.join(''), tokens.length);
}

function ollamaEnd({ model, prompt }: Asked, kind: 'chat' | 'text', content: string, eval_count: number): object {
  return {
    model,
    created_at: CREATED_AT,
    ...ollamaContent(kind, content),
    ...(kind === 'text' ? { context: [1, 2, 3] } : {}),
    done: true,
    done_reason: 'stop',
    total_duration: 4_883_583_458,
    load_duration: 1_334_875,
    prompt_eval_count: prompt.split(/\s+/).length,
    prompt_eval_duration: 342_546_000,
    eval_count,
    eval_duration: 4_535_599_000,
  };
}

function ollamaContent(kind: 'chat' | 'text', content: string): object {
  return kind === 'chat' ? { message: { role: 'assistant', content } } : { response: content };
}

const ollamaDetails = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: ['llama'],
  parameter_size: '8.0B',
  quantization_level: 'Q4_0',
};

export function ollamaTag(name: string): object {
  const digest = '0a8c266910232fd3291e71e5ba1e058cc5af9d411192cf88b6d30e92b6e73163';
  const model = `${name}:latest`;
  return { name: model, model, modified_at: CREATED_AT, size: 4_683_075_271, digest, details: ollamaDetails };
}

export function ollamaShow(): object {
  return {
    modelfile: '# Modelfile generated by "ollama show"\nFROM fake\n',
    parameters: 'num_ctx 4096',
    template: '{{ .Prompt }}',
    details: ollamaDetails,
    model_info: { 'general.architecture': 'llama', 'llama.context_length': 8192 },
    capabilities: ['completion'],
    modified_at: CREATED_AT,
  };
}

function breakOf({ behaviour }: Asked, before: number): number {
  return behaviour.breaks === 'without a word' ? before + BREAK_AFTER : Number.POSITIVE_INFINITY;
}

// ---- Ollama’s guard against other web sites --------------------------------------------------

const local = new BlockList();
local.addSubnet('127.0.0.0', 8);
local.addSubnet('10.0.0.0', 8);
local.addSubnet('172.16.0.0', 12);
local.addSubnet('192.168.0.0', 16);
local.addAddress('0.0.0.0');
local.addAddress('::1', 'ipv6');
local.addAddress('::', 'ipv6');
local.addSubnet('fc00::', 7, 'ipv6');

/** server/routes.go: allowedHostsMiddleware and allowedHost; envconfig.AllowedOrigins behind gin-contrib/cors. */
export function ollamaTrusts(host: string, origin: string): boolean {
  return isTrustedHost(host) && isTrustedOrigin(origin, host);
}

function isTrustedHost(host: string): boolean {
  const name = (/^\[([^\]]*)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, '')).toLowerCase();
  const family = isIP(name);
  if (family !== 0) return local.check(name, family === 6 ? 'ipv6' : 'ipv4');
  return name === '' || name === 'localhost' || /\.(localhost|local|internal)$/.test(name);
}

function isTrustedOrigin(origin: string, host: string): boolean {
  if (origin === '' || origin === `http://${host}` || origin === `https://${host}`) return true;
  if (/^(app|file|tauri|vscode-webview|vscode-file|chrome-extension|moz-extension|safari-extension):\/\//.test(origin))
    return true;
  return /^https?:\/\/(localhost|127\.0\.0\.1|0\.0\.0\.0)(:.*)?$/.test(origin);
}
