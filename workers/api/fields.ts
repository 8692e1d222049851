/** Fields of the API's JSON bodies. All throw DirectError `E_BAD_REQUEST` that names the field. */
import { decodeBase64url } from '../../shared/base64url.ts';
import { DirectError } from '../../shared/errors.ts';

const MAX_NAME_LENGTH = 64;
/** What a list of scopes may hold: the grant (shared/grant.ts) takes no more. */
const MAX_ENTRIES = 32;
const MAX_ENTRY_LENGTH = 256;
/** Control characters, and those that turn the direction of the text around: a name could pose as another. */
const MISLEADING = /[\p{Cc}\p{Bidi_Control}]/gu;
/** A model's name with its quantisation takes half of it. */
const MAX_SHOWN_LENGTH = 128;

export function malformed(detail: string): never {
  throw new DirectError('E_BAD_REQUEST', detail);
}

/** What people call something, without spaces around it. */
export function nameField(value: unknown, field = 'name'): string {
  const name = typeof value === 'string' ? value.trim() : '';
  const valid = name !== '' && [...name].length <= MAX_NAME_LENGTH && name.search(MISLEADING) === -1;
  return valid ? name : malformed(`${field} must be 1 to ${MAX_NAME_LENGTH} characters in one line`);
}

/** What somebody unknown says, as the owner gets to see it. */
export function shownText(text: string): string {
  return text.replace(MISLEADING, '').slice(0, MAX_SHOWN_LENGTH).toWellFormed();
}

/** A list of texts without repetitions. */
export function textsField(value: unknown, field: string, maxEntries = MAX_ENTRIES): string[] {
  const valid =
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= maxEntries &&
    value.every((text) => typeof text === 'string' && text !== '' && text.length <= MAX_ENTRY_LENGTH);
  if (!valid) malformed(`${field} must be 1 to ${maxEntries} texts of 1 to ${MAX_ENTRY_LENGTH} characters`);
  return [...new Set(value)];
}

/** Ids of hosts that are there. */
export function hostsField(value: unknown, known: readonly string[]): string[] {
  const hosts = textsField(value, 'hosts');
  const unknown = hosts.find((host) => !known.includes(host));
  return unknown === undefined ? hosts : malformed('hosts names a host that does not exist');
}

/** A time to come, in milliseconds since 1970; null, or absent: never. */
export function expiryField(value: unknown, now = Date.now()): number | null {
  if (isAbsent(value)) return null;
  if (Number.isSafeInteger(value) && (value as number) > now) return value as number;
  return malformed('expires_at must be milliseconds since 1970, in the future');
}

/** Bytes of a known length in base64url, as text. */
export function bytesField(value: unknown, field: string, length: number): string {
  // The length first: what is decoded is short.
  const valid = typeof value === 'string' && value.length === Math.ceil((length * 4) / 3);
  if (valid && decodeBase64url(value) !== undefined) return value;
  return malformed(`${field} must be ${length} bytes in base64url`);
}

export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}
