/** werift's SCTP with our patches (patches/README.md): what a peer may put into packets. Only it can: DTLS is below. */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { crc32c } from 'werift';
import {
  chunk,
  connected,
  data,
  FIRST,
  LAST,
  message,
  packet,
  sack,
  TYPES,
  takeUnharmed,
  typesOf,
  useSimulatedTime,
  works,
} from './test-sctp.ts';

beforeEach(useSimulatedTime);
afterEach(() => {
  vi.useRealTimers();
});

test.each([0, 1, 2, 3])('a chunk whose length is %i is dropped with its packet', async (length) => {
  const [a, b] = await connected();
  for (const type of [...TYPES, 77, 255]) {
    b.take(packet(b, [chunk(type, length)]));
    b.take(packet(b, [chunk(type, length, Buffer.alloc(20))]));
  }
  expect(await works(a, b)).toBe(true);
});

test.each([0, 1, 2, 3, 60_000])('a parameter whose length is %i is dropped with its packet', async (length) => {
  const [a, b] = await connected();
  const parameter = chunk(0, length, Buffer.alloc(8));
  for (const type of [4, 5, 9, 130]) b.take(packet(b, [chunk(type, 4 + parameter.length, parameter)]));
  for (const type of [1, 2]) {
    const init = Buffer.concat([Buffer.alloc(16), parameter]);
    b.take(packet(b, [chunk(type, 4 + init.length, init)]));
  }
  expect(await works(a, b)).toBe(true);
});

test('truncated chunks of all types are dropped', async () => {
  const [a, b] = await connected();
  for (const type of TYPES.filter((type) => ![6, 7, 8, 14].includes(type))) {
    for (let length = 4; length < 24; length++) {
      // Whole, and without user data: see below.
      if (type === 0 && length === 16) continue;
      takeUnharmed(b, [chunk(type, length, Buffer.alloc(length - 4, 0xff))]);
      takeUnharmed(b, [chunk(type, length + 8, Buffer.alloc(length - 4))]);
    }
  }
  expect(await works(a, b)).toBe(true);
});

test('an unknown chunk is skipped or ends the packet, as its type says', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  channel.send(message(0, 10));
  await vi.advanceTimersByTimeAsync(100);
  const [data] = a.packets;
  const chunks = data?.subarray(12) ?? Buffer.alloc(0);
  for (const [type, arrives] of [
    [0x3f, 1],
    [0xbf, 2],
  ] as const) {
    const next = Buffer.from(chunks);
    next.writeUInt32BE((b.sctp.lastReceivedTsn + 1) >>> 0, 4);
    next.writeUInt16BE(1, 10);
    b.take(packet(b, [chunk(type, 8, Buffer.alloc(4)), next]));
    await vi.advanceTimersByTimeAsync(1);
    expect(b.received).toHaveLength(arrives);
  }
});

test('random packets neither end nor stop it', async () => {
  const [a, b] = await connected();
  const body = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
  const any = fc
    .tuple(fc.constantFrom(...TYPES.filter((type) => ![6, 7, 8, 14].includes(type)), 77), body)
    .filter(([type, bytes]) => type !== 0 || bytes.length !== 12)
    .map(([type, bytes]) => chunk(type, 4 + bytes.length, bytes));
  fc.assert(
    fc.property(fc.array(any, { maxLength: 4 }), (chunks) => {
      takeUnharmed(b, chunks);
    }),
    { numRuns: 3_000 },
  );
  b.take(Buffer.alloc(0));
  b.take(Buffer.alloc(11));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(b.sctp.associationState).toBe(4);
  void a;
});

// ---- what is held ---------------------------------------------------------------------------------

const WINDOW = 1024 * 1024;
const MAX_MESSAGE = 65_536;

test('what waits behind a gap is bounded', async () => {
  const [, b] = await connected();
  b.channel(0);
  const first = b.sctp.lastReceivedTsn + 1;
  // The window that it was told is 1 MB.
  for (let i = 0; i < 40_000; i++) {
    b.take(packet(b, [data({ tsn: first + 2 * i + 1, flags: FIRST | LAST, stream: 0, ssn: 0, bytes: 100 })]));
  }
  expect(b.sctp.waitingChunks).toBeLessThanOrEqual(16_384);
  expect(b.sctp.associationState).toBe(4);
});

