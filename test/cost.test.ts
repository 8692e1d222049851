import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bill, type Counts, FREE_PLAN, fits, NO_COUNTS, total } from '../bench/cost-counts.ts';
import { CountingStack } from '../bench/cost-stack.ts';
import { OWNER_TOKEN } from './stack.ts';

const ofHost = (counts: object): Counts => ({
  workerRequests: 0,
  classes: { HostObject: { ...NO_COUNTS, ...counts } },
});

describe('the bill', () => {
  test('has a request for each call and alarm, and one for 20 messages', () => {
    const counts = ofHost({ fetches: 1, calls: 2, alarms: 3, messages: 40 });
    expect(bill(counts).objectRequests).toBe(8);
  });

  test('has 128 MB for each second that is billed, and none for one that is not', () => {
    expect(bill(ofHost({ billedMs: 10_000, inMemoryMs: 20_000 })).gigabyteSeconds).toBeCloseTo(1.28);
  });

  test('says which limit of the free plan ends a day', () => {
    expect(fits({ ...FREE_PLAN, gigabyteSeconds: 1300 })).toEqual({ times: 1, limit: 'workerRequests' });
    expect(fits({ ...FREE_PLAN, workerRequests: 0, objectRequests: 0, rowsRead: 0, gigabyteSeconds: 1 })).toEqual({
      times: 1,
      limit: 'rowsWritten',
    });
  });
});

describe('the counting edge', () => {
  let counting: CountingStack;
  beforeAll(async () => {
    counting = await CountingStack.start();
  });
  afterAll(() => counting?.close());

  const count = async (run: () => Promise<unknown>) => (await counting.measure(run)).counts;
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${counting.stack.edge.url}${path}`, { ...init, headers: { authorization: `Bearer ${OWNER_TOKEN}` } });

  /** What it costs to know that a request is the owner's: from this address the owner has come before. */
  const asking = { calls: 1, fetches: 0, rowsWritten: 0 };

  test('sees a tunnelled request as one of the Worker, one of the account, and one of its object, which stays awake', async () => {
    await ask('/_direct/h/home');
    const counts = await count(async () =>
      expect((await ask('/v1/test/trickle?n=5&ms=40')).text()).resolves.toContain('4'),
    );
    expect(counts.workerRequests).toBe(1);
    const { objects, fetches, calls, messages, billedMs } = counts.classes.HostObject ?? NO_COUNTS;
    expect(counts.classes.AccountObject).toMatchObject(asking);
    // The object itself is known since the agent connected.
    expect({ objects, fetches, calls }).toEqual({ objects: 0, fetches: 1, calls: 0 });
    expect(messages).toBeGreaterThan(0);
    // Five lines, 40 ms each; Node's timers may be a millisecond early.
    expect(billedMs).toBeGreaterThanOrEqual(190);
  });

  test('sees nothing of an idle agent, nor of itself', async () => {
    // What the request before left behind is over.
    await expect
      .poll(async () => total(await count(() => new Promise((resolve) => setTimeout(resolve, 100)))).billedMs)
      .toBe(0);
    const counts = await count(() => new Promise((resolve) => setTimeout(resolve, 300)));
    expect({ ...total(counts), inMemoryMs: 0 }).toEqual(NO_COUNTS);
    expect(counts.workerRequests).toBe(0);
  });

  test('sees the calls between objects, and rows, of a signaling session', async () => {
    const counts = await count(async () => {
      const created = await ask('/_direct/h/home/session', { method: 'POST' });
      expect(created.status).toBe(201);
    });
    expect(counts.workerRequests).toBe(1);
    expect(counts.classes.AccountObject).toMatchObject(asking);
    expect(counts.classes.SessionObject).toMatchObject({ objects: 1, calls: 1 });
    expect(counts.classes.HostObject).toMatchObject({ objects: 0, calls: 1 });
    // The session and its alarm; the host counts admissions.
    expect(counts.classes.SessionObject?.rowsWritten).toBe(2);
    expect(counts.classes.HostObject?.rowsWritten).toBe(1);
  });
});
