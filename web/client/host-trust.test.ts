import { beforeAll, describe, expect, test } from 'vitest';
import { fingerprint } from '../../shared/fingerprint.ts';
import { type Announcement, generateHostKeys, type HostKeys, signAnnouncement } from '../../shared/host-identity.ts';
import type { AnswerSignal } from '../../shared/signal.ts';
import { signAnswer } from '../../shared/signed-answer.ts';
import { TestClock } from '../../shared/test-clock.ts';
import { createDiagnostics } from './diagnostics.ts';
import { HostTrust, type HostTrustOptions, QUESTION_PATIENCE_MS } from './host-trust.ts';
import { quiet } from './test-quiet.ts';

const OFFER = 'v=0 offer';
const NOW = 1_000_000;

interface Host {
  key: string;
  answer: AnswerSignal;
  announcement: Announcement;
}

async function host(keys: HostKeys, expiresAt = NOW + 1): Promise<Host> {
  const answered = { hostId: 'home', sessionId: 'session', offer: OFFER, answer: 'v=0 answer' };
  const signature = await signAnswer(keys, answered);
  return {
    key: signature.host_key,
    answer: { session_id: 'session', type: 'answer', sdp: answered.answer, ...signature },
    announcement: await signAnnouncement(keys, new Uint8Array(32), expiresAt),
  };
}

let mine: Host;
let other: Host;
let expired: Host;
beforeAll(async () => {
  const keys = await generateHostKeys();
  mine = await host(keys);
  expired = await host(keys, NOW);
  other = await host(await generateHostKeys());
});

function trusting(options: Partial<HostTrustOptions> = {}) {
  const clock = new TestClock(quiet);
  const events: string[] = [];
  const log: string[] = [];
  const trust = new HostTrust(
    {
      host: 'home',
      environment: { canVerify: async () => true, timer: clock.timer, wallClock: () => NOW },
      diagnostics: createDiagnostics(clock.now, (line) => log.push(line)),
      ...options,
    },
    {
      asked: () => events.push('asked'),
      pinned: (hostKey) => events.push(`pinned ${hostKey}`),
      confirmed: () => events.push('confirmed'),
      broken: ({ code }) => events.push(`broken ${code}`),
    },
  );
  return { trust, clock, events, log };
}

/** How a promise ends: “fine”, or the code. */
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'fine',
    (error: { code: string }) => error.code,
  );

/** A person who is asked, and answers when told. */
function person() {
  const questions: unknown[] = [];
  const answer = Promise.withResolvers<boolean>();
  const confirm = (question: unknown) => {
    questions.push(question);
    return answer.promise;
  };
  return { questions, confirm, answer };
}

describe('a pinned key', () => {
  test('is what answers and announcements must come from, and is not told as news', async () => {
    const { trust, events } = trusting({ hostKey: mine.key });
    await trust.answer(mine.answer, OFFER);
    expect((await trust.announcement(mine.announcement)).relayKey).toEqual(new Uint8Array(32));
    expect([trust.hostKey, trust.error, events]).toEqual([mine.key, undefined, []]);
  });

  test.each<[string, (trust: HostTrust) => Promise<unknown>, string]>([
    ['an answer of another key', (trust) => trust.answer(other.answer, OFFER), 'E_HOST_KEY_CHANGED'],
    ['an announcement of another key', (trust) => trust.announcement(other.announcement), 'E_HOST_KEY_CHANGED'],
    ['an answer to another offer', (trust) => trust.answer(mine.answer, `${OFFER}.`), 'E_HOST_KEY'],
    ['another answer', (trust) => trust.answer({ ...mine.answer, sdp: 'v=0 mine' }, OFFER), 'E_HOST_KEY'],
    ['an answer of another session', (trust) => trust.answer({ ...mine.answer, session_id: 'x' }, OFFER), 'E_HOST_KEY'],
    [
      'no signature',
      (trust) => trust.answer({ session_id: 'session', type: 'answer', sdp: 'v=0' }, OFFER),
      'E_HOST_KEY',
    ],
    ['another relay key', (trust) => trust.announcement({ ...mine.announcement, relay_key: other.key }), 'E_HOST_KEY'],
  ])('that %s contradicts ends it for good', async (_name, attack, code) => {
    const { trust, events } = trusting({ hostKey: mine.key });
    expect(await outcome(attack(trust))).toBe(code);
    expect([events, trust.error?.code]).toEqual([[`broken ${code}`], code]);
    // The truth comes too late.
    expect(await outcome(trust.answer(mine.answer, OFFER))).toBe(code);
    expect(await outcome(attack(trust))).toBe(code);
    expect([events.length, trust.hostKey]).toEqual([1, undefined]);
  });

  test('does not become wrong by an announcement that has expired: a newer one may come', async () => {
    const { trust, events } = trusting({ hostKey: mine.key });
    expect(await outcome(trust.announcement(expired.announcement))).toBe('E_HOST_KEY');
    await trust.announcement(mine.announcement);
    await trust.answer(mine.answer, OFFER);
    expect(events).toEqual([]);
  });

  test.each(['', 'home', 'A'.repeat(42), `${'A'.repeat(42)}B`])('that is none is a mistake: “%s”', (hostKey) => {
    expect(() => trusting({ hostKey })).toThrow(TypeError);
  });
});

