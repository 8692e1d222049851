import { expect, test } from 'vitest';
import { goalsTable } from './goals.ts';
import { type Line, linesOf } from './results.ts';

function line(key: string, medians: Record<string, number>): Line {
  const metric = { key, label: key, unit: '', digits: 1 };
  const [made] = linesOf([metric], new Map(Object.entries(medians).map(([name, value]) => [name, [{ [key]: value }]])));
  if (made === undefined) throw new Error('no line');
  return made;
}

test('goals are kept, missed or not measured', () => {
  const lines = [
    line('tokens-50-p99', { plain: 2, werift: 6.5 }),
    line('beside-50-p99', { plain: 2, werift: 30 }),
    line('down-16', { werift: 10, chromium: 10 }),
    // The worse of both sizes counts.
    line('down-256', { werift: 7, chromium: 10 }),
  ];
  const rows = goalsTable(new Map([['loopback', lines]]))
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .split('|')
        .map((cell) => cell.trim())
        .slice(2, -1),
    );
  expect(rows).toEqual([
    ['token delay added, 50 streams, p99', 'under 5 ms', '4.50 ms', 'kept'],
    ['token delay added, 50 streams beside bulk, p99', 'under 20 ms', '28.00 ms', 'MISSED'],
    ['bulk down, to native', 'at least 0.8 times', '–', 'not measured'],
    ['bulk down, to chromium', 'at least 0.8 times', '0.70 times', 'MISSED'],
    ['bulk up, to native', 'at least 0.8 times', '–', 'not measured'],
    ['bulk up, to chromium', 'at least 0.8 times', '–', 'not measured'],
  ]);
});

test('nothing without conditions', () => {
  expect(goalsTable(new Map())).toBe('');
});
