import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ChannelControl, decodeEnvelope, encodeEnvelope, parseChannelControl } from './channel.ts';
import { ProtocolError } from './errors.ts';
import { MAX_CHANNEL_NUMBER, MAX_ENVELOPE_BYTES, MAX_MESSAGE_BYTES } from './limits.ts';

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
