/** The hosts that the owner approved, and the credentials of their agents. */
import { RpcTarget } from 'cloudflare:workers';
import { DirectError } from '../../shared/errors.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import type { Account } from './account.ts';
import type { By } from './audit.ts';

export type Host = {
  id: string;
  name: string;
  /** Ed25519, base64url; null for one that was set up without login. */
  host_key: string | null;
  /** Milliseconds since 1970, both. */
  created_at: number;
  last_login_at: number | null;
  /** The owner lets its web UI run at the edge's own address. */
  web_ui: boolean;
};

/** What the owner may change; what is absent stays. */
export interface HostChange {
  name?: string;
  web_ui?: boolean;
}

type Row = Omit<Host, 'web_ui'> & { web_ui: number };

const COLUMNS = 'id, name, host_key, created_at, last_login_at, web_ui';

/** Leaves room for the number that makes it unique; ids have 64 characters at most. */
const MAX_SLUG_LENGTH = 40;

/** A host id that people can read: `Ada’s Büro` is `adas-buro`. */
export function slug(name: string): string {
  const plain = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f'’]/g, '');
  const words = plain.replace(/[^a-z0-9]+/g, '-').slice(0, MAX_SLUG_LENGTH);
  return words.replace(/^-+|-+$/g, '') || 'host';
}

export class Hosts extends RpcTarget {
  readonly #account: Account;
  readonly #removed: (id: string) => void;

  /** `removed` is told the id of a host that the owner removes: it may soon name another one. */
  constructor(account: Account, removed: (id: string) => void) {
    super();
    this.#account = account;
    this.#removed = removed;
    account.sql.exec(`CREATE TABLE IF NOT EXISTS hosts (
      id TEXT PRIMARY KEY, name TEXT NOT NULL, host_key TEXT UNIQUE, token_hash TEXT UNIQUE,
      created_at INTEGER NOT NULL, last_login_at INTEGER)`);
    // Not in the table of the first releases.
    const has = account.sql.exec("SELECT 1 FROM pragma_table_info('hosts') WHERE name = 'web_ui'").toArray();
    if (has.length === 0) account.sql.exec('ALTER TABLE hosts ADD COLUMN web_ui INTEGER NOT NULL DEFAULT 0');
  }

  /** In the order of their approval. */
  list(): Host[] {
    return this.#select('ORDER BY created_at, rowid');
  }

  /** Ids of those whose web UI is switched on. */
  withWebUi(): string[] {
    const rows = this.#account.sql.exec<{ id: string }>('SELECT id FROM hosts WHERE web_ui = 1').toArray();
    return rows.map(({ id }) => id);
  }

  /** The host whose agent holds the credential with this hash. Refuses with `E_UNAUTHORIZED`. */
  authenticate(tokenHash: string): Outcome<{ host: string }> {
    const [row] = this.#account.sql
      .exec<{ id: string }>('SELECT id FROM hosts WHERE token_hash = ?', tokenHash)
      .toArray();
    return row === undefined ? refused(new DirectError('E_UNAUTHORIZED')) : accepted({ host: row.id });
  }

  /** Refuses with `E_NOT_FOUND`. */
  change(id: string, { name, web_ui }: HostChange, by: By): Outcome<Host> {
    const { sql, audit } = this.#account;
    const [known] = this.#select('WHERE id = ?', id);
    if (known === undefined) return refused(unknownHost());
    const host = { ...known, name: name ?? known.name, web_ui: web_ui ?? known.web_ui };
    sql.exec('UPDATE hosts SET name = ?, web_ui = ? WHERE id = ?', host.name, Number(host.web_ui), id);
    if (name !== undefined) audit.record({ ...by, action: 'host.rename', detail: `${id}: ${name}` });
    if (web_ui !== undefined) audit.record({ ...by, action: 'host.web_ui', detail: `${id}: ${web_ui ? 'on' : 'off'}` });
    return accepted(host);
  }

  /** Its credential is void from now on; the caller closes its agent's link. Refuses with `E_NOT_FOUND`. */
  remove(id: string, by: By): Outcome<null> {
    const removed = this.#account.sql.exec('DELETE FROM hosts WHERE id = ? RETURNING id', id).toArray();
    if (removed.length === 0) return refused(unknownHost());
    this.#removed(id);
    this.#account.audit.record({ ...by, action: 'host.remove', detail: id });
    return accepted(null);
  }

  /** The agent gives its credential back. */
  logout(id: string, by: By): void {
    this.#account.sql.exec('UPDATE hosts SET token_hash = NULL WHERE id = ?', id);
    this.#account.audit.record({ ...by, action: 'host.logout', detail: id });
  }

  /** The host with this key, if the edge has met it. */
  withKey(hostKey: string): Host | undefined {
    return this.#select('WHERE host_key = ?', hostKey)[0];
  }

  /** The host with this key, new if need be: one key has one id for ever. `name` is what the owner calls it. */
  register(hostKey: string, name: string | undefined, suggestion: string): Host {
    const known = this.withKey(hostKey);
    if (known !== undefined) {
      if (name !== undefined) this.#account.sql.exec('UPDATE hosts SET name = ? WHERE id = ?', name, known.id);
      return { ...known, name: name ?? known.name };
    }
    const called = name ?? suggestion;
    const row = this.#account.sql
      .exec<Row>(
        `INSERT INTO hosts (id, name, host_key, created_at) VALUES (?, ?, ?, ?) RETURNING ${COLUMNS}`,
        this.#freeId(slug(called)),
        called,
        hostKey,
        this.#account.now(),
      )
      .one();
    return hostOf(row);
  }

  /** Replaces the host's credential: the one before is void. */
  credential(id: string, tokenHash: string): void {
    const update = 'UPDATE hosts SET token_hash = ?, last_login_at = ? WHERE id = ?';
    this.#account.sql.exec(update, tokenHash, this.#account.now(), id);
  }

  #select(which: string, ...values: SqlStorageValue[]): Host[] {
    const query = `SELECT ${COLUMNS} FROM hosts ${which}`;
    return this.#account.sql
      .exec<Row>(query, ...values)
      .toArray()
      .map(hostOf);
  }

  #freeId(wanted: string): string {
    const taken = new Set(this.list().map(({ id }) => id));
    let id = wanted;
    for (let number = 2; taken.has(id); number++) id = `${wanted}-${number}`;
    return id;
  }
}

function hostOf(row: Row): Host {
  return { ...row, web_ui: row.web_ui === 1 };
}

function unknownHost(): DirectError {
  return new DirectError('E_NOT_FOUND', 'no such host');
}
