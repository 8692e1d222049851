/**
 * What the edge says of a client that it lets in. It goes with each offer and each channel to the agent, which enforces
 * it: on the paths that are end to end the edge sees no request.
 */
import { DirectError } from './errors.ts';

export interface Grant {
  /** Whose it is, for revocation: `owner`, `session:{id}`, `invitation:{id}`, `key:{id}` or `anonymous`. */
  subject: string;
  /** Paths that requests may begin with; absent: whatever the agent serves. */
  prefixes?: string[];
  /** Models that requests may name; absent: all. */
  models?: string[];
  requests_per_minute?: number;
}

const SUBJECT = /^(owner|anonymous|(session|invitation|key):[A-Za-z0-9_-]{1,64})$/;
const MAX_ENTRIES = 32;
const MAX_ENTRY_LENGTH = 256;

/** @throws DirectError `E_BAD_REQUEST` that names the field. */
export function parseGrant(value: unknown): Grant {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('grant must be an object');
  const { subject, prefixes, models, requests_per_minute: rate } = value as Record<string, unknown>;
  if (typeof subject !== 'string' || !SUBJECT.test(subject)) return refuse('grant.subject names nobody');
  if (rate !== undefined && !(Number.isSafeInteger(rate) && (rate as number) > 0)) {
    return refuse('grant.requests_per_minute must be a positive integer');
  }
  return {
    subject,
    ...(prefixes === undefined ? {} : { prefixes: texts(prefixes, 'prefixes') }),
    ...(models === undefined ? {} : { models: texts(models, 'models') }),
    ...(rate === undefined ? {} : { requests_per_minute: rate as number }),
  };
}

function texts(value: unknown, name: string): string[] {
  const valid = Array.isArray(value) && value.length <= MAX_ENTRIES && value.every(isShortText);
  return valid ? value : refuse(`grant.${name} must be at most ${MAX_ENTRIES} texts`);
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ENTRY_LENGTH;
}

function refuse(detail: string): never {
  throw new DirectError('E_BAD_REQUEST', detail);
}