test.each([
  ['a message that never ends', 1_100, (i: number) => ({ flags: i === 0 ? FIRST : 0, ssn: 0 }), MAX_MESSAGE],
  ['messages whose turn never comes', 1_100, (i: number) => ({ flags: FIRST | LAST, ssn: 1 + (i % 10_000) }), WINDOW],
  ['a message in fragments of a byte', 1, (i: number) => ({ flags: i === 0 ? FIRST : 0, ssn: 0 }), 2 * 16_384],
])('%s ends the association', async (_name, bytes, fields, most) => {
  const [, b] = await connected();
  const channel = b.channel(0);
  const first = b.sctp.lastReceivedTsn + 1;
  let held = 0;
  for (let i = 0; i < 100_000 && b.sctp.associationState === 4; i++) {
    b.take(packet(b, [data({ tsn: first + i, stream: 0, bytes, ...fields(i) })]));
    held = Math.max(held, WINDOW - b.sctp.advertisedRwnd);
  }
  expect(b.sctp.violation).toBeDefined();
  expect(typesOf(b.packets)).toContain(6);
  expect(channel.readyState).toBe('closed');
  expect(held).toBeLessThanOrEqual(most + MAX_MESSAGE + 1_100);
});

test('DATA without user data ends the association', async () => {
  const [, b] = await connected();
  b.take(packet(b, [data({ tsn: b.sctp.lastReceivedTsn + 1, flags: FIRST | LAST, stream: 0, ssn: 0, bytes: 0 })]));
  expect(b.sctp.violation).toBe('DATA without user data');
});

test('a small chunk that waits does not keep its packet', async () => {
  const [, b] = await connected();
  const tsn = b.sctp.lastReceivedTsn + 2;
  const unknown = chunk(0xbf, 60_000, Buffer.alloc(60_000 - 4));
  b.take(packet(b, [data({ tsn, flags: FIRST | LAST, stream: 0, ssn: 1, bytes: 10 }), unknown]));
  const [held] = [...(b.sctp.inboundStreams[0]?.ready.values() ?? [])];
  expect(held?.chunks[0]?.userData.length).toBe(10);
  // Node makes small buffers in a pool of 64 kB, which they share.
  expect(held?.chunks[0]?.userData.buffer.byteLength).toBeLessThan(66_000);
  expect(held?.chunks[0]?.userData.buffer).toBe(Buffer.from(Buffer.alloc(1)).buffer);
});

test('streams over the limit are acknowledged and cost nothing', async () => {
  const [a, b] = await connected((_first, second) => {
    second.sctp._inboundStreamsMax = 129;
  });
  const first = b.sctp.lastReceivedTsn + 1;
  for (let i = 0; i < 2_000; i++) {
    b.take(packet(b, [data({ tsn: first + i, flags: FIRST | LAST, stream: 129 + i, ssn: 1, bytes: 10 })]));
  }
  expect(b.sctp.lastReceivedTsn).toBe((first + 1_999) >>> 0);
  const streams = Buffer.alloc(4 + 4 * 16_000);
  streams.writeUInt32BE((first + 1_999) >>> 0, 0);
  for (let i = 0; i < 16_000; i++) streams.writeUInt16BE(4 * i, 4 + 4 * i);
  streams.writeUInt32BE((first + 2_000) >>> 0, 0);
  b.take(packet(b, [chunk(192, 4 + streams.length, streams)]));
  expect(Object.keys(b.sctp.inboundStreams).length).toBeLessThanOrEqual(129);
  expect([b.sctp.waitingChunks, b.sctp.advertisedRwnd]).toEqual([0, WINDOW]);
  void a;
});

test('DCEP OPEN makes no more channels than there are streams, and no rejection', async () => {
  const [, b] = await connected((_first, second) => {
    second.sctp._inboundStreamsMax = 129;
  });
  const made: number[] = [];
  b.transport.onDataChannel.subscribe(({ id = -1 }) => made.push(id));
  const first = b.sctp.lastReceivedTsn + 1;
  for (let i = 0; i < 1_000; i++) {
    const open = data({ tsn: first + i, flags: FIRST | LAST, stream: i, ssn: 0, bytes: 12 });
    open.writeUInt32BE(50, 12);
    open[16] = 3;
    open.writeUInt16BE(0xffff, 24);
    b.take(packet(b, [open]));
  }
  expect(made).toEqual(Array.from({ length: 129 }, (_, id) => id));
});

// ---- what is asked of it ---------------------------------------------------------------------------

test('a packet asks for a few answers at most', async () => {
  const [, b] = await connected();
  b.take(
    packet(
      b,
      Array.from({ length: 10_000 }, () => chunk(4, 4)),
    ),
  );
  expect(b.packets).toEqual([]);
  b.take(
    packet(
      b,
      Array.from({ length: 8 }, () => chunk(4, 4)),
    ),
  );
  expect(typesOf(b.packets)).toEqual(Array(8).fill(5));
});

