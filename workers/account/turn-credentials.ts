/**
 * TURN credentials that providers made, by the subject for whom (`Grant.subject`): what is still good is handed out
 * again, and what its subject has left behind is revoked. Each one is kept until it ends, also those that nobody gets
 * any longer, so that a revocation reaches all of them.
 */
import { RpcTarget } from 'cloudflare:workers';
import type { TurnProviderStatus } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { newId } from '../../shared/new-id.ts';
import type { IceServer } from '../../shared/signal.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import type { TurnSource } from '../turn/provider.ts';
import type { TurnConfiguration } from '../turn/providers.ts';
import type { Account } from './account.ts';

export interface CachedTurn {
  source: TurnSource;
  servers: IceServer[];
  /** Milliseconds since 1970; null: the provider does not say. */
  expiresAt: number | null;
}

/** What came of asking providers for a credential. */
export interface Minting {
  subject: string;
  failures: { configuration: TurnConfiguration; reason: string }[];
  minted?: {
    configuration: TurnConfiguration;
    servers: IceServer[];
    usernames: readonly string[];
    expiresAt: number | null;
    /** Until when others of the subject may get it, in milliseconds since 1970. */
    renewAt: number;
  };
}

/** Throws when it fails; the error's message is for the owner. */
export type Revoke = (source: TurnSource, username: string) => Promise<void>;

/** A provider that is away for a while does not keep a credential alive: 1, 2, 4, 8 minutes until the next attempt. */
const RETRY_MS = 60_000;
const MAX_TRIES = 5;
/** The free plan has 50 requests to elsewhere for one event; what is left waits for the next alarm. */
const MAX_REVOKED_AT_ONCE = 20;
/** How exact the time of a failure is while it lasts: each row that is written counts. */
const FAILED_STEP_MS = 60_000;

type Row = {
  subject: string;
  id: string;
  source: TurnSource;
  configuration: string;
  servers: string;
  usernames: string;
  expires_at: number | null;
  renew_at: number;
};

export class TurnCredentials extends RpcTarget {
  readonly #account: Account;
  readonly #isGood: (subject: string) => boolean;

  /** `isGood`: whether the subject may still do anything. */
  constructor(account: Account, isGood: (subject: string) => boolean) {
    super();
    this.#account = account;
    this.#isGood = isGood;
    account.sql.exec(`CREATE TABLE IF NOT EXISTS turn_credentials (
      subject TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, configuration TEXT NOT NULL, servers TEXT NOT NULL,
      usernames TEXT NOT NULL, expires_at INTEGER, renew_at INTEGER NOT NULL, revoke_at INTEGER,
      tries INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subject, id)) WITHOUT ROWID`);
    account.sql.exec(`CREATE TABLE IF NOT EXISTS turn_providers (
      source TEXT PRIMARY KEY, configuration TEXT NOT NULL, succeeded_at INTEGER, failed_at INTEGER, reason TEXT)
      WITHOUT ROWID`);
  }

  /** What the subject has that is good for a while: of the first of these configurations that has any, the newest. */
  usable(subject: string, configurations: readonly TurnConfiguration[]): CachedTurn | undefined {
    const query = `SELECT * FROM turn_credentials WHERE subject = ? AND revoke_at IS NULL AND renew_at > ?
      ORDER BY renew_at DESC`;
    const rows = this.#account.sql.exec<Row>(query, subject, this.#account.now()).toArray();
    for (const { id } of configurations) {
      const row = rows.find(({ configuration }) => configuration === id);
      if (row === undefined) continue;
      return { source: row.source, servers: JSON.parse(row.servers) as IceServer[], expiresAt: row.expires_at };
    }
    return undefined;
  }

