/** What the parts of AccountObject share. */
import type { Audit } from './audit.ts';

export interface Account {
  readonly sql: SqlStorage;
  /** Milliseconds since 1970. */
  now(): number;
  readonly audit: Audit;
}
