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