  /**
   * Keeps a new credential, and notes what failed. Refuses with `E_UNAUTHORIZED` when the subject has ended meanwhile:
   * then nobody may get it, and it is revoked.
   */
  async record({ subject, failures, minted }: Minting): Promise<Outcome<null>> {
    const { sql, now } = this.#account;
    for (const { configuration, reason } of failures) this.#failed(configuration, reason);
    if (minted === undefined) return accepted(null);
    const { configuration, servers, usernames, expiresAt, renewAt } = minted;
    this.#succeeded(configuration);
    sql.exec('DELETE FROM turn_credentials WHERE coalesce(expires_at, renew_at) <= ?', now());
    sql.exec(
      `INSERT INTO turn_credentials (subject, id, source, configuration, servers, usernames, expires_at, renew_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      subject,
      newId(),
      configuration.source,
      configuration.id,
      JSON.stringify(servers),
      JSON.stringify(usernames),
      expiresAt,
      renewAt,
    );
    if (this.#isGood(subject)) return accepted(null);
    this.#account.ended(subject);
    return refused(new DirectError('E_UNAUTHORIZED', 'the credential was revoked'));
  }

  /** Nobody gets the subject's credentials any longer; `null`: those of all. True if there are any to be revoked. */
  end(subject: string | null): boolean {
    const { sql, now } = this.#account;
    sql.exec(`DELETE FROM turn_credentials WHERE subject = coalesce(?, subject) AND usernames = '[]'`, subject);
    const update = `UPDATE turn_credentials SET revoke_at = ?, servers = '[]'
      WHERE subject = coalesce(?, subject) AND revoke_at IS NULL RETURNING id`;
    return sql.exec(update, now(), subject).toArray().length > 0;
  }

  /** When the next one is to be revoked. */
  nextRevocation(): number | undefined {
    const query = 'SELECT min(revoke_at) AS at FROM turn_credentials';
    return this.#account.sql.exec<{ at: number | null }>(query).one().at ?? undefined;
  }

  /** Revokes what is due, all at once, and later again what fails. */
  async revokeEnded(revoke: Revoke): Promise<void> {
    const { sql, now } = this.#account;
    const query = `SELECT subject, id, source, usernames, expires_at, renew_at, tries FROM turn_credentials
      WHERE revoke_at <= ? ORDER BY revoke_at LIMIT ?`;
    const rows = sql.exec<Row & { tries: number }>(query, now(), MAX_REVOKED_AT_ONCE).toArray();
    await Promise.all(
      rows.map(async ({ subject, id, source, usernames, expires_at, renew_at, tries }) => {
        let failure: string | undefined;
        try {
          // Written by this file and nobody else.
          for (const username of JSON.parse(usernames) as string[]) await revoke(source, username);
        } catch (error) {
          failure = error instanceof Error ? error.message : 'failed';
        }
        const isOver = (expires_at ?? renew_at) <= now();
        if (failure !== undefined && !isOver && tries + 1 < MAX_TRIES) {
          const update = 'UPDATE turn_credentials SET tries = tries + 1, revoke_at = ? WHERE subject = ? AND id = ?';
          sql.exec(update, now() + RETRY_MS * 2 ** tries, subject, id);
          return;
        }
        sql.exec('DELETE FROM turn_credentials WHERE subject = ? AND id = ?', subject, id);
        if (failure === undefined || isOver) return;
        const detail = `${source}, ${subject}: ${failure}`;
        this.#account.audit.record({ actor: 'edge', action: 'turn.not-revoked', detail, address: null });
      }),
    );
  }

  /** How the providers that are set up have done so far, in their order. */
  status(configurations: readonly TurnConfiguration[]): TurnProviderStatus[] {
    type StatusRow = Omit<TurnProviderStatus, 'failing'> & { configuration: string };
    const rows = this.#account.sql
      .exec<StatusRow>('SELECT source, configuration, succeeded_at, failed_at, reason FROM turn_providers')
      .toArray();
    return configurations.map(({ source, id }) => {
      const row = rows.find(({ configuration }) => configuration === id);
      const { succeeded_at = null, failed_at = null, reason = null } = row ?? {};
      return { source, succeeded_at, failed_at, reason, failing: reason !== null };
    });
  }

  #succeeded({ source, id }: TurnConfiguration): void {
    this.#forgetOther(source, id);
    const upsert = `INSERT INTO turn_providers (source, configuration, succeeded_at) VALUES (?1, ?2, ?3)
      ON CONFLICT (source) DO UPDATE SET succeeded_at = ?3, reason = NULL`;
    this.#account.sql.exec(upsert, source, id, this.#account.now());
  }

  #failed({ source, id }: TurnConfiguration, reason: string): void {
    this.#forgetOther(source, id);
    const now = this.#account.now();
    const upsert = `INSERT INTO turn_providers (source, configuration, failed_at, reason) VALUES (?1, ?2, ?3, ?4)
      ON CONFLICT (source) DO UPDATE SET failed_at = ?3, reason = ?4 WHERE reason IS NOT ?4 OR failed_at <= ?5`;
    this.#account.sql.exec(upsert, source, id, now, reason, now - FAILED_STEP_MS);
  }

  /** What was known of the provider when it was set up otherwise. */
  #forgetOther(source: TurnSource, configuration: string): void {
    this.#account.sql.exec('DELETE FROM turn_providers WHERE source = ? AND configuration <> ?', source, configuration);
  }
}
