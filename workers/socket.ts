/** What all hibernatable sockets here have in common. */
import { DirectError, ERRORS, type ErrorCode } from '../shared/errors.ts';

/** Cloudflare answers the ping without waking the object, so that an idle peer costs nothing. */
export const PING = 'ping';
export const PONG = 'pong';

/** A longer close reason makes `close` throw (RFC 6455, section 5.5: 125 bytes with the code). */
const MAX_REASON_BYTES = 123;

/** The longest beginning of `text` that fits into a close frame. */
export function closeReason(text: string): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(MAX_REASON_BYTES));
  return text.slice(0, read);
}

/** Closes with the number of `code`. A socket that has gone already is no error. */
export function closeWith(socket: WebSocket, code: ErrorCode, detail?: string): void {
  quietly(() => socket.close(ERRORS[code].close, closeReason(detail ?? ERRORS[code].message)));
}

/** Closes with what `error` says; anything unexpected shows as `E_INTERNAL`. */
export function closeFor(socket: WebSocket, error: unknown): void {
  if (!(error instanceof DirectError)) console.error('unexpected error', error);
  const { code, detail } = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
  closeWith(socket, code, detail);
}

/** Answers the peer's close, which hibernation leaves to us. 1005 and 1006 may not be sent (RFC 6455, section 7.4.1). */
export function returnClose(socket: WebSocket, code: number, reason: string): void {
  quietly(() => socket.close(code === 1005 || code === 1006 ? 1000 : code, reason));
}

/** What takes messages for a peer, such as its WebSocket; `send` throws when the peer is gone. */
export interface Sender {
  send(message: string | Uint8Array): void;
}

/** Sends, and says whether the socket took it. */
export function sends(socket: Sender, message: string | Uint8Array): boolean {
  try {
    socket.send(message);
    return true;
  } catch {
    return false;
  }
}

/** For sockets that may have gone meanwhile. */
export function quietly(act: () => void): void {
  try {
    act();
  } catch {
    // Closed already, or a code that the runtime does not send: either way it is gone.
  }
}

/** What an object must know of a socket when it wakes from hibernation; 16,384 bytes at most. */
export interface Attachment {
  /** When the socket was accepted. */
  readonly at: number;
  /** The host that its peer named in the address; `ctx.id.name` is not promised after a wake-up. */
  readonly host: string;
  /** The number of a relay's channel; other sockets have none. */
  readonly channel?: number;
  /** Of the grant of a relay's client. */
  readonly subject?: string;
}

export function attachment(socket: WebSocket): Attachment {
  // Written by `accept` and nobody else.
  return (socket.deserializeAttachment() as Attachment | null) ?? { at: 0, host: '' };
}

export function isOpen(socket: WebSocket): boolean {
  return socket.readyState === WebSocket.READY_STATE_OPEN;
}

/** The open sockets with `tag`: `getWebSockets` lists closing and replaced ones too. */
export function openSockets(ctx: DurableObjectState, tag: string): WebSocket[] {
  return ctx.getWebSockets(tag).filter(isOpen);
}

/** The newest open socket with `tag`. */
export function newestSocket(ctx: DurableObjectState, tag: string): WebSocket | undefined {
  return openSockets(ctx, tag).sort((a, b) => attachment(b).at - attachment(a).at)[0];
}

/** Accepts a socket for hibernation. */
export function accept(
  ctx: DurableObjectState,
  tags: string[],
  kept: Attachment,
): { response: Response; server: WebSocket } {
  const { 0: client, 1: server } = new WebSocketPair();
  ctx.acceptWebSocket(server, tags);
  server.serializeAttachment(kept);
  return { response: new Response(null, { status: 101, webSocket: client }), server };
}

/** Accepts a socket for hibernation and closes all earlier ones with its tag, which has one peer. */
export function acceptOnly(
  ctx: DurableObjectState,
  tag: string,
  kept: Attachment,
): { response: Response; server: WebSocket } {
  const earlier = ctx.getWebSockets(tag);
  const accepted = accept(ctx, [tag], kept);
  for (const socket of earlier) closeWith(socket, 'E_REPLACED');
  return accepted;
}

/** A socket that opens only to close with the code: browsers show a script no other reason for a refusal. */
export function refusingSocket(error: DirectError): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  closeFor(server, error);
  return new Response(null, { status: 101, webSocket: client });
}
