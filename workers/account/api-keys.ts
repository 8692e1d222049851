/** API keys: what programs present, with what they may reach. Of a key only the hash is kept. */
import { RpcTarget } from 'cloudflare:workers';
import type { ApiKey, KeyScope } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { newId } from '../../shared/new-id.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import { hashSecret, newSecret } from '../secret.ts';
import type { Account } from './account.ts';
import type { By } from './audit.ts';
import type { KeyRights } from './callers.ts';
import { type Ending, type Expiring, markTold, nextExpiryOf } from './expiry.ts';

/** Bounds the table and the list; programs share keys, or make do with fewer. */
const MAX_KEYS = 500;
const HINT_LENGTH = 4;
/** So many hosts a key of all hosts reaches: agents with AGENT_TOKEN may have any id, so each one must be noted. */
const MAX_USED = 256;
/** How exact the time of the last use is: each row that is written counts. */
const USED_STEP_MS = 60_000;

type Row = {
  id: string;
  name: string;
  hint: string;
  hosts: string | null;
  prefixes: string | null;
  models: string | null;
  expires_at: number | null;
  requests_per_minute: number | null;
  created_at: number;
  last_used_at: number | null;
};

const COLUMNS = `id, name, hint, hosts, prefixes, models, expires_at, requests_per_minute, created_at, last_used_at`;

export class ApiKeys extends RpcTarget implements Expiring {
  readonly #account: Account;

  constructor(account: Account) {
    super();
    this.#account = account;
    account.sql.exec(`CREATE TABLE IF NOT EXISTS api_keys (
      id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, hint TEXT NOT NULL, hosts TEXT, prefixes TEXT,
      models TEXT, expires_at INTEGER, requests_per_minute INTEGER, created_at INTEGER NOT NULL, last_used_at INTEGER,
      used TEXT NOT NULL DEFAULT '[]', told INTEGER NOT NULL DEFAULT 0)`);
  }

  /** The newest first. `host`: only keys for this host and no other. */
  list(host?: string): ApiKey[] {
    const keys = this.#account.sql.exec<Row>(`SELECT ${COLUMNS} FROM api_keys ORDER BY created_at DESC, rowid DESC`);
    return keys
      .toArray()
      .map(apiKey)
      .filter((key) => host === undefined || isFor(key, host));
  }

  /** A new key; its text is told here and never again. The scopes are checked (api/keys.ts). */
  async create(asked: KeyScope, by: By): Promise<Outcome<ApiKey & { key: string }>> {
    const key = newSecret('dak_');
    const hash = await hashSecret(key);
    const { sql, audit } = this.#account;
    if (sql.exec<{ n: number }>('SELECT count(*) AS n FROM api_keys').one().n >= MAX_KEYS) {
      return refused(new DirectError('E_BAD_REQUEST', `there are ${MAX_KEYS} keys; revoke some first`));
    }
    const row = sql
      .exec<Row>(
        `INSERT INTO api_keys (id, hash, name, hint, hosts, prefixes, models, expires_at, requests_per_minute, created_at)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ${COLUMNS}`,
        newId(),
        hash,
        asked.name,
        key.slice(-HINT_LENGTH),
        json(asked.hosts),
        json(asked.prefixes),
        json(asked.models),
        asked.expires_at,
        asked.requests_per_minute,
        this.#account.now(),
      )
      .one();
    if (asked.expires_at !== null) await this.#account.expires();
    audit.record({ ...by, action: 'key.create', detail: asked.name });
    return accepted({ ...apiKey(row), key });
  }

  /** Who presents the key with this hash. Refuses with `E_UNAUTHORIZED`. */
  authenticateKey(hash: string): Outcome<KeyRights> {
    const now = this.#account.now();
    const [row] = this.#account.sql.exec<Row>(`SELECT ${COLUMNS} FROM api_keys WHERE hash = ?`, hash).toArray();
    if (row === undefined) return refused(new DirectError('E_UNAUTHORIZED'));
    const { id, hosts, prefixes, models, expires_at, requests_per_minute, last_used_at } = apiKey(row);
    if (expires_at !== null && expires_at <= now) {
      return refused(new DirectError('E_UNAUTHORIZED', 'the API key has expired'));
    }
    if (last_used_at === null || last_used_at <= now - USED_STEP_MS) {
      this.#account.sql.exec('UPDATE api_keys SET last_used_at = ? WHERE id = ?', now, id);
    }
    return accepted({ id, hosts, prefixes, models, requestsPerMinute: requests_per_minute });
  }

