/**
 * Finds the LLM servers of this machine. A port only says where to look: several servers share 8080, and any web
 * server may sit there. What counts is what answers, checked against each server's own source (August 2026).
 */

import { networkInterfaces } from 'node:os';
import { isLoopback } from './edge-address.ts';
import { unbracketed } from './ip-address.ts';
import { type LocalFetch, localFetch } from './local-fetch.ts';
import { type Answers, ask, isText, record } from './server-answers.ts';

/** The whole search; `direct-agent up` waits for it. Loopback answers within a few ms. */
export const DISCOVERY_TIMEOUT_MS = 1_000;

/** The field with which a port of `direct-agent connect` tells agents what it is, in every response. */
export const DIRECT_CONNECT = 'direct-connect';

export type ServerKind =
  | 'ollama'
  | 'lmstudio'
  | 'llamacpp'
  | 'vllm'
  | 'sglang'
  | 'localai'
  | 'jan'
  | 'koboldcpp'
  | 'text-generation-webui'
  | 'term-llm'
  | 'litellm'
  | 'openai';

export interface LocalServer {
  readonly kind: ServerKind;
  /** For people. */
  readonly name: string;
  /** Base URL without a slash at the end: request paths are appended. */
  readonly url: string;
  readonly models: readonly string[];
  /** It wants an API key of its own: set upstream_headers. */
  readonly needsKey: boolean;
}

export interface DiscoveryOptions {
  readonly fetch?: LocalFetch;
  /** OLLAMA_HOST is read as Ollama itself reads it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Base URLs to ask instead of the known ports. */
  readonly candidates?: readonly string[];
}

/** Default ports, by the servers' sources and documents. */
const PORTS: readonly number[] = [
  11434, // Ollama
  1234, // LM Studio
  8080, // llama.cpp, LocalAI, term-llm serve
  9931, // llama.cpp after its announced change (ggml-org/llama.cpp#26508)
  8000, // vLLM
  30000, // SGLang
  1337, // Jan
  5001, // KoboldCpp
  5000, // text-generation-webui
  8081, // term-llm in its container
  4000, // LiteLLM
];

/** How each server is recognised. The first that fits wins, so imitators come before what they imitate. */
const SERVERS: readonly { kind: ServerKind; name: string; is: (answers: Answers) => boolean }[] = [
  { kind: 'lmstudio', name: 'LM Studio', is: (a) => a.json('/lmstudio-greeting').lmstudio === true },
  { kind: 'koboldcpp', name: 'KoboldCpp', is: (a) => a.json('/api/extra/version').result === 'KoboldCpp' },
  { kind: 'localai', name: 'LocalAI', is: isLocalAi },
  { kind: 'llamacpp', name: 'llama.cpp', is: isLlamaCpp },
  {
    kind: 'sglang',
    name: 'SGLang',
    is: (a) => a.owner === 'sglang' || isText(a.json('/model_info').tokenizer_path),
  },
  { kind: 'vllm', name: 'vLLM', is: isVllm },
  { kind: 'litellm', name: 'LiteLLM', is: (a) => a.text('/health/liveliness') === '"I\'m alive!"' },
  {
    kind: 'text-generation-webui',
    name: 'text-generation-webui',
    is: (a) => Array.isArray(a.json('/v1/internal/model/info').lora_names),
  },
  // Last of the named: LocalAI and others answer like Ollama on purpose.
  { kind: 'ollama', name: 'Ollama', is: isOllama },
];

/** Best first. */
export const PREFERENCE: readonly ServerKind[] = [
  'ollama',
  'lmstudio',
  'llamacpp',
  'vllm',
  'sglang',
  'localai',
  'jan',
  'koboldcpp',
  'text-generation-webui',
  'term-llm',
  'litellm',
  'openai',
];

const QUESTIONS: readonly string[] = [
  '/',
  '/v1/models',
  '/lmstudio-greeting',
  '/api/extra/version',
  '/api/version',
  '/.well-known/localai.json',
  '/system',
  '/props',
  '/model_info',
  '/version',
  '/health/liveliness',
  '/v1/internal/model/info',
];
/** term-llm serves everything below a base path: `--base-path`, /ui by default, /chat in its container. */
const TERM_LLM_BASES: readonly string[] = ['/ui', '/chat'];

/** The local LLM servers, best first: those with models, then by kind. Never rejects. */
export async function discoverServers(options: DiscoveryOptions = {}): Promise<LocalServer[]> {
  const candidates = options.candidates ?? localCandidates(options.env);
  const found = await Promise.all([...new Set(candidates)].map((url) => identifyServer(url, options)));
  const rank = (server: LocalServer) =>
    (server.needsKey ? 2_000 : server.models.length === 0 ? 1_000 : 0) + PREFERENCE.indexOf(server.kind);
  return found.filter((server) => server !== undefined).sort((a, b) => rank(a) - rank(b));
}

