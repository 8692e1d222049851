import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ServerSentEvent, SseParser } from './sse.ts';

const parse = (...pieces: string[]): ServerSentEvent[] => {
  const parser = new SseParser();
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
};
const data = (...texts: string[]) => texts.map((text) => ({ type: 'message', data: text, id: '' }));

test.each<[string, string, ServerSentEvent[]]>([
  ['one event', 'data: a\n\n', data('a')],
  ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', data('a', 'b')],
  ['CR', 'data: a\r\rdata: b\r\r', data('a', 'b')],
  ['no space after the colon', 'data:a\n\n', data('a')],
  ['only the first space is dropped', 'data:  a\n\n', data(' a')],
  ['several data lines', 'data: a\ndata: b\n\n', data('a\nb')],
  ['a line without a colon', 'data\n\n', data('')],
  ['a name', 'event: error\ndata: a\n\ndata: b\n\n', [{ type: 'error', data: 'a', id: '' }, ...data('b')]],
  ['comments', ': keep-alive\n\n:\n\ndata: a\n\n', data('a')],
  ['a name without data', 'event: error\n\ndata: a\n\n', data('a')],
  ['unknown fields', 'x: y\ndata: a\n\n', data('a')],
  [
    'an id, which stays',
    'id: 1\ndata: a\n\ndata: b\n\nid: a\0b\nid\ndata: c\n\n',
    [
      { type: 'message', data: 'a', id: '1' },
      { type: 'message', data: 'b', id: '1' },
      { type: 'message', data: 'c', id: '' },
    ],
  ],
  ['a byte order mark', '\uFEFFdata: a\n\n', data('a')],
  ['colons in the data', 'data: {"a":"b:c"}\n\n', data('{"a":"b:c"}')],
  ['an end without its empty line', 'data: a\n\ndata: b', data('a', 'b')],
  ['nothing', '', []],
])('%s', (_, text, events) => {
  expect(parse(text)).toEqual(events);
});

test('the pause before a reconnection', () => {
  const parser = new SseParser();
  parser.push('retry: 5\nretry: 5s\nretry:\n');
  expect(parser.retryMs).toBe(5);
});

test('CR and LF in two pieces are one line end', () => {
  expect(parse('data: a\r', '\ndata: b\r', '\n', '\r', '\n')).toEqual(data('a\nb'));
});

test('any split of any text gives the same events', () => {
  const text = fc.array(
    fc.constantFrom('data: a', 'data:', 'event: x', ': c', '\r\n', '\n', '\r', '\n\n', 'é\u{1F642}'),
  );
  fc.assert(
    fc.property(text, fc.array(fc.nat(60)), (parts, cuts) => {
      const whole = parts.join('');
      const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
      const pieces = at.slice(1).map((end, i) => whole.slice(at[i], end));
      expect(parse(...pieces)).toEqual(parse(whole));
      expect(parse(...whole)).toEqual(parse(whole));
    }),
  );
});

test('an event that never ends is given up', () => {
  const parser = new SseParser();
  const megabyte = 'x'.repeat(1024 * 1024);
  expect(() => {
    for (let i = 0; i < 20; i++) parser.push(megabyte);
  }).toThrow(RangeError);
  const lines = new SseParser();
  expect(() => {
    for (let i = 0; i < 20; i++) lines.push(`data: ${megabyte}\n`);
  }).toThrow(RangeError);
});
