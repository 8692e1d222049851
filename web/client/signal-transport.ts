/** What carries the messages of one signaling session. */

import type { DirectError } from '../../shared/errors.ts';
import type { SessionSignal } from '../../shared/signal.ts';
import type { Fact } from './report.ts';

export interface SignalTransport {
  /** Sends when it can. */
  send(signal: SessionSignal): void;
  /** Idempotent; nothing is reported after it. */
  close(): void;
}

export interface SignalTransportEvents {
  /** A step for the log. */
  step(what: string, fact?: Fact): void;
  signal(signal: SessionSignal): void;
  /** The session is over, as far as signaling goes. */
  failed(error: DirectError): void;
}
