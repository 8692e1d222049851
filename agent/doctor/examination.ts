/** Runs the checks of the doctor, all at once, and tells what they find in the order of the report. */
import { CommandError, plain } from '../command-error.ts';
import { ConfigError } from '../config-error.ts';
import { type Finding, failure, inParts, warning } from './finding.ts';

/** Of a check that ends when its signal aborts, to say what it has found until then. */
export const GRACE_MS = 250;

/** Resolves with what it has found; it may throw, and it should end when the signal aborts, but need not. */
export type Check = (signal: AbortSignal) => Promise<readonly Finding[]>;

export interface NamedCheck {
  /** Of the finding that says that it was not finished. */
  readonly name: string;
  readonly run: Check;
  /** Less than the examination's own. */
  readonly limitMs?: number;
}

export interface Section {
  readonly title: string;
  readonly checks: readonly NamedCheck[];
}

export interface Examination {
  readonly sections: readonly Section[];
  /** For all checks together. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** The findings of one check; called in the order of the sections. */
  found(section: Section, findings: readonly Finding[]): void;
}

/** Resolves when each check has ended or run out of time, or `signal` was aborted. Never rejects. */
export async function examine({ sections, limitMs, signal, found }: Examination): Promise<Finding[]> {
  const all: Finding[] = [];
  const ending = new AbortController();
  const deadline = AbortSignal.any([signal, ending.signal, AbortSignal.timeout(limitMs)]);
  const running = sections.map((section) => ({
    section,
    results: section.checks.map((check) => conclude(check, deadline, check.limitMs ?? limitMs)),
  }));
  for (const { section, results } of running) {
    for (const result of results) {
      const findings = await result;
      if (signal.aborted) return all;
      all.push(...findings);
      found(section, findings);
    }
  }
  ending.abort();
  return all;
}

async function conclude(
  { name, run }: NamedCheck,
  deadline: AbortSignal,
  limitMs: number,
): Promise<readonly Finding[]> {
  const signal = AbortSignal.any([deadline, AbortSignal.timeout(limitMs)]);
  const late = Promise.withResolvers<'late'>();
  let grace: NodeJS.Timeout | undefined;
  const expire = () => {
    grace = setTimeout(() => late.resolve('late'), GRACE_MS);
  };
  signal.addEventListener('abort', expire, { once: true });
  if (signal.aborted) expire();
  try {
    const findings = await Promise.race([run(signal), late.promise]);
    return findings === 'late' ? [unfinished(name)] : findings;
  } catch (error) {
    return signal.aborted ? [unfinished(name)] : problems(name, error);
  } finally {
    clearTimeout(grace);
    signal.removeEventListener('abort', expire);
  }
}

export function unfinished(name: string): Finding {
  return warning(name, 'This check was not finished in time.', {
    meaning: 'Something that it asked is slow or silent; what the other lines say of it may tell more.',
    fix: 'Run direct-agent doctor again when this machine and its network are less busy.',
  });
}

function problems(name: string, error: unknown): Finding[] {
  if (error instanceof ConfigError)
    return error.problems.map((problem) => ({ ...failure(name, ''), ...inParts(problem) }));
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof CommandError) return [{ ...failure(name, ''), ...inParts(message) }];
  return [
    failure(name, `This check broke off: ${plain(message)}.`, {
      meaning: 'That is a mistake of this program; the other lines hold all the same.',
      fix: 'Please report it.',
    }),
  ];
}
