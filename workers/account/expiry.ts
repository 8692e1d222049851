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
