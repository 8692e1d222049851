/** A WebSocket over one stream of the session (PROTOCOL.md, section 6). It follows the session from path to path. */
import { DirectError, ProtocolError } from '../../shared/errors.ts';
import { ClientExchange } from '../../shared/exchange.ts';
import { encodeHead, type RequestHead } from '../../shared/head.ts';
import { MAX_SOCKET_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { Session } from '../../shared/session.ts';
import type { SocketExchange, SocketMessage } from '../../shared/socket-exchange.ts';
import { FAILED, LOST, type SocketEnd, type SocketLink, type SocketLinkEvents } from './socket-link.ts';

/** RFC 6455, section 7.4.1. */
const NO_STATUS = 1005;
const MESSAGE_TOO_BIG = 1009;

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

class SessionSocket implements SocketLink {
  readonly extensions = '';
  readonly protocol: string;
  readonly #exchange: SocketExchange;
  #bufferedAmount = 0;

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

  send(message: SocketMessage): void {
    const size = message.type === 'text' ? new TextEncoder().encode(message.text).length : message.bytes.length;
    if (size > MAX_SOCKET_MESSAGE_BYTES) {
      this.close(MESSAGE_TOO_BIG, `the tunnel takes ${MAX_SOCKET_MESSAGE_BYTES} bytes`);
      return;
    }
    this.#bufferedAmount += size;
    this.#exchange.send(message).then(
      () => {
        this.#bufferedAmount -= size;
      },
      // It never left, and the amount says so; `read` learns why.
      () => {},
    );
  }

  close(code: number | undefined, reason: string): void {
    this.#exchange.close(code, reason);
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
