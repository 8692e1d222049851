/** How often somebody may be wrong: for each address, and for all together, since addresses are cheap. Pure. */
import { DirectError } from '../shared/errors.ts';

export interface GuessLimitsOptions {
  /** Monotonic milliseconds. */
  now(): number;
  /** Wrong guesses within `windowMs` of one address, and of all, that lock for `windowMs`. */
  each: number;
  total: number;
  windowMs: number;
}

/** A guess that is being looked at. Exactly one of the two is called. */
export interface Guess {
  right(): void;
  wrong(): void;
}

/** No address is called so. */
const ALL = '*';

export class GuessLimits {
  readonly #options: GuessLimitsOptions;
  /** Those within the window, and who made them. */
  #wrong: { from: string; at: number }[] = [];
  /** Of those that are being looked at, who made them: many at once must not get past the limit. */
  readonly #pending: string[] = [];
  readonly #lockedUntil = new Map<string, number>();

  constructor(options: GuessLimitsOptions) {
    this.#options = options;
  }

  /** Begins a guess. Whose address is not known shares one with all such. @throws DirectError `E_RATE_LIMITED` */
  begin(from = ''): Guess {
    this.#forget();
    for (const name of [from, ALL]) this.#check(name);
    this.#pending.push(from);
    const settle = () => void this.#pending.splice(this.#pending.indexOf(from), 1);
    return {
      right: settle,
      wrong: () => {
        settle();
        this.#wrong.push({ from, at: this.#options.now() });
        for (const name of [from, ALL]) this.#lockIfDue(name);
      },
    };
  }

  #forget(): void {
    const { now, windowMs } = this.#options;
    this.#wrong = this.#wrong.filter(({ at }) => at > now() - windowMs);
    for (const [name, until] of this.#lockedUntil) if (until <= now()) this.#lockedUntil.delete(name);
  }

  #check(name: string): void {
    const { now } = this.#options;
    const until = this.#lockedUntil.get(name);
    if (until !== undefined) {
      const minutes = Math.ceil((until - now()) / 60_000);
      throw new DirectError('E_RATE_LIMITED', `too many wrong pairing links; wait ${minutes} minutes`);
    }
    const pending = this.#pending.filter((from) => name === ALL || name === from).length;
    if (this.#wrongOf(name) + pending >= this.#limitOf(name)) {
      throw new DirectError('E_RATE_LIMITED', 'too many pairing links at once');
    }
  }

  #lockIfDue(name: string): void {
    const { now, windowMs } = this.#options;
    if (this.#wrongOf(name) >= this.#limitOf(name)) this.#lockedUntil.set(name, now() + windowMs);
  }

  #wrongOf(name: string): number {
    const since = this.#options.now() - this.#options.windowMs;
    return this.#wrong.filter(({ from, at }) => at > since && (name === ALL || name === from)).length;
  }

  #limitOf(name: string): number {
    return name === ALL ? this.#options.total : this.#options.each;
  }
}
