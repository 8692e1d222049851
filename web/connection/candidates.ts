/** The candidates of the last attempt, out of the timeline. */
import type { CandidateFacts, TimelineEvent } from '../client/index.ts';
import { familyOf } from './addresses.ts';

export interface Candidates {
  local: CandidateFacts[];
  remote: CandidateFacts[];
  /** All local ones are there. */
  isComplete: boolean;
}

export function lastCandidates(timeline: readonly TimelineEvent[]): Candidates {
  const begin = timeline.findLastIndex(({ fact }) => fact?.type === 'attempt');
  const found: Candidates = { local: [], remote: [], isComplete: false };
  for (const { fact } of timeline.slice(begin + 1)) {
    if (fact?.type !== 'candidate') continue;
    const { from, candidate } = fact;
    if (candidate === undefined) found.isComplete ||= from === 'local';
    // In the answer, and once more by itself.
    else if (!found[from].some((known) => candidateText(known) === candidateText(candidate))) {
      found[from].push(candidate);
    }
  }
  return found;
}

const TYPES: Readonly<Record<string, string>> = {
  host: 'own address',
  srflx: 'seen by STUN',
  prflx: 'seen by the other end',
  relay: 'at a TURN server',
};

export function typeInWords(type: string): string {
  return TYPES[type] ?? type;
}

/** `srflx udp 203.0.113.7:50000` */
export function candidateText({ type, protocol, address, port, relayProtocol }: CandidateFacts): string {
  const where = address ? `${familyOf(address) === 'IPv6' ? `[${address}]` : address}:${port ?? '?'}` : '(hidden)';
  return [type, protocol, where, relayProtocol && `by ${relayProtocol}`].filter(Boolean).join(' ');
}