test('a heartbeat comes back whole, at a cost that follows its length', async () => {
  const [, b] = await connected();
  const parameters = Buffer.concat(Array.from({ length: 16_000 }, () => chunk(1, 4)));
  const concat = vi.spyOn(Buffer, 'concat');
  b.take(packet(b, [chunk(4, 4 + parameters.length, parameters)]));
  expect(concat.mock.calls.length).toBeLessThan(10);
  concat.mockRestore();
  expect(b.packets[0]?.subarray(16).equals(parameters)).toBe(true);
});

function resetRequest(sequence: number, tsn: number, streams: readonly number[]): Buffer {
  const body = Buffer.alloc(12 + 2 * streams.length);
  body.writeUInt32BE(sequence >>> 0, 0);
  body.writeUInt32BE(tsn >>> 0, 8);
  for (const [i, stream] of streams.entries()) body.writeUInt16BE(stream, 12 + 2 * i);
  const parameter = chunk(0, 4 + body.length, body);
  parameter.writeUInt16BE(13, 0);
  return chunk(130, 4 + parameter.length, parameter);
}

test('a request to reset streams is done once, and one out of turn not at all', async () => {
  const [a, b] = await connected();
  const sequence = a.sctp.reconfigRequestSeq;
  const tsn = b.sctp.lastReceivedTsn;
  const all = Array.from({ length: 32_000 }, (_, i) => i);
  const message = (i: number, ssn: number) =>
    b.take(packet(b, [data({ tsn: tsn + i, flags: FIRST | LAST, stream: 0, ssn, bytes: 10 })]));
  message(1, 0);
  b.take(packet(b, [resetRequest(sequence + 1, tsn, all)]));
  message(2, 1);
  b.take(packet(b, [resetRequest(sequence, tsn, all)]));
  message(3, 0);
  b.take(packet(b, [resetRequest(sequence, tsn, all)]));
  message(4, 1);
  expect(b.sctp.inboundStreams[0]?.streamSequenceNumber).toBe(2);
  const answers = b.packets.filter((bytes) => bytes[12] === 130).map((bytes) => bytes.readUInt32BE(24));
  expect(answers).toEqual([5, 1, 1]);
});

test('a reset gives back the room of what it drops', async () => {
  const [a, b] = await connected();
  const tsn = b.sctp.lastReceivedTsn + 1;
  for (let i = 0; i < 100; i++) {
    b.take(packet(b, [data({ tsn: tsn + i, flags: FIRST | LAST, stream: 3, ssn: 1 + i, bytes: 1_000 })]));
  }
  expect([b.sctp.waitingChunks, b.sctp.advertisedRwnd]).toEqual([100, WINDOW - 100_000]);
  b.take(packet(b, [resetRequest(a.sctp.reconfigRequestSeq, tsn, [3])]));
  expect([b.sctp.waitingChunks, b.sctp.advertisedRwnd]).toEqual([0, WINDOW]);
});

test('what comes later in the handshake, or was never asked for, changes nothing', async () => {
  const [a, b] = await connected();
  const init = Buffer.alloc(16, 0xff);
  for (const [type, body] of [
    [2, init],
    [7, Buffer.alloc(0)],
    [8, Buffer.alloc(0)],
    [10, Buffer.alloc(24)],
    [10, Buffer.alloc(3)],
    [10, Buffer.alloc(60_000)],
    [11, Buffer.alloc(0)],
    [14, Buffer.alloc(0)],
  ] as const) {
    b.take(packet(b, [chunk(type, 4 + body.length, body)]));
  }
  const again = packet(b, [chunk(1, 4 + init.length, init)]);
  again.writeUInt32BE(0, 4);
  again.writeUInt32LE(0, 8);
  again.writeUInt32LE(crc32c(again), 8);
  for (let i = 0; i < 100; i++) b.take(again);
  expect(await works(a, b)).toBe(true);
});

test.each([
  ['ABORT', [6]],
  ['SHUTDOWN and SHUTDOWN COMPLETE', [7, 14]],
])('%s ends the association', async (_name, types) => {
  const [, b] = await connected();
  const channel = b.channel(0);
  for (const type of types) b.take(packet(b, [chunk(type, type === 7 ? 8 : 4, Buffer.alloc(type === 7 ? 4 : 0))]));
  expect(channel.readyState).toBe('closed');
});

// ---- what it says of our packets -------------------------------------------------------------------

