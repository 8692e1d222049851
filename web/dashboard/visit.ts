import type { EdgeApi } from '../access/edge-api.ts';
import type { Pins } from '../access/pins.ts';

/** What every view needs. */
export interface Visit {
  readonly api: EdgeApi;
  readonly pins: Pins;
  /** Of the edge. */
  readonly origin: string;
  /** Milliseconds since 1970. */
  now(): number;
  /** Puts a view in place of the one before; `title` for the tab. */
  show(title: string, ...content: Node[]): void;
  /** The edge no longer knows this browser. */
  signedOut(): void;
  /** From the beginning: who is signed in has changed. */
  begin(): Promise<void>;
}
