/** Whether what the agent holds is flat. */
import type { Held } from './agent.ts';

export interface Verdict {
  /** Hours before which nothing is compared: code is compiled and pools fill. */
  warmUp: number;
  /** Slope of the reachable heap in bytes an hour, by least squares, after the warm-up. */
  heapSlope: number;
  /** From the first to the last hour after the warm-up, in bytes: reachable heap, buffers outside of it, all of RSS. */
  heapGrowth: number;
  externalGrowth: number;
  rssGrowth: number;
  problems: string[];
}

/**
 * Bounds of what is noise: caches of werift, of V8's code and of the ledger's kind. A session that is never freed holds
 * 100 kB and more (DTLS, SCTP, buffers), and there are dozens in an hour.
 */
const MAX_HEAP_SLOPE = 150_000;
const MAX_GROWTH = 4_000_000;
/** What the allocator keeps differs from hour to hour. */
const MAX_RSS_GROWTH = 40_000_000;
const MAX_MORE_TIMERS = 20;

/**
 * Descriptors are compared by the least that an hour of the first and of the last quarter held: some of an hour with a
 * long sleep close only in the next, and what has leaked is there in all hours.
 */
export function verdictOf(hours: readonly Held[]): Verdict {
  const warmUp = hours.length >= 8 ? 3 : 1;
  const later = hours.slice(warmUp);
  const [first, last] = [later[0], later.at(-1)];
  if (first === undefined || last === undefined || later.length < 2) {
    return { warmUp, heapSlope: 0, heapGrowth: 0, externalGrowth: 0, rssGrowth: 0, problems: ['too few hours'] };
  }
  const heapSlope = slope(later.map(({ heapUsed }) => heapUsed));
  const heapGrowth = last.heapUsed - first.heapUsed;
  const externalGrowth = last.external - first.external;
  const rssGrowth = last.rss - first.rss;
  const problems: string[] = [];
  const check = (what: string, value: number, limit: number) => {
    if (value > limit) problems.push(`${what}: ${Math.round(value)} is over ${limit}`);
  };
  // Three points are no line.
  if (later.length >= 8) check('heap, bytes an hour', heapSlope, MAX_HEAP_SLOPE);
  check('growth of the heap', heapGrowth, MAX_GROWTH);
  check('growth of buffers', externalGrowth, MAX_GROWTH);
  check('growth of RSS', rssGrowth, MAX_RSS_GROWTH);
  check('more timers', last.timers - first.timers, MAX_MORE_TIMERS);
  const part = Math.ceil(later.length / 4);
  for (const kind of new Set(later.flatMap(({ descriptors }) => Object.keys(descriptors)))) {
    const least = (some: readonly Held[]) => Math.min(...some.map(({ descriptors }) => descriptors[kind] ?? 0));
    check(`more descriptors (${kind})`, least(later.slice(-part)) - least(later.slice(0, part)), 0);
  }
  check('children', last.children, 0);
  return { warmUp, heapSlope, heapGrowth, externalGrowth, rssGrowth, problems };
}

function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2;
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length;
  let [over, under] = [0, 0];
  for (const [x, y] of values.entries()) {
    over += (x - meanX) * (y - meanY);
    under += (x - meanX) ** 2;
  }
  return over / under;
}
