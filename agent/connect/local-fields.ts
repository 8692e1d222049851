/** Which header fields pass between a program on this machine and a host (RFC 9110, section 7.6). */
import type { HeaderList } from '../../shared/head.ts';
import { UPSTREAM_AUTHORIZATION } from '../../shared/tunnel-fields.ts';
import { connectionFields, HOP_BY_HOP } from '../connection-fields.ts';

/**
 * Of this port, not of the upstream: where it is, what a browser says of the page, what Node has answered already
 * (`expect`), and how the bytes are packed, which each part of the way decides anew.
 */
const LOCAL = /^(?:host|origin|referer|expect|accept-encoding|sec-.+|direct-.+)$/;

/** What edge and network say of their own connection to us. */
const OF_THE_WAY = ['alt-svc', 'strict-transport-security', 'nel', 'report-to'];

/**
 * The fields of a program's request for the host. `Authorization` stays here: SDKs insist on a key, most people invent
 * one, and some have another service's; nobody asked for it to be sent to the host. `Upstream-Authorization` takes its
 * place, as at the edge.
 * @param raw names and values by turns, as Node has them.
 */
export function requestFields(raw: readonly string[]): HeaderList {
  const all = pairs(raw);
  const dropped = connectionFields(all);
  return all
    .filter(([name]) => !dropped.has(name) && !LOCAL.test(name) && name !== 'authorization')
    .map(([name, value]) => [name === UPSTREAM_AUTHORIZATION ? 'authorization' : name, value]);
}

/** The fields of a host's response for the program, with every cookie in a field of its own. */
export function responseFields(headers: Headers): HeaderList {
  const dropped = new Set([...HOP_BY_HOP, ...OF_THE_WAY]);
  // Whichever way it came, the body has been decoded.
  if (headers.has('content-encoding')) for (const name of ['content-encoding', 'content-length']) dropped.add(name);
  // Such as two of them, which Node would write and not count by.
  if (!/^\d{1,15}$/.test(headers.get('content-length') ?? '')) dropped.add('content-length');
  return [...headers].filter(([name]) => !dropped.has(name));
}

function pairs(raw: readonly string[]): HeaderList {
  const list: HeaderList = [];
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([(raw[i] ?? '').toLowerCase(), raw[i + 1] ?? '']);
  return list;
}
