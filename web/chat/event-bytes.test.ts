import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventBytes } from './event-bytes.ts';
import { SseParser } from './sse.ts';

const encoder = new TextEncoder();
const parse = (text: string) => {
  const parser = new SseParser();
  return [...parser.push(text), ...parser.end()];
};
const pieces = fc.array(
  fc.constantFrom('data: a', 'data: é\u{1F642}', 'event: x', ': c', '\r\n', '\n', '\r', '\n\n', '\r\n\r\n', '\r\r'),
);

test('bytes split anywhere give the events of the whole', () => {
  fc.assert(
    fc.property(pieces, fc.array(fc.nat(200)), (parts, cuts) => {
      const bytes = encoder.encode(parts.join(''));
      const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
      const events = new EventBytes();
      const got = at.slice(1).flatMap((end, i) => events.push(bytes.subarray(at[i], end)));
      expect([...got, ...events.end()]).toEqual(parse(parts.join('')));
      expect(events.consumed).toBe(bytes.length);
    }),
  );
});

test('another reader that begins at what was consumed gives the rest, and nothing twice', () => {
  fc.assert(
    fc.property(pieces, fc.nat(200), (parts, cut) => {
      const bytes = encoder.encode(parts.join(''));
      const first = new EventBytes();
      const before = first.push(bytes.subarray(0, cut));
      const second = new EventBytes(first.consumed);
      const after = [...second.push(bytes.subarray(first.consumed)), ...second.end()];
      expect([...before, ...after]).toEqual(parse(parts.join('')));
    }),
  );
});

test('an event that never ends is given up', () => {
  const events = new EventBytes();
  const megabyte = new Uint8Array(1024 * 1024).fill(120);
  expect(() => {
    for (let i = 0; i < 20; i++) events.push(megabyte);
  }).toThrow(RangeError);
});
