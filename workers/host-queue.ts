/** Messages for an agent that polls or is away for a moment, in SQLite: they outlive the object's eviction. */
import { MAX_QUEUED_SIGNALS, QUEUED_SIGNAL_TTL_MS } from '../shared/limits.ts';
import type { SessionSignal } from '../shared/signal.ts';
import { batchLength } from './batch.ts';
import type { Sender } from './socket.ts';

export class HostQueue {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS waiting (
      id INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, type TEXT NOT NULL,
      body TEXT NOT NULL, expires_at INTEGER NOT NULL)`);
  }

  push(signals: readonly SessionSignal[], now: number): void {
    this.dropExpired(now);
    for (const signal of signals) {
      // An ICE restart voids what the agent has not seen yet.
      if (signal.type === 'offer') this.#sql.exec('DELETE FROM waiting WHERE session = ?', signal.session_id);
      if (this.#count() >= MAX_QUEUED_SIGNALS) {
        // The oldest session as a whole: its candidates are of no use without its offer. Refusing the newest one
        // instead would let anyone block an open host for as long as its agent is away.
        this.#sql.exec('DELETE FROM waiting WHERE session = (SELECT session FROM waiting ORDER BY id LIMIT 1)');
      }
      this.#sql.exec(
        'INSERT INTO waiting (session, type, body, expires_at) VALUES (?, ?, ?, ?)',
        signal.session_id,
        signal.type,
        JSON.stringify(signal),
        now + QUEUED_SIGNAL_TTL_MS,
      );
    }
  }

  /** Takes as many messages (JSON each) as one list may hold; none when nothing waits. */
  takeBatch(now: number): string[] {
    this.dropExpired(now);
    const rows = this.#sql.exec<{ id: number; body: string }>('SELECT id, body FROM waiting ORDER BY id').toArray();
    const taken = rows.slice(0, batchLength(rows.map((row) => row.body)));
    const last = taken.at(-1);
    if (last !== undefined) this.#sql.exec('DELETE FROM waiting WHERE id <= ?', last.id);
    return taken.map((row) => row.body);
  }

  /** Takes all that waits to an agent that is there, in lists. Throws what `send` throws. */
  handOver(agent: Sender, now: number): void {
    for (let texts = this.takeBatch(now); texts.length > 0; texts = this.takeBatch(now)) {
      agent.send(`[${texts.join(',')}]`);
    }
  }

  /**
   * Takes the oldest offer alone, for an agent that asks for one message at a time. Candidates are dropped: such an
   * agent (term-llm) ignores them and would pause 2 s after each.
   */
  takeOffer(now: number): string[] {
    this.dropExpired(now);
    this.#sql.exec(`DELETE FROM waiting WHERE type <> 'offer'`);
    return this.#sql
      .exec<{ body: string }>('DELETE FROM waiting WHERE id = (SELECT min(id) FROM waiting) RETURNING body')
      .toArray()
      .map((row) => row.body);
  }

  clear(): void {
    this.#sql.exec('DELETE FROM waiting');
  }

  /** Drops the sessions whose offers are of `subject`. */
  revoke(subject: string): void {
    this.#sql.exec(
      `DELETE FROM waiting WHERE session IN (SELECT session FROM waiting
         WHERE type = 'offer' AND json_extract(body, '$.grant.subject') = ?)`,
      subject,
    );
  }

  /** A dead offer would cost the agent a slot for a client that is gone. */
  dropExpired(now: number): void {
    this.#sql.exec('DELETE FROM waiting WHERE expires_at <= ?', now);
  }

  /** When the first message expires, or `undefined` if nothing waits. */
  nextExpiry(): number | undefined {
    return this.#sql.exec<{ at: number | null }>('SELECT min(expires_at) AS at FROM waiting').one().at ?? undefined;
  }

  #count(): number {
    return this.#sql.exec<{ n: number }>('SELECT count(*) AS n FROM waiting').one().n;
  }
}
