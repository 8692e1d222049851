import { expect, test } from 'vitest';
import { TestClock } from '../shared/test-clock.ts';
import { Heartbeat } from './heartbeat.ts';

/** A heartbeat each 25 s, and when it pinged or gave up. */
function beating({ answers }: { answers: boolean }) {
  const clock = new TestClock();
  const pings: number[] = [];
  const ends: number[] = [];
  const socket = {
    send: () => {
      pings.push(clock.now());
      if (answers) heartbeat.heard();
    },
    terminate: () => void ends.push(clock.now()),
  };
  const heartbeat = new Heartbeat(socket, { pingMs: 25_000, pongTimeoutMs: 10_000 }, clock);
  heartbeat.start();
  return { clock, heartbeat, pings, ends };
}

test('pings as often as it says: the edge counts on three pings before it takes a host for offline', async () => {
  const { clock, pings, ends } = beating({ answers: true });
  await clock.advance(100_000);
  expect([pings, ends]).toEqual([[25_000, 50_000, 75_000, 100_000], []]);
});

test('ends a socket that answers no ping, once', async () => {
  const { clock, pings, ends } = beating({ answers: false });
  await clock.advance(100_000);
  expect([pings, ends]).toEqual([[25_000], [35_000]]);
});

test('has no timer left when it is stopped, also while a pong is due', async () => {
  const { clock, heartbeat, ends } = beating({ answers: false });
  await clock.advance(30_000);
  heartbeat.stop();
  expect(clock.pending).toBe(0);
  await clock.advance(100_000);
  expect(ends).toEqual([]);
});
