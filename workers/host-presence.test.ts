import { expect, it } from 'vitest';
import { type Admission, admitOne, checkOnline, checkRelay, isFresh, isPolling } from './host-presence.ts';
import { RetryLater } from './outcome.ts';

function refusal(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

it('counts a socket as connected for three missed pings', () => {
  expect(isFresh(0, 75_000)).toBe(true);
  expect(isFresh(0, 75_001)).toBe(false);
});

it('counts an agent as polling for less than 30 s after a poll', () => {
  expect(isPolling(0, 29_999)).toBe(true);
  expect(isPolling(0, 30_000)).toBe(false);
});

const admission = (at: number, sessionKey = 'key', subject = 'owner'): Admission => ({
  at,
  sessionKey,
  grant: { subject },
  from: null,
});

it('admits 120 sessions in any 60 s, and says when the next one may come', () => {
  let log: Admission[] = [];
  for (let n = 0; n < 120; n++) log = admitOne(log, admission(1000 + n * 100));
  const error = refusal(() => admitOne(log, admission(13_000)));
  expect(error).toBeInstanceOf(RetryLater);
  expect(error).toMatchObject({ code: 'E_RATE_LIMITED', retryAfterMs: 48_000 });
  // The first one leaves the log at 61,000, and with it exactly one place becomes free.
  const next = admitOne(log, admission(61_000));
  expect(next).toHaveLength(120);
  expect(refusal(() => admitOne(next, admission(61_050)))).toMatchObject({ code: 'E_RATE_LIMITED', retryAfterMs: 50 });
});

it('admits a relay for 60 s after its session, which must have a credential', () => {
  const log = [admission(1000, 'theirs', 'anonymous'), admission(1000, 'mine')];
  expect(refusal(() => checkRelay(log, 'mine', 60_999))).toBeUndefined();
  expect(checkRelay(log, 'mine', 60_999).grant).toEqual({ subject: 'owner' });
  expect(refusal(() => checkRelay(log, 'mine', 61_000))).toMatchObject({ code: 'E_SESSION_UNKNOWN' });
  expect(refusal(() => checkRelay(log, 'theirs', 1000))).toMatchObject({ code: 'E_UNAUTHORIZED' });
  expect(refusal(() => checkRelay(log, 'other', 1000))).toMatchObject({ code: 'E_SESSION_UNKNOWN' });
});

it('refuses a session with a host that is away, unless the host is open', () => {
  expect(refusal(() => checkOnline(false, false))).toMatchObject({ code: 'E_HOST_OFFLINE' });
  expect(refusal(() => checkOnline(false, true))).toBeUndefined();
  expect(refusal(() => checkOnline(true, false))).toBeUndefined();
});
