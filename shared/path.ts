/**
 * A path carries messages between a client and an agent: data channel, relay WebSocket, in-memory pair.
 *
 * Messages arrive whole, at most once, and those of one lane in order: what is lost in a lane delays no other. A path
 * that cannot promise that any longer ends: `closed` is called once, nothing is delivered after it, and what was sent
 * shortly before may or may not have arrived. Clean and broken ends look alike, because the session layer treats them
 * alike: it keeps what the peer has not acknowledged.
 */
/** The ways between client and agent, best first: P2P, P2P through TURN, through HostObject. */
export type PathKind = 'direct' | 'turn' | 'relay';

/** Whether what goes this way goes by a path, on which the host has proved itself, and not by plain HTTPS. */
export function isPathKind(way: string): way is PathKind {
  return way === 'direct' || way === 'turn' || way === 'relay';
}

export interface Path {
  /** The longest message that the path carries, in bytes. */
  readonly maxMessageBytes: number;
  /** How many lanes it has, numbered from 0; absent: one. Lane 0 is there from the start. */
  readonly lanes?: number;
  /**
   * Client: what the peer sends in `lane` is heard from now on, and may have been lost before. Absent: it always is.
   */
  openLane?(lane: number): void;
  /**
   * Calls `run` when what was written may leave, in place of the end of the event-loop turn: a path whose messages
   * cost money waits a little for more.
   */
  defer?(run: () => void): void;
  /** Bytes that `lane` (0) takes now without building a queue; at 0 or less the sender waits for `drained`. */
  capacity(lane?: number): number;
  /** Data that one message in `lane` should carry, at most, so that it does not hold up others; absent: all that fits. */
  chunkBytes?(lane: number): number;
  /** Sends one message by `lane` (0) and keeps no reference to it. A closed path ignores it. */
  send(message: Uint8Array, lane?: number): void;
  /** Ends the path. Idempotent; `closed` is called for the own close too. */
  close(): void;
  /** Starts delivery; called once. Messages that came earlier are delivered first. */
  start(events: PathEvents): void;
}

export interface PathEvents {
  /** `lane`: by which it came (0). */
  message(message: Uint8Array, lane?: number): void;
  /** `capacity` of a lane has risen above 0 again. */
  drained(): void;
  /** The path has ended; `reason` is for the log. */
  closed(reason: string): void;
}
