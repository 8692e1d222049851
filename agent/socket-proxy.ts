/** Proxies a WebSocket: a stream of a session on one side, the upstream's WebSocket on the other. */
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import { DirectError } from '../shared/errors.ts';
import type { HeaderList } from '../shared/head.ts';
import { MAX_SOCKET_MESSAGE_BYTES } from '../shared/limits.ts';
import type { SocketExchange } from '../shared/socket-exchange.ts';
import { unreachable } from './answer.ts';
import { fieldList } from './headers.ts';

/** What waits for an upstream that reads slowly; more stays with the client, where the stream's credit bounds it. */
const MAX_QUEUED_BYTES = 64 * 1024;

/** RFC 6455, section 7.4.1. */
const MESSAGE_TOO_BIG = 1009;
/** Never on the wire: the connection ended without a Close frame. */
const ABNORMAL_CLOSURE = 1006;

/** The upstream's WebSocket, still silent, and the fields of its 101; or the response with which it refused. */
export type Opening = { socket: WebSocket; fields: HeaderList } | { refusal: IncomingMessage };

/**
 * Asks for a WebSocket at `url`. `signal` ends it, before and after the upgrade, in the way of a lost connection.
 * There is no time-out: a server may load a model first.
 * @throws DirectError `E_UPSTREAM_UNREACHABLE`
 */
export async function openSocket(
  url: URL,
  headers: Record<string, string | string[]>,
  signal: AbortSignal,
): Promise<Opening> {
  signal.throwIfAborted();
  const socket = new WebSocket(url, {
    headers,
    // The bytes go through one more machine as they are; compressing them is for the ends that have far to send.
    perMessageDeflate: false,
    maxPayload: MAX_SOCKET_MESSAGE_BYTES,
  });
  signal.addEventListener('abort', () => socket.terminate(), { once: true });
  return await new Promise((resolve, reject) => {
    let fields: HeaderList = [];
    // Stays for the socket's life: `close` follows each error, and says enough.
    socket.on('error', (error) => reject(unreachable(error)));
    socket.once('unexpected-response', (_request, response) => resolve({ refusal: response }));
    socket.once('upgrade', (response) => {
      fields = fieldList(response.rawHeaders);
      // Whether the choice fits the offer is for the client to judge, which made it; ws would refuse “none”.
      delete response.headers['sec-websocket-protocol'];
    });
    socket.once('open', () => {
      // Until `proxySocket` listens, or the first messages would be lost.
      socket.pause();
      resolve({ socket, fields });
    });
  });
}

/**
 * Passes messages both ways until the upstream's socket has closed.
 * @throws DirectError `E_UPSTREAM_FAILED` when the upstream was lost, or why the client's direction failed.
 */
export async function proxySocket(socket: WebSocket, exchange: SocketExchange): Promise<void> {
  const closed = closing(socket);
  toClient(socket, exchange);
  let failure: unknown;
  let clientClosed = false;
  toUpstream(socket, exchange).then(
    () => {
      clientClosed = true;
    },
    (error: unknown) => {
      // The client was lost, and so the upstream sees a client that was lost.
      failure ??= error;
      socket.terminate();
    },
  );
  socket.resume();
  const { code, reason } = await closed;
  if (failure !== undefined) throw failure;
  // An upstream that does not answer a Close frame is no failure.
  if (code === ABNORMAL_CLOSURE && !clientClosed) throw new DirectError('E_UPSTREAM_FAILED', 'no Close frame');
  exchange.close(code, reason);
}

/** How the upstream's socket ends, once it has. */
function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => {
    let tooBig = false;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // ws says 1009 to the upstream by itself; the client is to hear the same.
      tooBig ||= error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
    });
    socket.once('close', (code, reason) => {
      if (!tooBig) return resolve({ code, reason: reason.toString() });
      resolve({ code: MESSAGE_TOO_BIG, reason: `the tunnel takes ${MAX_SOCKET_MESSAGE_BYTES} bytes` });
    });
  });
}

function toClient(socket: WebSocket, exchange: SocketExchange): void {
  let waiting = 0;
  const written = () => {
    waiting -= 1;
    if (waiting === 0) socket.resume();
  };
  socket.on('message', (data, isBinary) => {
    // With its default `binaryType`, ws delivers both kinds like this.
    const bytes = data as Buffer;
    waiting += 1;
    socket.pause();
    // A failing write fails the stream, and with it `toUpstream`.
    exchange
      .send(isBinary ? { type: 'binary', bytes } : { type: 'text', text: bytes.toString() })
      .then(written, written);
  });
}

/** Resolves when the client has closed. */
async function toUpstream(socket: WebSocket, exchange: SocketExchange): Promise<void> {
  for (;;) {
    const message = await exchange.read();
    if (message.type === 'close') return socket.close(message.code, message.reason);
    await send(socket, message.type === 'text' ? message.text : message.bytes);
  }
}

function send(socket: WebSocket, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    // The callback comes for a socket that has closed, too.
    socket.send(data, () => resolve());
    if (socket.bufferedAmount <= MAX_QUEUED_BYTES) resolve();
  });
}
