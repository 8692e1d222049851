/**
 * Browsers that have come from the edge to the host name of a web UI (web-ui-site.ts): the session that began at the edge
 * goes on there, by a cookie that is good for that name and nothing else. Of codes and cookies only the hashes are kept.
 */
import { RpcTarget } from 'cloudflare:workers';
import { DirectError } from '../../shared/errors.ts';
import type { Caller } from '../caller.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import { hashSecret, newSecret } from '../secret.ts';
import type { Account } from './account.ts';

/** From one redirection to the next. */
const CODE_LIFETIME_MS = 60_000;
/** Of one web session, both: the oldest give way. A person has few tabs that are on their way, and few host names. */
const MAX_CODES = 20;
const MAX_SESSIONS = 50;

export interface NewCode {
  /** Host name (`WebUiSite.name`). */
  site: string;
  /** The web session that goes on there. */
  session: string;
  /** Hash of the secret that the browser got at the site before it came here, as in PKCE (RFC 7636). */
  challenge: string;
  /** Where the person wanted to go: path and query. */
  path: string;
}

/** `cookie` is told once. */
export interface Entered {
  cookie: string;
  path: string;
}

type CodeRow = { site: string; session: string; challenge: string; path: string; expires_at: number };

export class SiteSessions extends RpcTarget {
  readonly #account: Account;

  constructor(account: Account) {
    super();
    this.#account = account;
    account.sql.exec(`
      CREATE TABLE IF NOT EXISTS site_codes (
        hash TEXT PRIMARY KEY, site TEXT NOT NULL, session TEXT NOT NULL, challenge TEXT NOT NULL, path TEXT NOT NULL,
        expires_at INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS site_sessions (
        hash TEXT PRIMARY KEY, site TEXT NOT NULL, session TEXT NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID`);
  }

  /** A code that lets the browser in at the site, once and soon. */
  async createCode({ site, session, challenge, path }: NewCode): Promise<string> {
    const code = newSecret();
    const hash = await hashSecret(code);
    const { sql, now } = this.#account;
    sql.exec('DELETE FROM site_codes WHERE expires_at <= ?', now());
    this.#dropOldest('site_codes', 'expires_at', session, MAX_CODES);
    const insert =
      'INSERT INTO site_codes (hash, site, session, challenge, path, expires_at) VALUES (?, ?, ?, ?, ?, ?)';
    sql.exec(insert, hash, site, session, challenge, path, now() + CODE_LIFETIME_MS);
    return code;
  }

  /**
   * Takes the code, which is used then, right or wrong, and lets in the browser that asked for it. Refuses with
   * `E_UNAUTHORIZED`.
   */
  async enter(shown: {
    code: string;
    site: string;
    verifier: string;
    address: string | null;
  }): Promise<Outcome<Entered>> {
    const { site, address } = shown;
    const cookie = newSecret();
    const [code, verifier, hash] = await Promise.all([shown.code, shown.verifier, cookie].map(hashSecret));
    const { sql, sessions, audit, now } = this.#account;
    const [row] = sql.exec<CodeRow>('DELETE FROM site_codes WHERE hash = ? RETURNING *', code).toArray();
    const isRight = row?.site === site && row.challenge === verifier && row.expires_at > now();
    if (!isRight || !sessions.isGood(row.session)) {
      return refused(
        new DirectError('E_UNAUTHORIZED', 'the link is used, too old, or another browser’s: go to the web UI again'),
      );
    }
    sql.exec('DELETE FROM site_sessions WHERE session NOT IN (SELECT id FROM web_sessions)');
    this.#dropOldest('site_sessions', 'created_at', row.session, MAX_SESSIONS);
    const insert = 'INSERT INTO site_sessions (hash, site, session, created_at) VALUES (?, ?, ?, ?)';
    sql.exec(insert, hash, site, row.session, now());
    audit.record({ actor: `session:${row.session}`, action: 'web_ui.enter', detail: site, address });
    return accepted({ cookie, path: row.path });
  }

  /** Who has the cookie with this hash at the site: undefined for nobody, or nobody any longer. */
  authenticate(hash: string, site: string): Caller | undefined {
    const query = 'SELECT session FROM site_sessions WHERE hash = ? AND site = ?';
    const [row] = this.#account.sql.exec<{ session: string }>(query, hash, site).toArray();
    return row === undefined ? undefined : this.#account.sessions.continued(row.session);
  }

  #dropOldest(table: 'site_codes' | 'site_sessions', by: string, session: string, most: number): void {
    const tooMany = `DELETE FROM ${table} WHERE hash IN
      (SELECT hash FROM ${table} WHERE session = ? ORDER BY ${by} DESC LIMIT -1 OFFSET ?)`;
    this.#account.sql.exec(tooMany, session, most - 1);
  }
}
