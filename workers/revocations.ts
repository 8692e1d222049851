/** Subjects that may do nothing on a host any longer (`Grant.subject`): what was let in before must not go on. */
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import type { RevokedSignal } from '../shared/signal.ts';
import { type Sender, sends } from './socket.ts';

/**
 * The latest ones. Remembered for requests that were let in a moment before and sessions that make another offer, which
 * takes hours at most, and for an agent that is away while its direct paths live on.
 */
const MAX_REVOKED = 256;

export class Revocations {
  readonly #kv: SyncKvStorage;
  #subjects: readonly string[];

  constructor(kv: SyncKvStorage) {
    this.#kv = kv;
    this.#subjects = kv.get<string[]>('revoked') ?? [];
  }

  /**
   * From now on, and now by `agent`. The owner and people without a credential are not remembered: they come back with
   * the same subject.
   */
  add(subject: string, agent: Sender | undefined): void {
    if (subject !== 'owner' && subject !== 'anonymous') {
      this.#subjects = [...this.#subjects.filter((known) => known !== subject), subject].slice(-MAX_REVOKED);
      this.#kv.put('revoked', this.#subjects);
    }
    if (agent !== undefined) tell(agent, subject);
  }

  /** Tells an agent that may have missed some. */
  tell(agent: Sender): void {
    for (const subject of this.#subjects) tell(agent, subject);
  }

  /** @throws DirectError `E_UNAUTHORIZED` */
  check(grant: Grant | undefined): void {
    if (grant !== undefined && this.#subjects.includes(grant.subject)) throw new DirectError('E_UNAUTHORIZED');
  }
}

function tell(agent: Sender, subject: string): void {
  sends(agent, JSON.stringify({ type: 'revoked', subject } satisfies RevokedSignal));
}
