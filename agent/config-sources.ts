/** Where settings are written: the file, the environment, flags. Each is read into what it sets, with the place. */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { ConfigError } from './config-error.ts';
import {
  ENV_PREFIX,
  envName,
  flagName,
  flagProperty,
  type Origin,
  unknownKey,
  unreadable,
  yamlProblem,
} from './config-messages.ts';
import { isKey, KEYS, type Key } from './settings.ts';

/** Names the folder with the agent's files. */
export const FOLDER = `${ENV_PREFIX}FOLDER`;
/** Variables that say where to look, and no setting. */
const PLACES: readonly string[] = [`${ENV_PREFIX}CONFIG`, FOLDER];

export interface Found extends Origin {
  readonly priority: 0 | 1 | 2;
  /** Relative file names start here. */
  readonly folder: string;
}

/** `namedAt`: where somebody has named the file, so that it must be there. */
export function readOptional(
  path: string,
  readFile: (path: string) => string,
  namedAt: string | undefined,
): string | undefined {
  try {
    return readFile(path);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && namedAt === undefined) return undefined;
    const place = namedAt === undefined ? '' : ` (${namedAt})`;
    throw new ConfigError([`config${place}: the file ${path} ${unreadable(error)}.`]);
  }
}

/** A file that is no YAML map is the only problem worth reporting, so it throws; unknown keys are collected. */
export function readYaml(path: string, text: string, problems: string[]): Map<Key, Found> {
  const found = new Map<Key, Found>();
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  if (document.errors.length > 0) {
    throw new ConfigError(
      // What follows in the same line is a consequence of its first mistake.
      [...Map.groupBy(document.errors, (error) => error.linePos?.[0].line ?? 1)].flatMap(([line, [error]]) =>
        error === undefined ? [] : [`config (${path}:${line}): ${yamlProblem(error, text)}`],
      ),
    );
  }
  if (document.contents === null) return found;
  if (!isMap(document.contents)) {
    throw new ConfigError([`config (${path}:1): a list or a single value. Write lines of the form “key: value”.`]);
  }
  const values = plainValues(path, document);
  for (const { key } of document.contents.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const range = isScalar(key) ? key.range : undefined;
    const origin = `${path}:${range == null ? 1 : lineCounter.linePos(range[0]).line}`;
    const value = values[name];
    if (!isKey(name)) problems.push(unknownKey(name, origin, KEYS));
    // “key:” with nothing behind it means that it is not set.
    else if (value !== null) found.set(name, { value, origin, priority: 0, folder: dirname(path) });
  }
  return found;
}

function plainValues(path: string, document: Document): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(document.toJS());
  } catch {
    throw new ConfigError([
      `config (${path}): an alias (*name) has no anchor (&name) before it. Write the value itself.`,
    ]);
  }
}

export function readEnv(
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
  problems: string[],
): Map<Key, Found> {
  const found = new Map<Key, Found>();
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(ENV_PREFIX) || PLACES.includes(name) || value === undefined || value === '') continue;
    const key = name.slice(ENV_PREFIX.length).toLowerCase();
    if (isKey(key)) found.set(key, { value, origin: name, priority: 1, folder });
    else problems.push(unknownKey(name, 'environment', KEYS.map(envName)));
  }
  return found;
}

export function readFlags(flags: Readonly<Record<string, unknown>>, folder: string): Map<Key, Found> {
  const found = new Map<Key, Found>();
  for (const key of KEYS.filter(isKey)) {
    const value = flags[flagProperty(key)];
    if (value !== undefined) found.set(key, { value, origin: flagName(key), priority: 2, folder });
  }
  return found;
}

export function expand(path: string, folder: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : resolve(folder, path);
}

/** Anything but UTF-8 is refused: Windows' editors may save UTF-16, whose keys nobody would recognise. */
export function readText(path: string): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
}

export function permissions(path: string): number | undefined {
  return process.platform === 'win32' ? undefined : statSync(path).mode;
}
