import { expect, test } from 'vitest';
import { clockTime, countdown, counted, relativeTime } from './format.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 10, 21);

test.each([
  [0, 'just now'],
  [-30_000, 'just now'],
  [30_000, 'in less than a minute'],
  [-MINUTE, '1 minute ago'],
  [-59 * MINUTE, '59 minutes ago'],
  [-3 * HOUR - 5 * MINUTE, '3 hours ago'],
  [-DAY, 'yesterday'],
  [DAY, 'tomorrow'],
  [6 * DAY, 'in 6 days'],
  [30 * DAY, 'next month'],
  [-800 * DAY, '2 years ago'],
])('%d ms from now is %s', (difference, text) => {
  expect(relativeTime(NOW + difference, NOW)).toBe(text);
});

test('a time of today needs no day', () => {
  const noon = new Date(2026, 10, 21, 12, 0).getTime();
  expect(clockTime(noon - 3 * HOUR + 5 * MINUTE, noon)).toBe('09:05');
  expect(clockTime(noon - DAY, noon)).toBe('Nov 20, 12:00');
});

test.each([
  [299, '4:59'],
  [0.2, '0:01'],
  [-1, '0:00'],
  [3600, '60:00'],
])('a wait of %d s shows as %s', (seconds, text) => {
  expect(countdown(seconds)).toBe(text);
});

test.each([
  [0, 'no devices'],
  [1, 'one device'],
  [3, '3 devices'],
])('%d devices are %s', (count, text) => {
  expect(counted(count, 'device')).toBe(text);
});
