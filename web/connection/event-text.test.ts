import { expect, test } from 'vitest';
import { eventText, offset } from './event-text.ts';
import { candidate } from './test-report.ts';

test.each([
  [0, '+0.00 s'],
  [123.4, '+0.12 s'],
  [61_000, '+1:01'],
  [3_600_000, '+1:00:00'],
  [36_610_000, '+10:10:10'],
])('%s ms is %s', (ms, text) => {
  expect(offset(ms)).toBe(text);
});

test('candidates are shown by what matters of them', () => {
  const fact = candidate('local', { type: 'relay', address: '2001:db8::1', relayProtocol: 'tcp' });
  const text = 'local candidate: candidate:1 1 udp 1 2001:db8::1 50000 typ relay';
  expect(eventText({ at: 0, text, fact })).toBe('local candidate: relay udp [2001:db8::1]:50000 by tcp');
  expect(eventText({ at: 0, text: 'local candidate: end', fact: candidate('local') })).toBe('local candidate: end');
  expect(eventText({ at: 0, text: 'attempt failed: E_PATH_LOST ' })).toBe('attempt failed: E_PATH_LOST');
});
