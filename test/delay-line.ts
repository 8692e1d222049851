/** The wires of slow links, which are processes (network-lab-delay.ts, ../bench/slow-switch.ts). */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** 100 ms at 40 MB/s. The kernel gives no more than net.core.rmem_max and wmem_max. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** So many empty places at the front of a queue are worth moving what is behind them. */
const MAX_GONE = 4096;

/** Passes things on in the order in which they came, each `delayMs` after it came: one timer for all that wait. */
export class DelayLine<Item> {
  readonly #delayMs: number;
  readonly #pass: (item: Item) => void;
  readonly #items: { item: Item; dueMs: number }[] = [];
  /** Index of the first that waits. */
  #first = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(delayMs: number, pass: (item: Item) => void) {
    this.#delayMs = delayMs;
    this.#pass = pass;
  }

  add(item: Item): void {
    const nowMs = performance.now();
    this.#items.push({ item, dueMs: nowMs + this.#delayMs });
    // Timers are late on a busy machine; what arrives is as good an occasion.
    this.#passDue(nowMs);
    if (this.#timer === undefined) this.#wait(nowMs);
  }

  #passDue(nowMs: number): void {
    for (;;) {
      const next = this.#items[this.#first];
      if (next === undefined || next.dueMs > nowMs) break;
      this.#first++;
      this.#pass(next.item);
    }
    if (this.#first < this.#items.length && this.#first < MAX_GONE) return;
    this.#items.splice(0, this.#first);
    this.#first = 0;
  }

  #wait(nowMs: number): void {
    const next = this.#items[this.#first];
    if (next === undefined) return;
    this.#timer = setTimeout(() => this.#due(), Math.max(1, next.dueMs - nowMs));
  }

  #due(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    this.#passDue(nowMs);
    this.#wait(nowMs);
  }
}

/** A UDP socket at `address`:`port` with buffers for a busy wire. */
export async function wireSocket(address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

/** Sends to `address`:`port` only, which spares the kernel and Node the look-up for each packet. */
export async function wireTo(address: string, port: number): Promise<(packet: Uint8Array) => void> {
  const socket = createSocket({ type: 'udp4', sendBufferSize: SOCKET_BUFFER_BYTES });
  // What a wire cannot pass on is lost.
  socket.on('error', () => {});
  socket.connect(port, address);
  await once(socket, 'connect');
  return (packet) => socket.send(packet);
}