describe('without a pinned key and anybody to ask', () => {
  test('the first that proves itself is believed from then on', async () => {
    const { trust, events } = trusting();
    expect(trust.hostKey).toBeUndefined();
    await Promise.all([trust.announcement(mine.announcement), trust.answer(mine.answer, OFFER)]);
    expect([trust.hostKey, events]).toEqual([mine.key, [`pinned ${mine.key}`]]);
    expect(await outcome(trust.answer(other.answer, OFFER))).toBe('E_HOST_KEY_CHANGED');
    expect(events.at(-1)).toBe('broken E_HOST_KEY_CHANGED');
  });

  test('one that does not prove itself is not', async () => {
    const { trust, events } = trusting();
    expect(await outcome(trust.answer({ ...mine.answer, host_key: other.key }, OFFER))).toBe('E_HOST_KEY');
    expect(events).toEqual(['broken E_HOST_KEY']);
  });

  test('two paths with two keys are refused, whichever comes first', async () => {
    for (const order of [0, 1]) {
      const { trust, events } = trusting();
      const paths = [() => trust.announcement(mine.announcement), () => trust.answer(other.answer, OFFER)];
      if (order === 1) paths.reverse();
      const outcomes = await Promise.all(paths.map((path) => outcome(path())));
      expect(outcomes).toContain('E_HOST_KEY_CHANGED');
      expect([events.at(-1), trust.error?.code]).toEqual(['broken E_HOST_KEY_CHANGED', 'E_HOST_KEY_CHANGED']);
    }
  });

  test('an expired announcement pins nothing', async () => {
    const { trust, events } = trusting();
    expect(await outcome(trust.announcement(expired.announcement))).toBe('E_HOST_KEY');
    expect([trust.hostKey, events]).toEqual([undefined, []]);
  });
});

