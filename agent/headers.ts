/** What a proxy changes in header fields, in each direction (RFC 9110, section 7.6). */
import type { HeaderList } from '../shared/head.ts';
import { DIRECT_HOLD, DIRECT_RESUME } from '../shared/hold.ts';
import { DIRECT_CREDENTIALS } from '../shared/web-ui.ts';
import { connectionFields } from './connection-fields.ts';
import { prefixOf } from './routed.ts';

/**
 * Fields that say where a browser's request came from. Ollama, LM Studio and others refuse foreign ones, and for the
 * upstream the request comes from this machine. Whether the client may ask at all was decided before.
 */
const PROVENANCE = /^(?:host|origin|referer|forwarded|via|x-forwarded-.+|x-real-ip|sec-.+|cf-.+)$/;

/** What clients say to an edge, which this request may not have passed, and to the agent. */
const OURS = new Set([DIRECT_HOLD, DIRECT_RESUME, DIRECT_CREDENTIALS]);

const SUBPROTOCOL = 'sec-websocket-protocol';

/**
 * The fields for the upstream, as undici takes them. `accept-encoding` goes, because the client gets decoded bytes;
 * `expect` goes, because the body is on its way already. `own` fields replace the client's of the same name.
 */
export function requestHeaders(headers: HeaderList, origin: string, own: Readonly<Record<string, string>>): string[] {
  const dropped = connectionFields(headers);
  const replaced = new Set(Object.keys(own).map((name) => name.toLowerCase()));
  const fields: string[] = [];
  for (const [name, value] of headers) {
    if (dropped.has(name) || replaced.has(name) || name === 'accept-encoding' || name === 'expect') continue;
    if (OURS.has(name)) continue;
    if (name === 'origin') fields.push('origin', origin);
    else if (!PROVENANCE.test(name)) fields.push(name, value);
  }
  for (const [name, value] of Object.entries(own)) fields.push(name.toLowerCase(), value);
  return fields;
}

/** Likewise for a WebSocket, as ws takes them: subprotocols pass, the rest of the handshake is ws's own. */
export function socketRequestHeaders(
  headers: HeaderList,
  origin: string,
  own: Readonly<Record<string, string>>,
): Record<string, string[]> {
  const fields: Record<string, string[]> = {};
  const subprotocols = headers.filter(([name]) => name === SUBPROTOCOL);
  for (const [name, value] of [...fieldList(requestHeaders(headers, origin, own)), ...subprotocols]) {
    fields[name] = [...(fields[name] ?? []), value];
  }
  return fields;
}

/** A redirect inside the upstream stays inside the session: its address means nothing to the client. */
function relativeLocation(location: string, base: URL): string {
  // Relative to the request's own path already, as which the client takes it.
  if (!/^(?:[a-z][a-z0-9+.-]*:|\/)/i.test(location)) return location;
  const url = URL.parse(location, base.href);
  if (url === null || url.origin !== base.origin) return location;
  const prefix = prefixOf(base);
  const path = url.pathname.startsWith(`${prefix}/`) ? url.pathname.slice(prefix.length) : url.pathname;
  // Two slashes would begin the name of another server.
  return (path.startsWith('//') ? '/.' : '') + path + url.search + url.hash;
}

/** The fields as undici has them: names and values by turns. */
export function fieldList(raw: readonly (string | Buffer)[]): HeaderList {
  const all: HeaderList = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    // Field values are bytes; Latin-1 keeps each of them (RFC 9110, section 5.5).
    const [name, value] = [raw[i], raw[i + 1]].map((text) =>
      typeof text === 'string' ? text : text?.toString('latin1'),
    );
    all.push([(name ?? '').toLowerCase(), (value ?? '').trim()]);
  }
  return all;
}

/** The fields for the client; `decoded` when the body's content coding was taken off here. */
export function responseHeaders(all: HeaderList, base: URL, decoded: boolean): HeaderList {
  const dropped = connectionFields(all);
  return all
    .filter(([name]) => !dropped.has(name))
    .filter(([name]) => !(decoded && (name === 'content-encoding' || name === 'content-length')))
    .map(([name, value]): [string, string] =>
      name === 'location' || name === 'content-location' ? [name, relativeLocation(value, base)] : [name, value],
    );
}

/** The fields of a 101 for the client: the chosen subprotocol, and what is not of the handshake with the upstream. */
export function socketResponseHeaders(all: HeaderList, base: URL): HeaderList {
  return responseHeaders(all, base, false).filter(
    ([name]) => name === SUBPROTOCOL || !name.startsWith('sec-websocket-'),
  );
}