/** Where servers of this machine listen unless told otherwise. */
export function localCandidates(
  env: DiscoveryOptions['env'] = process.env,
  own: readonly string[] = Object.values(networkInterfaces()).flatMap(
    (all) => all?.map(({ address }) => address) ?? [],
  ),
): string[] {
  const ollama = ollamaHost(env.OLLAMA_HOST).map((url) =>
    url.replace(/^http:\/\/localhost(?=[:/]|$)/, 'http://127.0.0.1'),
  );
  // The same server at two addresses of this machine would be two, with all of its models twice.
  const taken = ollama.flatMap((url) => {
    const { hostname, port } = new URL(url);
    return isLoopback(hostname) || own.includes(unbracketed(hostname)) ? [Number(port)] : [];
  });
  const others = PORTS.filter((port) => !taken.includes(port)).map((port) => `http://127.0.0.1:${port}`);
  return [...ollama, ...others];
}

/** The LLM server at `url`, if there is one. Never rejects. */
export async function identifyServer(url: string, options: DiscoveryOptions = {}): Promise<LocalServer | undefined> {
  const { fetch = localFetch, timeoutMs = DISCOVERY_TIMEOUT_MS } = options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  return await identify(url, fetch, signal);
}

async function identify(base: string, fetch: LocalFetch, signal: AbortSignal): Promise<LocalServer | undefined> {
  const root = base.replace(/\/+$/, '');
  let answers = await ask(root, QUESTIONS, fetch, signal);
  if (answers === 'refused') {
    // Some servers listen on “localhost” where that means ::1 alone.
    const v6 = root.replace('//127.0.0.1', '//[::1]');
    if (v6 === root) return undefined;
    answers = await ask(v6, QUESTIONS, fetch, signal);
    if (answers === 'refused') return undefined;
  }
  // What is served there is another host's, or even this one's own, in a circle. Who wants that says so (`upstream`).
  if (answers.header('/v1/models', DIRECT_CONNECT) !== null) return undefined;
  const server = SERVERS.find(({ is }) => is(answers));
  if (server !== undefined) return describe(server.kind, server.name, answers);
  if (await isJan(answers.base, fetch, signal)) return describe('jan', 'Jan', answers);
  if (answers.models !== undefined) return describe('openai', 'OpenAI-compatible server', answers);
  return await identifyTermLlm(answers.base, fetch, signal);
}

/** Asked only of servers without another name, because LiteLLM computes for seconds to answer this. */
async function isJan(root: string, fetch: LocalFetch, signal: AbortSignal): Promise<boolean> {
  const answers = await ask(root, ['/openapi.json'], fetch, signal);
  return answers !== 'refused' && /"title"\s*:\s*"Jan API/.test(answers.text('/openapi.json'));
}

async function identifyTermLlm(root: string, fetch: LocalFetch, signal: AbortSignal): Promise<LocalServer | undefined> {
  for (const path of TERM_LLM_BASES) {
    const answers = await ask(root + path, ['/healthz', '/v1/models'], fetch, signal);
    if (answers === 'refused') return undefined;
    // Its health probe says only “ok” to strangers; its API behind it answers or asks for the token.
    const known =
      answers.models !== undefined || (answers.needsKey && isText(record(answers.json('/v1/models').error).type));
    if (answers.json('/healthz').status === 'ok' && known) return describe('term-llm', 'term-llm', answers);
  }
  return undefined;
}

function describe(kind: ServerKind, name: string, { base, models = [], needsKey }: Answers): LocalServer {
  return { kind, name, url: base, models, needsKey };
}

// ---- what each server says -------------------------------------------------------------------

function isLocalAi(answers: Answers): boolean {
  const card = answers.json('/.well-known/localai.json');
  if (isText(card.version) && typeof card.endpoints === 'object') return true;
  const system = answers.json('/system');
  return Array.isArray(system.backends) && Array.isArray(system.loaded_models);
}

function isLlamaCpp(answers: Answers): boolean {
  // While a model loads everything but the list is 503, with the header.
  if (answers.header('/v1/models', 'server') === 'llama.cpp' || answers.owner === 'llamacpp') return true;
  return typeof answers.json('/props').default_generation_settings === 'object' && answers.models !== undefined;
}

function isVllm(answers: Answers): boolean {
  if (answers.owner === 'vllm') return true;
  // With --api-key only /v1 is guarded.
  return (
    answers.needsKey && isText(answers.json('/version').version) && answers.json('/v1/models').error === 'Unauthorized'
  );
}

function isOllama(answers: Answers): boolean {
  return answers.text('/').startsWith('Ollama is running') && isText(answers.json('/api/version').version);
}

/** The address that `ollama` clients would use (ollama, envconfig.ConnectableHost); none if it is the default. */
function ollamaHost(setting: string | undefined): string[] {
  const text = setting?.trim() ?? '';
  if (text === '') return [];
  const [, scheme = 'http', rest = ''] = /^(?:(https?):\/\/)?(.*)$/.exec(text) ?? [];
  const [authority = '', ...path] = rest.split('/');
  const bare = /^(?:\[?[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*\]?|[^:]*)$/i.test(authority);
  const port = text.includes('://') ? '' : ':11434';
  const bracketed = bare && authority.includes(':') && !authority.startsWith('[') ? `[${authority}]` : authority;
  const address = (bare ? bracketed + port : authority).replace(/^(?=:\d)/, '127.0.0.1');
  const url = URL.parse(`${scheme}://${address}/${path.join('/')}`);
  if (url === null) return [];
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return [url.href.replace(/\/+$/, '')];
}
