/** Signed-in browsers. Of a cookie only the hash is kept. */
import { RpcTarget } from 'cloudflare:workers';
import type { WebSession } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { newId } from '../../shared/new-id.ts';
import type { Caller } from '../caller.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import { hashSecret, newSecret } from '../secret.ts';
import type { Audit, By } from './audit.ts';
import type { Ending, Expiring } from './expiry.ts';
import type { Guesses } from './guesses.ts';

const DAY_MS = 24 * 60 * 60_000;
/** After that one signs in again, however busy one was. */
const LIFETIME_MS = 30 * DAY_MS;
/** A browser that was not seen for so long is forgotten. */
const IDLE_MS = 7 * DAY_MS;
/** How exact the time of the last sight is: each row that is written counts. */
const SEEN_STEP_MS = 5 * 60_000;
/**
 * One who signs in again and again; bounds the table. The one that was not seen for longest gives way: the owner's to
 * the owner's, and an invitation's to its own, so that a guest signs nobody else out.
 */
const MAX_SESSIONS = 200;
const MAX_SESSIONS_OF_INVITATION = 20;

/** What a guest began goes by the invitation, and ends with that. */
const TO_BE_TOLD = `kind = 'owner' AND used <> '[]'`;
/** With two parameters: now, and IDLE_MS before. */
const ENDED = '(expires_at <= ? OR last_seen_at <= ?)';

export interface NewWebSession {
  kind: 'owner' | 'guest';
  /** Of guests: by which invitation, and to which hosts. */
  invitation?: string;
  hosts?: string[];
  /** For people: a short form of the user agent. */
  name: string;
  /** When it ends at the latest, in milliseconds since 1970. */
  expiresAt?: number;
}

/** What a browser gets; `cookie` is told once. */
export interface SignedIn {
  id: string;
  cookie: string;
  expiresAt: number;
}

type SignedInCaller = Caller & { kind: 'owner' | 'guest' };

type Row = {
  id: string;
  kind: 'owner' | 'guest';
  invitation: string | null;
  hosts: string;
  used: string;
  name: string;
  created_at: number;
  last_seen_at: number;
  expires_at: number;
};

export class WebSessions extends RpcTarget implements Expiring {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #audit: Audit;
  readonly #guesses: Guesses;
  readonly #expires: () => Promise<void>;
  readonly #ended: (subject: string) => void;

  /** `expires` is told of a session whose hosts are to be told of its end, `ended` of the end of one of the owner's. */
  constructor(
    sql: SqlStorage,
    now: () => number,
    audit: Audit,
    guesses: Guesses,
    expires: () => Promise<void>,
    ended: (subject: string) => void,
  ) {
    super();
    this.#expires = expires;
    this.#ended = ended;
    this.#sql = sql;
    this.#now = now;
    this.#audit = audit;
    this.#guesses = guesses;
    sql.exec(`CREATE TABLE IF NOT EXISTS web_sessions (
      id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, invitation TEXT, hosts TEXT NOT NULL,
      used TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL) WITHOUT ROWID`);
  }

  /** A session for a browser that has proved who it is; the caller of this writes the audit's entry. */
  async create({ kind, invitation, hosts = [], name, expiresAt }: NewWebSession): Promise<SignedIn> {
    const [id, cookie] = [newId(), newSecret()];
    const hash = await hashSecret(cookie);
    const now = this.#now();
    const end = Math.min(now + LIFETIME_MS, expiresAt ?? Number.POSITIVE_INFINITY);
    this.#dropEnded();
    const tooMany = `DELETE FROM web_sessions WHERE id IN
      (SELECT id FROM web_sessions WHERE invitation IS ? ORDER BY last_seen_at DESC LIMIT -1 OFFSET ?) RETURNING id, kind`;
    const most = invitation === undefined ? MAX_SESSIONS : MAX_SESSIONS_OF_INVITATION;
    const dropped = this.#sql.exec<Pick<Row, 'id' | 'kind'>>(tooMany, invitation ?? null, most - 1).toArray();
    for (const { id, kind } of dropped) {
      if (kind === 'owner') this.#ended(`session:${id}`);
    }
    const insert = `INSERT INTO web_sessions
      (id, hash, kind, invitation, hosts, used, name, created_at, last_seen_at, expires_at)
      VALUES (?, ?, ?, ?, ?, '[]', ?, ?, ?, ?)`;
    this.#sql.exec(insert, id, hash, kind, invitation ?? null, JSON.stringify(hosts), name, now, now, end);
    return { id, cookie, expiresAt: end };
  }

  /** Signs the owner in by OWNER_TOKEN, if it was `right` (`Guesses.ownerToken`). */
  async signIn(asked: { right: boolean; name: string; address: string | null }): Promise<Outcome<SignedIn>> {
    const { right, name, address } = asked;
    try {
      this.#guesses.ownerToken(right, address, 'this is not the owner’s token');
      const session = await this.create({ kind: 'owner', name });
      const detail = `with the owner’s token, ${name}`;
      this.#audit.record({ actor: `session:${session.id}`, action: 'sign-in', detail, address });
      return accepted(session);
    } catch (error) {
      return refused(error);
    }
  }

