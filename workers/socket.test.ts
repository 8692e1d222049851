import { expect, it } from 'vitest';
import { ERRORS } from '../shared/errors.ts';
import { closeReason } from './socket.ts';

it('cuts a reason to what a close frame holds, between characters', () => {
  expect(closeReason('x'.repeat(124))).toBe('x'.repeat(123));
  expect(closeReason('€'.repeat(42))).toBe('€'.repeat(41));
  expect(closeReason(`${'x'.repeat(121)}😀`)).toBe('x'.repeat(121));
});

it('has room for every message of the table', () => {
  for (const { message } of Object.values(ERRORS)) expect(closeReason(message)).toBe(message);
});
