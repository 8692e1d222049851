/** Candidates as werift's objects. */
import { Candidate } from 'werift';
import { foundationOf, parseCandidate, priorityOf } from './candidate-line.ts';
import type { LocalCandidate } from './gathering.ts';

/** What checks over a transport are ranked and paired by. */
export function baseCandidate(base: LocalCandidate, generation: number, ufrag: string): Candidate {
  const { type, endpoint } = base;
  return new Candidate(
    foundationOf(base),
    1,
    'udp',
    priorityOf(base),
    ...endpoint,
    type,
    undefined,
    undefined,
    undefined,
    generation,
    ufrag,
  );
}

/** Undefined for what cannot be used. */
export function remoteCandidate(line: string): Candidate | undefined {
  const candidate = parseCandidate(line);
  if (candidate === undefined) return undefined;
  const { foundation, priority, host, port, type } = candidate;
  return new Candidate(foundation, 1, 'udp', priority, host, port, type);
}
