import { expect, test } from 'vitest';
import { DelayLine } from './delay-line.ts';

const DELAY_MS = 8;

test('passes on all, in order, none before its time', async () => {
  const added = new Map<number, number>();
  const passed: { item: number; afterMs: number }[] = [];
  const line = new DelayLine<number>(DELAY_MS, (item) => {
    passed.push({ item, afterMs: performance.now() - (added.get(item) ?? 0) });
  });
  // More than it leaves empty at the front, in several turns of the event loop.
  const items = Array.from({ length: 10_000 }, (_, i) => i);
  for (const item of items) {
    added.set(item, performance.now());
    line.add(item);
    if (item % 1000 === 999) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await expect.poll(() => passed.length).toBe(items.length);
  expect(passed.map(({ item }) => item)).toEqual(items);
  expect(Math.min(...passed.map(({ afterMs }) => afterMs))).toBeGreaterThanOrEqual(DELAY_MS);
});

test('passes on what comes after a rest', async () => {
  const passed: string[] = [];
  const line = new DelayLine<string>(DELAY_MS, (item) => passed.push(item));
  line.add('first');
  await expect.poll(() => passed).toEqual(['first']);
  line.add('second');
  await expect.poll(() => passed).toEqual(['first', 'second']);
});
