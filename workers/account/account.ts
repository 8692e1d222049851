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
}
