/** What a person reads about a mistake in the configuration: the key, where it stands, its value unless secret, the fix. */
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
  const shown = secret ? 'the value (secret, not shown)' : show(pick(entry.value, inner));
  if (issue.code === 'unrecognized_keys' && !secret) {
    const known = knownAt([key, ...inner]);
    return issue.keys.map((name) => unknownKey(`${place}.${name}`, entry.origin, known)).join('\n');
  }
  const what = issue.code === 'custom' ? issue.message : `is not valid. Write ${EXPECTED[key]}`;
  return `${place} (${entry.origin}): ${shown} ${what}.`;
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
  const fix = near === undefined ? `Known keys: ${known.join(', ')}` : `Did you mean ${near}?`;
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

export function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
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
