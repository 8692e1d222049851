/** `direct-agent config`: reads and changes the configuration file. */
import { chmodSync, chownSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CommandError, EXIT, type ExitCode } from '../command-error.ts';
import { configFile, type EffectiveValue, effectiveValues, problemsOfFile } from '../config.ts';
import { hasKey, typedValue, withKey, withoutKey } from '../config-edit.ts';
import { ConfigError } from '../config-error.ts';
import { envName, flagName, reasonOf, unknownKey } from '../config-messages.ts';
import { changePrivate, readPrivate, writePrivate } from '../private-file.ts';
import { isKey, KEYS, type Key, SECRETS } from '../settings.ts';
import { type Context, configSources, type Flags, openStore, table } from './context.ts';

/** A token or some header fields; what is longer was meant for something else. */
const MAX_INPUT_BYTES = 64 * 1024;
const HIDDEN = '(secret)';

export async function configPath(context: Context, flags: Flags): Promise<ExitCode> {
  const path = configFile(configSources(context, flags));
  context.out(path);
  if (readText(path) === undefined) context.err('There is no such file yet; “direct-agent config set” makes it.');
  return EXIT.ok;
}

/** @throws CommandError or ConfigError */
export async function getConfig(context: Context, name: string | undefined, flags: Flags): Promise<ExitCode> {
  const login = openStore(context, flags).credentials();
  const values = effectiveValues(configSources(context, flags, login)).map((one) => shown(one, flags));
  const key = name === undefined ? undefined : keyOf(name);
  const chosen = values.filter((one) => key === undefined || one.key === key);
  if (flags.json === true) {
    const entries = chosen.map(({ key, value, origin }) => [key, { value: value ?? null, origin }]);
    context.out(JSON.stringify(Object.fromEntries(entries), null, 2));
  } else if (key === undefined) {
    const rows = chosen.map(({ key, value, origin }) => [key, linesOf(value).join(', '), origin]);
    for (const line of table(['KEY', 'VALUE', 'FROM'], rows)) context.out(line);
  } else {
    for (const { value, origin } of chosen) {
      for (const line of linesOf(value)) context.out(line);
      context.err(`${key}: ${origin}`);
    }
  }
  return EXIT.ok;
}

/** `input`: stdin, where secrets come from. @throws CommandError or ConfigError, and then nothing is written */
export async function setConfig(
  context: Context,
  name: string,
  words: readonly string[],
  flags: Flags,
  input: AsyncIterable<Uint8Array | string> & { isTTY?: boolean },
): Promise<ExitCode> {
  const key = keyOf(name);
  const isSecret = SECRETS.includes(key);
  if (isSecret && words.length > 0) {
    throw new CommandError(
      EXIT.usage,
      `${key} is a secret, and other users of this machine see command lines. Give it on stdin: direct-agent config set ${key} < file`,
    );
  }
  if (!isSecret && words.length === 0) {
    throw new CommandError(
      EXIT.usage,
      `${key} needs a value. To take it out of the file: direct-agent config unset ${key}`,
    );
  }
  if (isSecret && input.isTTY === true) context.err(`Type or paste the value of ${key}, then Enter and Ctrl+D:`);
  const value = typedValue(key, isSecret ? [await readAll(input)] : words);
  const path = await change(context, flags, (text) => withKey(text, key, value));
  context.err(`${key} is set in ${path}. An agent that runs goes by it when it is started again.`);
  warnIfOverridden(context, key);
  return EXIT.ok;
}

/** @throws CommandError or ConfigError, and then nothing is written */
export async function unsetConfig(context: Context, name: string, flags: Flags): Promise<ExitCode> {
  const key = keyOf(name);
  const path = configFile(configSources(context, flags));
  const text = readText(path) ?? '';
  if (problemsOfFile(path, text).length === 0 && !hasKey(text, key)) {
    context.err(`${key} is not set in ${path}; there is nothing to do.`);
  } else {
    await change(context, flags, (before) => withoutKey(before, key));
    context.err(`${key} is taken out of ${path}. An agent that runs goes by it when it is started again.`);
  }
  warnIfOverridden(context, key);
  return EXIT.ok;
}

