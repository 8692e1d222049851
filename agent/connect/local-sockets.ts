/** WebSockets of programs, passed on to a host message by message. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { DirectError } from '../../shared/errors.ts';
import { MAX_SOCKET_MESSAGE_BYTES } from '../../shared/limits.ts';
import { type Destination, failureOf, type SocketLink } from './host-client.ts';
import { errorResponse } from './local-error.ts';
import { requestFields } from './local-fields.ts';

/** What waits in one direction before its sender has to; as the agent does it. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** The tunnel's sender cannot be made to wait. A program that reads so much slower than the host sends has failed. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
/** Nothing tells when the queue towards the host has fallen. */
const DRAIN_POLL_MS = 20;

/** RFC 6455, section 7.4.1. */
const GOING_AWAY = 1001;
const NO_STATUS = 1005;
const LOST = 1006;
const TRY_AGAIN_LATER = 1013;

/** Programs say nothing before the handshake is over; who does has to be patient with less than this. */
const MAX_EARLY_BYTES = 64 * 1024;

export class LocalSockets {
  readonly #destination: Destination;
  /** Also those whose host has not answered yet. */
  readonly #all = new Set<Duplex>();

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  /** Asks the host first: its choice of the subprotocol, or its refusal, is the answer to the program. */
  open(request: IncomingMessage, socket: Duplex, head: Buffer, target: string): void {
    const gone = new AbortController();
    this.#all.add(socket);
    socket.once('close', () => {
      this.#all.delete(socket);
      gone.abort(new DirectError('E_CANCELLED', 'the program has gone away'));
    });
    const listened = listen(socket);
    const protocols = protocolsOf(request);
    const headers = requestFields(request.rawHeaders);
    this.#destination.socket({ target, protocols, headers, signal: gone.signal }).then(
      (link) => {
        // Closed in this very turn.
        if (socket.destroyed) closeLink(link, GOING_AWAY, '');
        else this.#accept(request, socket, Buffer.concat([head, ...listened()]), link);
      },
      (error: unknown) => {
        if (!socket.destroyed) socket.end(errorResponse(failureOf(error), target));
      },
    );
  }

  close(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #accept(request: IncomingMessage, socket: Duplex, head: Buffer, link: SocketLink): void {
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // The way on has its own limits and compresses nothing.
      maxPayload: MAX_SOCKET_MESSAGE_BYTES,
      perMessageDeflate: false,
      handleProtocols: () => link.protocol !== '' && link.protocol,
    });
    let accepted = false;
    // A malformed handshake ends with its socket.
    socket.once('close', () => {
      if (!accepted) closeLink(link, GOING_AWAY, '');
    });
    server.handleUpgrade(request, socket, head, (opened) => {
      accepted = true;
      join(opened, link);
    });
  }
}

/** Reads, since nothing else tells that the program leaves. What came is returned, and from then on it is for others. */
function listen(socket: Duplex): () => Buffer[] {
  const early: Buffer[] = [];
  let size = 0;
  const data = (piece: Buffer) => {
    early.push(piece);
    size += piece.length;
    if (size > MAX_EARLY_BYTES) socket.destroy();
  };
  const end = () => socket.destroy();
  socket.on('data', data).on('end', end);
  return () => {
    socket.removeListener('data', data).removeListener('end', end);
    return early;
  };
}

function join(socket: WebSocket, link: SocketLink): void {
  let isOver = false;
  let poll: NodeJS.Timeout | undefined;
  // `close` follows, and says enough.
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    if (isOver) return;
    const bytes = data as Buffer;
    const message = isBinary
      ? ({ type: 'binary', bytes: new Uint8Array(bytes) } as const)
      : ({ type: 'text', text: bytes.toString() } as const);
    link.send(message, bytes.length);
    if (link.bufferedAmount <= MAX_QUEUED_BYTES || poll !== undefined) return;
    socket.pause();
    poll = setInterval(() => {
      if (!isOver && link.bufferedAmount > MAX_QUEUED_BYTES) return;
      clearInterval(poll);
      poll = undefined;
      socket.resume();
    }, DRAIN_POLL_MS);
  });
  socket.once('close', (code, reason) => {
    if (isOver) return;
    isOver = true;
    closeLink(link, code, reason.toString());
  });
  link.start({
    message: (message) => {
      const sent = new Promise<void>((resolve) => {
        // The callback comes for a socket that has closed, too.
        socket.send(message.type === 'text' ? message.text : message.bytes, () => resolve());
        if (socket.bufferedAmount <= MAX_QUEUED_BYTES) resolve();
      });
      if (socket.bufferedAmount > MAX_UNREAD_BYTES) {
        closeLink(link, TRY_AGAIN_LATER, 'the program does not read');
        socket.terminate();
      }
      return sent;
    },
    closing: () => {},
    closed: ({ code, reason, wasClean }) => {
      if (isOver) return;
      isOver = true;
      if (poll !== undefined) socket.resume();
      if (wasClean && code === NO_STATUS) socket.close();
      else if (wasClean && isSendable(code)) socket.close(code, reason);
      // As the host's server was lost.
      else socket.terminate();
    },
  });
}

/** Tells the host how the program has closed, or that it was lost. */
function closeLink(link: SocketLink, code: number, reason: string): void {
  try {
    if (code === NO_STATUS) link.close(undefined, '');
    else link.close(code === LOST ? GOING_AWAY : code, reason);
  } catch {
    // The platform's WebSocket lets nobody say the codes that are not for applications.
    link.close(undefined, '');
  }
}

function isSendable(code: number): boolean {
  return (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
}

function protocolsOf({ headers }: IncomingMessage): string[] {
  const text = headers['sec-websocket-protocol'] ?? '';
  return text === '' ? [] : text.split(',').map((name) => name.trim());
}
