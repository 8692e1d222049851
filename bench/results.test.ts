import { expect, test } from 'vitest';
import { linesOf, type Metric, type Outcome, tableOf } from './results.ts';

const DELAY: Metric = { key: 'delay', label: 'delay', unit: 'ms', digits: 1, above: true };
const RATE: Metric = { key: 'rate', label: 'rate', unit: 'MB/s', digits: 0 };

const COLUMNS = new Map([
  ['plain', 'plain HTTP'],
  ['ours', 'direct'],
  ['none', 'native'],
]);

function lines(outcomes: Record<string, Outcome[]>) {
  return linesOf([DELAY, RATE], new Map(Object.entries(outcomes)));
}

test('medians, ratios to the first column, and what is added to it', () => {
  const measured = lines({
    plain: [
      { delay: 1, rate: 90 },
      { delay: 3, rate: 100 },
      { delay: 2, rate: 110 },
    ],
    ours: [{ delay: 5 }, { delay: 4 }, { delay: 30 }],
    none: [],
  });
  expect(measured[0]?.cells.ours).toEqual({ runs: [5, 4, 30], errors: [], median: 5, ratio: 2.5 });
  expect(tableOf(measured, COLUMNS).split('\n')).toEqual([
    '|                  | plain HTTP | direct      | native |',
    '| ---------------- | ---------- | ----------- | ------ |',
    '| delay, ms        | 2.0        | 5.0 (×2.50) | –      |',
    '| delay, added, ms | –          | 3.0         | –      |',
    '| rate, MB/s       | 100        | –           | –      |',
  ]);
});

test('runs that failed say so, and why where there is no other', () => {
  const measured = lines({
    plain: [{ delay: 2 }],
    ours: [{ delay: 4 }, new Error('no direct path\nsomewhere')],
    none: [new Error('it did not end\nat all')],
  });
  expect(tableOf(measured, COLUMNS).split('\n')[2]).toBe(
    '| delay, ms        | 2.0        | 4.0 (×2.00, 1 of 2 runs) | failed: it did not end |',
  );
});

test('compares with the next column where the first has nothing', () => {
  const measured = lines({ plain: [], ours: [{ rate: 10 }], none: [{ rate: 5 }] });
  expect(measured[1]?.cells.none?.ratio).toBe(0.5);
  expect(measured[1]?.cells.plain?.median).toBeUndefined();
});
