/** What the readers of messages that come by way of the edge have in common. */
import { DirectError } from './errors.ts';

/** Parsed JSON if it is a message of `type`. */
export function ofType(raw: unknown, type: string): Record<string, unknown> | undefined {
  if (typeof raw !== 'object' || raw === null || !('type' in raw) || raw.type !== type) return undefined;
  return raw as Record<string, unknown>;
}

/** @throws DirectError `E_BAD_REQUEST` that names the field */
export function shortText(value: unknown, name: string, maxLength: number): string {
  if (typeof value !== 'string' || value.length > maxLength) return refuse(`${name} must be a short text`);
  return value;
}

/** @throws DirectError `E_BAD_REQUEST` */
export function refuse(detail: string): never {
  throw new DirectError('E_BAD_REQUEST', detail);
}
