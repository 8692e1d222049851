/** werift's SCTP with our patches (patches/README.md): what the network may do to packets. */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RTCDataChannel, RTCDataChannelParameters } from 'werift';
import {
  connected,
  DELAY_MS,
  data,
  type Fate,
  FIRST,
  LAST,
  message,
  packet,
  typesOf,
  useSimulatedTime,
} from './test-sctp.ts';

beforeEach(useSimulatedTime);
afterEach(() => {
  vi.useRealTimers();
});

const fate = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Fate>('arrives') },
  { weight: 2, arbitrary: fc.constantFrom<Fate>('lost', 'twice', 'late') },
);
const network = fc.array(fate, { maxLength: 150 });
const lengths = fc.array(fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 65_536 })), {
  minLength: 1,
  maxLength: 12,
});

test('whatever the network does, each channel gets its messages, whole and in order', async () => {
  await fc.assert(
    fc.asyncProperty(network, network, lengths, fc.boolean(), async (there, back, sizes, wraps) => {
      const [a, b] = await connected((first) => {
        if (!wraps) return;
        // The sequence numbers pass 2^32 on the way.
        first.sctp.localTsn = 2 ** 32 - 3;
        first.sctp.lastSackedTsn = first.sctp.advancedPeerAckTsn = 2 ** 32 - 4;
      });
      a.network = there;
      b.network = back;
      const ids = [0, 1, 2];
      const channels = ids.map((id) => a.channel(id));
      const got = new Map<number, Buffer[]>(ids.map((id) => [id, []]));
      for (const id of ids) b.channel(id).onMessage.subscribe((part) => got.get(id)?.push(Buffer.from(part)));
      const sent = new Map<number, Buffer[]>(ids.map((id) => [id, []]));
      for (const [index, size] of sizes.entries()) {
        const id = index % ids.length;
        const part = message(index, size);
        sent.get(id)?.push(part);
        channels[id]?.send(part);
      }
      await vi.advanceTimersByTimeAsync(120_000);
      for (const id of ids) {
        expect(got.get(id)?.map(({ length }) => length)).toEqual(sent.get(id)?.map(({ length }) => length));
        expect(Buffer.concat(got.get(id) ?? []).equals(Buffer.concat(sent.get(id) ?? []))).toBe(true);
      }
      expect(channels.map(({ bufferedAmount }) => bufferedAmount)).toEqual([0, 0, 0]);
      expect(a.sctp.sentQueue).toEqual([]);
      expect([b.sctp.waitingChunks, b.sctp.advertisedRwnd]).toEqual([0, 1024 * 1024]);
      await Promise.all([a.transport.stop(), b.transport.stop()]);
    }),
    { numRuns: 60 },
  );
});

test('whatever the network does, messages without order arrive once each, and whole', async () => {
  await fc.assert(
    fc.asyncProperty(network, network, lengths, async (there, back, sizes) => {
      const [a, b] = await connected();
      a.network = there;
      b.network = back;
      const [loose, ordered] = [a.channel(0, false), a.channel(1)];
      b.channel(0, false);
      b.channel(1);
      for (const [index, size] of sizes.entries()) (index % 3 === 0 ? ordered : loose).send(message(index, size));
      await vi.advanceTimersByTimeAsync(120_000);
      const found = b.received.map((part) => `${part[0]} ${part.length}`).toSorted();
      expect(found).toEqual(sizes.map((size, index) => `${message(index, size)[0]} ${size}`).toSorted());
      expect([b.sctp.waitingChunks, b.sctp.advertisedRwnd]).toEqual([0, 1024 * 1024]);
      await Promise.all([a.transport.stop(), b.transport.stop()]);
    }),
    { numRuns: 40 },
  );
});

test('a lost packet of one channel delays no other', async () => {
  const [a, b] = await connected();
  const [bulk, token] = [a.channel(0), a.channel(1)];
  const times: [id: number, ms: number][] = [];
  const start = performance.now();
  for (const id of [0, 1]) b.channel(id).onMessage.subscribe(() => times.push([id, performance.now() - start]));
  a.network = ['lost'];
  bulk.send(message(0, 1_000));
  await vi.advanceTimersByTimeAsync(0);
  token.send(message(1, 100));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(times[0]).toEqual([1, DELAY_MS]);
  // Nothing followed that would tell: it is sent again as a probe.
  expect(times[1]?.[0]).toBe(0);
  expect(times[1]?.[1]).toBeGreaterThan(4 * DELAY_MS);
});

