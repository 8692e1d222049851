/**
 * Responses that outlive whoever asked for them (PROTOCOL.md, section 6): how a client names one, in heads and, where
 * the edge makes the head, in header fields.
 */

/** Asks for a kept response: the one with `id`, its body from byte `from` on. */
export interface Resume {
  id: string;
  from: number;
}

/** The field of a tunnelled request that becomes `hold` of its head. */
export const DIRECT_HOLD = 'direct-hold';
/** Likewise `resume`: id, a space, and the first byte in decimal digits. */
export const DIRECT_RESUME = 'direct-resume';

/** What makes it safe that the id and its subject are all that is asked: 22 characters of base64url are 132 bits. */
const HOLD_ID = /^[A-Za-z0-9_-]{22,64}$/;
// Fifteen digits are below 2^53, and more than any body has.
const RESUME_FIELD = /^([A-Za-z0-9_-]{22,64}) (\d{1,15})$/;

/** Whether `value` may name a response. */
export function isHoldId(value: unknown): value is string {
  return typeof value === 'string' && HOLD_ID.test(value);
}

/** Whether `value` has the shape of `Resume`. */
export function isResume(value: unknown): value is Resume {
  if (typeof value !== 'object' || value === null) return false;
  const { id, from } = value as Record<string, unknown>;
  return isHoldId(id) && Number.isSafeInteger(from) && (from as number) >= 0;
}

export function encodeResume({ id, from }: Resume): string {
  return `${id} ${from}`;
}

/** The value of DIRECT_RESUME, or undefined when it is malformed. */
export function decodeResume(field: string): Resume | undefined {
  const [, id, from] = RESUME_FIELD.exec(field) ?? [];
  return id === undefined ? undefined : { id, from: Number(from) };
}
