/**
 * What the edge says of a client that it lets in. It goes with each offer and each channel to the agent, which enforces
 * it: on the paths that are end to end the edge sees no request.
 */
import { refuse } from './message-fields.ts';

export interface Grant {
  /** Whose it is, for revocation: `owner`, `session:{id}`, `invitation:{id}`, `key:{id}` or `anonymous`. */
  subject: string;
  /** Which of those who share the subject, where several do: what is theirs and not for all is kept apart by it. */
  browser?: string;
  /** Paths that requests may begin with; absent: whatever the agent serves. */
  prefixes?: string[];
  /** Models that requests may name; absent: all. */
  models?: string[];
  requests_per_minute?: number;
  /** The host's own web UI may be asked for, too: its owner lets the edge show it where the client is. */
  web_ui?: true;
}

/** The field of a tunnelled request's head in which the edge says what that one request may do (`encodeGrant`). */
export const DIRECT_GRANT = 'direct-grant';

const SUBJECT = /^(owner|anonymous|(session|invitation|key):[A-Za-z0-9_-]{1,64})$/;
const BROWSER = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_ENTRIES = 32;
const MAX_ENTRY_LENGTH = 256;
/** Of all texts together: it travels beside an SDP and ICE servers in one message of MAX_SIGNAL_BYTES. */
const MAX_LENGTH = 8192;

/** Whether `value` is what `Grant.subject` may be. */
export function isSubject(value: unknown): value is string {
  return typeof value === 'string' && SUBJECT.test(value);
}

/** @throws DirectError `E_BAD_REQUEST` that names the field. */
export function parseGrant(value: unknown): Grant {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('grant must be an object');
  const { subject, browser, prefixes, models, requests_per_minute: rate, web_ui } = value as Record<string, unknown>;
  if (!isSubject(subject)) return refuse('grant.subject names nobody');
  if (browser !== undefined && !(typeof browser === 'string' && BROWSER.test(browser))) {
    return refuse('grant.browser must be an id');
  }
  if (rate !== undefined && !(Number.isSafeInteger(rate) && (rate as number) > 0)) {
    return refuse('grant.requests_per_minute must be a positive integer');
  }
  if (web_ui !== undefined && web_ui !== true) return refuse('grant.web_ui must be true, or absent');
  const grant = {
    subject,
    ...(browser === undefined ? {} : { browser }),
    ...(prefixes === undefined ? {} : { prefixes: texts(prefixes, 'prefixes') }),
    ...(models === undefined ? {} : { models: texts(models, 'models') }),
    ...(rate === undefined ? {} : { requests_per_minute: rate as number }),
    ...(web_ui === true ? { web_ui: true as const } : {}),
  };
  const length = [...(grant.prefixes ?? []), ...(grant.models ?? [])].join('').length;
  return length <= MAX_LENGTH ? grant : refuse(`grant has more than ${MAX_LENGTH} characters`);
}

/** The grant as the value of a header field: JSON in ASCII. */
export function encodeGrant(grant: Grant): string {
  return JSON.stringify(grant).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** @throws DirectError `E_BAD_REQUEST` */
export function decodeGrant(text: string): Grant {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('grant is not JSON');
  }
  return parseGrant(value);
}

function texts(value: unknown, name: string): string[] {
  const valid = Array.isArray(value) && value.length <= MAX_ENTRIES && value.every(isShortText);
  return valid ? value : refuse(`grant.${name} must be at most ${MAX_ENTRIES} texts`);
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ENTRY_LENGTH;
}
