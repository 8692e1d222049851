/** What the parts of AccountObject share. */
import type { Audit } from './audit.ts';
import type { Guesses } from './guesses.ts';
import type { WebSessions } from './web-sessions.ts';

export interface Account {
  readonly sql: SqlStorage;
  /** Milliseconds since 1970. */
  now(): number;
  readonly audit: Audit;
  readonly guesses: Guesses;
  readonly sessions: WebSessions;
  /** A credential was made that will end by itself (expiry.ts). */
  expires(): Promise<void>;
  /** Nobody may do anything as this subject (`Grant.subject`) any longer: what it was given elsewhere is to be revoked. */
  ended(subject: string): void;
}
