import { expect, test } from 'vitest';
import { type NumberName, parametersFrom, parseNumber, parseStops, stopsText } from './parameters.ts';

test.each<[NumberName, string, number | undefined | string]>([
  ['temperature', '', undefined],
  ['temperature', '  ', undefined],
  ['temperature', '0', 0],
  ['temperature', '0,7', 0.7],
  ['temperature', '2.1', 'Temperature is a number from 0 to 2.'],
  ['temperature', 'warm', 'Temperature is a number from 0 to 2.'],
  ['top_p', '1', 1],
  ['max_tokens', '256', 256],
  ['max_tokens', '0', 'Longest answer is a whole number from 1 to 1000000.'],
  ['seed', '1.5', 'Seed is a whole number from 0 to 4294967295.'],
])('%s as “%s”', (name, typed, expected) => {
  expect(parseNumber(name, typed)).toEqual(expected);
});

test('texts to stop at keep their spaces and may hold a line end', () => {
  expect(parseStops('END\n\n ###\\n')).toEqual(['END', ' ###\n']);
  expect(parseStops(stopsText(['a\nb', 'c']))).toEqual(['a\nb', 'c']);
  expect(parseStops('1\n2\n3\n4\n5')).toHaveLength(4);
});

test.each([
  [null, {}],
  ['text', {}],
  [{ temperature: '0.5', seed: Number.NaN, top_p: 5, max_tokens: 1.5, stop: 'x', other: 1 }, {}],
  [
    { temperature: 0.5, stop: ['a', 7, ''] },
    { temperature: 0.5, stop: ['a'] },
  ],
])('of %j only what is allowed is taken', (given, expected) => {
  expect(parametersFrom(given)).toEqual(expected);
});
