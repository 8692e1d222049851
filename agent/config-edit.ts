/** Changes one key in the text of a configuration file; the rest stays, with its comments. */
import { isMap, isScalar, parseDocument } from 'yaml';
import { type Key, settings } from './settings.ts';

/** @throws Error where the text is no YAML map; `problemsOfFile` says that better, so ask it first. */
export function withKey(text: string, key: Key, value: unknown): string {
  const document = editable(text);
  document.set(key, value);
  return textOf(document);
}

/** The text is the same where the key is not set. Comments above the key stay: they may be about the whole file. */
export function withoutKey(text: string, key: Key): string {
  const document = editable(text);
  const { contents } = document;
  const items = isMap<unknown>(contents) ? contents.items : [];
  const index = items.findIndex((pair) => nameOf(pair) === key);
  const [removed] = index < 0 ? [] : items.splice(index, 1);
  if (!isMap(contents) || removed === undefined) return text;
  const above = isScalar(removed.key) ? removed.key.commentBefore : undefined;
  const next = items[index]?.key;
  if (isScalar(next)) {
    next.commentBefore = joined(above, next.commentBefore);
    next.spaceBefore = index > 0 && next.spaceBefore === true;
  } else {
    contents.comment = joined(above, contents.comment);
  }
  if (items.length === 0) {
    // Else “{}” would stand there.
    document.contents = null;
    document.commentBefore = joined(document.commentBefore, contents.commentBefore, contents.comment, document.comment);
    document.comment = null;
  }
  return textOf(document);
}

function joined(...comments: (string | null | undefined)[]): string | null {
  return comments.filter((comment) => comment != null && comment !== '').join('\n\n') || null;
}

function nameOf({ key }: { key: unknown }): unknown {
  return isScalar(key) ? key.value : key;
}

/** Whether the file sets the key. */
export function hasKey(text: string, key: Key): boolean {
  return editable(text).has(key);
}

/**
 * What a person typed, as a value of YAML: a number or a map only where the key takes one, so that a token of digits
 * stays a text. Several are a list.
 */
export function typedValue(key: Key, words: readonly string[]): unknown {
  const accepts = (value: unknown) => settings.shape[key].safeParse(value).success;
  const items = words.map((word) => {
    const read = asYaml(word);
    const isTyped =
      typeof read === 'number' || typeof read === 'boolean' || (typeof read === 'object' && read !== null);
    return isTyped && words.length === 1 && accepts(read) ? read : word;
  });
  return items.length === 1 ? items[0] : items;
}

function editable(text: string) {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw error;
  if (document.contents !== null && !isMap(document.contents)) {
    // “null”, or a comment that somebody has ended with “~”.
    if (!isScalar(document.contents) || document.contents.value !== null) throw new Error('no map');
    document.contents = null;
  }
  return document;
}

function textOf(document: ReturnType<typeof editable>): string {
  if (document.contents === null && document.commentBefore === null) return '';
  return document.contents === null
    ? `${(document.commentBefore ?? '').replaceAll(/^(?!$)/gm, '#')}\n`
    : document.toString({ lineWidth: 0 });
}

function asYaml(word: string): unknown {
  const document = parseDocument(word);
  return document.errors.length > 0 ? undefined : document.toJS();
}
