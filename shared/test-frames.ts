/** For tests: any frame, with numbers and data of the given kind. */
import fc from 'fast-check';
import type { Frame } from './frame.ts';

export function arbitraryFrame(number: fc.Arbitrary<number>, maxData: number): fc.Arbitrary<Frame> {
  // An offset and its data together stay a number.
  const offset = number.map((value) => value % 2 ** 31);
  const text = fc.string({ maxLength: 100 }).filter((value) => value.isWellFormed());
  return fc.oneof(
    fc.record({ type: fc.constant('PING' as const), nonce: number }),
    fc.record({ type: fc.constant('PONG' as const), nonce: number }),
    fc.record({ type: fc.constant('RESET_STREAM' as const), id: number, code: number, finalSize: number }),
    fc.record({ type: fc.constant('STOP_SENDING' as const), id: number, code: number }),
    fc.record({
      type: fc.constant('STREAM' as const),
      id: number,
      offset,
      data: fc.uint8Array({ maxLength: maxData }),
      fin: fc.boolean(),
    }),
    fc.record({ type: fc.constant('MAX_DATA' as const), max: number }),
    fc.record({ type: fc.constant('MAX_STREAM_DATA' as const), id: number, received: number, max: number }),
    fc.record({ type: fc.constant('MAX_STREAMS' as const), max: number }),
    fc.record({ type: fc.constant('CONNECTION_CLOSE' as const), code: number, reason: text }),
    fc.record({ type: fc.constant('HELLO' as const), json: text }),
    fc.record({ type: fc.constant('USE_PATH' as const), sequence: number }),
    fc.record({ type: fc.constant('LANE' as const), id: number, lane: number }),
  );
}
