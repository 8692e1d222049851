import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ChannelControl,
  decodeBatch,
  decodeEnvelope,
  encodeEnvelope,
  encodePart,
  type LinkMessage,
  parseChannelControl,
} from './channel.ts';
import { ProtocolError } from './errors.ts';
import {
  MAX_BATCH_BYTES,
  MAX_CHANNEL_NUMBER,
  MAX_ENVELOPE_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_SIGNAL_BYTES,
} from './limits.ts';
import { LinkQueue } from './link-queue.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** Wire fixtures, checked in both directions. */
const envelopes: [name: string, hex: string, channel: number, message: string][] = [
  ['a small number', '07 0100', 7, '0100'],
  ['two bytes', '4040 ff', 64, 'ff'],
  ['the highest number', 'bfff ffff 09 01', MAX_CHANNEL_NUMBER, '0901'],
];

const controls: [text: string, control: ChannelControl][] = [
  [
    '{"type":"channel_open","channel":0,"session_id":"a-b_C"}',
    { type: 'channel_open', channel: 0, session_id: 'a-b_C' },
  ],
  [
    '{"type":"channel_open","channel":1,"session_id":"a","relay":true}',
    { type: 'channel_open', channel: 1, session_id: 'a', relay: true },
  ],
  ['{"type":"channel_close","channel":1073741823}', { type: 'channel_close', channel: MAX_CHANNEL_NUMBER }],
];

