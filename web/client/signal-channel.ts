/** The messages of one signaling session, by WebSocket or, where that is blocked, by long poll. */
import { DirectError } from '../../shared/errors.ts';
import type { SessionSignal } from '../../shared/signal.ts';
import { SignalSocket } from './signal-socket.ts';
import type { SignalTransport, SignalTransportEvents } from './signal-transport.ts';
import type { Signaling } from './signaling.ts';

export interface SignalChannelOptions {
  signaling: Signaling;
  sessionId: string;
  /** Resolves when the edge has made the session; if it rejects, the channel does nothing more. */
  session: Promise<unknown>;
  /** The socket does not wait for the session, which saves the round trips of its handshakes. */
  early: boolean;
}

/** Begins with a WebSocket and goes on by long poll if that does not open or breaks. */
export class SignalChannel implements SignalTransport {
  readonly #options: SignalChannelOptions;
  readonly #events: SignalTransportEvents;
  /** All of it: what was in a broken socket may be lost, and ICE does not mind a candidate twice. */
  readonly #sent: SessionSignal[] = [];
  #transport: SignalTransport | undefined;
  #closed = false;

  constructor(options: SignalChannelOptions, events: SignalTransportEvents) {
    this.#options = options;
    this.#events = events;
    if (options.early) this.#transport = this.#openSocket(true) ?? this.#later(() => this.#poll());
    else this.#later(() => this.#openSocket(false) ?? this.#poll());
  }

  send(signal: SessionSignal): void {
    this.#sent.push(signal);
    this.#transport?.send(signal);
  }

  close(): void {
    this.#closed = true;
    this.#transport?.close();
  }

  /** Which few need: a file of its own. */
  async #poll(): Promise<SignalTransport> {
    const { signaling, sessionId } = this.#options;
    try {
      const { SignalPoll } = await signaling.environment.polling();
      return new SignalPoll(signaling, sessionId, this.#events);
    } catch (cause) {
      throw new DirectError('E_PATH_LOST', 'the files for polling do not come', { cause });
    }
  }

  /** `early`: the edge may not have heard of the session when the socket arrives there. */
  #openSocket(early: boolean): SignalTransport | undefined {
    const { signaling, sessionId } = this.#options;
    const { WebSocket, timer } = signaling.environment;
    if (WebSocket === undefined) return undefined;
    const url = `${signaling.base}/signal?session_id=${sessionId}`;
    const blocked = (reason: string) => {
      this.#events.step(`no WebSocket: ${reason}`);
      this.#later(() => this.#poll());
    };
    const failed = (error: DirectError) => {
      if (early && error.code === 'E_SESSION_UNKNOWN') this.#later(() => this.#openSocket(false) ?? this.#poll());
      else this.#events.failed(error);
    };
    try {
      return new SignalSocket({ WebSocket, url, timer, blocked }, { ...this.#events, failed });
    } catch (error) {
      // The page's policy forbids it, in some browsers by an exception, whose words may show the session's id.
      this.#events.step(`no WebSocket: ${error instanceof Error ? error.name : 'refused'}`);
      return undefined;
    }
  }

  /** Goes on by what `make` makes, once there is a session. */
  #later(make: () => SignalTransport | Promise<SignalTransport>): undefined {
    this.#transport = undefined;
    const begin = async () => {
      if (this.#closed) return;
      const transport = await make();
      if (this.#closed) return transport.close();
      this.#transport = transport;
      for (const signal of this.#sent) transport.send(signal);
    };
    const failed = (error: unknown) => {
      if (!this.#closed) this.#events.failed(error as DirectError);
    };
    // Whoever asked for the session hears why there is none.
    this.#options.session.then(
      () => begin().catch(failed),
      () => {},
    );
  }
}
