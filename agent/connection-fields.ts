/** Which header fields belong to one connection and are passed on by no proxy (RFC 9110, section 7.6.1). */
import type { HeaderList } from '../shared/head.ts';

export const HOP_BY_HOP: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** These and those that `connection` names. Names in `headers` are in lower case. */
export function connectionFields(headers: HeaderList): Set<string> {
  const fields = new Set(HOP_BY_HOP);
  for (const [name, value] of headers) {
    if (name !== 'connection') continue;
    for (const field of value.split(',')) fields.add(field.trim().toLowerCase());
  }
  return fields;
}
