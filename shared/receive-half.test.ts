import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReceiveHalf } from './receive-half.ts';

const CREDIT = 1024 * 1024;

function make(): ReceiveHalf {
  return new ReceiveHalf(0, { credit: CREDIT, wake: () => {}, arrived: () => {}, consumed: () => {} });
}

/** As a frame of a message of `length` bytes. */
function within(length: number, bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(Math.max(length, bytes.length));
  message.set(bytes, message.length - bytes.length);
  return message.subarray(message.length - bytes.length);
}

test('bytes that come one by one are held together, and not with the messages that they came in', async () => {
  const half = make();
  for (let offset = 0; offset < 20_000; offset++) {
    const data = within(65_536, Uint8Array.of(offset % 251));
    half.receive({ type: 'STREAM', id: 0, offset, data, fin: offset === 19_999 });
  }
  const parts: Uint8Array[] = [];
  for (let part = await half.read(); part !== null; part = await half.read()) parts.push(part);
  expect(parts.length).toBeLessThan(10);
  expect(parts.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)).toBeLessThan(40_000);
  expect(Buffer.concat(parts)).toEqual(Buffer.from(Array.from({ length: 20_000 }, (_, i) => i % 251)));
});

test('however bytes come and are read, they are the same', async () => {
  const piece = fc.record({
    length: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 9_000 })),
    message: fc.constantFrom(0, 100, 5_000, 65_536),
    repeated: fc.integer({ min: 0, max: 20 }),
    reads: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const half = make();
      const sent: number[] = [];
      const read: Promise<void>[] = [];
      const got: Buffer[] = [];
      let isReading = false;
      const take = () => {
        if (isReading) return;
        isReading = true;
        read.push(
          half.read().then((part) => {
            isReading = false;
            if (part !== null) got.push(Buffer.from(part));
          }),
        );
      };
      for (const { length, message, repeated, reads } of pieces) {
        if (reads) take();
        const from = Math.max(0, sent.length - repeated);
        for (let i = 0; i < length; i++) sent.push((sent.length * 7) % 256);
        const data = within(message, Uint8Array.from(sent.slice(from)));
        half.receive({ type: 'STREAM', id: 0, offset: from, data, fin: false });
        await Promise.resolve();
      }
      half.receive({ type: 'STREAM', id: 0, offset: sent.length, data: new Uint8Array(0), fin: true });
      await Promise.all(read);
      for (let part = await half.read(); part !== null; part = await half.read()) got.push(Buffer.from(part));
      expect(Buffer.concat(got).equals(Buffer.from(sent))).toBe(true);
    }),
    { numRuns: 300 },
  );
});
