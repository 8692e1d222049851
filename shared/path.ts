/**
 * A path carries messages between a client and an agent: data channel, relay WebSocket, in-memory pair.
 *
 * Messages arrive whole, in order and at most once. A path that cannot promise that any longer ends: `closed` is
 * called once, nothing is delivered after it, and what was sent shortly before may or may not have arrived.
 * Clean and broken ends look alike, because the session layer treats them alike: it keeps what the peer has not
 * acknowledged.
 */
export interface Path {
  /** The longest message that the path carries, in bytes. */
  readonly maxMessageBytes: number;
  /** Bytes that the path takes now without building a queue; at 0 or less the sender waits for `drained`. */
  capacity(): number;
  /** Sends one message and keeps no reference to it. A closed path ignores it. */
  send(message: Uint8Array): void;
  /** Ends the path. Idempotent; `closed` is called for the own close too. */
  close(): void;
  /** Starts delivery; called once. Messages that came earlier are delivered first. */
  start(events: PathEvents): void;
}

export interface PathEvents {
  message(message: Uint8Array): void;
  /** `capacity()` has risen above 0 again. */
  drained(): void;
  /** The path has ended; `reason` is for the log. */
  closed(reason: string): void;
}