test('a lost packet is sent again as soon as three later ones have arrived', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  a.network = ['lost'];
  channel.send(message(0, 10_000));
  // One round trip for the SACKs, half of one for the packet.
  await vi.advanceTimersByTimeAsync(4 * DELAY_MS);
  expect(b.received.map(({ length }) => length)).toEqual([10_000]);
});

test('after a pause a packet is acknowledged at once, then every second or third one, and one alone soon', async () => {
  const [, b] = await connected();
  b.channel(0);
  let next = b.sctp.lastReceivedTsn + 1;
  const acknowledged = async (packets: number) => {
    b.packets.length = 0;
    for (let i = 0; i < packets; i++) {
      const { streamSequenceNumber: ssn = 0 } = b.sctp.inboundStreams[0] ?? {};
      b.take(packet(b, [data({ tsn: next++, flags: FIRST | LAST, stream: 0, ssn, bytes: 100 })]));
      await vi.advanceTimersByTimeAsync(0.1);
    }
    return typesOf(b.packets).filter((type) => type === 3).length;
  };
  expect(await acknowledged(1)).toBe(1);
  expect(await acknowledged(1)).toBe(0);
  expect(await acknowledged(8)).toBe(4);
  await vi.advanceTimersByTimeAsync(20);
  expect(typesOf(b.packets)).toEqual([3, 3, 3, 3, 3]);
  await vi.advanceTimersByTimeAsync(40);
  expect(await acknowledged(1)).toBe(1);
  await acknowledged(135);
  expect(await acknowledged(30)).toBe(10);
  // All that comes behind a gap.
  next += 1;
  expect(await acknowledged(5)).toBe(5);
});

test('small messages of one turn share packets', async () => {
  const [a, b] = await connected();
  const channels = Array.from({ length: 20 }, (_, id) => a.channel(id));
  for (const { id = 0 } of channels) b.channel(id);
  channels[0]?.send(message(0, 30_000));
  const before = a.packets.length;
  for (const [index, channel] of channels.entries()) channel.send(message(index, 40));
  await vi.advanceTimersByTimeAsync(100);
  expect(b.received).toHaveLength(21);
  // 30,000 bytes are 26 packets, and the rest fits two.
  expect(a.packets.length).toBeLessThanOrEqual(29);
  expect(before).toBeLessThan(a.packets.length);
});

test('short messages of different channels that are sent in one go leave in one packet', async () => {
  const [a, b] = await connected();
  const channels = Array.from({ length: 4 }, (_, id) => a.channel(id));
  for (const { id = 0 } of channels) b.channel(id);
  for (let turn = 0; turn < 10; turn++) {
    for (const [index, channel] of channels.entries()) channel.send(message(index, 240));
    await vi.advanceTimersByTimeAsync(1);
  }
  await vi.advanceTimersByTimeAsync(100);
  expect(b.received).toHaveLength(40);
  expect(typesOf(a.packets).filter((type) => type === 0)).toHaveLength(40);
  expect(a.packets).toHaveLength(10);
});

test('what was sent before the end of its channel or of all arrives', async () => {
  const [a, b] = await connected();
  const [first, second] = [a.channel(0), a.channel(1)];
  for (const { id = 0 } of [first, second]) b.channel(id);
  first.send(message(0, 500));
  first.close();
  await vi.advanceTimersByTimeAsync(100);
  expect(b.received).toHaveLength(1);
  expect(first.readyState).toBe('closed');
  second.send(message(1, 500));
  void a.transport.stop();
  await vi.advanceTimersByTimeAsync(100);
  expect(b.received).toHaveLength(2);
});

test.each([1, 100])('%i short messages do not wait for long ones of another channel', async (count) => {
  const [a, b] = await connected();
  const [bulk, token] = [a.channel(0), a.channel(1)];
  const order: number[] = [];
  for (const id of [0, 1]) b.channel(id).onMessage.subscribe(() => order.push(id));
  for (let i = 0; i < 8; i++) bulk.send(message(i, 65_536));
  for (let i = 0; i < count; i++) token.send(message(i, 200));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(order).toHaveLength(8 + count);
  // One had begun.
  expect(order.slice(0, count + 1).filter((id) => id === 0)).toEqual([0]);
});

