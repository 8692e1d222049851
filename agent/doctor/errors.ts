/** The system's and the platform's errors in few words. */
import { plain } from '../command-error.ts';

/** Whether an AbortSignal ended it. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
}

/** Why `fetch` failed, in the system's words: ENOTFOUND, ECONNREFUSED. */
export function causeOf(error: unknown): string {
  return codeOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
}

export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return plain(String(error));
  return 'code' in error && typeof error.code === 'string' ? error.code : plain(error.message);
}
