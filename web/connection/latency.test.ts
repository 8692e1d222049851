import { describe, expect, test } from 'vitest';
import { duration, latencies, median, plotOf, type Sample, samplesOf } from './latency.ts';

const sample = (at: number, firstByteMs: number, way: Sample['way'] = 'direct'): Sample => ({
  at,
  firstByteMs,
  way,
  name: 'GET /v1/models',
});

test.each([
  [[], undefined],
  [[3], 3],
  [[9, 1, 5], 5],
  [[1, 2, 3, 100], 2.5],
])('the median of %j is %s', (numbers, expected) => {
  expect(median(numbers)).toBe(expected);
});

test('requests that were not answered have no time', () => {
  const begun = { at: 5, method: 'GET', path: '/v1/models', way: 'relay' } as const;
  const answered = { ...begun, status: 200, firstByteMs: 12 };
  expect(samplesOf([begun, answered, { ...begun, failed: true }])).toEqual([sample(5, 12, 'relay')]);
});

test('each way has its line, the best one first', () => {
  const samples = [sample(0, 90, 'tunnel'), sample(1, 10), sample(2, 20), sample(3, 110, 'tunnel')];
  expect(latencies(samples)).toEqual([
    { way: 'direct', count: 2, median: 15 },
    { way: 'tunnel', count: 2, median: 100 },
  ]);
});

test.each([
  [0.84, '0.8 ms'],
  [33.7, '34 ms'],
  [1_234, '1.2 s'],
])('%s ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

describe('the plot', () => {
  const area = { left: 40, right: 340, top: 10, bottom: 110 };

  test('has powers of ten upwards and time to the right', () => {
    const { points, rows, columns } = plotOf([sample(1_000, 10), sample(31_000, 1_000)], area);
    expect(points.map(({ x, y }) => [x, y])).toEqual([
      [40, 110],
      [340, 10],
    ]);
    expect(rows.map(({ position, label }) => [position, label])).toEqual([
      [110, '10 ms'],
      [60, '100 ms'],
      [10, '1 s'],
    ]);
    expect(columns.map(({ label }) => label)).toEqual(['1 s', '16 s', '31 s']);
  });

  test('of little still has a scale', () => {
    for (const samples of [[], [sample(5, 20)]]) {
      const { rows, columns, points } = plotOf(samples, area);
      expect(rows.map(({ label }) => label)).toEqual(['10 ms', '100 ms']);
      expect(columns.at(-1)?.position).toBe(area.right);
      for (const { x, y } of points) expect([x >= 40, x <= 340, y >= 10, y <= 110]).not.toContain(false);
    }
  });

  test('holds what takes less than a millisecond, and minutes', () => {
    const { points } = plotOf([sample(0, 0.2), sample(1, 300_000)], area);
    for (const { y } of points) expect([y >= 10, y <= 110]).toEqual([true, true]);
  });
});
