import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProtocolError } from './errors.ts';
import { MAX_SOCKET_MESSAGE_BYTES } from './limits.ts';
import { RecordParser } from './record.ts';
import { varintLength, writeVarint } from './varint.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** The records as `type:bytes in Latin-1`, with the pieces of a body joined. */
function parseAll(parser: RecordParser, parts: Uint8Array[]): string[] {
  const records: string[] = [];
  let data = '';
  for (const part of parts) {
    for (const piece of parser.push(part)) {
      const text = Buffer.from(piece.bytes).toString('latin1');
      if (piece.type === 'data') data += text;
      else records.push(`${piece.type}:${text}`);
    }
  }
  return data === '' ? records : [...records, `data:${data}`];
}

/** `wire` cut at the given places. */
function cut(wire: Uint8Array, cuts: number[]): Uint8Array[] {
  const at = [0, ...cuts.sort((a, b) => a - b), wire.length];
  return at.slice(1).map((end, i) => wire.subarray(at[i], end));
}

test('wire fixture: head, body, trailers', () => {
  const parser = new RecordParser();
  const wire = bytes('01 02 7b7d 00 03 616263 00 01 64 01 02 5b5d');
  expect(parseAll(parser, [wire])).toEqual(['headers:{}', 'headers:[]', 'data:abcd']);
  expect(parser.atBoundary).toBe(true);
});

test('wire fixture: messages and close of a WebSocket, empty ones too', () => {
  const parser = new RecordParser();
  const wire = bytes('11 02 6869 12 03 00ff80 11 00 12 00 18 05 0fa1 627965 18 00');
  const records = ['text:hi', 'binary:\0ÿ\x80', 'text:', 'binary:', 'close:\x0f¡bye', 'close:'];
  expect(parseAll(parser, [wire])).toEqual(records);
  expect(parser.atBoundary).toBe(true);
});

test('any cut of the bytes gives the same records', () => {
  const wire = bytes(
    '01 02 7b7d 00 4003 616263 00 00 00 8000 0001 64 11 00 11 4004 6d6f7265 12 01 21 18 00 01 02 5b5d',
  );
  const whole = parseAll(new RecordParser(), [wire]);
  expect(whole).toEqual(['headers:{}', 'text:', 'text:more', 'binary:!', 'close:', 'headers:[]', 'data:abcd']);
  fc.assert(
    fc.property(fc.array(fc.nat(wire.length), { maxLength: 8 }), (cuts) => {
      expect(parseAll(new RecordParser(), cut(wire, cuts))).toEqual(whole);
    }),
  );
});

test('any messages survive any cut', () => {
  const message = fc.tuple(fc.constantFrom(0x11, 0x12), fc.uint8Array({ maxLength: 300 }));
  fc.assert(
    fc.property(fc.array(message, { maxLength: 10 }), fc.array(fc.nat(3000), { maxLength: 20 }), (messages, cuts) => {
      const wire = Buffer.concat(messages.flatMap(([type, payload]) => [prefix(type, payload.length), payload]));
      const parts = cut(wire, [...cuts.map((at) => Math.min(at, wire.length))]);
      const expected = messages.map(
        ([type, payload]) => `${type === 0x11 ? 'text' : 'binary'}:${Buffer.from(payload).toString('latin1')}`,
      );
      expect(parseAll(new RecordParser(), parts)).toEqual(expected);
    }),
  );
});

test('a record that is not complete is no boundary', () => {
  const parser = new RecordParser();
  parseAll(parser, [bytes('00 03 61')]);
  expect(parser.atBoundary).toBe(false);
  parseAll(parser, [bytes('6263')]);
  expect(parser.atBoundary).toBe(true);
  parseAll(parser, [bytes('40')]);
  expect(parser.atBoundary).toBe(false);
});

test('an unknown record and one over its limit are refused before their bytes are kept', () => {
  const refused = (wire: Uint8Array) => expect(() => parseAll(new RecordParser(), [wire]));
  refused(bytes('07 01 61')).toThrow(ProtocolError);
  refused(bytes('01 8001 0001')).toThrow('too large');
  refused(bytes('00 ffff ffff ffff ffff')).toThrow(ProtocolError);
  refused(prefix(0x11, MAX_SOCKET_MESSAGE_BYTES + 1)).toThrow(ProtocolError);
  refused(prefix(0x12, MAX_SOCKET_MESSAGE_BYTES + 1)).toThrow(ProtocolError);
  refused(prefix(0x18, 126)).toThrow(ProtocolError);
});

test('a message of the greatest length comes whole, in parts of any size', () => {
  const payload = Buffer.alloc(MAX_SOCKET_MESSAGE_BYTES, 'abcdefg');
  const wire = Buffer.concat([prefix(0x12, payload.length), payload]);
  const parser = new RecordParser();
  const pieces = [];
  for (let at = 0; at < wire.length; at += 50_001) pieces.push(...parser.push(wire.subarray(at, at + 50_001)));
  expect(pieces.map(({ type, bytes: got }) => [type, Buffer.compare(got, payload)])).toEqual([['binary', 0]]);
});

test('random bytes throw nothing but ProtocolError', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }), (parts) => {
      try {
        parseAll(new RecordParser(), parts);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
    { numRuns: 2000 },
  );
});

function prefix(type: number, length: number): Uint8Array {
  const written = new Uint8Array(1 + varintLength(length));
  writeVarint(written, writeVarint(written, 0, type), length);
  return written;
}
