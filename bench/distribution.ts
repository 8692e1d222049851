/** Delays of tokens as a distribution, and which of them a lost packet has held up. */
import { quantile } from './statistics.ts';

export interface Distribution {
  count: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

export function distribution(values: readonly number[]): Distribution {
  const at = (share: number) => quantile(values, share);
  const max = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  return { count: values.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max };
}

/** One token: its stream, when it was written, and how long it took to come. */
export interface Arrival {
  stream: number;
  atMs: number;
  delayMs: number;
}

export interface Held {
  /** Tokens that took longer than one lost packet takes to be noticed. */
  late: number;
  /** Late ones in streams of which nothing was in the lost packet. */
  byOthers: number;
  /** For each lost packet, how many streams were late. */
  streams: number[];
}

/** What arrives within this time came with one packet. */
const TOGETHER_MS = 1;

/**
 * Who waited for whom. Tokens that are late and arrive together were released by one packet that had been lost. What
 * was in that packet is what had been written first of them (within a millisecond); the other streams among them have
 * waited for something that was none of theirs. An estimate, since a page does not see packets: two that are lost within
 * a round trip and found together count as one.
 *
 * `lateMs`: a delay from which on a token is late.
 */
export function heldUp(arrivals: readonly Arrival[], lateMs: number): Held {
  const late = arrivals
    .filter(({ delayMs }) => delayMs >= lateMs)
    .map((arrival) => ({ ...arrival, cameMs: arrival.atMs + arrival.delayMs }))
    .sort((a, b) => a.cameMs - b.cameMs);
  const held: Held = { late: late.length, byOthers: 0, streams: [] };
  for (let from = 0; from < late.length; ) {
    const first = late[from];
    if (first === undefined) break;
    let to = from;
    let cameMs = first.cameMs;
    for (let next = late[to]; next !== undefined && next.cameMs - cameMs <= TOGETHER_MS; next = late[++to]) {
      cameMs = next.cameMs;
    }
    const together = late.slice(from, to);
    const writtenMs = Math.min(...together.map(({ atMs }) => atMs));
    const lost = new Set(together.filter(({ atMs }) => atMs - writtenMs <= TOGETHER_MS).map(({ stream }) => stream));
    held.byOthers += together.filter(({ stream }) => !lost.has(stream)).length;
    held.streams.push(new Set(together.map(({ stream }) => stream)).size);
    from = to;
  }
  return held;
}
