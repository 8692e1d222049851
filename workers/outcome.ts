/** Results that cross between Worker and objects: an exception would lose its code on the way (Workers RPC). */
import { DirectError, type ErrorCode } from '../shared/errors.ts';

export interface Refusal {
  ok: false;
  code: ErrorCode;
  detail: string | null;
  retryAfterMs: number | null;
}
export type Outcome<T> = { ok: true; value: T } | Refusal;

/** A DirectError that knows when to try again. */
export class RetryLater extends DirectError {
  readonly retryAfterMs: number;

  constructor(code: ErrorCode, retryAfterMs: number, detail?: string) {
    super(code, detail);
    this.retryAfterMs = retryAfterMs;
  }
}

export function accepted<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

/** What an object answers for `error`. Anything but a DirectError is a bug of ours and stays an exception. */
export function refused(error: unknown): Refusal {
  if (!(error instanceof DirectError)) throw error;
  const retryAfterMs = error instanceof RetryLater ? error.retryAfterMs : null;
  return { ok: false, code: error.code, detail: error.detail ?? null, retryAfterMs };
}

/** The error behind a refusal. */
export function refusalError({ code, detail, retryAfterMs }: Refusal): DirectError {
  if (retryAfterMs !== null) return new RetryLater(code, retryAfterMs, detail ?? undefined);
  return new DirectError(code, detail ?? undefined);
}

/** The value, or the refusal as an exception. @throws DirectError */
export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw refusalError(outcome);
}
