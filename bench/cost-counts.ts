/** What the counting Worker (cost-worker.ts) counts, and what Cloudflare makes of it. */

/** Sums over all objects of one class. */
export interface ObjectCounts {
  /** Objects that had an event. */
  objects: number;
  /** Times that one was made: at first, and when something came after its eviction. */
  constructions: number;
  fetches: number;
  /** Calls from outside; an object's calls of its own methods are none. */
  calls: number;
  alarms: number;
  /** Incoming WebSocket messages, without those that the runtime answers by itself. */
  messages: number;
  rowsRead: number;
  rowsWritten: number;
  /**
   * Time with an event that is not over (a response is when its body has ended) or with a timer that has not fired:
   * then an object runs or cannot hibernate, and is billed. Code that never waits takes no time on workerd's clock.
   */
  billedMs: number;
  /** Likewise, until it would be evicted, 10 s after its last event: what it would cost if that were billed too. */
  inMemoryMs: number;
}

export interface Counts {
  workerRequests: number;
  /** By the name of the class. */
  classes: Record<string, ObjectCounts>;
}

export const NO_COUNTS: ObjectCounts = {
  objects: 0,
  constructions: 0,
  fetches: 0,
  calls: 0,
  alarms: 0,
  messages: 0,
  rowsRead: 0,
  rowsWritten: 0,
  billedMs: 0,
  inMemoryMs: 0,
};

/** What Cloudflare counts, for all classes together. */
export interface Bill {
  workerRequests: number;
  /** https://developers.cloudflare.com/durable-objects/platform/pricing: HTTP requests, RPC calls, alarms, messages. */
  objectRequests: number;
  gigabyteSeconds: number;
  rowsRead: number;
  rowsWritten: number;
}

/** https://developers.cloudflare.com/workers/platform/limits and …/durable-objects/platform/pricing, a day. */
export const FREE_PLAN: Bill = {
  workerRequests: 100_000,
  objectRequests: 100_000,
  gigabyteSeconds: 13_000,
  rowsRead: 5_000_000,
  rowsWritten: 100_000,
};

/** Incoming WebSocket messages that make one billed request; outgoing ones are free (the same page, footnote 2). */
const MESSAGES_PER_REQUEST = 20;
/** Each object is billed as if it had this much memory, however much it uses (the same page, footnote 4). */
const OBJECT_GIGABYTES = 0.128;

export function add(a: ObjectCounts, b: ObjectCounts): ObjectCounts {
  return combine(a, b, (a, b) => a + b);
}

/** All classes together. */
export function total({ classes }: Counts): ObjectCounts {
  return Object.values(classes).reduce(add, NO_COUNTS);
}

/** What came after `before`. */
export function since(before: Counts, after: Counts): Counts {
  const classes = Object.entries(after.classes).map(([name, counts]) => [
    name,
    combine(counts, before.classes[name] ?? NO_COUNTS, (a, b) => a - b),
  ]);
  return { workerRequests: after.workerRequests - before.workerRequests, classes: Object.fromEntries(classes) };
}

export function bill(counts: Counts): Bill {
  const { fetches, calls, alarms, messages, billedMs, rowsRead, rowsWritten } = total(counts);
  return {
    workerRequests: counts.workerRequests,
    objectRequests: fetches + calls + alarms + messages / MESSAGES_PER_REQUEST,
    gigabyteSeconds: (billedMs / 1000) * OBJECT_GIGABYTES,
    rowsRead,
    rowsWritten,
  };
}

/** How often a day has room for it on the free plan, and what ends it. */
export function fits(bill: Bill): { times: number; limit: keyof Bill } {
  const all = (Object.keys(FREE_PLAN) as (keyof Bill)[]).map((limit) => ({
    limit,
    times: Math.floor(FREE_PLAN[limit] / bill[limit]),
  }));
  return all.reduce((least, one) => (one.times < least.times ? one : least));
}

function combine(a: ObjectCounts, b: ObjectCounts, join: (a: number, b: number) => number): ObjectCounts {
  const result = { ...a };
  for (const key of Object.keys(NO_COUNTS) as (keyof ObjectCounts)[]) result[key] = join(a[key], b[key]);
  return result;
}
