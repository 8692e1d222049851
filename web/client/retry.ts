/** When a path that failed or was lost is tried again: what the direct path and the relay have in common. */
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import { STRANDED_RETRY_MS } from '../../shared/limits.ts';

/** Answers of the edge, or of the agent, that stay the same until a person changes something. */
export const FINAL_CODES: readonly ErrorCode[] = [
  'E_UNAUTHORIZED',
  'E_FORBIDDEN',
  'E_ORIGIN',
  'E_NOT_CONFIGURED',
  'E_NOT_FOUND',
  'E_VERSION',
  'E_DEVICE_UNKNOWN',
  'E_PAIRING',
];
/** A path that ends sooner did not work: the pauses go on growing, so that it does not become a loop. */
export const STABLE_AFTER_MS = 10_000;
/** Events of page and network come in bursts; so much time lies between the beginnings of two attempts. */
export const MIN_INTERVAL_MS = 1_000;

/** A pause of `ms` between attempts, as long as it may be while requests run without a path (`isStranded`). */
export function boundedPause(ms: number, isStranded: boolean): number {
  return isStranded ? Math.min(ms, STRANDED_RETRY_MS) : ms;
}

/** Why an attempt failed; anything unexpected shows as `E_INTERNAL`. */
export function attemptError(cause: unknown): DirectError {
  return cause instanceof DirectError ? cause : new DirectError('E_INTERNAL', `${cause}`, { cause });
}

/** A host that was restarted has answered: what it does not know is the session, and the next one begins at once. */
export function isNewlyRestarted(error: DirectError, before: DirectError | undefined): boolean {
  return error.code === 'E_HOST_RESTARTED' && before?.code !== 'E_HOST_RESTARTED';
}
