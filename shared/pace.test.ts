import { describe, expect, test } from 'vitest';
import { Pace } from './pace.ts';

const KIB = 1024;

/** A lane that takes `rate` bytes per ms, and is kept busy for `ms`, seen every `step` ms. */
function busy(pace: Pace, clock: { at: number }, rate: number, ms: number, step = 2): void {
  let queued = 0;
  for (const end = clock.at + ms; clock.at < end; ) {
    while (queued < pace.queueBytes) {
      pace.sent(pace.chunkBytes);
      queued += pace.chunkBytes;
    }
    clock.at += step;
    queued = Math.max(0, queued - rate * step);
    pace.seen(queued);
  }
}

function rig() {
  const clock = { at: 1000 };
  return { clock, pace: new Pace(() => clock.at) };
}

describe('the pace of a lane', () => {
  test('before anything is known, chunks are of medium length', () => {
    expect(rig().pace.chunkBytes).toBe(16 * KIB);
  });

  test.each([
    ['very slow', 50, 4 * KIB, 32 * KIB],
    ['of 400 kB/s', 400, 4 * KIB, 32 * KIB],
    ['of 2 MB/s', 2000, 10_000, 100_000],
    ['of 5 MB/s', 5000, 25_000, 250_000],
    ['faster than messages are long', 40_000, 64 * KIB, 256 * KIB],
  ])('a path %s', (_, rate, chunk, queue) => {
    const { clock, pace } = rig();
    busy(pace, clock, rate, 2000);
    expect(pace.chunkBytes / chunk).toBeCloseTo(1, 1);
    expect(pace.queueBytes / queue).toBeCloseTo(1, 1);
  });

  test('it follows a path that becomes slow, and one that becomes fast', () => {
    const { clock, pace } = rig();
    busy(pace, clock, 40_000, 500);
    busy(pace, clock, 400, 2000);
    expect(pace.chunkBytes).toBe(4 * KIB);
    busy(pace, clock, 40_000, 500);
    expect(pace.chunkBytes).toBe(64 * KIB);
  });

  test('tokens with pauses say nothing about it', () => {
    const { clock, pace } = rig();
    for (let i = 0; i < 1000; i++) {
      pace.sent(100);
      clock.at += 10;
      pace.seen(0);
    }
    expect(pace.chunkBytes).toBe(16 * KIB);
  });

  test('what leaves at once after a pause does not make a slow path fast', () => {
    const { clock, pace } = rig();
    busy(pace, clock, 400, 2000);
    for (let i = 0; i < 20; i++) {
      clock.at += 1000;
      pace.sent(12 * KIB);
      pace.seen(0);
    }
    expect(pace.chunkBytes).toBe(4 * KIB);
  });
});
