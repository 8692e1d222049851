/** How failures look to who called `fetch`: TypeError, as the Fetch standard has it, with our error as its cause. */
import { DirectError } from '../../shared/errors.ts';

/** A network error (Fetch, section 2.2.6) for `cause`. */
export function networkError(cause: unknown): TypeError {
  const text = cause instanceof DirectError ? cause.message : String(cause);
  return new TypeError(`fetch failed: ${text}`, { cause });
}
