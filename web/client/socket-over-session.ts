/** A WebSocket over one stream of the session (PROTOCOL.md, section 6). It follows the session from path to path. */
import { DirectError, ProtocolError } from '../../shared/errors.ts';
import { ClientExchange } from '../../shared/exchange.ts';
import { encodeHead, type RequestHead } from '../../shared/head.ts';
import { MAX_SOCKET_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { Session } from '../../shared/session.ts';
import type { SocketClose, SocketExchange, SocketMessage } from '../../shared/socket-exchange.ts';
import { FAILED, LOST, type SocketEnd, type SocketLink, type SocketLinkEvents } from './socket-link.ts';

/** RFC 6455, section 7.4.1. */
const NO_STATUS = 1005;
const MESSAGE_TOO_BIG = 1009;

/** Like what a stream queues before it makes its writer wait (shared/send-half.ts). */
const AT_ONCE_BYTES = 64 * 1024;

export interface SessionSocketRequest {
  head: RequestHead;
  /** Subprotocols that `head` offers. */
  protocols: readonly string[];
  signal: AbortSignal;
}

/**
 * Asks for a WebSocket; resolves when the upstream has accepted.
 * @throws DirectError when it refused, or when nothing can be asked any more; the signal's reason.
 */
export async function openOverSession(
  session: Session,
  { head, protocols, signal }: SessionSocketRequest,
): Promise<SocketLink> {
  if (session.error !== undefined) throw session.error;
  // Thrown here, before anything is sent.
  encodeHead(head);
  const exchange = new ClientExchange(session.openStream());
  const abort = () => exchange.abort('E_CANCELLED');
  signal.addEventListener('abort', abort);
  try {
    // When it fails, `readHead` learns why.
    exchange.sendHead(head).catch(() => {});
    const { status, headers } = await exchange.readHead();
    signal.throwIfAborted();
    if (status !== 101) throw new DirectError('E_UPSTREAM_FAILED', `${status} in place of a WebSocket`);
    const protocol = headers.find(([name]) => name === 'sec-websocket-protocol')?.[1] ?? '';
    // Browsers take no silence for an answer either (WHATWG WebSockets, section 2).
    if (protocol === '' ? protocols.length > 0 : !protocols.includes(protocol)) {
      throw new ProtocolError('the server chose no subprotocol of those that were offered');
    }
    return new SessionSocket(exchange.socket(), protocol);
  } catch (error) {
    exchange.abort('E_CANCELLED');
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

interface Sized {
  readonly message: SocketMessage;
  readonly size: number;
}

class SessionSocket implements SocketLink {
  readonly extensions = '';
  readonly protocol: string;
  readonly #exchange: SocketExchange;
  #bufferedAmount = 0;
  readonly #queue: (Sized | SocketClose)[] = [];
  #isSending = false;

  constructor(exchange: SocketExchange, protocol: string) {
    this.#exchange = exchange;
    this.protocol = protocol;
  }

  get bufferedAmount(): number {
    return this.#bufferedAmount;
  }

  start(events: SocketLinkEvents): void {
    void this.#read(events).then((end) => events.closed(end));
  }

  send(message: SocketMessage, size: number): void {
    if (size > MAX_SOCKET_MESSAGE_BYTES) {
      this.close(MESSAGE_TOO_BIG, `the tunnel takes ${MAX_SOCKET_MESSAGE_BYTES} bytes`);
      return;
    }
    this.#bufferedAmount += size;
    this.#enqueue({ message, size });
  }

  close(code: number | undefined, reason: string): void {
    this.#enqueue({ type: 'close', code, reason });
  }

  #enqueue(record: Sized | SocketClose): void {
    this.#queue.push(record);
    if (!this.#isSending) void this.#sendQueue();
  }

  /** What fits is handed on at once, so that it leaves together; the rest one by one, so that the amount is true. */
  async #sendQueue(): Promise<void> {
    this.#isSending = true;
    let taken = 0;
    for (let record = this.#queue.shift(); record !== undefined; record = this.#queue.shift()) {
      if (!('message' in record)) {
        this.#exchange.close(record.code, record.reason);
        continue;
      }
      const { message, size } = record;
      const sent = this.#exchange.send(message).then(() => {
        this.#bufferedAmount -= size;
      });
      taken += size;
      try {
        if (taken > AT_ONCE_BYTES) await sent;
        // When it fails the others do, too: they never leave, and the amount says so. `read` learns why.
        else sent.catch(() => {});
      } catch {
        return;
      }
    }
    this.#isSending = false;
  }

  async #read(events: SocketLinkEvents): Promise<SocketEnd> {
    try {
      for (;;) {
        const message = await this.#exchange.read();
        if (message.type === 'close') {
          events.closing();
          this.#exchange.close(message.code, message.reason);
          return { code: message.code ?? NO_STATUS, reason: message.reason, wasClean: true, failed: false };
        }
        await events.message(message);
      }
    } catch (error) {
      this.#exchange.abort('E_CANCELLED');
      return error instanceof ProtocolError ? FAILED : LOST;
    }
  }
}
