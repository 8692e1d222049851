/** Signaling by long poll, for networks that block WebSockets. */
import { DirectError } from '../../shared/errors.ts';
import { parseSignals, type SessionSignal } from '../../shared/signal.ts';
import type { SignalTransport, SignalTransportEvents } from './signal-transport.ts';
import { ask, refusal, type Signaling } from './signaling.ts';

/** Candidates come in bursts; one request for a burst costs the edge less than one each. */
const BATCH_MS = 30;
/** Pause after a failed poll, and after an empty one that was not held. */
const PAUSE_MS = 500;

export class SignalPoll implements SignalTransport {
  readonly #signaling: Signaling;
  readonly #sessionId: string;
  readonly #events: SignalTransportEvents;
  readonly #controller = new AbortController();
  #outbox: SessionSignal[] = [];
  #posting = false;

  constructor(signaling: Signaling, sessionId: string, events: SignalTransportEvents) {
    this.#signaling = signaling;
    this.#sessionId = sessionId;
    this.#events = events;
    events.step('signaling by polling', { type: 'polling' });
    void this.#poll();
  }

  send(signal: SessionSignal): void {
    this.#outbox.push(signal);
    if (this.#posting) return;
    this.#posting = true;
    void this.#post();
  }

  close(): void {
    this.#controller.abort();
  }

  async #post(): Promise<void> {
    const { signal } = this.#controller;
    await this.#pause(BATCH_MS);
    while (this.#outbox.length > 0 && !signal.aborted) {
      const batch = this.#outbox.splice(0);
      try {
        const response = await ask(this.#signaling, '/signal', batch, signal);
        if (!response.ok) return this.#fail(await refusal(response));
      } catch {
        // What was sent twice is dropped by ICE; what was not sent at all is missed.
        this.#outbox.unshift(...batch);
        await this.#pause(PAUSE_MS);
      }
    }
    this.#posting = false;
  }

  async #poll(): Promise<void> {
    const { signal } = this.#controller;
    const { environment } = this.#signaling;
    while (!signal.aborted) {
      const asked = environment.now();
      try {
        const response = await ask(this.#signaling, `/signal?session_id=${this.#sessionId}&batch=1`, undefined, signal);
        if (response.status === 204 || response.status === 408) {
          if (environment.now() - asked < PAUSE_MS) await this.#pause(PAUSE_MS);
        } else if (response.ok) {
          for (const message of parseSignals(await response.text())) if (!signal.aborted) this.#events.signal(message);
        } else {
          const error = await refusal(response);
          if (!error.entry.retry || error.code === 'E_SESSION_UNKNOWN') return this.#fail(error);
          await this.#pause(PAUSE_MS);
        }
      } catch (error) {
        if (error instanceof DirectError && error.code !== 'E_PATH_LOST') return this.#fail(error);
        await this.#pause(PAUSE_MS);
      }
    }
  }

  #fail(error: DirectError): void {
    if (this.#controller.signal.aborted) return;
    this.close();
    this.#events.failed(error);
  }

  /** Waits; whoever closes the transport does not have to wait for it, since every loop looks at the signal. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#signaling.environment.timer(ms, resolve));
  }
}
