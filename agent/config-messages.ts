/** What a person reads about a mistake in the configuration: the key, where it stands, its value unless secret, the fix. */
import type { YAMLParseError } from 'yaml';
import { z } from 'zod';
import { commaSeparated, EXPECTED, fromJson, isKey, type Key, SECRETS, settings } from './settings.ts';

export const ENV_PREFIX = 'DIRECT_AGENT_';

/** A value and where it stands, for people: `config.yaml:3`, `DIRECT_AGENT_TOKEN`, `--token`. */
export interface Origin {
  readonly value: unknown;
  readonly origin: string;
}

export function flagName(key: string): string {
  return `--${key.replaceAll('_', '-')}`;
}

/** As commander names the value of a flag. */
export function flagProperty(key: string): string {
  return key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

export function envName(key: string): string {
  return ENV_PREFIX + key.toUpperCase();
}

/** What is wrong with a value, by its key. */
export function explain(issue: z.core.$ZodIssue, found: ReadonlyMap<Key, Origin>): string {
  const [key = '', ...inner] = issue.path.map(String);
  const entry = isKey(key) ? found.get(key) : undefined;
  if (!isKey(key) || entry === undefined) return `${key} is not valid.`;
  const secret = SECRETS.includes(key);
  const parts = inner.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`));
  const place = secret ? key : [key, ...parts].join('');
  const picked = pick(entry.value, inner);
  const shown = secret ? 'the value (secret, not shown)' : picked === null ? 'the item' : show(picked);
  if (issue.code === 'unrecognized_keys' && !secret) {
    const known = knownAt([key, ...inner]);
    return issue.keys.map((name) => unknownKey(`${place}.${name}`, entry.origin, known)).join('\n');
  }
  const what = customMessage(issue) ?? `${misfit(issue, picked)}. Write ${EXPECTED[key]}`;
  return `${place} (${entry.origin}): ${shown} ${what}.`;
}

/** Of a check of ours, also where it belongs to one of several forms. */
function customMessage(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code === 'custom') return issue.message;
  if (issue.code !== 'invalid_union') return undefined;
  return issue.errors.flat().find(({ code, path }) => code === 'custom' && path.length === 0)?.message;
}

function misfit(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type') return `is ${kindOf(value)}`;
  if (issue.code !== 'invalid_union') return issue.code === 'invalid_value' ? 'is none of the choices' : 'is not valid';
  // Where it has one of the forms, what is wrong is inside.
  const isInside = issue.errors.flat().some(({ code, path }) => code !== 'invalid_type' || path.length > 0);
  if (!isInside) return `is ${kindOf(value)}`;
  return kindOf(value) === 'a map' ? 'has a value that does not fit' : 'does not fit';
}

/** The keys of the map at `path` in the schema, with the path before them. */
function knownAt(path: readonly string[]): string[] {
  let schema: unknown = settings;
  for (const name of [...path, undefined]) {
    while (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) schema = schema.unwrap();
    if (schema instanceof z.ZodPipe) schema = schema.out;
    while (schema instanceof z.ZodOptional) schema = schema.unwrap();
    if (!(schema instanceof z.ZodObject)) return [];
    if (name === undefined) return Object.keys(schema.shape).map((known) => [...path, known].join('.'));
    schema = schema.shape[name];
  }
  return [];
}

/** `consequence` is the end of a sentence. */
export function missing(key: string, consequence: string): string {
  // Other users of the machine see command lines, so secrets have no flag; the token may come from a file.
  const flag = SECRETS.includes(key)
    ? `put it into a file that ${flagName(`${key}_file`)} names`
    : `use ${flagName(key)}`;
  return `${key} is missing: ${consequence}. Set it in config.yaml or as ${envName(key)}, or ${flag}.`;
}

export function unknownKey(name: string, origin: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const fix = near === undefined ? `Known keys: ${known.join(', ')}.` : `Did you mean ${near}?`;
  return `${name} (${origin}) is no known key. ${fix}`;
}

function pick(value: unknown, path: readonly string[]): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  const items = typeof value === 'string' ? (/^\s*[{[]/.test(value) ? fromJson(value) : commaSeparated(value)) : value;
  if (typeof items !== 'object' || items === null) return items;
  return pick(new Map<string, unknown>(Object.entries(items)).get(first), rest);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  // A URL may hold secrets as well: credentials, a token in the query, a host key in the fragment.
  const safe = text.replace(/\/\/[^/@"]*@/g, '//…@').replace(/([?#])[^"]+/g, '$1…');
  return safe.length > 100 ? `${safe.slice(0, 100)}…` : safe;
}

/** Why a file cannot be read, and what to do: the end of a sentence that starts with its name. */
export function unreadable(error: unknown): string {
  const reason = reasonOf(error);
  switch (reason) {
    case 'ENOENT':
      return 'does not exist. Correct the name';
    case 'EISDIR':
      return 'is a folder. Name the file in it';
    case 'ENOTDIR':
      return 'is below a file, not below a folder. Correct the name';
    case 'EACCES':
    case 'EPERM':
      return `may not be read by this user (${reason}). Change its owner or its permissions`;
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'is not UTF-8 text. Save it as UTF-8';
    default:
      return `cannot be read (${reason}). Check its name and permissions`;
  }
}

/** What is wrong with a file that is no YAML, and what to do. `text`: the file's. */
export function yamlProblem({ code, message, pos }: YAMLParseError, text: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab, where YAML takes spaces only. Indent with spaces.';
    case 'DUPLICATE_KEY': {
      const key = /^["']?([\w-]+)/.exec(text.slice(pos[0]))?.[1];
      return `${key ?? 'a key'} is set twice. Remove one of the two.`;
    }
    case 'MULTILINE_IMPLICIT_KEY':
      return 'no “key: value” here or just below. Correct the line; after the colon comes a space.';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'two “key: value” in one line, or a wrong indent. Begin each key at the start of a line, and put a value with “: ” in quotes.';
    case 'MULTIPLE_DOCS':
      return 'a “---” in the middle. Remove it.';
    default:
      // The rest of the library's message quotes the line, which may hold a secret.
      return `not valid YAML: ${message.split(/ at line |\n/)[0]}. Correct the line.`;
  }
}

export function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}

/** What a value is, in words, for one of the wrong type. */
function kindOf(value: unknown): string {
  if (value === null) return 'empty';
  if (typeof value === 'boolean') return 'a boolean';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}

/** The known name with the fewest edits (Levenshtein), if they are few enough to be a slip. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  let best: string | undefined;
  let fewest = Math.max(2, Math.floor(plain(name).length / 3)) + 1;
  for (const candidate of known) {
    const edits = distance(plain(name), plain(candidate));
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
