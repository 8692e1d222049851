/**
 * Which pair the agent, as the controlled side, sends by: werift keeps the first one that was nominated until it has
 * been silent for 30 s. Browsers nominate anew when they find a better pair or lose the one in use (RFC 8445, section
 * 8.1.1), and then stop answering on the old one.
 */
import { type CandidatePair, CandidatePairState } from 'werift';
import type { CheckProtocol, IceConnection } from './webrtc-internals.ts';

const TICK_MS = 1_000;
/** Browsers check the pair in use every 2.5 s at least; RFC 7675 wants a check every 5 s (± 20 %). */
const SILENT_MS = 3_500;
const PROBE_TIMEOUT_MS = 900;
/** A round trip, or a part of one. */
const AGAIN_MS = 50;
/** For how many ticks a better pair is asked: as long as browsers go on to check one that does not answer. */
const MAX_ASKED = 15;
/** Better pairs that are asked in one tick. */
const MAX_ASKED_AT_ONCE = 8;
/** Requests may come with anybody's address on them; only an answer shows that data is wanted there (RFC 7675). */
const ANSWERED_MS = 5_000;

interface Heard {
  count: number;
  at: number;
  answers: number;
  answeredAt: number;
}

export class Nomination {
  readonly #ice: IceConnection;
  readonly #switched: () => void;
  readonly #now: () => number;
  readonly #heard = new WeakMap<CandidatePair, Heard>();
  readonly #timer: NodeJS.Timeout;
  readonly #asked = new WeakMap<CandidatePair, number>();
  /** Nominated before its check was answered, or too soon after another one. */
  #early: CandidatePair | undefined;
  #again: NodeJS.Timeout | undefined;
  #usedAt = Number.NEGATIVE_INFINITY;
  #confirming = false;

  /** `switched`: data goes by another pair from now on. */
  constructor(ice: IceConnection, switched: () => void, now: () => number = () => performance.now()) {
    this.#ice = ice;
    this.#switched = switched;
    this.#now = now;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#again);
  }

  /** An authenticated request came for `pair`, and werift has taken note of it. */
  requested(pair: CandidatePair, useCandidate: boolean): void {
    this.#listen(pair);
    const { nominated, iceControlling } = this.#ice;
    if (!useCandidate || iceControlling || nominated === undefined || nominated === pair) return;
    const order = comparePriority(pair, nominated);
    // The triggered check is under way, or a client goes back and forth.
    if (pair.state !== CandidatePairState.SUCCEEDED || (order <= 0 && this.#now() - this.#usedAt < TICK_MS)) {
      this.#requestedEarly(pair);
      return;
    }
    // Until one is selected, browsers nominate whatever they check; the better one stays.
    if (order < 0 && this.#silentMs(nominated) <= SILENT_MS) return;
    if (this.#now() - (this.#heard.get(pair)?.answeredAt ?? Number.NEGATIVE_INFINITY) <= ANSWERED_MS) this.#use(pair);
    else if (!this.#confirming) void this.#confirm(pair);
  }

  /** The client sends by it from now on, so it is looked at again as soon as it may have been answered. */
  #requestedEarly(pair: CandidatePair): void {
    const { SUCCEEDED, IN_PROGRESS } = CandidatePairState;
    if (pair.state !== SUCCEEDED && pair.state !== IN_PROGRESS) return;
    this.#early = pair;
    this.#again ??= setTimeout(() => {
      const early = this.#early;
      this.#again = undefined;
      this.#early = undefined;
      if (early !== undefined) this.requested(early, true);
    }, AGAIN_MS).unref();
  }

  async #confirm(pair: CandidatePair): Promise<void> {
    this.#confirming = true;
    const answers = await this.#probe(pair);
    this.#confirming = false;
    if (answers) this.requested(pair, true);
  }

