/** Who did what to the account: sign-ins, approvals, revocations. Never a secret. */
import { RpcTarget } from 'cloudflare:workers';
import type { AuditEvent } from '../../shared/account-api.ts';

/** Who does it, and from where. */
export type By = Pick<AuditEvent, 'actor' | 'address'>;

/** Older ones are dropped. */
const MAX_EVENTS = 1_000;

export class Audit extends RpcTarget {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    super();
    this.#sql = sql;
    this.#now = now;
    sql.exec(`CREATE TABLE IF NOT EXISTS audit (
      id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
      detail TEXT NOT NULL, address TEXT)`);
  }

  record(event: Omit<AuditEvent, 'id' | 'at'>): void {
    const { actor, action, detail, address } = event;
    const insert = 'INSERT INTO audit (at, actor, action, detail, address) VALUES (?, ?, ?, ?, ?)';
    this.#sql.exec(insert, this.#now(), actor, action, detail, address);
    this.#sql.exec('DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?', MAX_EVENTS);
  }

  /** Newest first; `before` is the id of the last one seen. */
  list(limit: number, before?: number): AuditEvent[] {
    const query = 'SELECT id, at, actor, action, detail, address FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?';
    const rows = this.#sql.exec(query, before ?? Number.MAX_SAFE_INTEGER, limit);
    return rows.toArray() as unknown as AuditEvent[];
  }
}
