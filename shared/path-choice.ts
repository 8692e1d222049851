/**
 * Which of its paths a client uses: direct before TURN before relay, and one that works before one that does not.
 * With hysteresis: a better path that was lost soon after it was chosen must work for longer the next time.
 */
import { MAX_PATH_PROOF_MS, PATH_STABLE_MS } from './limits.ts';
import type { PathKind } from './path.ts';
import type { PathLink } from './path-link.ts';

const RANK: Record<PathKind, number> = { direct: 3, turn: 2, relay: 1 };
const FIRST_PROOF_MS = 1_000;

export interface Choice {
  link: PathLink | undefined;
  /** When to choose again, in ms from now, if nothing happens before. */
  againMs?: number;
}

export class PathChoice {
  #chosenAt = 0;
  /** Times in a row that a path better than the relay was left soon after it was chosen. */
  #strikes = 0;
  #chosen: PathLink | undefined;

  /** How long a better path must have worked before traffic moves up to it, in ms. */
  get proofMs(): number {
    return this.#strikes === 0 ? 0 : Math.min(MAX_PATH_PROOF_MS, FIRST_PROOF_MS * 2 ** (this.#strikes - 1));
  }

  /** Chooses among `links`, of which none has ended. */
  choose(links: readonly PathLink[], now: number): Choice {
    const sound = links.filter((link) => link.isOpen && !link.doubtful).sort((a, b) => RANK[b.kind] - RANK[a.kind]);
    const [best] = sound;
    const current = this.#chosen !== undefined && links.includes(this.#chosen) ? this.#chosen : undefined;
    // Nothing works: what was used before may come back, and the first path of all need not wait for HELLO.
    if (best === undefined) return this.#choose(current ?? links.find((link) => link.isOpen) ?? links[0], now);
    const proven = sound.find((link) => now - link.provenAt >= this.proofMs || RANK[link.kind] === RANK.relay);
    const useful = current !== undefined && sound.includes(current) ? current : undefined;
    const next = proven !== undefined && RANK[proven.kind] > RANK[useful?.kind ?? 'relay'] ? proven : useful;
    const choice = this.#choose(next ?? proven ?? best, now);
    const waiting = sound.filter((link) => RANK[link.kind] > RANK[choice.link?.kind ?? 'relay']);
    if (waiting.length === 0) return choice;
    return { ...choice, againMs: Math.min(...waiting.map((link) => link.provenAt + this.proofMs - now)) };
  }

  #choose(next: PathLink | undefined, now: number): Choice {
    const before = this.#chosen;
    if (next === before) return { link: next };
    if (
      before !== undefined &&
      before.kind !== 'relay' &&
      (next === undefined || RANK[next.kind] < RANK[before.kind])
    ) {
      this.#strikes = now - this.#chosenAt < PATH_STABLE_MS ? this.#strikes + 1 : 1;
    }
    this.#chosen = next;
    this.#chosenAt = now;
    return { link: next };
  }
}
