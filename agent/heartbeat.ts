/** Pings a socket and ends it when no pong comes. Text, because the edge's auto-response answers only that. */
import type WebSocket from 'ws';

export interface HeartbeatTiming {
  pingMs: number;
  /** How long the pong may take. */
  pongTimeoutMs: number;
}

export class Heartbeat {
  readonly #socket: WebSocket;
  readonly #timing: HeartbeatTiming;
  #timer: NodeJS.Timeout | undefined;
  #heard = true;

  constructor(socket: WebSocket, timing: HeartbeatTiming) {
    this.#socket = socket;
    this.#timing = timing;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#heard = false;
      this.#socket.send('ping');
      this.#timer = setTimeout(() => {
        if (this.#heard) this.start();
        else this.#socket.terminate();
      }, this.#timing.pongTimeoutMs);
    }, this.#timing.pingMs);
  }

  heard(): void {
    this.#heard = true;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
