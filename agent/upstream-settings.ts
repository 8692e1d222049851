/** What the configuration says of upstreams: their names, their header fields, and how many requests run at them. */
import { PREFERENCE } from './discovery.ts';
import { Mistake } from './mistake.ts';
import type { OwnHeaders } from './upstream.ts';
import type { UpstreamHeaders } from './upstreams.ts';

/** A base URL, and the user's name for it. */
export interface NamedUrl {
  readonly name: string | undefined;
  readonly url: string;
}

/** It stands before the names of models. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/** `URL` or `name=URL`. @throws Mistake */
export function namedUrl(value: string, parse: (url: string) => string): NamedUrl {
  const [, name, url] = /^([^=:/?]*)=(.*)$/s.exec(value) ?? [];
  if (name === undefined || url === undefined) return { name: undefined, url: parse(value) };
  if (!NAME.test(name)) {
    throw new Mistake(
      'has a name that cannot stand before models. Write up to 32 small letters, digits, dots or dashes, such as gpu=http://gpu.lan:8000',
    );
  }
  return { name, url: parse(url) };
}

/** @throws Mistake */
export function distinct(all: NamedUrl[]): NamedUrl[] {
  for (const [index, { name, url }] of all.entries()) {
    const rest = all.slice(index + 1);
    if (rest.some((other) => other.url === url)) throw new Mistake(`names ${url} twice. Remove one of them`);
    if (name !== undefined && rest.some((other) => other.name === name)) {
      throw new Mistake(`calls two servers ${name}. Write another name for one of them`);
    }
  }
  return all;
}

/** By URL. */
export function namesOf(all: readonly NamedUrl[]): Record<string, string> {
  return Object.fromEntries(all.flatMap(({ name, url }) => (name === undefined ? [] : [[url, name]])));
}

/** Header fields of one server, or by the names of several. `parse` takes those of one. @throws Mistake */
export function upstreamHeaders(
  value: Record<string, string | Record<string, string>> | string[] | string,
  parse: (fields: Record<string, string> | string[] | string) => OwnHeaders,
): UpstreamHeaders {
  const given = typeof value === 'string' && value.trimStart().startsWith('{') ? fromJson(value) : value;
  if (typeof given === 'string' || Array.isArray(given)) return { any: parse(given), of: {} };
  const any: Record<string, string> = {};
  const of: Record<string, OwnHeaders> = {};
  for (const [name, content] of Object.entries(given)) {
    if (typeof content === 'string') any[name] = content;
    else of[name] = parse(content);
  }
  return { any: parse(any), of };
}

function fromJson(text: string): Record<string, string | Record<string, string>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Mistake('begins like JSON and is none. Correct it, or write lines of the form “Name: value”');
  }
  const isFields = (fields: unknown) =>
    typeof fields === 'object' &&
    fields !== null &&
    Object.values(fields).every((content) => typeof content === 'string');
  const entries = Object.entries(value as Record<string, unknown>);
  if (!entries.every(([, content]) => typeof content === 'string' || isFields(content))) {
    throw new Mistake('has values that are no texts. Write {"Name": "value"} or {"server": {"Name": "value"}}');
  }
  return value as Record<string, string | Record<string, string>>;
}

interface Data {
  readonly upstream: readonly NamedUrl[];
  readonly upstream_headers: UpstreamHeaders;
  readonly concurrent_requests?: number | Readonly<Record<string, number>> | undefined;
}

/** What names a server that cannot be there. `originOf`: where a key stands, if it does. */
export function upstreamProblems(data: Data, originOf: (key: keyof Data) => string | undefined): string[] {
  const chosen = data.upstream.flatMap(({ name }) => name ?? []);
  const isKind = (name: string) => PREFERENCE.some((kind) => new RegExp(`^${kind}(?:-[1-9]\\d?)?$`).test(name));
  const { concurrent_requests: capacity } = data;
  const named = {
    upstream_headers: Object.keys(data.upstream_headers.of),
    concurrent_requests: typeof capacity === 'object' ? Object.keys(capacity) : [],
  };
  return (['upstream_headers', 'concurrent_requests'] as const).flatMap((key) =>
    named[key]
      .filter((name) => !chosen.includes(name) && !isKind(name))
      .map((name) => {
        const known = [...chosen, ...PREFERENCE].join(', ');
        return `${key}.${name} (${originOf(key)}): no server is called ${name}. Write one of ${known}; or give a server this name: upstream: ${name}=http://…`;
      }),
  );
}
