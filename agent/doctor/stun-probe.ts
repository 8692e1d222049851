/** A UDP socket that asks STUN servers (RFC 8489), with what RFC 5780 adds to tell how a NAT behaves. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { createUdpSocket, type Endpoint } from '../datagram.ts';
import { pause } from '../pause.ts';
import {
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  looksLikeStun,
  METHOD,
  plainAddress,
  transactionKey,
  uint32,
  withFingerprint,
  xorAddress,
} from '../stun.ts';

/** Repeated after these pauses, then given up: lost packets are rare, and a whole report waits. */
const REPETITIONS_MS = [250, 500, 750];

/** CHANGE-REQUEST's flags (RFC 5780, section 7.2). */
export const CHANGE = { address: 4, port: 2, both: 6 } as const;

export interface StunReply {
  /** What the server sees of this socket. */
  readonly mapped: Endpoint;
  /** Where the answer came from. */
  readonly from: Endpoint;
  /** Where the server can answer from besides; undefined: it does not speak RFC 5780. */
  readonly other: Endpoint | undefined;
  readonly ms: number;
}

export class StunProbe {
  readonly port: number;
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #transactions = new Map<string, (data: Buffer, from: Endpoint) => void>();
  readonly #tokens = new Map<string, () => void>();

  /** The signal ends all that it asks, and closes it. @throws Error when the system gives no socket. */
  static async open(family: 4 | 6, signal: AbortSignal): Promise<StunProbe> {
    signal.throwIfAborted();
    const socket = createUdpSocket(family, { ipv6Only: family === 6 });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(0, family === 4 ? '0.0.0.0' : '::', resolve);
    });
    socket.removeAllListeners('error');
    return new StunProbe(socket, signal);
  }

  private constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    this.port = socket.address().port;
    // ICMP's answers to datagrams that were in vain.
    socket.on('error', () => {});
    socket.on('message', (data, { address, port }) => this.#received(data, [address.replace(/%.*/, ''), port]));
  }

  close(): void {
    try {
      this.#socket.close();
    } catch {
      // It is closed.
    }
  }

  /** Undefined: no answer in time. `change`: the server shall answer from another address or port of its own. */
  async ask(server: Endpoint, change = 0): Promise<StunReply | undefined> {
    const transactionId = randomBytes(12);
    const attributes = change === 0 ? [] : [[ATTRIBUTE.changeRequest, uint32(change)] as const];
    const request = withFingerprint(
      encodeStun({ class: 'request', method: METHOD.binding, transactionId, attributes }),
    );
    const start = performance.now();
    const reply = Promise.withResolvers<StunReply>();
    const key = transactionKey(request);
    this.#transactions.set(key, (data, from) => {
      const message = decodeStun(data);
      if (message?.class !== 'success') return;
      const mapped = xorAddress(message, ATTRIBUTE.xorMappedAddress) ?? plainAddress(message, ATTRIBUTE.mappedAddress);
      if (mapped === undefined) return;
      const other = plainAddress(message, ATTRIBUTE.otherAddress);
      reply.resolve({ mapped, from, other, ms: performance.now() - start });
    });
    try {
      return await this.#repeat(request, server, reply.promise);
    } finally {
      this.#transactions.delete(key);
    }
  }

  /** Whether what this socket sends to `to` arrives at `at`. */
  async passes(to: Endpoint, at: StunProbe): Promise<boolean> {
    const token = randomUUID();
    const arrived = Promise.withResolvers<true>();
    at.#tokens.set(token, () => arrived.resolve(true));
    try {
      return (await this.#repeat(Buffer.from(token), to, arrived.promise)) === true;
    } finally {
      at.#tokens.delete(token);
    }
  }

  /** Resolves with whether `token` arrives, by whatever `send` does, which is done a few times. */
  async hears(send: (token: Buffer) => void): Promise<boolean> {
    const token = randomUUID();
    const arrived = Promise.withResolvers<true>();
    this.#tokens.set(token, () => arrived.resolve(true));
    try {
      return (await this.#repeated(() => send(Buffer.from(token)), arrived.promise)) === true;
    } finally {
      this.#tokens.delete(token);
    }
  }

  #repeat<T>(data: Buffer, [address, port]: Endpoint, answer: Promise<T>): Promise<T | undefined> {
    return this.#repeated(() => {
      try {
        this.#socket.send(data, port, address, () => {});
      } catch {
        // Closed, or port 0: no answer either.
      }
    }, answer);
  }

  async #repeated<T>(send: () => void, answer: Promise<T>): Promise<T | undefined> {
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, this.#signal]);
    const transmit = async () => {
      for (const ms of REPETITIONS_MS) {
        if (signal.aborted) return undefined;
        send();
        await pause(ms, signal);
      }
      return undefined;
    };
    try {
      return await Promise.race([answer, transmit()]);
    } finally {
      end.abort();
    }
  }

  #received(data: Buffer, from: Endpoint): void {
    if (looksLikeStun(data)) this.#transactions.get(transactionKey(data))?.(data, from);
    else if (data.length === 36) this.#tokens.get(data.toString('latin1'))?.();
  }
}
