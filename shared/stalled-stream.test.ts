import { expect, test } from 'vitest';
import { INITIAL_STREAM_CREDIT } from './limits.ts';
import { memoryPaths } from './memory-path.ts';
import type { Stream } from './stream.ts';
import { TestClock } from './test-clock.ts';
import { agentSession, clientSession } from './test-sessions.ts';

/** Of the path, in bytes per millisecond of the test's clock. */
const RATE = 16 * 1024;
const BYTES = 2_000_000;
const READERS = 9;

/**
 * Milliseconds until nine readers have read their streams to the end, beside `stalled` streams that nobody reads, on
 * a path of limited rate. The clock is the test's, so the result is the same on every machine.
 */
async function timeOfNine(stalled: number): Promise<number> {
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  const clock = new TestClock(settle);
  let freeAt = 0;
  const carry = (deliver: () => void, bytes: number) => {
    freeAt = Math.max(freeAt, clock.now()) + bytes / RATE;
    clock.timer(freeAt - clock.now(), deliver);
  };
  const [left, right] = memoryPaths({ carry });
  agentSession({
    path: right,
    sessionId: 'session',
    environment: clock,
    events: {
      stream: (stream) => {
        void stream.write(new Uint8Array(BYTES));
        stream.finish();
      },
    },
  });
  const client = clientSession({ path: left, sessionId: 'session', environment: clock });
  const ask = (): Stream => {
    const stream = client.openStream();
    void stream.write(Uint8Array.of(1));
    stream.finish();
    return stream;
  };
  // First, so that they have every chance to be in the way.
  for (let i = 0; i < stalled; i++) ask();
  let done = 0;
  const read = async (stream: Stream) => {
    let bytes = 0;
    for (let part = await stream.read(); part !== null; part = await stream.read()) bytes += part.length;
    expect(bytes).toBe(BYTES);
    done += 1;
  };
  for (let i = 0; i < READERS; i++) void read(ask());
  while (done < READERS) await clock.advance(1);
  return clock.now();
}

test('ten streams, one of which nobody reads: the other nine wait for its credit on the path, and for nothing more', async () => {
  const alone = await timeOfNine(0);
  const beside = await timeOfNine(1);
  expect(alone).toBeGreaterThan((READERS * BYTES) / RATE);
  // What the stalled one may send before it stands still, and a tick of the clock.
  expect(beside - alone).toBeLessThanOrEqual(INITIAL_STREAM_CREDIT / RATE + 1);
});

test('seven that nobody reads do not stop the others either', async () => {
  expect(await timeOfNine(7)).toBeLessThanOrEqual((await timeOfNine(0)) + (7 * INITIAL_STREAM_CREDIT) / RATE + 1);
});
