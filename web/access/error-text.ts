/** Errors in words: what happened and what to do. */
import { HINTS } from '../../shared/error-hints.ts';
import { DirectError, isErrorCode } from '../../shared/errors.ts';
import { ApiError } from './api-error.ts';

export interface ErrorText {
  message: string;
  hint: string | undefined;
}

export function errorText(error: unknown): ErrorText {
  // `fetch` wraps what went wrong in a TypeError.
  const inner = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  if (inner instanceof DirectError) return { message: inner.message, hint: HINTS[inner.code] };
  if (inner instanceof ApiError) {
    const known = isErrorCode(inner.code) ? HINTS[inner.code] : undefined;
    return { message: inner.message, hint: inner.hint ?? known };
  }
  if (error instanceof TypeError) return { message: 'The edge cannot be reached.', hint: 'Check the network.' };
  return { message: error instanceof Error ? error.message : String(error), hint: undefined };
}

/** The same in one line. */
export function errorLine(error: unknown): string {
  const { message, hint } = errorText(error);
  return hint === undefined ? message : `${message} ${hint}`;
}

/** The code of our table or of a server, in whatever wrapping. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof DirectError || error instanceof ApiError) return error.code;
  return error instanceof TypeError && error.cause !== undefined ? codeOf(error.cause) : undefined;
}

/** Whether signing in again is what helps. */
export function isUnauthorized(error: unknown): boolean {
  return codeOf(error) === 'E_UNAUTHORIZED';
}