describe('a person', () => {
  test('is asked once for both paths, with the fingerprint, and what comes of it is told', async () => {
    const { confirm, questions, answer } = person();
    const { trust, clock, events, log } = trusting({ confirm });
    const paths = [trust.announcement(mine.announcement), trust.answer(mine.answer, OFFER)].map(outcome);
    await clock.advance(QUESTION_PATIENCE_MS - 1);
    expect([trust.isAsking, trust.hostKey, events]).toEqual([true, undefined, ['asked']]);
    expect(questions).toEqual([{ host: 'home', hostKey: mine.key, fingerprint: await fingerprint(mine.key) }]);
    answer.resolve(true);
    expect(await Promise.all(paths)).toEqual(['fine', 'fine']);
    expect([trust.isAsking, trust.hostKey, clock.pending]).toEqual([false, mine.key, 0]);
    expect(events).toEqual(['asked', `pinned ${mine.key}`, 'confirmed']);
    await trust.answer(mine.answer, OFFER);
    expect(questions).toHaveLength(1);
    expect(log.join('\n')).toContain(await fingerprint(mine.key));
  });

  test('may take longer than an attempt waits; a later one does not ask again', async () => {
    const { confirm, questions, answer } = person();
    const { trust, clock, events } = trusting({ confirm });
    const first = outcome(trust.answer(mine.answer, OFFER));
    await clock.advance(QUESTION_PATIENCE_MS);
    expect([await first, trust.error, trust.isAsking]).toEqual(['E_HOST_KEY_UNCONFIRMED', undefined, true]);
    const second = outcome(trust.announcement(mine.announcement));
    await clock.advance(1);
    answer.resolve(true);
    expect([await second, questions.length]).toEqual(['fine', 1]);
    expect(events.at(-1)).toBe('confirmed');
  });

  test.each<[string, (answer: PromiseWithResolvers<boolean>) => void]>([
    ['says no', ({ resolve }) => resolve(false)],
    ['says nothing that means yes', ({ resolve }) => resolve('yes' as never)],
    ['cannot be asked', ({ reject }) => reject(new Error('no window'))],
  ])('who %s ends it for good', async (_name, reply) => {
    const { confirm, answer } = person();
    const { trust, events } = trusting({ confirm });
    const paths = [trust.announcement(mine.announcement), trust.answer(mine.answer, OFFER)].map(outcome);
    await quiet();
    reply(answer);
    expect(await Promise.all(paths)).toEqual(['E_HOST_KEY_UNCONFIRMED', 'E_HOST_KEY_UNCONFIRMED']);
    expect(events).toEqual(['asked', 'broken E_HOST_KEY_UNCONFIRMED']);
    expect(await outcome(trust.answer(mine.answer, OFFER))).toBe('E_HOST_KEY_UNCONFIRMED');
  });

  test('is not asked about a key that does not prove itself, or whose time is over', async () => {
    for (const attack of [
      (trust: HostTrust) => trust.answer(mine.answer, `${OFFER}.`),
      (trust: HostTrust) => trust.announcement(expired.announcement),
    ]) {
      const { confirm, questions } = person();
      const { trust } = trusting({ confirm });
      expect(await outcome(attack(trust))).toBe('E_HOST_KEY');
      expect(questions).toEqual([]);
    }
  });

  test('is not asked about a second key: two of them are a lie, whatever the answer', async () => {
    const { confirm, questions, answer } = person();
    const { trust, events } = trusting({ confirm });
    const first = outcome(trust.answer(mine.answer, OFFER));
    await quiet();
    expect(await outcome(trust.announcement(other.announcement))).toBe('E_HOST_KEY_CHANGED');
    answer.resolve(true);
    expect([await first, questions.length]).toEqual(['E_HOST_KEY_CHANGED', 1]);
    await quiet();
    expect([events, trust.hostKey]).toEqual([['asked', 'broken E_HOST_KEY_CHANGED'], undefined]);
  });

  test('who answers after the client was closed is not heard', async () => {
    const { confirm, answer } = person();
    const { trust, clock, events } = trusting({ confirm });
    const waiting = outcome(trust.answer(mine.answer, OFFER));
    await quiet();
    trust.close();
    expect([await waiting, clock.pending, trust.isAsking]).toEqual(['E_CANCELLED', 0, false]);
    answer.resolve(true);
    await quiet();
    expect([events, trust.hostKey, trust.error]).toEqual([['asked'], undefined, undefined]);
    expect(await outcome(trust.answer(mine.answer, OFFER))).toBe('E_CANCELLED');
  });
});

describe('a runtime that cannot check a signature', () => {
  const environment = { canVerify: async () => false, timer: () => () => {}, wallClock: () => NOW };

  test('says so to whom it may concern, and does not pretend to have a pinned key', async () => {
    const { trust, log } = trusting({ hostKey: mine.key, environment });
    expect(await trust.canVerify()).toBe(false);
    expect([trust.hostKey, trust.error, trust.inability?.code]).toEqual([
      undefined,
      undefined,
      'E_HOST_KEY_UNCONFIRMED',
    ]);
    expect(log.join()).toContain('cannot check the host’s key');
  });

  test('has nothing to say where nothing is pinned', async () => {
    const { trust } = trusting({ environment });
    expect([await trust.canVerify(), trust.isUnable, trust.inability]).toEqual([false, true, undefined]);
  });
});
