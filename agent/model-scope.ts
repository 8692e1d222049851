/**
 * Grants that name models: which model a request asks for, read in such a way that no server reads another one out of
 * the same bytes. What cannot be read so is refused.
 */
import { DirectError } from '../shared/errors.ts';
import type { RequestHead } from '../shared/head.ts';
import { plainName } from './model-names.ts';
import type { ModelLimit } from './policy.ts';

/**
 * - `body`: the body is JSON that names the model.
 * - `list`: the answer is a list of models.
 * - `nothing`: it asks for no model.
 */
export type ModelUse = 'body' | 'list' | 'nothing';

export const LISTS: readonly string[] = [
  '/v1/models',
  '/models',
  '/api/tags',
  '/api/ps',
  '/api/v0/models',
  '/api/v1/models',
];
export const ONE_OF_LIST = /^(?:\/v1|\/api\/v0|\/api\/v1)\/models\/(.+)$/;
const HEALTH = /^(?:\/v1)?\/(?:health|healthz|readyz|version|ping)$|^\/api\/version$/;
/**
 * Routes whose `model` decides, by the sources that target.ts names. Others have the model in their path, in a form or
 * nowhere, or name more than one.
 */
export const NAMED_IN_BODY: readonly RegExp[] = [
  /^(?:\/v1|\/api\/v0)?\/(?:chat\/completions|completions|embeddings)$/,
  /^(?:\/v1)?\/(?:responses|messages|messages\/count_tokens|moderations|edits|audio\/speech|images\/generations)$/,
  /^(?:\/v[12])?\/(?:rerank|reranking|score|classify|pooling|embed)$/,
  /^(?:\/v1)?\/(?:tokenize|detokenize|apply-template|completion|embedding|infill|tts)$/,
  /^\/api\/(?:chat|generate|embed|embeddings|show)$/,
  /^\/api\/v1\/chat$/,
];

/**
 * `model` in other letters is the same to Go's decoder, and with a NUL behind it to some of C. The others name models to
 * fall back to (LiteLLM, which has `content_policy_fallbacks` and the like as well, and ways for a client to make a model
 * fail; OpenRouter), to draft with (LM Studio), or of the client's own (LiteLLM, `user_config`); `name` is Ollama's older
 * word for it in /api/show.
 */
const OTHER_NAMES = /^(?:model(?:\0.*)?|models|model_list|\w*fallbacks?(?:_\w*)?|draft_model|user_config)$/is;
const SHOW = '/api/show';

/** Of a form's part; browsers and SDKs need under 300 characters. */
const MAX_PART_HEAD = 1_024;
/** Of a form; those of OpenAI's API have under 20. A million in 10 MB would keep the agent from everything else. */
const MAX_PARTS = 128;

function forbid(detail: string): never {
  throw new DirectError('E_FORBIDDEN', detail);
}

/** Who refuses a model, as the beginning of a sentence; undefined: nobody. */
export type Refuses = (model: string) => string | undefined;

/** Refuses what is not on each list, by name. */
export function notOn(limits: readonly ModelLimit[]): Refuses {
  return (model) =>
    limits.find(({ models }) => !models.some((allowed) => plainName(allowed) === plainName(model)))?.whose;
}

function checkModel(model: string, refuses: Refuses): void {
  const who = refuses(model);
  if (who !== undefined) forbid(`${who} is not for the model “${model.slice(0, 100)}”`);
}

/**
 * How the request says which model it is for. `path` and `query` are as target.ts returned them.
 * @throws DirectError `E_FORBIDDEN` when it is for another one, or does not say so.
 */