describe('binary messages', () => {
  test.each(envelopes)('%s', (_name, hex, channel, message) => {
    expect(Buffer.from(encodeEnvelope(channel, bytes(message))).toString('hex')).toBe(hex.replaceAll(' ', ''));
    expect(decodeEnvelope(bytes(hex))).toEqual({ channel, message: bytes(message) });
  });

  test('the longest one fits', () => {
    const longest = encodeEnvelope(MAX_CHANNEL_NUMBER, new Uint8Array(MAX_MESSAGE_BYTES));
    expect(longest.length).toBe(MAX_ENVELOPE_BYTES);
    expect(decodeEnvelope(longest).message.length).toBe(MAX_MESSAGE_BYTES);
  });

  test.each([
    ['nothing', ''],
    ['half a number', '40'],
    ['no message', '07'],
    ['a number over the limit', 'c000 0000 4000 0000 01'],
    ['a number over 2^53 - 1', 'ffff ffff ffff ffff 01'],
  ])('%s is refused', (_name, hex) => {
    expect(() => decodeEnvelope(bytes(hex))).toThrow(ProtocolError);
  });

  test('one that is too long is refused', () => {
    expect(() => decodeEnvelope(new Uint8Array(MAX_ENVELOPE_BYTES + 1))).toThrow(ProtocolError);
  });

  test('any bytes are an envelope or a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (message) => {
        try {
          const { channel, message: inner } = decodeEnvelope(message);
          expect(decodeEnvelope(encodeEnvelope(channel, inner))).toEqual({ channel, message: inner });
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('control messages', () => {
  test.each(controls)('%s', (text, control) => {
    expect(parseChannelControl(JSON.parse(text))).toEqual(control);
    expect(JSON.stringify(control)).toBe(text);
  });

  test('members that nobody knows are dropped', () => {
    const raw = { type: 'channel_close', channel: 1, session_id: 'x', more: {} };
    expect(parseChannelControl(raw)).toEqual({ type: 'channel_close', channel: 1 });
  });

  test.each([null, 7, 'channel_close', [], {}, { type: 'offer' }, { type: 'channel' }])('%j is none', (raw) => {
    expect(parseChannelControl(raw)).toBeUndefined();
  });

  test.each([
    { type: 'channel_close' },
    { type: 'channel_close', channel: '1' },
    { type: 'channel_close', channel: -1 },
    { type: 'channel_close', channel: 1.5 },
    { type: 'channel_close', channel: MAX_CHANNEL_NUMBER + 1 },
    { type: 'channel_open', channel: 1 },
    { type: 'channel_open', channel: 1, session_id: '' },
    { type: 'channel_open', channel: 1, session_id: 'a b' },
    { type: 'channel_open', channel: 1, session_id: 'x'.repeat(65) },
  ])('%j is refused', (raw) => {
    expect(() => parseChannelControl(raw)).toThrow(ProtocolError);
  });

  test('any JSON is a control message, none, or a ProtocolError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('channel_open', 'channel_close'), (value, type) => {
        for (const raw of [value, { type, channel: value }, { type, channel: 1, session_id: value }]) {
          try {
            parseChannelControl(raw);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        }
      }),
    );
  });
});

describe('batches', () => {
  const batches: [name: string, hex: string, messages: LinkMessage[]][] = [
    ['nothing', '', []],
    ['a text', '00 02 7b7d', ['{}']],
    ['a text that is not ASCII', '00 03 e282ac', ['€']],
    ['bytes', '01 03 070100', [bytes('070100')]],
    ['several, in order', '01 01 07 00 00 01 00', [bytes('07'), '', bytes('')]],
    ['a length of two bytes', `01 4040 ${'ab'.repeat(64)}`, [bytes('ab'.repeat(64))]],
  ];
  test.each(batches)('%s', (_name, hex, messages) => {
    expect(Buffer.concat(messages.map(encodePart)).toString('hex')).toBe(hex.replaceAll(' ', ''));
    expect(decodeBatch(bytes(hex))).toEqual(messages);
  });

  test.each([
    ['an unknown kind', '02 00'],
    ['half a part', '00 05 7b7d'],
    ['a part without length', '01'],
    ['a text that is no UTF-8', '00 01 ff'],
    ['a length over the limit', 'c1 0000000000000000'],
  ])('%s is refused', (_name, hex) => {
    expect(() => decodeBatch(bytes(hex))).toThrow(ProtocolError);
  });

  test('parts and batches that are too long are refused', () => {
    for (const message of ['x'.repeat(MAX_SIGNAL_BYTES + 1), new Uint8Array(MAX_ENVELOPE_BYTES + 1)]) {
      expect(() => decodeBatch(encodePart(message))).toThrow(ProtocolError);
    }
    const part = encodePart(new Uint8Array(1021));
    const longest = Buffer.concat(Array.from({ length: MAX_BATCH_BYTES / 1024 }, () => part));
    expect(longest.length).toBe(MAX_BATCH_BYTES);
    expect(decodeBatch(longest).length).toBe(256);
    expect(() => decodeBatch(Buffer.concat([longest, bytes('0000')]))).toThrow(ProtocolError);
  });

  test('a message that is kept does not keep its batch', () => {
    const batch = new Uint8Array(Buffer.concat([encodePart(bytes('01')), encodePart(new Uint8Array(60_000))]));
    const [first] = decodeBatch(batch);
    expect((first as Uint8Array).buffer.byteLength).toBe(1);
  });

  test('any bytes are a batch or a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (batch) => {
        try {
          decodeBatch(batch);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a queue of messages', () => {
  test('gives them in order, in batches that the other end takes, and counts what waits', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: MAX_ENVELOPE_BYTES }), { maxLength: 40 }), (sizes) => {
        const queue = new LinkQueue();
        for (const [i, size] of sizes.entries()) queue.push(new Uint8Array(size).fill(i));
        const taken: LinkMessage[] = [];
        for (let batch = queue.take(); batch !== undefined; batch = queue.take()) {
          const messages = decodeBatch(batch.bytes);
          expect(messages.length).toBe(batch.count);
          taken.push(...messages);
        }
        expect(taken.map((message) => [message[0], message.length])).toEqual(sizes.map((size, i) => [i, size]));
        expect(queue.bytes).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test('fills batches, and counts bytes as they are sent', () => {
    const queue = new LinkQueue();
    for (let n = 0; n < 5; n++) queue.push(new Uint8Array(MAX_ENVELOPE_BYTES));
    expect(queue.bytes).toBe(5 * (MAX_ENVELOPE_BYTES + 5));
    expect(queue.take()?.count).toBe(3);
    expect(queue.bytes).toBe(2 * (MAX_ENVELOPE_BYTES + 5));
    queue.push('€');
    expect(queue.take()?.count).toBe(3);
    expect(queue.take()).toBeUndefined();
  });
});
