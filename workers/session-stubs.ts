/** From the agent to the objects of signaling sessions: messages keep their order, and one bad session stops no other. */
import { DirectError } from '../shared/errors.ts';
import type { ErrorSignal, SessionSignal } from '../shared/signal.ts';
import { bySession } from './batch.ts';
import { refusalError } from './outcome.ts';
import type { SessionObject } from './session-object.ts';

/** Stubs kept for the order of their calls; a session lasts seconds, so old ones are rarely used again. */
const MAX_KEPT_STUBS = 64;

export class SessionStubs {
  readonly #namespace: DurableObjectNamespace<SessionObject>;
  readonly #stubs = new Map<string, DurableObjectStub<SessionObject>>();

  constructor(namespace: DurableObjectNamespace<SessionObject>) {
    this.#namespace = namespace;
  }

  /** Passes messages on; returns what the agent must hear of refused ones. @throws DirectError `E_BAD_REQUEST` for none. */
  async fromAgent(host: string, signals: SessionSignal[]): Promise<ErrorSignal[]> {
    const calls = [...bySession(signals)].map(([id, part]) => this.#pass(id, host, part));
    return (await Promise.all(calls)).filter((refusal) => refusal !== undefined);
  }

  async #pass(id: string, host: string, signals: SessionSignal[]): Promise<ErrorSignal | undefined> {
    try {
      const outcome = await this.#stub(id).fromAgent(host, signals);
      return outcome.ok ? undefined : errorSignal(id, refusalError(outcome));
    } catch {
      // A stub that has thrown may stay broken.
      this.#stubs.delete(id);
      return errorSignal(id, new DirectError('E_INTERNAL'));
    }
  }

  #stub(id: string): DurableObjectStub<SessionObject> {
    const known = this.#stubs.get(id);
    if (known !== undefined) return known;
    if (this.#stubs.size >= MAX_KEPT_STUBS) this.#stubs.clear();
    const stub = this.#namespace.getByName(id);
    this.#stubs.set(id, stub);
    return stub;
  }
}

function errorSignal(session_id: string, { code, message }: DirectError): ErrorSignal {
  return { session_id, type: 'error', code, message };
}