test('bytes that were never sent cannot be acknowledged', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  a.network = ['lost'];
  channel.send(message(0, 500));
  await vi.advanceTimersByTimeAsync(0);
  a.take(packet(a, [sack(a.sctp.localTsn + 1_000, 1_000_000)]));
  expect(a.sctp.sentQueue).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(b.received).toHaveLength(1);
});

test('blocks of a SACK that overlap are looked at once', async () => {
  const [a, b] = await connected();
  a.network = Array.from({ length: 100 }, () => 'lost' as const);
  a.channel(0).send(message(0, 60_000));
  const arrived = vi.spyOn(a.sctp as unknown as { arrived: (...args: unknown[]) => number }, 'arrived');
  a.take(packet(a, [sack(a.sctp.lastSackedTsn, WINDOW, Array(10_000).fill([2, 65_535]))]));
  expect(a.sctp.sentQueue.length).toBeGreaterThan(5);
  expect(arrived.mock.calls.length).toBeLessThan(100);
  void b;
});

test('what arrived behind a gap that the peer keeps open is not held, nor is more and more sent', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.other = undefined;
  // 21 MB in 18,000 chunks, all of which arrive but for the first.
  for (let i = 0; i < 350; i++) {
    channel.send(message(i, 60_000));
    a.sctp.cwnd = WINDOW;
    await vi.advanceTimersByTimeAsync(1);
    a.take(packet(a, [sack(a.sctp.lastSackedTsn, 0xffff_ffff, [[2, 65_535]])]));
  }
  expect(a.sctp.sentQueue.length).toBe(16_384);
  expect(channel.bufferedAmount).toBeGreaterThan(WINDOW);
  expect(a.sctp.sentQueue.reduce((sum, { userData }) => sum + userData.length, 0)).toBeLessThan(WINDOW);
});

test('a window that stays shut takes a chunk at a time', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.other = undefined;
  a.take(packet(a, [sack(a.sctp.lastSackedTsn, 0)]));
  channel.send(message(0, 60_000));
  for (let i = 0; i < 20; i++) {
    await vi.advanceTimersByTimeAsync(10_000);
    expect(a.sctp.flightSize).toBeLessThanOrEqual(1_200);
    a.take(packet(a, [sack(a.sctp.localTsn - 1, 0)]));
    a.take(packet(a, [sack(a.sctp.lastSackedTsn, 0)]));
  }
  expect(a.sctp.associationState).toBe(4);
});

// ---- anything --------------------------------------------------------------------------------------

const anyData = fc
  .record({
    tsn: fc.integer({ min: -3, max: 12 }),
    flags: fc.integer({ min: 0, max: 15 }),
    stream: fc.constantFrom(0, 1, 128, 129, 65_535),
    ssn: fc.integer({ min: 0, max: 4 }),
    bytes: fc.integer({ min: 0, max: 30 }),
  })
  .map((fields) => ({ near: fields.tsn, make: (tsn: number) => data({ ...fields, tsn }) }));
const anyChunk = fc
  .tuple(fc.constantFrom(...TYPES, 77, 0xff), fc.uint8Array({ maxLength: 40 }), fc.integer({ min: -4, max: 4 }))
  .map(([type, body, lie]) => ({
    near: 0,
    make: () => chunk(type, Math.max(0, 4 + body.length + lie), Buffer.from(body)),
  }));

test('whatever comes, nothing is thrown and the books are right', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.oneof({ weight: 3, arbitrary: anyData }, anyChunk), { maxLength: 5 }), { maxLength: 40 }),
      async (packets) => {
        const [a, b] = await connected((_first, second) => {
          second.sctp._inboundStreamsMax = 129;
        });
        for (const id of [0, 1]) b.channel(id);
        for (const chunks of packets) {
          const next = b.sctp.lastReceivedTsn + 1;
          b.take(
            packet(
              b,
              chunks.map(({ near, make }) => make(next + near)),
            ),
          );
          const streams = Object.values(b.sctp.inboundStreams);
          expect(b.sctp.waitingChunks).toBe(streams.reduce((sum, { heldChunks }) => sum + heldChunks, 0));
          expect(WINDOW - b.sctp.advertisedRwnd).toBe(streams.reduce((sum, { heldBytes }) => sum + heldBytes, 0));
          expect(streams.length).toBeLessThanOrEqual(129);
        }
        await vi.advanceTimersByTimeAsync(10_000);
        await Promise.all([a.transport.stop(), b.transport.stop()]);
      },
    ),
    { numRuns: 300 },
  );
});
