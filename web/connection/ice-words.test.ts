import { expect, test } from 'vitest';
import { credentialsEnd, serverKind, serverKinds } from './ice-words.ts';

test.each([
  ['stun:stun.example:3478', 'STUN by UDP'],
  ['turn:turn.example', 'TURN by UDP'],
  ['turn:turn.example:80?transport=tcp', 'TURN by TCP'],
  ['turns:turn.example:443?transport=tcp', 'TURN by TLS'],
])('%s is %s', (url, kind) => {
  expect(serverKind(url)).toBe(kind);
});

const ice = { source: 'coturn', urls: ['turn:a.example', 'turn:b.example'], endAt: undefined, clockAheadMs: 0 };

test('several servers of a kind are one', () => {
  expect(serverKinds(ice)).toEqual(['TURN by UDP']);
});

test.each([
  [undefined, 'do not end'],
  [3_600_000, 'end in 60 min'],
  [86_400_000, 'end in 24 hours'],
  [20_000, 'end in less than a minute'],
  [-1, 'have ended; new ones come with the next attempt'],
])('credentials that last %s ms more %s', (left, words) => {
  expect(credentialsEnd({ at: 1_000, ice: { ...ice, endAt: left === undefined ? undefined : 1_000 + left } })).toBe(
    words,
  );
});

test('STUN has no credentials', () => {
  expect(credentialsEnd({ at: 0, ice: { ...ice, urls: ['stun:a.example'] } })).toBeUndefined();
  expect(credentialsEnd({ at: 0, ice: undefined })).toBeUndefined();
});
