import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Asking, FairQueue } from './fair-queue.ts';

const LIMITS = { perClient: 100, total: 1_000 };

/** Enters requests by name, and says which run. */
function rig(limits = LIMITS) {
  const queue = new FairQueue(limits);
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const enter = (name: string, asking: Partial<Asking> = {}) => {
    const client = name[0] ?? '';
    const end = queue.enter({ upstream: 'u', capacity: 1, client, subject: client, ...asking }, () =>
      started.push(name),
    );
    ends.set(name, end);
  };
  return { queue, started, enter, end: (name: string) => ends.get(name)?.() };
}

describe('an upstream with room for one', () => {
  test('serves clients by turns, whoever has asked how often', () => {
    const { started, enter, end, queue } = rig();
    for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2']) enter(name);
    expect(started).toEqual(['a1']);
    expect(queue.at('u')).toEqual({ running: 1, waiting: 6 });
    for (let i = 0; i < 7; i++) end(started.at(-1) ?? '');
    expect(started).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
    expect(queue.at('u')).toEqual({ running: 0, waiting: 0 });
  });

  test('gives a subject no more turns for having many clients, which take them by turns', () => {
    const { started, enter, end } = rig();
    for (const name of ['a1', 'b1', 'c1', 'a2', 'b2', 'c2']) enter(name, { subject: 'invitation' });
    for (const name of ['x1', 'x2', 'x3']) enter(name);
    for (let i = 0; i < 9; i++) end(started.at(-1) ?? '');
    expect(started).toEqual(['a1', 'b1', 'x1', 'c1', 'x2', 'a2', 'x3', 'b2', 'c2']);
  });

  test('forgets who gave up, and ends each request once', () => {
    const { started, enter, end } = rig();
    for (const name of ['a1', 'b1', 'c1']) enter(name);
    end('b1');
    end('a1');
    end('a1');
    expect(started).toEqual(['a1', 'c1']);
    enter('d1');
    expect(started).toEqual(['a1', 'c1']);
  });
});

test('a client with a share waits for itself alone, at all upstreams together', () => {
  const { started, enter, end } = rig();
  const more = { capacity: undefined, share: 1 };
  enter('a1', more);
  enter('a2', { ...more, upstream: 'v' });
  enter('b1', { ...more, upstream: 'v' });
  expect(started).toEqual(['a1', 'b1']);
  end('a1');
  expect(started).toEqual(['a1', 'b1', 'a2']);
});

test('too many that wait are refused with the time to come again, and take no place', () => {
  const { started, enter, end } = rig({ perClient: 2, total: 3 });
  for (const name of ['a1', 'a2', 'a3']) enter(name);
  const refused = { code: 'E_RATE_LIMITED', retryAfterMs: 5_000 };
  expect(() => enter('a4')).toThrow(expect.objectContaining(refused));
  enter('b1');
  expect(() => enter('c1')).toThrow(expect.objectContaining(refused));
  end('a2');
  enter('c1');
  for (const name of ['a1', 'a3', 'b1']) end(name);
  expect(started).toEqual(['a1', 'a3', 'b1', 'c1']);
});

test('of those that may wait one subject has half, however many clients it has', () => {
  const { enter } = rig({ perClient: 2, total: 8 });
  const guest = { subject: 'invitation' };
  for (const name of ['a1', 'b1', 'c1', 'd1', 'e1']) enter(name, guest);
  expect(() => enter('f1', guest)).toThrow(expect.objectContaining({ code: 'E_RATE_LIMITED' }));
  expect(() => enter('x1')).not.toThrow();
});

test('who waits can be told that it is over', async () => {
  const { queue, enter, end, started } = rig();
  enter('a1');
  const gone = new AbortController();
  const turn = queue.turn({ upstream: 'u', capacity: 1, client: 'b', subject: 'b' }, gone.signal);
  enter('c1');
  gone.abort(new Error('gone'));
  await expect(turn).rejects.toThrow('gone');
  end('a1');
  expect(started).toEqual(['a1', 'c1']);
  end('c1');
  const leave = await queue.turn(
    { upstream: 'u', capacity: 1, client: 'b', subject: 'b' },
    new AbortController().signal,
  );
  expect(queue.at('u')).toEqual({ running: 1, waiting: 0 });
  leave();
  await expect(queue.turn({ upstream: 'u', client: 'b', subject: 'b' }, gone.signal)).rejects.toThrow('gone');
});

describe('whatever is asked and ended in whichever order', () => {
  const CAPACITY: Record<string, number | undefined> = { u: 1, v: 3, w: undefined };
  const SHARE: Record<string, number | undefined> = { a: 1, b: 2, c: undefined, d: undefined };
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('enter' as const),
      upstream: fc.constantFrom('u', 'v', 'w'),
      client: fc.constantFrom('a', 'b', 'c', 'd'),
    }),
    fc.record({ kind: fc.constant('end' as const), which: fc.nat() }),
  );
  interface Request {
    upstream: string;
    client: string;
    state: 'waiting' | 'running';
    /** Times that each other client was served while this one was the first of its client and could have run. */
    passed: Map<string, number>;
    end(): void;
  }

  test('limits hold, no place stays empty, everybody has turns, and nothing is left behind', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new FairQueue(LIMITS);
        const open: Request[] = [];
        const running = (by: 'upstream' | 'client', name: string) =>
          open.filter((request) => request.state === 'running' && request[by] === name).length;
        const couldRun = ({ upstream, client }: Request) =>
          running('upstream', upstream) < (CAPACITY[upstream] ?? 1e9) &&
          running('client', client) < (SHARE[client] ?? 1e9);
        const check = () => {
          for (const [upstream, capacity = 1e9] of Object.entries(CAPACITY)) {
            expect(running('upstream', upstream)).toBeLessThanOrEqual(capacity);
            const waiting = open.filter((request) => request.state === 'waiting' && request.upstream === upstream);
            expect(queue.at(upstream)).toEqual({ running: running('upstream', upstream), waiting: waiting.length });
            // Work-conserving.
            expect(waiting.filter(couldRun)).toEqual([]);
          }
          for (const [client, share = 1e9] of Object.entries(SHARE)) {
            expect(running('client', client)).toBeLessThanOrEqual(share);
          }
        };
        const enter = (upstream: string, client: string) => {
          const request: Request = { upstream, client, state: 'waiting', passed: new Map(), end: () => {} };
          open.push(request);
          request.end = queue.enter(
            { upstream, capacity: CAPACITY[upstream], client, subject: client, share: SHARE[client] },
            () => {
              const before = open.filter(
                (other) =>
                  other.state === 'waiting' &&
                  other.upstream === upstream &&
                  other.client !== client &&
                  running('client', other.client) < (SHARE[other.client] ?? 1e9),
              );
              const first = new Map(before.toReversed().map((other) => [other.client, other]));
              for (const other of first.values()) {
                const times = (other.passed.get(client) ?? 0) + 1;
                // Those without a share are never skipped, so nobody is served twice before them.
                if (SHARE[other.client] === undefined) expect(times).toBeLessThanOrEqual(1);
                other.passed.set(client, times);
              }
              request.state = 'running';
            },
          );
        };
        for (const next of steps) {
          if (next.kind === 'enter') enter(next.upstream, next.client);
          else {
            const [request] = open.splice(next.which % Math.max(1, open.length), 1);
            request?.end();
          }
          check();
        }
        while (open.length > 0) {
          open.shift()?.end();
          check();
        }
      }),
      { numRuns: 300 },
    );
  });
});
