import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeStun, METHOD } from './stun.ts';
import { TurnFraming } from './turn-carrier.ts';

function channelData(length: number, fill: number): Buffer {
  const bytes = Buffer.alloc(4 + length, fill);
  bytes.writeUInt16BE(0x4000, 0);
  bytes.writeUInt16BE(length, 2);
  return bytes;
}

const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

test('a stream is cut into its messages, however it arrives', () => {
  const message = fc.oneof(
    fc.tuple(fc.nat(300), fc.nat(255)).map(([length, fill]) => channelData(length, fill)),
    fc.nat(100).map((length) =>
      encodeStun({
        class: 'indication',
        method: METHOD.data,
        transactionId: randomBytes(12),
        attributes: [[0x13, Buffer.alloc(length, 1)]],
      }),
    ),
  );
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 50 })), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(padded));
      const framing = new TurnFraming();
      const found: Buffer[] = [];
      let at = 0;
      for (const cut of [...cuts, stream.length]) {
        found.push(...framing.push(stream.subarray(at, at + cut)));
        at += cut;
      }
      expect(found.map((each) => each.toString('hex'))).toEqual(messages.map((each) => each.toString('hex')));
    }),
  );
});

test('what is neither STUN nor ChannelData ends it, at once', () => {
  expect(() => new TurnFraming().push(Buffer.from([0x80, 0, 0, 0]))).toThrow('neither');
  const framing = new TurnFraming();
  // Announced in full, but it never comes: at most one message waits.
  framing.push(channelData(65_535, 0).subarray(0, 60_000));
  expect(framing.push(Buffer.alloc(5_539)).length).toBe(0);
  expect(framing.push(Buffer.alloc(1)).length).toBe(1);
});
