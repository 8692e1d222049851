/** Which path a client uses, and how long a better one has to prove itself. */
import { describe, expect, test } from 'vitest';
import { MAX_PATH_PROOF_MS, PATH_STABLE_MS } from './limits.ts';
import type { PathKind } from './path.ts';
import { PathChoice } from './path-choice.ts';
import type { PathLink } from './path-link.ts';

/** What the choice looks at. */
interface Fake {
  kind: PathKind;
  isOpen: boolean;
  doubtful: boolean;
  provenAt: number;
}

const fake = (kind: PathKind, more: Partial<Fake> = {}): PathLink =>
  ({ kind, isOpen: true, doubtful: false, provenAt: 0, ...more }) as Partial<PathLink> as PathLink;
const change = (link: PathLink, more: Partial<Fake>) => Object.assign(link, more);

describe('the best that works is chosen', () => {
  test('direct before TURN before relay, in whatever order they come', () => {
    const [relay, turn, direct] = [fake('relay'), fake('turn'), fake('direct')];
    const choice = new PathChoice();
    expect(choice.choose([relay], 0).link).toBe(relay);
    expect(choice.choose([relay, turn], 1).link).toBe(turn);
    expect(choice.choose([relay, turn, direct], 2).link).toBe(direct);
    expect(new PathChoice().choose([direct, relay, turn], 0).link).toBe(direct);
  });

  test('not one that has not answered yet, unless there is no other', () => {
    const [relay, direct] = [fake('relay', { isOpen: false }), fake('direct', { isOpen: false })];
    const choice = new PathChoice();
    expect(choice.choose([], 0).link).toBeUndefined();
    expect(choice.choose([relay, direct], 0).link).toBe(relay);
    change(relay, { isOpen: true });
    expect(choice.choose([relay, direct], 1).link).toBe(relay);
  });

  test('not one in doubt, unless all are, and then the one that was used', () => {
    const [relay, direct] = [fake('relay'), fake('direct')];
    const choice = new PathChoice();
    choice.choose([relay, direct], 0);
    change(direct, { doubtful: true });
    expect(choice.choose([relay, direct], PATH_STABLE_MS).link).toBe(relay);
    change(relay, { doubtful: true });
    expect(choice.choose([relay, direct], PATH_STABLE_MS).link).toBe(relay);
  });

  test('the used one stays beside others of its kind', () => {
    const [first, second] = [fake('direct'), fake('direct')];
    const choice = new PathChoice();
    choice.choose([first], 0);
    expect(choice.choose([second, first], 1).link).toBe(first);
    expect(choice.choose([second], 2).link).toBe(second);
  });

  test('a path whose kind becomes better or worse is chosen anew', () => {
    const [relay, turn, direct] = [fake('relay'), fake('turn'), fake('direct')];
    const choice = new PathChoice();
    expect(choice.choose([relay, turn, direct], 0).link).toBe(direct);
    change(direct, { kind: 'turn' });
    change(turn, { kind: 'direct' });
    expect(choice.choose([relay, turn, direct], 1).link).toBe(turn);
  });
});

describe('a better path that was lost soon', () => {
  /** Loses the direct path `times` times, each `afterMs` after it was chosen; returns the time and the choice. */
  function flapping(times: number, afterMs: number) {
    const [relay, direct] = [fake('relay'), fake('direct')];
    const choice = new PathChoice();
    let now = 0;
    for (let i = 0; i < times; i++) {
      change(direct, { doubtful: false, provenAt: now });
      now += choice.proofMs;
      expect(choice.choose([relay, direct], now).link).toBe(direct);
      now += afterMs;
      change(direct, { doubtful: true });
      expect(choice.choose([relay, direct], now).link).toBe(relay);
    }
    return { relay, direct, choice, now };
  }

  test('must work for a while, and the choice says when to look again', () => {
    const { relay, direct, choice, now } = flapping(1, 100);
    change(direct, { doubtful: false, provenAt: now + 50 });
    expect(choice.choose([relay, direct], now + 50)).toEqual({ link: relay, againMs: 1000 });
    expect(choice.choose([relay, direct], now + 1049)).toEqual({ link: relay, againMs: 1 });
    expect(choice.choose([relay, direct], now + 1050)).toEqual({ link: direct });
  });

  test('for twice as long each time, up to a limit', () => {
    expect([1, 2, 3, 4].map((times) => flapping(times, 100).choice.proofMs)).toEqual([1000, 2000, 4000, 8000]);
    expect(flapping(100, 100).choice.proofMs).toBe(MAX_PATH_PROOF_MS);
  });

  test('for a moment only once it was stable in between', () => {
    expect(flapping(6, PATH_STABLE_MS).choice.proofMs).toBe(1000);
  });

  test('is used at once if nothing else works', () => {
    const { direct, choice, now } = flapping(5, 100);
    change(direct, { doubtful: false, provenAt: now });
    expect(choice.choose([direct], now).link).toBe(direct);
  });

  test('does not keep a TURN path from being used in place of the relay', () => {
    const { relay, direct, choice, now } = flapping(5, 100);
    change(direct, { doubtful: false, provenAt: now });
    const turn = fake('turn', { provenAt: now - MAX_PATH_PROOF_MS });
    expect(choice.choose([relay, direct, turn], now)).toEqual({ link: turn, againMs: choice.proofMs });
  });

  test('counts as lost when it was the last one, too', () => {
    const direct = fake('direct');
    const choice = new PathChoice();
    choice.choose([direct], 0);
    choice.choose([], 100);
    expect(choice.proofMs).toBe(1000);
  });
});