/** Returns the file's name. */
async function change(context: Context, flags: Flags, edit: (text: string) => string): Promise<string> {
  const named = configFile(configSources(context, flags));
  try {
    const path = behindLinks(named);
    await changePrivate(path, () => {
      const before = readText(path);
      const old = problemsOfFile(named, before ?? '');
      const text = edited(edit, before ?? '', old);
      const left = problemsOfFile(named, text);
      const known = old.map(withoutLine);
      const fresh = left.filter((problem) => !known.includes(withoutLine(problem)));
      if (fresh.length > 0) throw new ConfigError(fresh);
      write(path, text, before !== undefined);
      for (const problem of left) context.err(`Still to be corrected: ${problem}`);
    });
    return named;
  } catch (error) {
    if (error instanceof ConfigError || error instanceof CommandError) throw error;
    throw new CommandError(
      EXIT.config,
      `${named} cannot be written (${reasonOf(error)}). Check its owner and permissions.`,
    );
  }
}

/** What a link leads to is changed, not the link, also where it leads to nothing yet. */
function behindLinks(path: string): string {
  if (readText(path) !== undefined) return realpathSync(path);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink ? behindLinks(resolve(dirname(path), readlinkSync(path))) : path;
}

/** What is no YAML cannot be changed key by key, and what is wrong with it is known. */
function edited(edit: (text: string) => string, before: string, problems: readonly string[]): string {
  try {
    return edit(before);
  } catch (error) {
    throw problems.length > 0 ? new ConfigError(problems) : error;
  }
}

/** Of a mistake that was there before, a change elsewhere moves only the line. */
function withoutLine(problem: string): string {
  return problem.replace(/:\d+\)/, ')');
}

function write(path: string, text: string, exists: boolean): void {
  const before = exists ? statSync(path) : undefined;
  writePrivate(path, text);
  if (before === undefined || process.platform === 'win32') return;
  chmodSync(path, before.mode & 0o777);
  // Root may have changed somebody's file, who must still read it.
  if (before.uid !== process.getuid?.()) chownSync(path, before.uid, before.gid);
}

function readText(path: string): string | undefined {
  try {
    return readPrivate(path);
  } catch (error) {
    throw new CommandError(
      EXIT.config,
      `${path} cannot be read (${reasonOf(error)}). Check its owner and permissions.`,
    );
  }
}

async function readAll(input: AsyncIterable<Uint8Array | string>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const part of input) {
    text += typeof part === 'string' ? part : decoder.decode(part, { stream: true });
    if (text.length > MAX_INPUT_BYTES) throw new CommandError(EXIT.usage, 'What stdin holds is too long for a value.');
  }
  return text.trim();
}

function keyOf(name: string): Key {
  const key = name.replaceAll('-', '_');
  if (isKey(key)) return key;
  throw new CommandError(EXIT.usage, unknownKey(name, 'command line', KEYS));
}

function shown({ key, value, origin }: EffectiveValue, flags: Flags): EffectiveValue {
  const isHidden = SECRETS.includes(key) && origin !== 'default' && value !== undefined && flags.showSecrets !== true;
  // As somebody would write it: inside, there are two parts.
  if (key === 'upstream_headers' && origin === 'default') return { key, value: {}, origin };
  return { key, value: isHidden ? HIDDEN : value, origin };
}

/** One for each item of a list. */
function linesOf(value: unknown): string[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value.flatMap(linesOf);
  if (typeof value === 'object' && value !== null) {
    return Object.keys(value).length === 0 ? [] : [JSON.stringify(value)];
  }
  return [String(value)];
}

function warnIfOverridden({ env, err }: Context, key: Key): void {
  if (env[envName(key)])
    err(`Here ${envName(key)} is set, which goes before the file; ${flagName(key)} goes before both.`);
}
