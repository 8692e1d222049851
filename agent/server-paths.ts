/** Which kind of server has a path. Everything else is OpenAI's, and any of them may have it. */
import type { RequestHead } from '../shared/head.ts';
import { isSafe } from '../shared/semantics.ts';
import type { ServerKind } from './discovery.ts';

interface HasKind {
  readonly kind: ServerKind;
}

/** Paths that mean something to one kind of server alone; others that have them imitate it. */
const OWN: readonly [pattern: RegExp, kind: ServerKind][] = [
  [/^\/api\/(?:v0|v1\/(?:models|chat))(?:\/|$)/, 'lmstudio'],
  [/^\/api\/(?:v1|extra|latest)\//, 'koboldcpp'],
  [/^\/api\//, 'ollama'],
];

/** Where a request names no model, who has the path; the first of these that is there. */
const USUAL: readonly [pattern: RegExp, kinds: readonly ServerKind[]][] = [
  [/^\/(?:props|infill|apply-template|completion|embedding|tokenize|detokenize|slots|lora-adapters)$/, ['llamacpp']],
  [/^\/sdapi\//, ['koboldcpp']],
  [/^\/(?:tts|vad|video|edits|generated-[a-z]+|system|backends?)(?:\/|$)/, ['localai']],
  [/^\/v1\/(?:backends?|realtime)(?:\/|$)/, ['localai', 'vllm']],
  [/^\/(?:get_)?model_info$|^\/(?:generate|encode|health_generate)$/, ['sglang', 'vllm']],
  [/^\/(?:score|classify|pooling)$|^\/inference\//, ['vllm', 'sglang']],
  [/^\/v1\/internal\//, ['text-generation-webui']],
  [/^\/(?:v1\/)?(?:audio|images)\//, ['localai', 'vllm']],
];

/** Those of `servers` that serve `path`: all of them if none has it as its own. */
export function ownersOf<S extends HasKind>(path: string, servers: readonly S[]): readonly S[] {
  const kind = OWN.find(([pattern]) => pattern.test(path))?.[1];
  const owners = servers.filter((server) => server.kind === kind);
  return owners.length > 0 ? owners : servers;
}

/** Likewise where no model says more. */
export function usualFor<S extends HasKind>(path: string, servers: readonly S[]): readonly S[] {
  const kinds = USUAL.find(([pattern]) => pattern.test(path))?.[1] ?? [];
  const usual = kinds.map((kind) => servers.filter((server) => server.kind === kind)).find(({ length }) => length > 0);
  return usual ?? servers;
}

/** Of what is no GET: it loads no model, or changes one, and takes no turn from those that ask one. */
const LIGHT =
  /^\/api\/(?:show|pull|push|create|copy|delete|blobs)(?:\/|$)|\/(?:tokenize|detokenize|apply-template|count_tokens)$/;

/** Whether a request makes a server compute, so that only so many of them should run. */
export function isInference({ head: { method, protocol, path } }: { head: RequestHead }): boolean {
  if (protocol === 'websocket') return true;
  return !isSafe(method) && !LIGHT.test(path.split('?', 1)[0]?.replace(/\/$/, '') ?? '');
}
