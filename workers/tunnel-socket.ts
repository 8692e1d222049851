/** One WebSocket of the tunnel: the client's socket on one side, a stream of a session on the other. */
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import { MAX_SOCKET_BACKLOG_BYTES, MAX_SOCKET_MESSAGE_BYTES } from '../shared/limits.ts';
import type { SocketExchange, SocketMessage } from '../shared/socket-exchange.ts';
import { closeReason, quietly, sends } from './socket.ts';

const MESSAGE_TOO_BIG = 1009;
/** The upstream's socket broke, or something went wrong on the way. 1014 would fit, but Go's clients refuse it. */
const INTERNAL_ERROR = 1011;
/** Service Restart (IANA's registry): the host is gone and may come back by itself. */
const SERVICE_RESTART = 1012;
/** Try Again Later (likewise). */
const OVERLOADED = 1013;
/** Never on the wire: the client's connection ended without a Close frame. */
const ABNORMAL_CLOSURE = 1006;

const HOST_LOST: readonly ErrorCode[] = ['E_PATH_LOST', 'E_GOING_AWAY'];

/**
 * Connects a socket to `exchange` and returns the client's end of it. `ended` is called once, when nothing goes on.
 *
 * It does not hibernate, because its session lives in this object. While one is open, or a hundred, the object costs
 * its owner 128 MB of duration: 11,060 GB-s a day of the free plan's 13,000. Messages from the client and from the
 * agent count as a twentieth of a request each.
 */
export function tunnelSocket(exchange: SocketExchange, ended: () => void): WebSocket {
  const { 0: client, 1: server } = new WebSocketPair();
  server.binaryType = 'arraybuffer';
  fromClient(server, exchange);
  server.accept();
  void toClient(server, exchange).then(ended);
  return client;
}

function fromClient(server: WebSocket, exchange: SocketExchange): void {
  server.addEventListener('message', ({ data }) => {
    const message: SocketMessage =
      typeof data === 'string'
        ? { type: 'text', text: data }
        : { type: 'binary', bytes: new Uint8Array(data as ArrayBuffer) };
    if (isTooBig(message)) {
      const reason = `the tunnel takes ${MAX_SOCKET_MESSAGE_BYTES} bytes`;
      close(server, MESSAGE_TOO_BIG, reason);
      exchange.close(MESSAGE_TOO_BIG, reason);
    } else if (exchange.stream.heldBytes > MAX_SOCKET_BACKLOG_BYTES) {
      close(server, OVERLOADED, 'more than the host takes');
      exchange.abort('E_CANCELLED');
    } else {
      // When it fails, `toClient` learns why. Nothing waits for it: the next message comes anyway.
      exchange.send(message).catch(() => {});
    }
  });
  let closed = false;
  server.addEventListener('close', ({ code, reason }) => {
    closed = true;
    if (code === ABNORMAL_CLOSURE) exchange.abort('E_CANCELLED');
    else exchange.close(code, reason);
  });
  server.addEventListener('error', () => {
    // Also when the client does not wait for the runtime's answer to its Close frame, which is no failure any more.
    if (!closed) exchange.abort('E_CANCELLED');
  });
}

/**
 * Until the agent has closed or is lost. A client that reads slowly stops nobody: what was sent to it waits in this
 * object, and nothing tells how much that is (cloudflare/workerd#988).
 */
async function toClient(server: WebSocket, exchange: SocketExchange): Promise<void> {
  try {
    for (;;) {
      const message = await exchange.read();
      if (message.type === 'close') {
        close(server, message.code, message.reason);
        exchange.close(message.code, message.reason);
        return;
      }
      sends(server, message.type === 'text' ? message.text : message.bytes);
    }
  } catch (error) {
    exchange.abort('E_CANCELLED');
    const { code, message } = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
    close(server, HOST_LOST.includes(code) ? SERVICE_RESTART : INTERNAL_ERROR, `${code}: ${message}`);
  }
}

/** Closes; a second time it means nothing. */
function close(server: WebSocket, code: number | undefined, reason: string): void {
  quietly(() => (code === undefined ? server.close() : server.close(code, closeReason(reason))));
}

function isTooBig(message: SocketMessage): boolean {
  if (message.type === 'binary') return message.bytes.length > MAX_SOCKET_MESSAGE_BYTES;
  // A UTF-16 unit takes at most three bytes, so most texts need no counting.
  if (message.text.length * 3 <= MAX_SOCKET_MESSAGE_BYTES) return false;
  return new TextEncoder().encode(message.text).length > MAX_SOCKET_MESSAGE_BYTES;
}
