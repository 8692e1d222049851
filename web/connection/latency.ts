/** How long requests took to their first byte: numbers, and where they lie in a picture. */
import type { ClientPath, RequestRecord } from '../client/index.ts';

export interface Sample {
  /** Milliseconds since `connect`. */
  at: number;
  way: ClientPath;
  firstByteMs: number;
  name: string;
}

/** Those whose response began. */
export function samplesOf(requests: readonly RequestRecord[]): Sample[] {
  return requests.flatMap(({ at, way, firstByteMs, method, path }) =>
    firstByteMs === undefined ? [] : [{ at, way, firstByteMs, name: `${method} ${path}` }],
  );
}

/** Undefined without numbers. */
export function median(numbers: readonly number[]): number | undefined {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  const lower = sorted[Math.ceil(middle) - 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

export interface WayLatency {
  way: ClientPath;
  count: number;
  median: number;
}

const ORDER: readonly ClientPath[] = ['direct', 'turn', 'relay', 'tunnel', 'offline'];

/** One line for each way that was used, best way first. */
export function latencies(samples: readonly Sample[]): WayLatency[] {
  return ORDER.flatMap((way) => {
    const times = samples.filter((sample) => sample.way === way).map(({ firstByteMs }) => firstByteMs);
    const middle = median(times);
    return middle === undefined ? [] : [{ way, count: times.length, median: middle }];
  });
}

/** `0.8 ms`, `34 ms`, `1.2 s` */
export function duration(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export interface Area {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface Tick {
  position: number;
  label: string;
}

export interface Plot {
  points: (Sample & { x: number; y: number })[];
  /** Of the time to the first byte. */
  rows: Tick[];
  /** Of the time since `connect`. */
  columns: Tick[];
}

/** A picture of less says nothing. */
const MIN_SPAN_MS = 10_000;
const COLUMNS = 2;

/**
 * Upwards the time to the first byte, by powers of ten: a list of models takes milliseconds, a model that thinks takes
 * minutes. To the right the time since `connect`.
 */
export function plotOf(samples: readonly Sample[], area: Area): Plot {
  const times = samples.map(({ at }) => at);
  const begin = samples.length === 0 ? 0 : Math.min(...times);
  const span = Math.max(MIN_SPAN_MS, samples.length === 0 ? 0 : Math.max(...times) - begin);
  const logs = samples.map(({ firstByteMs }) => Math.log10(Math.max(1, firstByteMs)));
  const low = Math.floor(Math.min(...logs, 1));
  const high = Math.max(low + 1, Math.ceil(Math.max(...logs, 2)));
  const x = (at: number) => area.left + ((at - begin) / span) * (area.right - area.left);
  const y = (log: number) => area.bottom - ((log - low) / (high - low)) * (area.bottom - area.top);
  return {
    points: samples.map((sample, index) => ({ ...sample, x: x(sample.at), y: y(logs[index] ?? low) })),
    rows: Array.from({ length: high - low + 1 }, (_, index) => {
      const ms = 10 ** (low + index);
      return { position: y(low + index), label: ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s` };
    }),
    columns: Array.from({ length: COLUMNS + 1 }, (_, index) => {
      const at = begin + (span * index) / COLUMNS;
      return { position: x(at), label: columnLabel(at) };
    }),
  };
}

function columnLabel(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
