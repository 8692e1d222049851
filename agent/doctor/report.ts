/** The doctor's report for people: a heading for each section, a mark for each finding. */
import { plain } from '../command-error.ts';
import type { Finding, FindingState } from './finding.ts';

const MARKS: Record<FindingState, string> = { ok: '✓', warning: '!', failure: '✗', skipped: '–' };
/** SGR (ECMA-48): green, yellow, red, dim. */
const COLOURS: Record<FindingState, string> = { ok: '32', warning: '33', failure: '31', skipped: '2' };
/** A path of the longest URL, and what is wrong with it. */
const MAX_LENGTH = 600;

export interface Summary {
  readonly ok: number;
  readonly warning: number;
  readonly failure: number;
  readonly skipped: number;
}

export function lines({ state, what, meaning, fix }: Finding, colour: boolean): string[] {
  const mark = colour ? `\x1b[${COLOURS[state]}m${MARKS[state]}\x1b[0m` : MARKS[state];
  return [
    `  ${mark} ${plain(what, MAX_LENGTH)}`,
    ...(meaning === undefined ? [] : [`    ${plain(meaning, MAX_LENGTH)}`]),
    ...(fix === undefined ? [] : [`    → ${plain(fix, MAX_LENGTH)}`]),
  ];
}

export function heading(title: string, colour: boolean): string {
  return colour ? `\x1b[1m${title}\x1b[0m` : title;
}

export function summarise(findings: readonly Finding[]): Summary {
  const count = (wanted: FindingState) => findings.filter(({ state }) => state === wanted).length;
  return { ok: count('ok'), warning: count('warning'), failure: count('failure'), skipped: count('skipped') };
}

export function summaryLine({ ok, warning, failure, skipped }: Summary): string {
  const many = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  return `${many(failure, 'failure')}, ${many(warning, 'warning')}, ${ok} ok, ${skipped} not checked.`;
}
