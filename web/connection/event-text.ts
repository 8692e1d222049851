/** Times and events of the timeline as lines. */
import type { TimelineEvent } from '../client/index.ts';
import { candidateText } from './candidates.ts';

/** `+0.12 s`, `+9:05`, `+1:00:00`; milliseconds since the beginning. */
export function offset(ms: number): string {
  if (ms < 60_000) return `+${(Math.max(0, ms) / 1_000).toFixed(2)} s`;
  const seconds = Math.floor(ms / 1_000);
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours = 0, ...rest] = parts;
  const shown = hours > 0 ? parts : rest;
  return `+${shown.map((part, index) => (index === 0 ? part : String(part).padStart(2, '0'))).join(':')}`;
}

/** Candidates in fewer words than on the wire. */
export function eventText({ text, fact }: TimelineEvent): string {
  if (fact?.type !== 'candidate' || fact.candidate === undefined) return text.trim();
  return `${fact.from} candidate: ${candidateText(fact.candidate)}`;
}
