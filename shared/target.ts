import { DirectError } from './errors.ts';
import { MAX_TARGET_BYTES } from './limits.ts';

/**
 * Which requests may reach the upstream. A target is checked and normalised once, here; what is matched is then
 * exactly what is forwarded, so that no server behind us can read another path out of it.
 */
export interface Target {
  /** Absolute path. Unreserved characters are decoded (RFC 3986, section 6.2.2.2), all others stay escaped. */
  readonly path: string;
  /** With its `?`, or empty. Passed on as it came. */
  readonly query: string;
}

export interface TargetPolicy {
  /** Subtrees to serve besides the inference routes, such as `/sdapi`. */
  readonly allowedPrefixes: readonly string[];
  /** Serve the routes that load, pull, change or delete models. */
  readonly allowManagement: boolean;
}

/** Escapes inside escapes: an honest client has none, a double-decoding proxy adds one. Bounds the work as well. */
const MAX_ESCAPE_LEVELS = 3;

/**
 * Parses the origin-form target of a request (RFC 9112, section 3.2.1).
 * @throws {DirectError} E_BAD_TARGET for anything that two programs might read differently
 */
export function parseTarget(raw: string): Target {
  return parse(raw, checkSegments);
}

/**
 * Likewise for a server of which every path is served: empty segments and escaped separators pass, because UIs put the
 * names of files and pages into paths. A dot segment between any two of them could still lead out of the server's base.
 * @throws {DirectError} E_BAD_TARGET
 */
export function parseOpenTarget(raw: string): Target {
  return parse(raw, checkDots);
}

type Check = (decoded: string, level: number) => void;

function parse(raw: string, check: Check): Target {
  // All that passes is ASCII, so characters are bytes.
  if (raw.length > MAX_TARGET_BYTES) refuse(`longer than ${MAX_TARGET_BYTES} bytes`);
  if (!raw.startsWith('/')) refuse('not an absolute path');
  if (!/^[!-~]+$/.test(raw)) refuse('a space, a control character or a character outside ASCII');
  if (raw.includes('#')) refuse('a fragment');
  // It would be taken for an authority (RFC 3986, section 4.2).
  if (raw.startsWith('//')) refuse('an empty segment at the beginning');
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  checkPath(path, check);
  return { path: normalise(path), query: mark === -1 ? '' : raw.slice(mark) };
}

function refuse(reason: string): never {
  throw new DirectError('E_BAD_TARGET', reason);
}

function checkPath(path: string, check: Check): void {
  try {
    decodeURIComponent(path);
  } catch {
    // Also refuses overlong UTF-8, with which %C0%AE once meant a dot (RFC 3629, section 10).
    refuse('a malformed percent escape');
  }
  let decoded = path;
  for (let level = 0; level <= MAX_ESCAPE_LEVELS; level++) {
    check(decoded, level);
    const next = decoded.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (next === decoded) return;
    decoded = next;
  }
  refuse('escapes inside escapes');
}

function checkSegments(path: string, level: number): void {
  if (path.includes('\\')) refuse('a backslash');
  if (path.includes('//')) refuse('an empty segment');
  // An escaped slash would be a separator to some servers and not to others.
  if (/%2f/i.test(path)) refuse('an escaped slash');
  checkDots(path, level);
}

function checkDots(path: string, level: number): void {
  if (level === 0 && path.includes('\\')) refuse('a backslash');
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) refuse('a control character');
  }
  // The path parameter in "..;x" is dropped by servers that know such parameters.
  if (path.split(/[/\\]/).some((segment) => /^\.\.?(;|$)/.test(segment))) {
    refuse(level === 0 ? 'a dot segment' : 'an escaped dot segment');
  }
}

