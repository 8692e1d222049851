/** Invitations: a link with which another person may use chosen hosts until it ends. Of the secret only the hash is kept. */
import { RpcTarget } from 'cloudflare:workers';
import type { Invitation, InvitationScope } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { newId } from '../../shared/new-id.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import { hashSecret, newSecret } from '../secret.ts';
import type { Account } from './account.ts';
import type { By } from './audit.ts';
import { type Ending, type Expiring, markTold, nextExpiryOf } from './expiry.ts';
import type { SignedIn } from './web-sessions.ts';

/** Bounds the table and the list. */
const MAX_INVITATIONS = 200;
/** So many agents may make to their own host: a stolen credential shall not keep the owner from inviting. */
const MAX_BY_HOST = 50;

type Row = {
  id: string;
  name: string;
  hosts: string;
  expires_at: number | null;
  created_at: number;
  uses: number;
  last_used_at: number | null;
};

const COLUMNS = 'id, name, hosts, expires_at, created_at, uses, last_used_at';

export class Invitations extends RpcTarget implements Expiring {
  readonly #account: Account;

  constructor(account: Account) {
    super();
    this.#account = account;
    account.sql.exec(`CREATE TABLE IF NOT EXISTS invitations (
      id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, hosts TEXT NOT NULL, expires_at INTEGER,
      created_at INTEGER NOT NULL, uses INTEGER NOT NULL DEFAULT 0, last_used_at INTEGER,
      told INTEGER NOT NULL DEFAULT 0)`);
  }

  /** The newest first. `host`: only those to this host and no other. */
  list(host?: string): Invitation[] {
    const query = `SELECT ${COLUMNS} FROM invitations ORDER BY created_at DESC, rowid DESC`;
    return this.#account.sql
      .exec<Row>(query)
      .toArray()
      .map(invitation)
      .filter((one) => host === undefined || isTo(one, host));
  }

  /**
   * A new invitation; its secret is told here and never again. What it says is checked (api/invitations.ts). `host`: the
   * agent of this host asks.
   */
  async create(asked: InvitationScope, by: By, host?: string): Promise<Outcome<Invitation & { secret: string }>> {
    const secret = newSecret('dai_');
    const hash = await hashSecret(secret);
    const { sql, audit, now } = this.#account;
    if (sql.exec<{ n: number }>('SELECT count(*) AS n FROM invitations').one().n >= MAX_INVITATIONS) {
      return refused(new DirectError('E_BAD_REQUEST', `there are ${MAX_INVITATIONS} invitations; revoke some first`));
    }
    if (host !== undefined && this.list(host).length >= MAX_BY_HOST) {
      const detail = `there are ${MAX_BY_HOST} invitations to this host; revoke some first, or let the owner invite`;
      return refused(new DirectError('E_BAD_REQUEST', detail));
    }
    const row = sql
      .exec<Row>(
        `INSERT INTO invitations (id, hash, name, hosts, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?)
          RETURNING ${COLUMNS}`,
        newId(),
        hash,
        asked.name,
        JSON.stringify(asked.hosts),
        asked.expires_at,
        now(),
      )
      .one();
    if (asked.expires_at !== null) await this.#account.expires();
    audit.record({ ...by, action: 'invitation.create', detail: `${asked.name}: ${asked.hosts.join(', ')}` });
    return accepted({ ...invitation(row), secret });
  }

  /**
   * Signs a browser in, whose `name` is for people. Refuses with `E_UNAUTHORIZED`, and with `E_RATE_LIMITED` one who
   * guesses.
   */
  async accept(secret: string, name: string, address: string | null): Promise<Outcome<SignedIn>> {
    const hash = await hashSecret(secret);
    const { sql, guesses, sessions, audit, now } = this.#account;
    try {
      const query = `UPDATE invitations SET uses = uses + 1, last_used_at = ?1
        WHERE hash = ?2 AND (expires_at IS NULL OR expires_at > ?1) RETURNING ${COLUMNS}`;
      const [row] = sql.exec<Row>(query, now(), hash).toArray();
      if (row === undefined) {
        guesses.wrong('invitation', address);
        throw new DirectError('E_UNAUTHORIZED', 'the invitation is wrong, expired or revoked');
      }
      const { id, hosts, expires_at, name: invited } = invitation(row);
      const session = await sessions.create({
        kind: 'guest',
        invitation: id,
        hosts,
        name,
        ...(expires_at === null ? {} : { expiresAt: expires_at }),
      });
      // Revoked, or a host removed, while the session was made.
      const still = sql.exec<{ hosts: string }>('SELECT hosts FROM invitations WHERE id = ?', id).toArray()[0];
      if (still?.hosts !== row.hosts) {
        sessions.endOf(id);
        throw new DirectError('E_UNAUTHORIZED', 'the invitation was just changed');
      }
      audit.record({ actor: `invitation:${id}`, action: 'invitation.accept', detail: `${invited}, ${name}`, address });
      return accepted(session);
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * It admits nobody any longer, nor do its web sessions. Returns where they may be open. `host`: only if it is to this
   * host and no other. Refuses with `E_NOT_FOUND`.
   */
  revoke(id: string, by: By, host?: string): Outcome<{ hosts: string[] }> {
    const { sql } = this.#account;
    const [row] = sql.exec<Row>(`SELECT ${COLUMNS} FROM invitations WHERE id = ?`, id).toArray();
    if (row === undefined || (host !== undefined && !isTo(invitation(row), host))) {
      return refused(new DirectError('E_NOT_FOUND', 'no such invitation'));
    }
    sql.exec('DELETE FROM invitations WHERE id = ?', id);
    this.#account.sessions.endOf(id);
    this.#account.ended(`invitation:${id}`);
    this.#account.audit.record({ ...by, action: 'invitation.revoke', detail: row.name });
    return accepted({ hosts: invitation(row).hosts });
  }

  nextExpiry(): number | undefined {
    return nextExpiryOf(this.#account.sql, 'invitations');
  }

  expired(now: number): Ending[] {
    const query = 'SELECT id, hosts FROM invitations WHERE told = 0 AND expires_at <= ?';
    const rows = this.#account.sql.exec<Pick<Row, 'id' | 'hosts'>>(query, now).toArray();
    return rows.map(({ id, hosts }) => ({ subject: `invitation:${id}`, hosts: JSON.parse(hosts) as string[] }));
  }

  told(now: number): void {
    markTold(this.#account.sql, 'invitations', now);
  }

  /** The host's id may name another host one day: no guest reaches that one unasked. Guests open their link again. */
  hostRemoved(host: string): void {
    const { sql, sessions, ended } = this.#account;
    for (const { id, hosts } of this.list()) {
      if (!hosts.includes(host)) continue;
      const left = hosts.filter((other) => other !== host);
      if (left.length > 0) sql.exec('UPDATE invitations SET hosts = ? WHERE id = ?', JSON.stringify(left), id);
      else {
        sql.exec('DELETE FROM invitations WHERE id = ?', id);
        ended(`invitation:${id}`);
      }
      sessions.endOf(id);
    }
  }

  /** Whether there is such an invitation, and it has not ended. */
  isGood(id: string): boolean {
    const query = 'SELECT 1 FROM invitations WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)';
    return this.#account.sql.exec(query, id, this.#account.now()).toArray().length > 0;
  }
}

function isTo({ hosts }: Invitation, host: string): boolean {
  return hosts.length === 1 && hosts[0] === host;
}

function invitation({ hosts, ...row }: Row): Invitation {
  // Written by this file and nobody else.
  return { ...row, hosts: JSON.parse(hosts) as string[] };
}
