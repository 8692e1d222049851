import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { collectGarbage, collectWhenIdle } from './idle-memory.ts';

test('collects once after the start, and once after each use', () => {
  let busy = false;
  let collected = 0;
  let look = () => {};
  let ended = false;
  const end = collectWhenIdle({
    isBusy: () => busy,
    every: (_ms, run) => {
      look = run;
      return () => {
        ended = true;
      };
    },
    collect: () => {
      collected += 1;
    },
  });
  const looks = (...states: boolean[]) => {
    for (const state of states) {
      busy = state;
      look();
    }
    return collected;
  };
  expect(looks(false)).toBe(0);
  expect(looks(false)).toBe(1);
  expect(looks(false, false, false)).toBe(1);
  expect(looks(true, false)).toBe(1);
  // Somebody who comes back in between is not disturbed.
  expect(looks(true, false)).toBe(1);
  expect(looks(false, false)).toBe(2);
  end();
  expect(ended).toBe(true);
});

test('what is left is really collected', () => {
  const left = (() => new WeakRef({ chat: 'x'.repeat(1000) }))();
  return new Promise<void>((resolve) => {
    // A WeakRef holds until the end of the turn in which it was made.
    setTimeout(() => {
      collectGarbage();
      expect(left.deref()).toBeUndefined();
      resolve();
    });
  });
});

test('the young generation of an agent that transfers stays small', () => {
  const size = (prepare: string) => {
    const script = `
      import { getHeapSpaceStatistics } from 'node:v8';
      import { keepYoungGenerationSmall } from '${new URL('idle-memory.ts', import.meta.url)}';
      ${prepare};
      const inFlight = [];
      for (let packet = 0; packet < 500_000; packet++) {
        inFlight.push({ bytes: new Array(20).fill(packet) });
        if (inFlight.length > 30_000) inFlight.splice(0, 15_000);
      }
      console.log(getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size);
    `;
    return Number(execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' }));
  };
  expect(size('')).toBeGreaterThan(16_000_000);
  expect(size('keepYoungGenerationSmall()')).toBeLessThan(4_000_000);
});