function normalise(path: string): string {
  return path
    .replace(/%[0-9a-f]{2}/gi, (triplet) => {
      const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
      return /[A-Za-z0-9._~-]/.test(character) ? character : triplet.toUpperCase();
    })
    .replace(/["<>[\]^`{|}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What every client of a model needs. Read out of the servers' sources of August 2026; exact unless it says `**`. */
const INFERENCE: readonly Route[] = [
  // OpenAI's and Anthropic's API, and health checks.
  ...routes('/v1/**  GET /health  GET /healthz  GET /readyz  GET /version  GET /ping'),
  // Ollama, server/routes.go; llama.cpp, LocalAI and KoboldCpp imitate it.
  ...routes('/api/chat  /api/generate  /api/embed  /api/embeddings  /api/show'),
  ...routes('GET /api/tags  GET /api/ps  GET /api/version'),
  // llama.cpp, tools/server/server.cpp.
  ...routes('/completion  /completions  /chat/completions/**  /embedding  /embeddings  /infill  /rerank  /reranking'),
  ...routes('/tokenize  /detokenize  /apply-template  GET /props  GET /models  /responses/**  /messages/**'),
  // LM Studio, developer docs, "REST API".
  ...routes('GET /api/v0/models/**  /api/v0/chat/completions  /api/v0/completions  /api/v0/embeddings'),
  ...routes('GET /api/v1/models/**  /api/v1/chat'),
  // KoboldCpp, koboldcpp.py.
  ...routes('/api/v1/generate  GET /api/v1/model  GET /api/v1/config/*  GET /api/v1/info/version'),
  ...routes('/api/latest/generate  GET /api/latest/model  GET /api/latest/config/*  GET /api/latest/info/version'),
  ...routes('/api/extra/**  GET /sdapi/v1/*  /sdapi/v1/txt2img  /sdapi/v1/img2img  /sdapi/v1/interrogate'),
  // LocalAI, core/http/routes; generated files are fetched from the server by URL.
  ...routes('/edits  /moderations  /audio/**  /images/**  /tts  /vad  /video  GET /models/capabilities'),
  ...routes('GET /generated-audio/**  GET /generated-images/**  GET /generated-videos/**'),
  // vLLM, docs/usage/security.md, and SGLang, srt/entrypoints/http_server.py. Not /get_server_info: it tells the API key.
  ...routes('/generate  /encode  /classify  /score  /pooling  /v2/embed  /v2/rerank  /inference/v1/generate'),
  ...routes('GET /model_info  GET /get_model_info  GET /health_generate'),
];

const WRITE = 'POST,PUT,PATCH,DELETE';

/** What changes a server instead of using it, also below /v1. Wins over INFERENCE and over every allowed prefix. */
const MANAGEMENT: readonly Route[] = [
  // Ollama
  ...routes('/api/pull  /api/push  /api/create  /api/copy  /api/delete  /api/blobs/**'),
  ...routes('/api/me  /api/signout  /api/user/**'),
  // llama.cpp, single model and router
  ...routes(`POST /props  ${WRITE} /models  /models/load  /models/unload  /models/sse  /slots/**  /lora-adapters`),
  ...routes('/cvectors/**'),
  // LM Studio
  ...routes(`${WRITE} /api/v0/models/**  ${WRITE} /api/v1/models/**  /api/v1/models/download/**`),
  // LocalAI
  ...routes('/models/apply  /models/delete/**  /models/import  /models/import-uri  /models/edit/**  /models/reload'),
  ...routes('/models/toggle-state/**  /models/toggle-pinned/**  /models/available  /models/galleries  /models/jobs/**'),
  ...routes('/backend/**  /backends/**  /v1/backend/**  /v1/backends/**  /api/models/**  /api/backends/**'),
  // Jan, Cortex, mistral.rs and OpenAI's own DELETE /v1/models/{model}
  ...routes(`${WRITE} /v1/models/**  DELETE /v1/engines/**  /v1/engines/*/install  /v1/engines/*/load`),
  ...routes('/v1/engines/*/update  /v1/engines/*/default  /v1/hardware/**  /v1/configs/**  /v1/system/**'),
  // text-generation-webui, modules/api/script.py
  ...routes('/v1/internal/model/load  /v1/internal/model/unload  /v1/internal/lora/**'),
  // vLLM and SGLang
  ...routes('/v1/load_lora_adapter  /v1/unload_lora_adapter  /load_lora_adapter  /unload_lora_adapter'),
  ...routes('/sleep  /wake_up  /pause  /resume  /reset_prefix_cache  /flush_cache  /update_weights_from_disk'),
  // LiteLLM
  ...routes(`${WRITE} /v1/model/**  ${WRITE} /v1/mcp/server/**`),
  // KoboldCpp
  ...routes('/api/admin/**  /api/extra/data/**  /api/extra/shutdown'),
];

/** KoboldCpp dispatches on how the whole target ends, so these must not stand at the end of anything else. */
const KOBOLDCPP_MANAGEMENT = /\/api\/(admin\/[\w-]+|extra\/(data\/[\w-]+|shutdown))\/*$/i;

/** Whether the host serves `method` on a path that `parseTarget` returned. */
export function isAllowed(path: string, method: string, policy: TargetPolicy): boolean {
  const segments = split(path);
  const verb = method.toUpperCase();
  // Some servers ignore case: refusing must, allowing must not.
  const lower = segments.map((segment) => segment.toLowerCase());
  const manages = MANAGEMENT.some((route) => matches(route, lower, verb)) || KOBOLDCPP_MANAGEMENT.test(path);
  if (manages) return policy.allowManagement;
  if (INFERENCE.some((route) => matches(route, segments, verb))) return true;
  return policy.allowedPrefixes.some((prefix) => {
    const start = split(prefix);
    return start.every((segment, i) => segment === segments[i]);
  });
}

/**
 * The target to forward.
 * @throws {DirectError} E_BAD_TARGET or E_FORBIDDEN_TARGET
 */
export function admitTarget(raw: string, method: string, policy: TargetPolicy): Target {
  const target = parseTarget(raw);
  const hidden = KOBOLDCPP_MANAGEMENT.test(target.query) && !policy.allowManagement;
  if (hidden || !isAllowed(target.path, method, policy)) {
    throw new DirectError('E_FORBIDDEN_TARGET', `${method.toUpperCase()} ${target.path}`);
  }
  return target;
}

interface Route {
  /** undefined: every method. */
  readonly methods: readonly string[] | undefined;
  readonly segments: readonly string[];
}

/** `[METHOD,… ]pattern` separated by spaces: `*` is one segment, a final `**` any number, GET includes HEAD. */
function routes(table: string): readonly Route[] {
  return [...table.matchAll(/(?:([A-Z,]+) )?(\/\S+)/g)].map(([, methods, pattern]) => ({
    methods: methods?.replace('GET', 'GET,HEAD,OPTIONS').split(','),
    segments: split(pattern ?? ''),
  }));
}

function split(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function matches(route: Route, segments: readonly string[], method: string): boolean {
  if (route.methods !== undefined && !route.methods.includes(method)) return false;
  const open = route.segments.at(-1) === '**';
  const fixed = open ? route.segments.slice(0, -1) : route.segments;
  if (open ? segments.length < fixed.length : segments.length !== fixed.length) return false;
  return fixed.every((segment, i) => segment === '*' || segment === segments[i]);
}
