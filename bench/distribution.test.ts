import { expect, test } from 'vitest';
import { type Arrival, distribution, heldUp } from './distribution.ts';

test('a distribution names values that occurred', () => {
  const values = Array.from({ length: 1000 }, (_, i) => i);
  expect(distribution(values)).toEqual({ count: 1000, p50: 500, p90: 900, p99: 990, p999: 999, max: 999 });
});

/** Written and received at these times. */
function arrival(stream: number, atMs: number, cameMs: number): Arrival {
  return { stream, atMs, delayMs: cameMs - atMs };
}

test('one lane: all streams wait for what one has lost', () => {
  const arrivals = [
    arrival(0, 0, 20),
    // Lost, and sent again; what the others wrote after it came with it.
    arrival(1, 10, 100),
    arrival(2, 15, 100.2),
    arrival(3, 20, 100.4),
    arrival(1, 20, 100.5),
    arrival(0, 100, 120),
  ];
  expect(heldUp(arrivals, 40)).toEqual({ late: 4, byOthers: 2, streams: [3] });
});

test('lanes: only the stream itself waits', () => {
  const arrivals = [arrival(1, 10, 100), arrival(1, 20, 100.1), arrival(2, 15, 35), arrival(3, 20, 40)];
  expect(heldUp(arrivals, 40)).toEqual({ late: 2, byOthers: 0, streams: [1] });
});

test('what was in the lost packet together has waited for no other', () => {
  expect(heldUp([arrival(1, 10, 100), arrival(2, 10.4, 100)], 40)).toEqual({ late: 2, byOthers: 0, streams: [2] });
});

test('two losses are two', () => {
  const arrivals = [arrival(1, 10, 100), arrival(2, 30, 130), arrival(3, 35, 130)];
  expect(heldUp(arrivals, 40)).toEqual({ late: 3, byOthers: 1, streams: [1, 2] });
});