  /** Who has the cookie with this hash: undefined for nobody, or nobody any longer. */
  authenticate(hash: string): SignedInCaller | undefined {
    return this.#seen('hash', hash);
  }

  /** Who has the session with this id, which goes on at another host name (site-sessions.ts). */
  continued(id: string): SignedInCaller | undefined {
    return this.#seen('id', id);
  }

  #seen(by: 'hash' | 'id', value: string): SignedInCaller | undefined {
    const now = this.#now();
    const query = `SELECT * FROM web_sessions WHERE ${by} = ? AND expires_at > ? AND last_seen_at > ?`;
    const [row] = this.#sql.exec<Row>(query, value, now, now - IDLE_MS).toArray();
    if (row === undefined) return undefined;
    if (row.last_seen_at <= now - SEEN_STEP_MS) {
      this.#sql.exec('UPDATE web_sessions SET last_seen_at = ? WHERE id = ?', now, row.id);
    }
    return callerOf(row);
  }

  /** Notes that a session reached the host, for when it ends. */
  async uses(id: string, host: string): Promise<void> {
    const [row] = this.#sql.exec<{ used: string }>('SELECT used FROM web_sessions WHERE id = ?', id).toArray();
    const used = hostsIn(row?.used);
    if (row === undefined || used.includes(host)) return;
    this.#sql.exec('UPDATE web_sessions SET used = ? WHERE id = ?', JSON.stringify([...used, host]), id);
    await this.#expires();
  }

  /** Those that have not ended, the last seen first. */
  list(): WebSession[] {
    const now = this.#now();
    const query = `SELECT id, kind, name, created_at, last_seen_at, expires_at FROM web_sessions
      WHERE expires_at > ? AND last_seen_at > ? ORDER BY last_seen_at DESC, created_at DESC`;
    return this.#sql.exec(query, now, now - IDLE_MS).toArray() as unknown as WebSession[];
  }

  /**
   * Ends one, by sign-out or by the owner. The hosts that it has used are to be told: what it began there goes by
   * `session:{id}`. Those of a guest go by the invitation, which others may have too, so they last until they end.
   * Refuses with `E_NOT_FOUND`.
   */
  end(id: string, action: 'sign-out' | 'session.revoke', by: By): Outcome<string[]> {
    const [row] = this.#sql.exec<Row>('DELETE FROM web_sessions WHERE id = ? RETURNING *', id).toArray();
    if (row === undefined) return refused(new DirectError('E_NOT_FOUND', 'no such session'));
    if (row.kind === 'owner') this.#ended(`session:${id}`);
    this.#audit.record({ ...by, action, detail: row.name });
    return accepted(hostsIn(row.used));
  }

  /** Whether there is such a session, and it has not ended. */
  isGood(id: string): boolean {
    const now = this.#now();
    const query = 'SELECT 1 FROM web_sessions WHERE id = ? AND expires_at > ? AND last_seen_at > ?';
    return this.#sql.exec(query, id, now, now - IDLE_MS).toArray().length > 0;
  }

  /** Ends all of an invitation that is over. */
  endOf(invitation: string): void {
    this.#sql.exec('DELETE FROM web_sessions WHERE invitation = ?', invitation);
  }

  nextExpiry(): number | undefined {
    const query = `SELECT min(min(expires_at, last_seen_at + ?)) AS at FROM web_sessions WHERE ${TO_BE_TOLD}`;
    return this.#sql.exec<{ at: number | null }>(query, IDLE_MS).one().at ?? undefined;
  }

  expired(now: number): Ending[] {
    const query = `SELECT id, used FROM web_sessions WHERE ${TO_BE_TOLD} AND ${ENDED}`;
    const rows = this.#sql.exec<{ id: string; used: string }>(query, now, now - IDLE_MS).toArray();
    return rows.map(({ id, used }) => ({ subject: `session:${id}`, hosts: hostsIn(used) }));
  }

  told(now: number): void {
    this.#sql.exec(`DELETE FROM web_sessions WHERE ${ENDED}`, now, now - IDLE_MS);
  }

  /** Not those whose hosts are still to be told. */
  #dropEnded(): void {
    const now = this.#now();
    this.#sql.exec(`DELETE FROM web_sessions WHERE NOT (${TO_BE_TOLD}) AND ${ENDED}`, now, now - IDLE_MS);
  }
}

function callerOf({ id, kind, invitation, hosts }: Row): SignedInCaller {
  if (kind === 'owner') return { kind, session: id };
  return { kind, session: id, invitation: invitation ?? '', hosts: hostsIn(hosts) };
}

/** Written by this file and nobody else. */
function hostsIn(json: string | undefined): string[] {
  return json === undefined ? [] : (JSON.parse(json) as string[]);
}