test('a way that becomes long goes on at once', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  for (let i = 0; i < 60; i++) channel.send(message(i, 65_536));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(b.received).toHaveLength(60);
  a.delayMs = b.delayMs = 20;
  a.sctp.cwnd = 4 * 1160;
  // One round trip of 40 ms is learnt, and from then on packets are spread.
  channel.send(message(0, 100));
  await vi.advanceTimersByTimeAsync(50);
  channel.send(message(0, 65_536));
  await vi.advanceTimersByTimeAsync(500);
  expect(b.received).toHaveLength(62);
});

test('who sends the next message when one has left stays in the pace of a long way', async () => {
  const [a, b] = await connected();
  for (const end of [a, b]) end.delayMs = 20;
  const channel = a.channel(0);
  b.channel(0);
  channel.bufferedAmountLowThreshold = 32_000;
  let left = 400;
  const fill = () => {
    while (left > 0 && channel.bufferedAmount < 64_000) channel.send(message(left--, 16_000));
  };
  channel.bufferedAmountLow.subscribe(fill);
  fill();
  let leastCredit = 0;
  for (let ms = 0; ms < 10_000; ms++) {
    await vi.advanceTimersByTimeAsync(1);
    leastCredit = Math.min(leastCredit, a.sctp.paceCredit);
  }
  expect([left, b.received.length]).toEqual([0, 400]);
  // With less nothing leaves, and nothing is left to begin it again once all that was sent has arrived.
  expect(leastCredit).toBe(0);
});

test('packets that are lost at random cost little speed', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  // Reno would keep a window of 9 packets at this loss: the root of 1.5 times 50.
  a.network = Array.from({ length: 4_000 }, (_, index): Fate => (index % 50 === 49 ? 'lost' : 'arrives'));
  for (let i = 0; i < 60; i++) channel.send(message(i, 65_536));
  await vi.advanceTimersByTimeAsync(400);
  expect(a.packets.length).toBeGreaterThan(1_000);
  expect(a.sctp.cwnd).toBeGreaterThan(20 * 1160);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(b.received).toHaveLength(60);
});

test('a message that is given up holds up neither end', async () => {
  const [a, b] = await connected();
  const brief = new RTCDataChannel(
    a.transport,
    new RTCDataChannelParameters({ label: '', id: 0, negotiated: true, maxPacketLifeTime: 100 }),
  );
  b.channel(0);
  a.network = ['lost', 'lost'];
  brief.send(message(0, 500));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(a.sctp.sentQueue).toEqual([]);
  // The peer's acknowledgement of that is taken, and no timer goes on waiting for it.
  expect(a.sctp.lastSackedTsn).toBe(a.sctp.advancedPeerAckTsn);
  expect(a.sctp.timer3Handle).toBeUndefined();
  brief.send(message(1, 700));
  await vi.advanceTimersByTimeAsync(10 * DELAY_MS);
  expect(b.received.map(({ length }) => length)).toEqual([700]);
});

test.each([1, 2, 3])(
  'when the last %i packets are lost, they are sent again long before the time-out',
  async (count) => {
    const [a, b] = await connected();
    const channel = a.channel(0);
    b.channel(0);
    channel.send(message(0, 10));
    await vi.advanceTimersByTimeAsync(100);
    const sentBefore = a.packets.length;
    const { cwnd } = a.sctp;
    a.network = [...a.packets.map((): Fate => 'arrives'), ...Array<Fate>(count).fill('lost')];
    for (let i = 1; i <= count; i++) channel.send(message(i, 1000));
    // The time-out is 400 ms at least.
    await vi.advanceTimersByTimeAsync(100);
    expect(b.received.map(({ length }) => length)).toEqual([10, ...Array(count).fill(1000)]);
    expect(a.packets.length - sentBefore).toBe(2 * count);
    // The last one alone is no sign of congestion: nothing tells whether it, or only its answer, was lost.
    if (count > 1) expect(a.sctp.cwnd).toBeLessThan(cwnd);
  },
);

test('a probe whose answer was only late is no loss', async () => {
  const [a, b] = await connected();
  const channel = a.channel(0);
  b.channel(0);
  channel.send(message(0, 10));
  await vi.advanceTimersByTimeAsync(100);
  const { cwnd } = a.sctp;
  b.network = [...b.packets.map((): Fate => 'arrives'), 'lost'];
  channel.send(message(1, 1000));
  await vi.advanceTimersByTimeAsync(1000);
  expect(b.received.map(({ length }) => length)).toEqual([10, 1000]);
  expect([a.sctp.sentQueue.length, a.sctp.cwnd]).toEqual([0, cwnd]);
});
