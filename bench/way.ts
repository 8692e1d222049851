/** A way between a page and what answers it. */
import type { BulkMeasured } from './in-page.ts';

export interface StreamsAsked {
  streams: number;
  seconds: number;
  /** Between two tokens of a stream. */
  everyMs: number;
}

export interface Way {
  /** 1 KB there and back. `index`: which of several at once. */
  small(index: number): Promise<void>;
  /** Until the first byte of a stream. */
  first(): Promise<void>;
  /** Resolves at the end of all streams. `token` gets the time at which each was written. */
  tokens(asked: StreamsAsked, token: (stream: number, at: number) => void): Promise<void>;
  /** Reads writes of `chunk` bytes until `signal`. */
  down(chunk: number, bytes: (count: number) => void, signal: AbortSignal): Promise<void>;
  /** Writes for `warmMs` + `ms`; the other end measures. */
  up(chunk: number, warmMs: number, ms: number): Promise<BulkMeasured>;
}

export const SMALL_BYTES = 1024;
