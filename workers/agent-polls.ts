/** The polls of one host's agent: how they wait, what they bring, and the connection that they make if they carry channels. */
import { DirectError } from '../shared/errors.ts';
import type { SessionSignal } from '../shared/signal.ts';
import type { HostQueue } from './host-queue.ts';
import { LongPoll } from './long-poll.ts';
import { PollConnection } from './poll-connection.ts';
import { batchResponse, errorResponse, pollResponse } from './responses.ts';
import type { Sender } from './socket.ts';

/** A poll, as the agent asked for it. */
export interface Poll {
  /** Milliseconds that it may wait. */
  hold: number;
  /** Whether the agent takes a list. */
  batch: boolean;
  /** The connection that it belongs to, for an agent that takes channels by it. */
  channels: string | null;
  /** How many batches of that connection the agent has. */
  after: number;
}

export interface AgentPollsOptions {
  queue: HostQueue;
  now(): number;
  /** How long a connection lasts without a poll, in milliseconds. */
  absenceMs(): number;
  /** When the agent's WebSocket was accepted, if there is one. */
  socketAt(): number | undefined;
  /** A connection begins: whatever the agent had before is over. */
  begun(): void;
  /** It takes messages. */
  opened(connection: Sender): void;
  /** The connection is over. */
  ended(reason: string, connection: Sender): void;
}

export class AgentPolls {
  readonly #options: AgentPollsOptions;
  readonly #poll = new LongPoll();
  /** Whether the poll that waits takes every signal, or offers only. */
  #takesAll = false;
  #connection: PollConnection | undefined;

  constructor(options: AgentPollsOptions) {
    this.#options = options;
  }

  /** Whether a poll waits. */
  get waiting(): boolean {
    return this.#poll.waiting;
  }

  /** While the agent polls and takes channels by it. */
  get connection(): PollConnection | undefined {
    return this.#connection;
  }

  /** Signals have come for the agent; a poll that waits gets them. */
  wake(signals: readonly SessionSignal[]): void {
    if (this.#takesAll || signals.some((signal) => signal.type === 'offer')) this.#poll.wake();
  }

  /** The agent has come by WebSocket, or may not come any longer. */
  end(reason: string): void {
    this.#poll.end();
    this.#connection?.end(reason);
  }

  /** Never rejects. */
  async answer(poll: Poll, signal: AbortSignal): Promise<Response> {
    try {
      const known = this.#connection;
      const connection = this.#connectionOf(poll);
      let answer = this.#take(poll, signal, connection);
      // The first poll of a connection is not held: it tells the agent that its polls arrive.
      if (answer === undefined && (connection === undefined || connection === known)) {
        this.#takesAll = poll.batch;
        if ((await this.#poll.wait(poll.hold, signal)) === 'woken') answer = this.#take(poll, signal, connection);
        // As with WebSockets, the one before gives up; else two agents would take the host from each other for ever.
        if (connection?.replaced) throw new DirectError('E_REPLACED');
        connection?.polled();
      }
      return answer ?? new Response(null, { status: 204 });
    } catch (error) {
      return errorResponse(error);
    }
  }

  /** The connection that the poll belongs to, new if need be. @throws DirectError `E_SESSION_UNKNOWN` */
  #connectionOf({ channels: id, after, hold }: Poll): PollConnection | undefined {
    if (id === null) return undefined;
    if (this.#connection?.id !== id) {
      if (after > 0) throw new DirectError('E_SESSION_UNKNOWN', 'the connection is over');
      const { now, socketAt, begun, opened: greet } = this.#options;
      const opened = socketAt();
      // Perhaps the last poll before that socket, late. If not, the next one will tell.
      if (opened !== undefined && now() - opened < hold) return undefined;
      this.#connection?.replace();
      begun();
      this.#connection = this.#begin(id);
      greet(this.#connection);
    }
    this.#connection.polled();
    return this.#connection;
  }

  #begin(id: string): PollConnection {
    const connection = new PollConnection({
      id,
      absenceMs: this.#options.absenceMs(),
      waiting: () => this.#poll.wake(),
      ended: (reason) => {
        this.#connection = undefined;
        this.#options.ended(reason, connection);
        this.#poll.end();
      },
    });
    return connection;
  }

  #take({ batch, after }: Poll, signal: AbortSignal, connection: PollConnection | undefined): Response | undefined {
    // An aborted poll must not take what its agent cannot get any longer.
    if (signal.aborted) return undefined;
    const { queue, now } = this.#options;
    if (connection === undefined) {
      const texts = batch ? queue.takeBatch(now()) : queue.takeOffer(now());
      return texts.length === 0 ? undefined : pollResponse(texts, batch);
    }
    queue.handOver(connection, now());
    const bytes = connection.answer(after);
    return bytes === undefined ? undefined : batchResponse(bytes);
  }
}

/** The poll in the query of the Worker's request. */
export function pollOf(query: URLSearchParams): Poll {
  return {
    hold: Number(query.get('hold')),
    batch: query.has('batch'),
    channels: query.get('channels'),
    after: Number(query.get('after')),
  };
}
