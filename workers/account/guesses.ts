/**
 * Limits for those who guess: per address, which stops one guesser, and in total, which stops one with many addresses.
 * A lock ends by itself, and what is asked while it lasts is neither compared nor counted.
 */
import { DirectError } from '../../shared/errors.ts';
import { clientKey } from '../coarse-limit.ts';
import { RetryLater } from '../outcome.ts';
import type { Audit } from './audit.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

interface Limit {
  /** So many wrong ones within the window lock. */
  wrong: number;
  windowMs: number;
}

interface Limits {
  address: Limit;
  total: Limit;
  lockMs: number;
}

/** For what people type. A person mistypes a few times; a guesser needs many. */
const TYPED: Limits = {
  address: { wrong: 10, windowMs: 15 * MINUTE_MS },
  total: { wrong: 100, windowMs: HOUR_MS },
  lockMs: 15 * MINUTE_MS,
};
/** For 32 random bytes, which nobody guesses: this is about noise. Whoever has the right one is never locked out. */
const RANDOM: Limits = {
  address: { wrong: 20, windowMs: 15 * MINUTE_MS },
  total: { wrong: 500, windowMs: HOUR_MS },
  lockMs: 15 * MINUTE_MS,
};

/** What can be guessed. */
const LIMITS = {
  owner_token: TYPED,
  // Eight letters of twenty (RFC 8628, section 6.1), of which few are valid at a time, for ten minutes.
  device_code: TYPED,
  device_poll: RANDOM,
  invitation: RANDOM,
} as const satisfies Record<string, Limits>;

export type GuessKind = keyof typeof LIMITS;

/** A total lock is not for addresses from which somebody signed in within this time: strangers cannot lock them out. */
const KNOWN_FOR_MS = 30 * DAY_MS;
/** How exact that is: each row that is written counts. */
const KNOWN_STEP_MS = DAY_MS;
/** The lock of all addresses. No client has this key. */
const ALL = '*';
const LONGEST_WINDOW_MS = HOUR_MS;

export class Guesses {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #audit: Audit;

  constructor(sql: SqlStorage, now: () => number, audit: Audit) {
    this.#sql = sql;
    this.#now = now;
    this.#audit = audit;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS guesses (kind TEXT NOT NULL, address TEXT NOT NULL, at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS guess_locks (
        kind TEXT NOT NULL, address TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (kind, address)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS known_addresses (address TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID`);
  }

  /**
   * OWNER_TOKEN was presented, or another text: the Worker has compared it, since it alone has the token. A wrong one is
   * counted, and while a lock lasts nobody learns whether it was `right`.
   * @throws RetryLater `E_RATE_LIMITED`; DirectError `E_UNAUTHORIZED`
   */
  ownerToken(right: boolean, address: string | null, detail?: string): void {
    this.check('owner_token', address);
    if (!right) {
      this.failed('owner_token', address);
      throw new DirectError('E_UNAUTHORIZED', detail);
    }
    this.succeeded(address);
  }

  /** Before the comparison, so that a lock holds for the right one too. @throws RetryLater `E_RATE_LIMITED` */
  check(kind: GuessKind, address: string | null): void {
    const key = clientKey(address ?? undefined);
    const until = Math.max(this.#lockedUntil(kind, key), this.#isKnown(key) ? 0 : this.#lockedUntil(kind, ALL));
    const left = until - this.#now();
    if (left > 0) throw new RetryLater('E_RATE_LIMITED', left, 'too many wrong ones');
  }

  /** Counts a wrong one of those that may be compared while a lock lasts. @throws RetryLater `E_RATE_LIMITED` */
  wrong(kind: GuessKind, address: string | null): void {
    this.check(kind, address);
    this.failed(kind, address);
  }

  /** Counts a wrong one, which `check` has let through. */
  failed(kind: GuessKind, address: string | null): void {
    const key = clientKey(address ?? undefined);
    const now = this.#now();
    this.#sql.exec('DELETE FROM guesses WHERE at <= ?', now - LONGEST_WINDOW_MS);
    this.#sql.exec('DELETE FROM guess_locks WHERE until <= ?', now);
    this.#sql.exec('INSERT INTO guesses (kind, address, at) VALUES (?, ?, ?)', kind, key, now);
    const limits = LIMITS[kind];
    const ofAddress = 'SELECT count(*) AS n FROM guesses WHERE kind = ? AND at > ? AND address = ?';
    const ofAll = 'SELECT count(*) AS n FROM guesses WHERE kind = ? AND at > ?';
    if (this.#count(ofAddress, kind, now - limits.address.windowMs, key) >= limits.address.wrong) {
      this.#lock(kind, key, address);
    }
    if (this.#count(ofAll, kind, now - limits.total.windowMs) >= limits.total.wrong) this.#lock(kind, ALL, address);
  }

  /** Somebody signed in from there. */
  succeeded(address: string | null): void {
    const key = clientKey(address ?? undefined);
    const now = this.#now();
    const { at } = this.#one<{ at: number | null }>('SELECT max(at) AS at FROM known_addresses WHERE address = ?', key);
    if (at !== null && at > now - KNOWN_STEP_MS) return;
    this.#sql.exec('INSERT OR REPLACE INTO known_addresses (address, at) VALUES (?, ?)', key, now);
    this.#sql.exec('DELETE FROM known_addresses WHERE at <= ?', now - KNOWN_FOR_MS);
  }

  /** Whether somebody has signed in from there lately. */
  knows(address: string | null): boolean {
    return this.#isKnown(clientKey(address ?? undefined));
  }

  #lock(kind: GuessKind, key: string, address: string | null): void {
    const insert = 'INSERT OR REPLACE INTO guess_locks (kind, address, until) VALUES (?, ?, ?)';
    this.#sql.exec(insert, kind, key, this.#now() + LIMITS[kind].lockMs);
    const detail = `${kind}, ${key === ALL ? 'for all new addresses' : 'for this address'}`;
    this.#audit.record({ actor: 'anonymous', action: 'lock', detail, address });
  }

  #lockedUntil(kind: GuessKind, key: string): number {
    const query = 'SELECT coalesce(max(until), 0) AS until FROM guess_locks WHERE kind = ? AND address = ?';
    return this.#one<{ until: number }>(query, kind, key).until;
  }

  #isKnown(key: string): boolean {
    const query = 'SELECT count(*) AS n FROM known_addresses WHERE address = ? AND at > ?';
    return this.#count(query, key, this.#now() - KNOWN_FOR_MS) > 0;
  }

  #count(query: string, ...values: (string | number)[]): number {
    return this.#one<{ n: number }>(query, ...values).n;
  }

  #one<Row extends Record<string, SqlStorageValue>>(query: string, ...values: (string | number)[]): Row {
    return this.#sql.exec<Row>(query, ...values).one();
  }
}
