/**
 * Credentials that end by themselves. Nobody gets in with them any longer; but the hosts must be told, because what they
 * began there before, such as a direct session, would go on.
 */

/** What is to be ended, and where. */
export interface Ending {
  /** As in `Grant.subject`. */
  subject: string;
  hosts: string[];
}

/** A part of the account whose credentials expire. */
export interface Expiring {
  /** When the next one ends of those whose hosts are to be told; undefined: none does. */
  nextExpiry(): number | undefined;
  /** Those that have ended at `now`, in milliseconds since 1970, and whose hosts are to be told. */
  expired(now: number): Ending[];
  /** Their hosts were told. */
  told(now: number): void;
}

/** Tables with `expires_at` and `told`, which is 1 for those whose hosts were told. */
type Table = 'api_keys' | 'invitations';

/** `Expiring.nextExpiry` of a table. */
export function nextExpiryOf(sql: SqlStorage, table: Table): number | undefined {
  const query = `SELECT min(expires_at) AS at FROM ${table} WHERE told = 0`;
  return sql.exec<{ at: number | null }>(query).one().at ?? undefined;
}

/** `Expiring.told` of a table. */
export function markTold(sql: SqlStorage, table: Table, now: number): void {
  sql.exec(`UPDATE ${table} SET told = 1 WHERE told = 0 AND expires_at <= ?`, now);
}
