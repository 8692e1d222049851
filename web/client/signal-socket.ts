/** Signaling by WebSocket: no polling delay, and nothing to pay while nothing happens. */
import { DirectError } from '../../shared/errors.ts';
import { parseSignals, type SessionSignal } from '../../shared/signal.ts';
import { closeError } from './close-error.ts';
import type { SignalTransport, SignalTransportEvents } from './signal-transport.ts';

/** A firewall that swallows the upgrade gives no error; polling costs less than a longer wait. */
export const SOCKET_PATIENCE_MS = 2_000;

interface SocketOptions {
  WebSocket: new (url: string) => WebSocket;
  /** `{base}/signal?session_id=…`, http or https. */
  url: string;
  timer(ms: number, run: () => void): () => void;
  /** The socket does not open, or broke: another transport is needed. */
  blocked(reason: string): void;
}

export class SignalSocket implements SignalTransport {
  readonly #socket: WebSocket;
  readonly #cancelPatience: () => void;
  #outbox: SessionSignal[] = [];
  #ended = false;

  constructor({ WebSocket, url, timer, blocked }: SocketOptions, events: SignalTransportEvents) {
    this.#socket = new WebSocket(url.replace(/^http/, 'ws'));
    const giveUp = (reason: string) => {
      if (this.#ended) return;
      this.close();
      blocked(reason);
    };
    this.#cancelPatience = timer(SOCKET_PATIENCE_MS, () => giveUp(`not open after ${SOCKET_PATIENCE_MS} ms`));
    this.#socket.addEventListener('open', () => {
      if (this.#ended) return;
      this.#cancelPatience();
      events.step('signaling by WebSocket');
      this.#flush();
    });
    this.#socket.addEventListener('message', ({ data }: { data: unknown }) => {
      if (this.#ended) return;
      try {
        // Binary messages are not part of signaling; `String` makes them fail the parser.
        for (const signal of parseSignals(String(data))) events.signal(signal);
      } catch (error) {
        events.failed(error instanceof DirectError ? error : new DirectError('E_BAD_REQUEST'));
      }
    });
    this.#socket.addEventListener('close', (event: { code: number; reason: string }) => {
      const error = closeError(event);
      if (this.#ended || error === undefined) return giveUp(`closed with ${event.code}`);
      this.close();
      events.failed(error);
    });
    // Followed by `close` in every runtime, except for a URL that CSP forbids in some.
    this.#socket.addEventListener('error', () => giveUp('failed'));
  }

  send(signal: SessionSignal): void {
    this.#outbox.push(signal);
    this.#flush();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelPatience();
    this.#socket.close();
  }

  #flush(): void {
    // 1 is OPEN; the constant's name is on the constructor, which is not ours.
    if (this.#ended || this.#socket.readyState !== 1 || this.#outbox.length === 0) return;
    // In one message, which is one call to the host's object: each costs the edge's owner a request.
    const signals = this.#outbox.splice(0);
    this.#socket.send(JSON.stringify(signals.length === 1 ? signals[0] : signals));
  }
}