  /** Notes that a key of all hosts reached this one, for when it ends. @throws DirectError `E_FORBIDDEN` for too many */
  uses(id: string, host: string): void {
    const query = 'SELECT used FROM api_keys WHERE id = ? AND hosts IS NULL';
    const [row] = this.#account.sql.exec<{ used: string }>(query, id).toArray();
    const used = list(row?.used ?? null) ?? [];
    if (row === undefined || used.includes(host)) return;
    if (used.length >= MAX_USED) throw new DirectError('E_FORBIDDEN', `the key has been used for ${MAX_USED} hosts`);
    this.#account.sql.exec('UPDATE api_keys SET used = ? WHERE id = ?', json([...used, host]), id);
  }

  /**
   * The key is void from now on. Returns the hosts where sessions of it may be open. `host`: only if it is for this host
   * and no other. Refuses with `E_NOT_FOUND`.
   */
  revoke(id: string, by: By, host?: string): Outcome<{ hosts: string[] }> {
    const query = `SELECT ${COLUMNS}, used FROM api_keys WHERE id = ?`;
    const [row] = this.#account.sql.exec<Row & { used: string }>(query, id).toArray();
    const key = row === undefined ? undefined : apiKey(row);
    if (row === undefined || key === undefined || (host !== undefined && !isFor(key, host))) {
      return refused(new DirectError('E_NOT_FOUND', 'no such key'));
    }
    this.#account.sql.exec('DELETE FROM api_keys WHERE id = ?', id);
    this.#account.ended(`key:${id}`);
    this.#account.audit.record({ ...by, action: 'key.revoke', detail: key.name });
    return accepted({ hosts: reached(row) });
  }

  nextExpiry(): number | undefined {
    return nextExpiryOf(this.#account.sql, 'api_keys');
  }

  expired(now: number): Ending[] {
    const query = 'SELECT id, hosts, used FROM api_keys WHERE told = 0 AND expires_at <= ?';
    const rows = this.#account.sql.exec<Pick<Row, 'id' | 'hosts'> & { used: string }>(query, now).toArray();
    return rows.map((row) => ({ subject: `key:${row.id}`, hosts: reached(row) }));
  }

  told(now: number): void {
    markTold(this.#account.sql, 'api_keys', now);
  }

  /** The host's id may name another host one day: no key reaches that one unasked. */
  hostRemoved(host: string): void {
    for (const { id, hosts } of this.list()) {
      if (hosts === null || !hosts.includes(host)) continue;
      const left = hosts.filter((other) => other !== host);
      if (left.length > 0) this.#account.sql.exec('UPDATE api_keys SET hosts = ? WHERE id = ?', json(left), id);
      else {
        this.#account.sql.exec('DELETE FROM api_keys WHERE id = ?', id);
        this.#account.ended(`key:${id}`);
      }
    }
  }

  /** Whether there is such a key, and it has not ended. */
  isGood(id: string): boolean {
    const query = 'SELECT 1 FROM api_keys WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)';
    return this.#account.sql.exec(query, id, this.#account.now()).toArray().length > 0;
  }
}

/** Where the key may have begun something. */
function reached({ hosts, used }: { hosts: string | null; used: string }): string[] {
  return list(hosts) ?? list(used) ?? [];
}

function isFor({ hosts }: ApiKey, host: string): boolean {
  return hosts?.length === 1 && hosts[0] === host;
}

function apiKey({ hosts, prefixes, models, ...row }: Row): ApiKey {
  return { ...row, hosts: list(hosts), prefixes: list(prefixes), models: list(models) };
}

function json(texts: string[] | null): string | null {
  return texts === null ? null : JSON.stringify(texts);
}

/** Written by this file and nobody else. */
function list(text: string | null): string[] | null {
  return text === null ? null : (JSON.parse(text) as string[]);
}
