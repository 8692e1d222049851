/** Errors in words: what happened and what to do. */
import { DirectError, ERRORS, isErrorCode } from '../../shared/errors.ts';
import { ApiError } from './completion.ts';

export interface ErrorText {
  message: string;
  hint: string | undefined;
}

export function errorText(error: unknown): ErrorText {
  // `fetch` wraps what went wrong in a TypeError.
  const inner = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  if (inner instanceof DirectError) return { message: inner.message, hint: inner.entry.hint };
  if (inner instanceof ApiError) {
    const known = isErrorCode(inner.code) ? ERRORS[inner.code].hint : undefined;
    return { message: inner.message, hint: inner.hint ?? known };
  }
  if (error instanceof TypeError) return { message: 'The edge cannot be reached.', hint: 'Check the network.' };
  return { message: error instanceof Error ? error.message : String(error), hint: undefined };
}

/** Whether a new token is what helps. */
export function isUnauthorized(error: unknown): boolean {
  if (error instanceof DirectError || error instanceof ApiError) return error.code === 'E_UNAUTHORIZED';
  return error instanceof TypeError && isUnauthorized(error.cause);
}
