/** What carries a WebSocket: a stream of the session, or a WebSocket of the platform. */
import type { SocketMessage } from '../../shared/socket-exchange.ts';

/** How a WebSocket ended, as its close event says it. */
export interface SocketEnd {
  code: number;
  reason: string;
  wasClean: boolean;
  /** There is an error event before: it did not open, or the other end broke the protocol. The mere loss is none. */
  failed: boolean;
}

/** RFC 6455, section 7.1.5: the connection ended without a Close frame. */
export const LOST: SocketEnd = { code: 1006, reason: '', wasClean: false, failed: false };
export const FAILED: SocketEnd = { ...LOST, failed: true };

export interface SocketLinkEvents {
  /** The next message is read only after the returned promise has resolved: what waits stays with its sender. */
  message(message: SocketMessage): Promise<void>;
  /** The other end closes, and hears the answer by itself. */
  closing(): void;
  /** Once, and nothing comes after it. */
  closed(end: SocketEnd): void;
}

/** An open connection. */
export interface SocketLink {
  /** The subprotocol that the server chose, or nothing. */
  readonly protocol: string;
  readonly extensions: string;
  /** Bytes of messages that have not left yet. */
  readonly bufferedAmount: number;
  /** Begins to deliver. */
  start(events: SocketLinkEvents): void;
  /** The caller must not change the bytes afterwards, and knows how many there are: of a text as UTF-8. */
  send(message: SocketMessage, size: number): void;
  /** Closes when what was sent has left. */
  close(code: number | undefined, reason: string): void;
}