  #use(pair: CandidatePair): void {
    pair.nominated = true;
    this.#usedAt = this.#now();
    this.#ice.nominated = pair;
    // Consent (RFC 7675) belongs to the pair.
    this.#ice.queryConsent();
    this.#switched();
  }

  #tick(): void {
    const { nominated, checkList } = this.#ice;
    if (nominated === undefined) return;
    for (const pair of checkList) this.#listen(pair);
    this.#askBetter(nominated);
    if (this.#silentMs(nominated) <= SILENT_MS) return;
    const others = checkList.filter((pair) => pair !== nominated && pair.state === CandidatePairState.SUCCEEDED);
    if (others.length > 0) void this.#findAnother(nominated, others);
  }

  /**
   * werift checks no further once a pair is nominated. A better one may lack nothing but a packet of ours, without which
   * our NAT lets none of the client's in; it checks that pair for some time yet, and nominates it then.
   */
  #askBetter(nominated: CandidatePair): void {
    const { SUCCEEDED, IN_PROGRESS } = CandidatePairState;
    const better = this.#ice.checkList.filter(
      (pair) =>
        pair.state !== SUCCEEDED &&
        pair.state !== IN_PROGRESS &&
        comparePriority(pair, nominated) > 0 &&
        (this.#asked.get(pair) ?? 0) < MAX_ASKED,
    );
    for (const pair of better.toSorted((a, b) => comparePriority(b, a)).slice(0, MAX_ASKED_AT_ONCE)) {
      this.#asked.set(pair, (this.#asked.get(pair) ?? 0) + 1);
      void this.#probe(pair).then((answers) => {
        if (answers) pair.updateState(SUCCEEDED);
      });
    }
  }

  async #findAnother(silent: CandidatePair, others: readonly CandidatePair[]): Promise<void> {
    const [answers, ...alternatives] = await Promise.all([silent, ...others].map((pair) => this.#probe(pair)));
    if (answers || this.#ice.nominated !== silent || this.#silentMs(silent) <= SILENT_MS) return;
    const [next] = others.filter((_, i) => alternatives[i]).toSorted((a, b) => comparePriority(b, a));
    if (next !== undefined) this.#use(next);
  }

  async #probe(pair: CandidatePair): Promise<boolean> {
    const { localUsername, remoteUsername, remotePassword, iceControlling } = this.#ice;
    const { localCandidate } = pair;
    const request = this.#ice.buildRequest({
      nominate: false,
      localUsername,
      remoteUsername,
      iceControlling,
      localCandidate,
    });
    try {
      const protocol = pair.protocol as unknown as CheckProtocol;
      await protocol.request(request, pair.remoteAddr, Buffer.from(remotePassword), {
        retransmissions: 0,
        responseTimeout: PROBE_TIMEOUT_MS,
      });
      pair.responsesReceived++;
      this.#listen(pair);
      return true;
    } catch {
      return false;
    }
  }

  #listen(pair: CandidatePair): void {
    const answers = pair.responsesReceived;
    const count = pair.requestsReceived + answers;
    const before = this.#heard.get(pair);
    if (before?.count === count) return;
    const now = this.#now();
    const answeredAt = (before?.answers ?? 0) === answers ? (before?.answeredAt ?? Number.NEGATIVE_INFINITY) : now;
    this.#heard.set(pair, { count, at: now, answers, answeredAt });
  }

  #silentMs(pair: CandidatePair): number {
    return this.#now() - (this.#heard.get(pair)?.at ?? 0);
  }
}

/** RFC 8445, section 6.1.2.3, without the sum, which has more bits than a number (and which werift gets wrong). */
function comparePriority(one: CandidatePair, other: CandidatePair): number {
  const sorted = ({ localCandidate, remoteCandidate }: CandidatePair) =>
    [localCandidate.priority, remoteCandidate.priority].toSorted((a, b) => a - b);
  const [[min1 = 0, max1 = 0], [min2 = 0, max2 = 0]] = [sorted(one), sorted(other)];
  return min1 - min2 || max1 - max2;
}