export function modelUse(
  { method, protocol, headers }: RequestHead,
  { path, query }: { path: string; query: string },
  refuses: Refuses,
): ModelUse {
  if (protocol !== undefined) forbid('the credential is for certain models, which a WebSocket does not say');
  for (const [name, value] of new URLSearchParams(query)) {
    if (OTHER_NAMES.test(name)) checkModel(value, refuses);
  }
  const route = path.replace(/\/$/, '');
  if (method === 'GET' || method === 'HEAD') {
    if (LISTS.includes(route)) return 'list';
    const one = ONE_OF_LIST.exec(route)?.[1];
    if (one !== undefined) checkModel(decodeURIComponent(one), refuses);
    else if (!HEALTH.test(route)) forbid('the credential is for certain models, which this address does not name');
    return 'nothing';
  }
  if (method !== 'POST') forbid(`the credential is for certain models, which ${method} does not name`);
  const [type = ''] = headers.filter(([name]) => name === 'content-type').map(([, value]) => value.toLowerCase());
  if (type.startsWith('multipart/')) forbid('the credential is for certain models, which are not looked for in forms');
  if (!NAMED_IN_BODY.some((pattern) => pattern.test(route))) {
    forbid('the credential is for certain models, which are not looked for at this address');
  }
  if (headers.some(([name, value]) => name === 'content-encoding' && value.toLowerCase() !== 'identity')) {
    forbid('the credential is for certain models, which are not looked for in compressed bodies');
  }
  return 'body';
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Checks that the body asks for a model that nobody refuses. The bytes may then be forwarded as they are: the name is
 * there once, so that the first one is the last one, and no number loses digits by being written again.
 * @throws DirectError `E_FORBIDDEN`
 */
export function checkBody(bytes: Uint8Array, path: string, refuses: Refuses): void {
  let text = '';
  let body: unknown;
  try {
    text = decoder.decode(bytes);
    body = JSON.parse(text);
  } catch {
    forbid('the credential is for certain models, and the body is not JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) forbid('the body must be a JSON object');
  let count = 0;
  for (const { key } of ownEntries(text)) {
    if (key === 'model') count += 1;
    else if (OTHER_NAMES.test(key) || (/^name$/i.test(key) && path.startsWith(SHOW))) {
      forbid('the credential is for certain models, and the body names one in another place than “model”');
    }
  }
  const { model } = body as { model?: unknown };
  if (count !== 1 || typeof model !== 'string') forbid('the body must name its model, once');
  checkModel(model, refuses);
}

/** A model that the body names, and the body with another name in its place. It keeps the body's bytes, and no more. */
export interface NamedInBody {
  readonly model: string;
  with(model: string): Uint8Array;
}

/** What the body asks for under `name`, read as servers do: of two the last one counts. Undefined if it names none. */
export function modelInJson(bytes: Uint8Array, name = 'model'): NamedInBody | undefined {
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const model: unknown = Reflect.get(body, name);
  if (typeof model !== 'string' || model === '') return undefined;
  return {
    model,
    with: (other) => {
      const text = decoder.decode(bytes);
      const key = [...ownEntries(text)].findLast((entry) => entry.key === name);
      const start = text.indexOf('"', key?.end);
      return Buffer.from(text.slice(0, start) + JSON.stringify(other) + text.slice(endOfText(text, start) + 1));
    },
  };
}

/** Likewise in a query, which has its `?`. WebSockets say it there, and nowhere else. */
export function modelInQuery(query: string): { model: string; with(model: string): string } | undefined {
  const found = /(?<=[?&]model=)[^&]+/.exec(query);
  const model = new URLSearchParams(query).get('model');
  if (found === null || model === null) return undefined;
  const end = found.index + found[0].length;
  return {
    model,
    with: (other) => query.slice(0, found.index) + encodeURIComponent(other) + query.slice(end),
  };
}

/** Likewise in a form, as audio is sent in: the part whose name is `model`. */
export function modelInForm(bytes: Uint8Array, contentType: string): NamedInBody | undefined {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i.exec(contentType) ?? [];
  const boundary = `--${quoted ?? plain}`;
  const form = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let part = form.indexOf(boundary);
  for (let count = 0; part !== -1 && count < MAX_PARTS; count++, part = form.indexOf(`\r\n${boundary}`, part + 1)) {
    const [head = '', body] = form.toString('latin1', part, part + MAX_PART_HEAD).split('\r\n\r\n', 2);
    if (body === undefined) continue;
    const start = part + head.length + 4;
    if (!/\r\ncontent-disposition:[^\r]*;\s*name="?model"?\s*(?:;|\r|$)/i.test(head)) continue;
    const end = form.indexOf(`\r\n${boundary}`, start);
    if (end === -1) return undefined;
    return {
      model: form.toString('utf8', start, end),
      with: (other) => Buffer.concat([form.subarray(0, start), Buffer.from(other), form.subarray(end)]),
    };
  }
  return undefined;
}

/** The keys of the outermost object, repeated ones repeated, and where each ends. `json` is valid. */
function* ownEntries(json: string): Generator<{ key: string; end: number }> {
  let depth = 0;
  let keyComes = false;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case '{':
      case '[':
        depth += 1;
        keyComes = depth === 1;
        break;
      case '}':
      case ']':
        depth -= 1;
        break;
      case ',':
        keyComes = depth === 1;
        break;
      case '"': {
        const end = endOfText(json, i);
        if (keyComes) yield { key: JSON.parse(json.slice(i, end + 1)) as string, end: end + 1 };
        keyComes = false;
        i = end;
        break;
      }
    }
  }
}

/** Where the text that begins at `start` has its closing quotation mark. */
function endOfText(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let escapes = 0;
    while (json[end - 1 - escapes] === '\\') escapes += 1;
    if (escapes % 2 === 0) return end;
  }
}

/**
 * A list of models in OpenAI's form (`data[].id`) or Ollama's (`models[].name`; LM Studio has `key`) with nothing in it
 * that somebody refuses.
 * @throws DirectError `E_FORBIDDEN` when it is none.
 */
export function filterList(bytes: Uint8Array, refuses: Refuses): Uint8Array {
  let list: unknown;
  try {
    list = JSON.parse(decoder.decode(bytes));
  } catch {
    // As what is no list.
  }
  const { data, models: named, ...rest } = Object(list) as Record<string, unknown>;
  if (!Array.isArray(data) && !Array.isArray(named)) {
    forbid('the credential is for certain models, and the host’s list has an unknown form');
  }
  const permitted = (entry: unknown) => {
    const { id, name, model, key } = Object(entry) as Record<string, unknown>;
    const names = [id, name, model, key].filter((value) => typeof value === 'string');
    return names.length > 0 && names.every((value) => refuses(value) === undefined);
  };
  const filtered = {
    ...rest,
    ...(Array.isArray(data) ? { data: data.filter(permitted) } : {}),
    ...(Array.isArray(named) ? { models: named.filter(permitted) } : {}),
  };
  return Buffer.from(JSON.stringify(filtered));
}
