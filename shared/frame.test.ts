import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import { arbitraryFrame } from './test-frames.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** Wire fixtures, checked in both directions. They are the protocol: a change here is a new PROTOCOL_VERSION. */
const fixtures: [name: string, hex: string, frame: Frame][] = [
  ['PING', '01 07', { type: 'PING', nonce: 7 }],
  ['PONG', '02 4040', { type: 'PONG', nonce: 64 }],
  ['RESET_STREAM', '04 03 4fae 8000 ffff', { type: 'RESET_STREAM', id: 3, code: 4014, finalSize: 65_535 }],
  ['STOP_SENDING', '05 00 4fae', { type: 'STOP_SENDING', id: 0, code: 4014 }],
  ['STREAM', '08 01 05 02 6869', { type: 'STREAM', id: 1, offset: 5, data: bytes('6869'), fin: false }],
  ['STREAM with FIN', '09 01 07 00', { type: 'STREAM', id: 1, offset: 7, data: new Uint8Array(0), fin: true }],
  ['MAX_DATA', '10 8040 0000', { type: 'MAX_DATA', max: 4_194_304 }],
  ['MAX_STREAM_DATA', '11 02 0a 801e 8480', { type: 'MAX_STREAM_DATA', id: 2, received: 10, max: 2_000_000 }],
  ['MAX_STREAMS', '12 4080', { type: 'MAX_STREAMS', max: 128 }],
  ['CONNECTION_CLOSE', '1c 4fa0 02 6f6b', { type: 'CONNECTION_CLOSE', code: 4000, reason: 'ok' }],
  ['HELLO', '20 02 7b7d', { type: 'HELLO', json: '{}' }],
  ['an 8-byte number', '01 c01f ffff ffff ffff', { type: 'PING', nonce: Number.MAX_SAFE_INTEGER }],
];

const frame = arbitraryFrame(fc.oneof(fc.nat(100), fc.nat(2 ** 31 - 1), fc.maxSafeNat()), 200);

describe('frames on the wire', () => {
  test.each(fixtures)('%s', (_name, hex, frame) => {
    expect(Buffer.from(encodeFrames([frame])).toString('hex')).toBe(hex.replaceAll(' ', ''));
    expect(decodeFrames(bytes(hex))).toEqual([frame]);
  });

  test('any list of frames survives the wire', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 8 }), (frames) => {
        expect(decodeFrames(encodeFrames(frames))).toEqual(frames);
      }),
    );
  });

  test('numbers may take more bytes than they need, as in QUIC', () => {
    expect(decodeFrames(bytes('4001 8000 0007'))).toEqual([{ type: 'PING', nonce: 7 }]);
  });
});

describe('hostile bytes', () => {
  test('decoding throws nothing but ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (message) => {
        try {
          decodeFrames(message);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('every truncation of a valid message is refused or is a shorter list of the same frames', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), fc.nat(), (frames, cut) => {
        const whole = encodeFrames(frames);
        const part = whole.subarray(0, cut % whole.length);
        try {
          const decoded = decodeFrames(part);
          expect(decoded.length).toBeLessThan(frames.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });

  test.each([
    ['an empty message', ''],
    ['an unknown type', '3f'],
    ['a number over 2^53 - 1', '01 c020 0000 0000 0000'],
    ['data that is shorter than its length', '08 01 00 05 6869'],
    ['a stream past 2^53 - 2', '08 01 c01f ffff ffff ffff 00'],
    ['a reason that is not UTF-8', '1c 00 01 ff'],
    ['a reason over the limit', '1c 00 4201'],
    ['a HELLO over the limit', '20 5001'],
  ])('%s', (_name, hex) => {
    expect(() => decodeFrames(bytes(hex))).toThrow(ProtocolError);
  });
});
