/** Pings a socket and ends it when no pong comes. Text, because the edge's auto-response answers only that. */
import type WebSocket from 'ws';
import type { SessionEnvironment } from '../shared/path-link.ts';

export interface HeartbeatTiming {
  /** From one ping to the next; not less than `pongTimeoutMs`. */
  pingMs: number;
  /** How long the pong may take. */
  pongTimeoutMs: number;
}

export class Heartbeat {
  readonly #socket: Pick<WebSocket, 'send' | 'terminate'>;
  readonly #timing: HeartbeatTiming;
  readonly #timer: SessionEnvironment['timer'];
  #cancel: () => void = () => {};
  #heard = true;

  constructor(socket: Pick<WebSocket, 'send' | 'terminate'>, timing: HeartbeatTiming, { timer }: SessionEnvironment) {
    this.#socket = socket;
    this.#timing = timing;
    this.#timer = timer;
  }

  start(): void {
    this.#pingAfter(this.#timing.pingMs);
  }

  heard(): void {
    this.#heard = true;
  }

  stop(): void {
    this.#cancel();
  }

  #pingAfter(ms: number): void {
    const { pingMs, pongTimeoutMs } = this.#timing;
    this.#cancel = this.#timer(ms, () => {
      this.#heard = false;
      this.#socket.send('ping');
      this.#cancel = this.#timer(pongTimeoutMs, () => {
        if (this.#heard) this.#pingAfter(Math.max(0, pingMs - pongTimeoutMs));
        else this.#socket.terminate();
      });
    });
  }
}
