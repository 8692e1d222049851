/** For the chaos test: what may happen to a session, and what its streams carry. */
import fc from 'fast-check';
import { INITIAL_STREAM_CREDIT, MAX_CONCURRENT_STREAMS, MAX_LANES, SESSION_SURVIVAL_MS } from './limits.ts';
import type { PathKind } from './path.ts';

export interface PathPlan {
  atMs: number;
  kind: PathKind;
  /** Its other kind later: ICE changed its mind. */
  becomes: { kind: PathKind; afterMs: number } | undefined;
  delayMs: number;
  jitterMs: number;
  queueBytes: number;
  maxMessageBytes: number;
  lanes: number;
  /** For a while nothing arrives, but later it does. */
  stall: { afterMs: number; forMs: number } | undefined;
  end: { afterMs: number; how: Ending; up: number; down: number } | undefined;
}

export type Ending = 'cut' | 'seen by the client' | 'seen by the agent' | 'silent' | 'silent up' | 'silent down';

/** One direction of a stream. */
export interface Half {
  bytes: number;
  chunk: number;
  /** Pauses of the writer and of the reader after each chunk, in ms; mostly none. */
  writePause: number;
  readPause: number;
  /** Given up after so many bytes: the writer resets, or the reader stops. */
  gives: { by: 'reset' | 'stop'; after: number } | undefined;
}

export interface StreamPlan {
  atMs: number;
  up: Half;
  down: Half;
}

export interface Scenario {
  paths: PathPlan[];
  streams: StreamPlan[];
  /** So many empty streams besides, all at once: more than may be open. */
  burst: number;
  /** The agent's process ends and begins again. */
  restartMs: number | undefined;
  /** From the last event to the path that stays. */
  rescueMs: number;
  salt: number;
}

const often = <T>(usual: fc.Arbitrary<T>, weight: number, rare: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: usual, weight }, { arbitrary: rare, weight: 1 });
/** A value once in `times` times, and else nothing. */
const rarely = <T>(value: fc.Arbitrary<T>, times: number) => often(fc.constant(undefined), times - 1, value);
const share = fc.constantFrom(0, 0.25, 0.5, 0.75, 1);

const pathPlan: fc.Arbitrary<PathPlan> = fc.record({
  atMs: often(fc.nat(300), 3, fc.nat(20_000)),
  kind: fc.constantFrom<PathKind>('relay', 'direct', 'turn'),
  becomes: rarely(fc.record({ kind: fc.constantFrom<PathKind>('direct', 'turn'), afterMs: fc.nat(2000) }), 5),
  delayMs: often(fc.nat(40), 4, fc.nat(600)),
  jitterMs: often(fc.constant(0), 1, fc.nat(60)),
  queueBytes: fc.constantFrom(256 * 1024, 32 * 1024, 2000),
  maxMessageBytes: fc.constantFrom(65_536, 16_384, 1200),
  lanes: fc.constantFrom(1, 3, MAX_LANES),
  stall: rarely(fc.record({ afterMs: fc.nat(1000), forMs: fc.nat(6000) }), 4),
  end: fc.option(
    fc.record({
      afterMs: often(fc.nat(400), 3, fc.nat(30_000)),
      how: fc.constantFrom<Ending>(
        'cut',
        'seen by the client',
        'seen by the agent',
        'silent',
        'silent up',
        'silent down',
      ),
      up: share,
      down: share,
    }),
    { nil: undefined, freq: 4 },
  ),
});

const half: fc.Arbitrary<Half> = fc.record({
  bytes: fc.oneof(
    { arbitrary: fc.nat(2), weight: 2 },
    { arbitrary: fc.nat(4000), weight: 5 },
    { arbitrary: fc.nat(100_000), weight: 2 },
    { arbitrary: fc.nat(INITIAL_STREAM_CREDIT * 2), weight: 1 },
  ),
  chunk: fc.integer({ min: 1, max: 40 }).map((n) => n * 100),
  writePause: often(fc.constant(0), 2, fc.nat(50)),
  readPause: often(fc.constant(0), 3, fc.nat(30)),
  gives: rarely(fc.record({ by: fc.constantFrom('reset' as const, 'stop' as const), after: fc.nat(6000) }), 6),
});

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  paths: fc.array(pathPlan, { minLength: 1, maxLength: 5 }),
  streams: fc.array(fc.record({ atMs: often(fc.nat(400), 4, fc.nat(20_000)), up: half, down: half }), {
    minLength: 1,
    maxLength: 4,
  }),
  burst: often(fc.constant(0), 20, fc.nat(2 * MAX_CONCURRENT_STREAMS)),
  restartMs: rarely(often(fc.nat(1000), 2, fc.nat(20_000)), 12),
  rescueMs: often(fc.nat(2000), 6, fc.nat(SESSION_SURVIVAL_MS + 30_000)),
  salt: fc.nat(),
});

const POOL = Uint8Array.from({ length: 1 << 17 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 11) & 0xff);

/** What a direction of a stream carries from `offset` on, at most `length` bytes. */
export function content(key: number, offset: number, length: number): Uint8Array {
  const from = (key * 7919 + offset) % POOL.length;
  return POOL.subarray(from, Math.min(POOL.length, from + length));
}

/** Whether `got` is what it carries there. */
export function sameContent(key: number, offset: number, got: Uint8Array): boolean {
  for (let at = 0; at < got.length; ) {
    const part = content(key, offset + at, got.length - at);
    if (Buffer.compare(part, got.subarray(at, at + part.length)) !== 0) return false;
    at += part.length;
  }
  return true;
}
