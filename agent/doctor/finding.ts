/** What `direct-agent doctor` finds out: one line for people, one object for programs. */

/** `skipped`: it could not be told, or need not; `what` says why. */
export type FindingState = 'ok' | 'warning' | 'failure' | 'skipped';

export interface Finding {
  /** The name of the check, stable for programs: `edge.tls`. */
  readonly check: string;
  readonly state: FindingState;
  /** What was seen, one sentence. */
  readonly what: string;
  /** What follows from it. */
  readonly meaning?: string;
  /** What to do. */
  readonly fix?: string;
  /** What was measured. Never a secret. */
  readonly data?: Readonly<Record<string, unknown>>;
}

type More = Pick<Finding, 'meaning' | 'fix' | 'data'>;

export function ok(check: string, what: string, more: More = {}): Finding {
  return { check, state: 'ok', what, ...more };
}

export function warning(check: string, what: string, more: More = {}): Finding {
  return { check, state: 'warning', what, ...more };
}

export function failure(check: string, what: string, more: More = {}): Finding {
  return { check, state: 'failure', what, ...more };
}

export function skipped(check: string, what: string, more: More = {}): Finding {
  return { check, state: 'skipped', what, ...more };
}

/** Messages of this program say what happened, then what to do: the first sentence, and the others as the fix. */
export function inParts(message: string): { what: string; fix?: string } {
  const [, what = message, fix] = /^(.*?[.!])\s+(\p{Lu}.*)$/su.exec(message) ?? [];
  return fix === undefined ? { what } : { what, fix };
}
