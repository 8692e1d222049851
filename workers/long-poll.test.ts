import { expect, it } from 'vitest';
import { LongPoll } from './long-poll.ts';

const never = new AbortController().signal;

it('is released by a message, by time, by its client and by a newer poll', async () => {
  const poll = new LongPoll();
  const woken = poll.wait(10_000, never);
  poll.wake();
  expect(await woken).toBe('woken');

  expect(await poll.wait(5, never)).toBe('elapsed');

  const controller = new AbortController();
  const aborted = poll.wait(10_000, controller.signal);
  controller.abort();
  expect(await aborted).toBe('aborted');
  expect(await poll.wait(10_000, controller.signal)).toBe('aborted');

  const older = poll.wait(10_000, never);
  const newer = poll.wait(10_000, never);
  expect(await older).toBe('replaced');
  // The older one's end must not make the newer one deaf.
  expect(poll.waiting).toBe(true);
  poll.wake();
  expect(await newer).toBe('woken');
  expect(poll.waiting).toBe(false);
});

it('waits for nobody when nobody waits', async () => {
  const poll = new LongPoll();
  poll.wake();
  poll.end();
  expect(await poll.wait(5, never)).toBe('elapsed');
});
