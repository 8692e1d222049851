/** What the figures have to be (issue 8), and what they are. */
import type { Line } from './results.ts';
import { table } from './statistics.ts';

interface Goal {
  condition: string;
  what: string;
  /** Of a line's medians by column; undefined where one is missing. */
  value(line: (key: string, column: string) => number | undefined): number | undefined;
  /** Under or at least so much. */
  limit: { under: number } | { atLeast: number };
  unit: string;
}

const added = (key: string): Goal['value'] => {
  return (line) => difference(line(key, 'werift'), line(key, 'plain'));
};

/** The smaller of both chunk sizes. */
const ratio = (direction: string, other: string): Goal['value'] => {
  return (line) => {
    const ratios = [16, 256].map((chunk) => {
      const [ours, theirs] = [line(`${direction}-${chunk}`, 'werift'), line(`${direction}-${chunk}`, other)];
      return ours === undefined || theirs === undefined ? undefined : ours / theirs;
    });
    return ratios.reduce((a, b) => (a === undefined || b === undefined ? undefined : Math.min(a, b)));
  };
};

const GOALS: readonly Goal[] = [
  {
    condition: 'loopback',
    what: 'token delay added, 50 streams, p99',
    value: added('tokens-50-p99'),
    limit: { under: 5 },
    unit: ' ms',
  },
  {
    condition: 'loopback',
    what: 'token delay added, 50 streams beside bulk, p99',
    value: added('beside-50-p99'),
    limit: { under: 20 },
    unit: ' ms',
  },
  ...['down', 'up'].flatMap((direction) =>
    ['native', 'chromium'].map(
      (other): Goal => ({
        condition: 'loopback',
        what: `bulk ${direction}, to ${other}`,
        value: ratio(direction, other),
        limit: { atLeast: 0.8 },
        unit: ' times',
      }),
    ),
  ),
  ...['down', 'up'].map(
    (direction): Goal => ({
      condition: 'loss',
      what: `bulk ${direction}, to chromium`,
      value: ratio(direction, 'chromium'),
      limit: { atLeast: 0.8 },
      unit: ' times',
    }),
  ),
];

/** A table of the goals of conditions that were measured; empty without any. `lines` by the name of the condition. */
export function goalsTable(lines: ReadonlyMap<string, readonly Line[]>): string {
  const rows = GOALS.flatMap(({ condition, what, value, limit, unit }) => {
    const measured = lines.get(condition);
    if (measured === undefined) return [];
    const reached = value((key, column) => measured.find(({ metric }) => metric.key === key)?.cells[column]?.median);
    const asked = 'under' in limit ? `under ${limit.under}` : `at least ${limit.atLeast}`;
    const shown = reached === undefined ? '–' : `${reached.toFixed(2)}${unit}`;
    return [[condition, what, `${asked}${unit}`, shown, verdict(reached, limit)]];
  });
  return rows.length === 0 ? '' : table([['condition', 'figure', 'asked for', 'measured', ''], ...rows]);
}

function verdict(value: number | undefined, limit: Goal['limit']): string {
  if (value === undefined) return 'not measured';
  return ('under' in limit ? value < limit.under : value >= limit.atLeast) ? 'kept' : 'MISSED';
}

function difference(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}
