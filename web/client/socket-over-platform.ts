/** A WebSocket of the platform: to the edge where there is no session, and to all other origins. */
import type { SocketMessage } from '../../shared/socket-exchange.ts';
import type { SocketEnd, SocketLink, SocketLinkEvents } from './socket-link.ts';

/** The constants are on a class that is not ours. */
const CLOSING = 2;

/** Resolves when `socket` is open. @throws Error when it closed instead; the signal's reason. */
export async function openOverPlatform(socket: WebSocket, signal: AbortSignal): Promise<SocketLink> {
  socket.binaryType = 'arraybuffer';
  const link = new PlatformSocket(socket);
  const abort = () => socket.close();
  signal.addEventListener('abort', abort);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve(), { once: true });
      socket.addEventListener('close', () => reject(new Error('the WebSocket did not open')), { once: true });
    });
    return link;
  } finally {
    signal.removeEventListener('abort', abort);
    signal.throwIfAborted();
  }
}

class PlatformSocket implements SocketLink {
  readonly #socket: WebSocket;
  #early: (SocketMessage | SocketEnd)[] = [];
  #events: SocketLinkEvents | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      if (typeof data === 'string') this.#deliver({ type: 'text', text: data });
      else this.#deliver({ type: 'binary', bytes: new Uint8Array(data as ArrayBuffer) });
    });
    let failed = false;
    socket.addEventListener('error', () => {
      failed = true;
    });
    socket.addEventListener('close', ({ code, reason, wasClean }) => {
      this.#deliver({ code, reason, wasClean, failed });
    });
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  get extensions(): string {
    return this.#socket.extensions;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  start(events: SocketLinkEvents): void {
    this.#events = events;
    for (const piece of this.#early.splice(0)) this.#deliver(piece);
  }

  send(message: SocketMessage): void {
    // A browser closes what is refused here (`readyState` was looked at by who calls), so nothing is thrown.
    this.#socket.send(message.type === 'text' ? message.text : (message.bytes as Uint8Array<ArrayBuffer>));
  }

  close(code: number | undefined, reason: string): void {
    if (this.#socket.readyState >= CLOSING) return;
    if (code === undefined) this.#socket.close();
    else this.#socket.close(code, reason);
  }

  #deliver(piece: SocketMessage | SocketEnd): void {
    const events = this.#events;
    if (events === undefined) this.#early.push(piece);
    else if ('wasClean' in piece) events.closed(piece);
    // It cannot be held back: a platform's WebSocket reads as it likes.
    else void events.message(piece);
  }
}
