import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from './errors.ts';
import { RecordParser } from './exchange.ts';
import { encodeHead, parseRequestHead, parseResponseHead, parseTrailers } from './head.ts';
import { MAX_HEAD_BYTES, MAX_HEADERS } from './limits.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

function parseAll(parser: RecordParser, parts: Uint8Array[]): { headers: string[]; data: string } {
  const headers: string[] = [];
  let data = '';
  for (const part of parts) {
    for (const piece of parser.push(part)) {
      if (piece.type === 'headers') headers.push(Buffer.from(piece.bytes).toString());
      else data += Buffer.from(piece.bytes).toString('latin1');
    }
  }
  return { headers, data };
}

describe('records', () => {
  test('wire fixture: head, body, trailers', () => {
    const parser = new RecordParser();
    const wire = bytes('01 02 7b7d 00 03 616263 00 01 64 01 02 5b5d');
    expect(parseAll(parser, [wire])).toEqual({ headers: ['{}', '[]'], data: 'abcd' });
    expect(parser.atBoundary).toBe(true);
  });

  test('any cut of the bytes gives the same records', () => {
    const wire = bytes('01 02 7b7d 00 4003 616263 00 00 00 8000 0001 64 01 02 5b5d');
    fc.assert(
      fc.property(fc.array(fc.nat(wire.length), { maxLength: 8 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), wire.length];
        const parts = at.slice(1).map((end, i) => wire.subarray(at[i], end));
        expect(parseAll(new RecordParser(), parts)).toEqual({ headers: ['{}', '[]'], data: 'abcd' });
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

  test('an unknown record and a head over the limit are refused before their bytes are kept', () => {
    expect(() => parseAll(new RecordParser(), [bytes('07 01 61')])).toThrow(ProtocolError);
    expect(() => parseAll(new RecordParser(), [bytes('01 8001 0001')])).toThrow('too large');
    expect(() => parseAll(new RecordParser(), [bytes('00 ffff ffff ffff ffff')])).toThrow(ProtocolError);
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
});

describe('heads', () => {
  test('survive the wire, with names in lower case and repeated fields in order', () => {
    const head = parseRequestHead(
      json({
        method: 'POST',
        path: '/v1/x?y',
        headers: [
          ['X-A', '1'],
          ['x-a', 'é'],
        ],
      }),
    );
    expect(head).toEqual({
      method: 'POST',
      path: '/v1/x?y',
      headers: [
        ['x-a', '1'],
        ['x-a', 'é'],
      ],
    });
    expect(parseRequestHead(encodeHead(head))).toEqual(head);
    const response = { status: 299, statusText: 'Fine', headers: [] };
    expect(parseResponseHead(encodeHead(response))).toEqual(response);
    expect(parseTrailers(encodeHead([['x', 'y']]))).toEqual([['x', 'y']]);
  });

  test.each([
    ['no object', []],
    ['no method', { path: '/', headers: [] }],
    ['a method with a space', { method: 'GET /', path: '/', headers: [] }],
    ['no path', { method: 'GET', headers: [] }],
    ['fields as an object', { method: 'GET', path: '/', headers: {} }],
    ['a field that is no pair', { method: 'GET', path: '/', headers: [['a']] }],
    ['a name with a colon', { method: 'GET', path: '/', headers: [['a:b', 'c']] }],
    ['a value with a line break', { method: 'GET', path: '/', headers: [['a', 'b\r\nc: d']] }],
    ['a value with NUL', { method: 'GET', path: '/', headers: [['a', '\0']] }],
    ['a value beyond Latin-1', { method: 'GET', path: '/', headers: [['a', '→']] }],
    ['too many fields', { method: 'GET', path: '/', headers: Array(MAX_HEADERS + 1).fill(['a', 'b']) }],
  ])('a request with %s is refused', (_name, value) => {
    expect(() => parseRequestHead(json(value))).toThrow(ProtocolError);
  });

  test.each([[100], [199], [600], [200.5], ['200']])('status %s is refused', (status) => {
    expect(() => parseResponseHead(json({ status, statusText: '', headers: [] }))).toThrow(ProtocolError);
  });

  test('a head that is not JSON or not UTF-8 is refused', () => {
    expect(() => parseRequestHead(Buffer.from('GET / HTTP/1.1'))).toThrow(ProtocolError);
    expect(() => parseTrailers(bytes('ff'))).toThrow(ProtocolError);
  });

  test('a head over the limit is refused where it is made', () => {
    const large = { method: 'GET', path: '/', headers: [['cookie', 'x'.repeat(MAX_HEAD_BYTES)]] as [string, string][] };
    expect(() => encodeHead(large)).toThrow('too large');
  });
});
