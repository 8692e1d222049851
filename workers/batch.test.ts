import { describe, expect, it } from 'vitest';
import { MAX_CANDIDATES_PER_SESSION, MAX_SIGNAL_BYTES } from '../shared/limits.ts';
import { parseSignals, type SessionSignal } from '../shared/signal.ts';
import { batchLength, bySession, byteLength, checkSize, socketTexts } from './batch.ts';

const error = (message: string): SessionSignal => ({ session_id: 's', type: 'error', code: 'E_INTERNAL', message });
const offer = (sdp: string): SessionSignal => ({ session_id: 's', type: 'offer', sdp: `v=0${sdp}` });

describe('texts for a WebSocket', () => {
  it('sends one message as an object and several as a list', () => {
    expect(socketTexts([error('a')])).toEqual([JSON.stringify(error('a'))]);
    expect(socketTexts([error('a'), error('b')])).toEqual([JSON.stringify([error('a'), error('b')])]);
    expect(socketTexts([])).toEqual([]);
  });

  it('never makes a list that a peer’s parser refuses, and loses nothing', () => {
    const many = [
      ...Array.from({ length: 2 * MAX_CANDIDATES_PER_SESSION + 5 }, (_, n) => error(String(n))),
      offer('x'.repeat(30_000)),
      offer('€'.repeat(12_000)),
      offer('\u0001'.repeat(5_000)),
    ];
    const texts = socketTexts(many);
    expect(texts.flatMap((text) => parseSignals(text))).toEqual(many);
    for (const text of texts) expect(byteLength(text)).toBeLessThanOrEqual(MAX_SIGNAL_BYTES);
  });

  it('fills a list to the last byte', () => {
    const half = 'x'.repeat(MAX_SIGNAL_BYTES / 2 - 2);
    expect(batchLength([half, `${half}x`])).toBe(2);
    expect(batchLength([half, `${half}xx`])).toBe(1);
  });
});

it('takes what fits into a message, in bytes and not in characters', () => {
  const room = MAX_SIGNAL_BYTES - 2 - JSON.stringify(offer('')).length;
  expect(() => checkSize(offer('x'.repeat(room)))).not.toThrow();
  expect(() => checkSize(offer('x'.repeat(room + 1)))).toThrow(expect.objectContaining({ code: 'E_TOO_LARGE' }));
  expect(() => checkSize(offer('€'.repeat(room / 2)))).toThrow(expect.objectContaining({ code: 'E_TOO_LARGE' }));
});

it('groups by session and refuses an empty list', () => {
  const other = { ...error('b'), session_id: 't' };
  expect([...bySession([error('a'), other, error('c')])]).toEqual([
    ['s', [error('a'), error('c')]],
    ['t', [other]],
  ]);
  expect(() => bySession([])).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
});
