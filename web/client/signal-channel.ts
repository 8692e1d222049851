/** The messages of one signaling session, by WebSocket or, where that is blocked, by long poll. */
import type { SessionSignal } from '../../shared/signal.ts';
import { SignalPoll } from './signal-poll.ts';
import { SignalSocket } from './signal-socket.ts';
import type { SignalTransport, SignalTransportEvents } from './signal-transport.ts';
import type { Signaling } from './signaling.ts';

/** Begins with a WebSocket and goes on by long poll if that does not open or breaks. */
export class SignalChannel implements SignalTransport {
  readonly #signaling: Signaling;
  readonly #sessionId: string;
  readonly #events: SignalTransportEvents;
  /** All of it: what was in a broken socket may be lost, and ICE does not mind a candidate twice. */
  readonly #sent: SessionSignal[] = [];
  #transport: SignalTransport;
  #closed = false;

  constructor(signaling: Signaling, sessionId: string, events: SignalTransportEvents) {
    this.#signaling = signaling;
    this.#sessionId = sessionId;
    this.#events = events;
    this.#transport = this.#openSocket() ?? new SignalPoll(signaling, sessionId, events);
  }

  send(signal: SessionSignal): void {
    this.#sent.push(signal);
    this.#transport.send(signal);
  }

  close(): void {
    this.#closed = true;
    this.#transport.close();
  }

  #openSocket(): SignalTransport | undefined {
    const { WebSocket, timer } = this.#signaling.environment;
    if (WebSocket === undefined) return undefined;
    const url = `${this.#signaling.base}/signal?session_id=${this.#sessionId}`;
    try {
      return new SignalSocket({ WebSocket, url, timer, blocked: (reason) => this.#fallBack(reason) }, this.#events);
    } catch (error) {
      // The page's policy forbids it, in some browsers by an exception, whose words may show the session's id.
      this.#events.step(`no WebSocket: ${error instanceof Error ? error.name : 'refused'}`);
      return undefined;
    }
  }

  #fallBack(reason: string): void {
    if (this.#closed) return;
    this.#events.step(`no WebSocket: ${reason}`);
    this.#transport = new SignalPoll(this.#signaling, this.#sessionId, this.#events);
    for (const signal of this.#sent) this.#transport.send(signal);
  }
}
