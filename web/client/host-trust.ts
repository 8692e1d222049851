/**
 * Which host key a client believes (PROTOCOL.md, section 8): one for all of its paths, from outside the edge, by a
 * person's word, or else the first that proves itself (“trust on first use”). What contradicts it ends everything.
 */
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/fingerprint.ts';
import {
  type Announcement,
  hostKeyFromText,
  RelayKeyExpired,
  type RelayRecipient,
  verifyAnnouncement,
} from '../../shared/host-identity.ts';
import type { AnswerSignal } from '../../shared/signal.ts';
import { verifyAnswer } from '../../shared/signed-answer.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { ClientEnvironment } from './environment.ts';

/** What a person is asked when this device has never heard of the host. */
export interface HostKeyQuestion {
  /** The host's id. */
  host: string;
  /** base64url; what to keep, so that nobody is asked again. */
  hostKey: string;
  /** What to compare with that of `direct-agent status`. */
  fingerprint: string;
}

export interface HostTrustOptions {
  /** The host's id. */
  host: string;
  /** The pinned key, base64url. */
  hostKey?: string | undefined;
  /** Asked once, when nothing is pinned. Absent: the first key that proves itself is believed. */
  confirm?: ((question: HostKeyQuestion) => Promise<boolean>) | undefined;
  environment: Pick<ClientEnvironment, 'canVerify' | 'timer' | 'wallClock'>;
  diagnostics: Diagnostics;
}

export interface HostTrustEvents {
  /** A person is being asked. */
  asked(): void;
  /** A key was believed that was not pinned from outside. */
  pinned(hostKey: string): void;
  /** The person has agreed; after `pinned`. */
  confirmed(): void;
  /** Somebody lies, or the person has refused: nothing may go to this host any more. Called once. */
  broken(error: DirectError): void;
}

/**
 * An attempt waits so long for a person: programs answer at once. Nobody reads and compares in this time, and the agent
 * does not keep a half-open connection for longer than HANDSHAKE_TIMEOUT_MS, so it is better begun anew then.
 */
export const QUESTION_PATIENCE_MS = 2_000;

const KEY_CODES: readonly ErrorCode[] = ['E_HOST_KEY', 'E_HOST_KEY_CHANGED', 'E_HOST_KEY_UNCONFIRMED'];

/** Whether it says that the host is not who it should be. */
export function isKeyError({ code }: DirectError): boolean {
  return KEY_CODES.includes(code);
}

type State =
  | { name: 'open' }
  | { name: 'asking'; hostKey: string; answered: PromiseWithResolvers<void> }
  | { name: 'pinned'; hostKey: string }
  | { name: 'broken'; error: DirectError }
  | { name: 'closed' };

export class HostTrust {
  readonly #options: HostTrustOptions;
  readonly #events: HostTrustEvents;
  #state: State = { name: 'open' };
  #supported: Promise<boolean> | undefined;
  #isUnable = false;

  /** @throws TypeError when `hostKey` is no key. */
  constructor(options: HostTrustOptions, events: HostTrustEvents) {
    this.#options = options;
    this.#events = events;
    if (options.hostKey !== undefined) this.#state = { name: 'pinned', hostKey: checkedKey(options.hostKey) };
  }

  /** The key that all paths have to prove, base64url; undefined while there is none, and where none can be proved. */
  get hostKey(): string | undefined {
    return this.#state.name === 'pinned' && !this.#isUnable ? this.#state.hostKey : undefined;
  }

  /** A person is being asked, and whatever needs the host waits. */
  get isAsking(): boolean {
    return this.#state.name === 'asking';
  }

  /** Why nothing may go to this host any more. */
  get error(): DirectError | undefined {
    return this.#state.name === 'broken' ? this.#state.error : undefined;
  }

  /** Known once `canVerify` has resolved. */
  get isUnable(): boolean {
    return this.#isUnable;
  }

  /** For a caller that pinned a key where nothing can prove it; requests go by the tunnel, as where paths are blocked. */
  get inability(): DirectError | undefined {
    if (!this.#isUnable || this.#options.hostKey === undefined) return undefined;
    return new DirectError('E_HOST_KEY_UNCONFIRMED', 'this runtime’s WebCrypto has no Ed25519 to check it with');
  }

  /** Whether this runtime can check what a host signs. Without that there is neither a direct path nor a relay. */
  canVerify(): Promise<boolean> {
    this.#supported ??= this.#options.environment.canVerify().then((can) => {
      this.#isUnable = !can;
      if (!can) this.#log('this runtime’s WebCrypto cannot check the host’s key: requests go through the edge only');
      return can;
    });
    return this.#supported;
  }

  /** Resolves when the answer is the believed host's. @throws DirectError one of its three codes. */
  async answer(message: AnswerSignal, offer: string): Promise<void> {
    const { host } = this.#options;
    const answered = { hostId: host, sessionId: message.session_id, offer, answer: message.sdp };
    await this.#believe(await this.#proven(verifyAnswer(message, answered, this.hostKey)));
  }

  /** The keys to seal to, when they are the believed host's. @throws DirectError one of its three codes. */
  async announcement(announcement: Announcement): Promise<RelayRecipient> {
    const { hostKey } = this;
    const now = this.#options.environment.wallClock();
    const verified = verifyAnnouncement(announcement, { now, ...(hostKey === undefined ? {} : { hostKey }) });
    const recipient = await this.#proven(verified);
    await this.#believe(announcement.host_key);
    return recipient;
  }

  /** Nobody waits for anything any more. */
  close(): void {
    const state = this.#state;
    if (state.name === 'broken') return;
    if (state.name !== 'pinned') this.#state = { name: 'closed' };
    if (state.name === 'asking') state.answered.reject(new DirectError('E_CANCELLED'));
  }

  /** A proof that fails is a lie, except for a key whose time is over: then a clock is wrong, or a newer one will come. */
  async #proven<Proof>(proof: Promise<Proof>): Promise<Proof> {
    try {
      return await proof;
    } catch (error) {
      if (error instanceof DirectError && isKeyError(error) && !(error instanceof RelayKeyExpired)) this.#break(error);
      throw error;
    }
  }

  /** Resolves when the key, which has proved itself on some path, is the one. */
  async #believe(hostKey: string): Promise<void> {
    const state = this.#state;
    switch (state.name) {
      case 'open':
        if (this.#options.confirm === undefined) this.#pin(hostKey);
        else await this.#patience(this.#ask(hostKey, this.#options.confirm));
        return;
      case 'asking':
        if (state.hostKey === hostKey) return await this.#patience(state.answered.promise);
        throw this.#break(new DirectError('E_HOST_KEY_CHANGED', 'two paths have shown two keys'));
      case 'pinned':
        if (state.hostKey === hostKey) return;
        throw this.#break(new DirectError('E_HOST_KEY_CHANGED'));
      case 'broken':
        throw state.error;
      case 'closed':
        throw new DirectError('E_CANCELLED');
    }
  }

  #ask(hostKey: string, confirm: NonNullable<HostTrustOptions['confirm']>): Promise<void> {
    const answered = Promise.withResolvers<void>();
    // Attempts come and go meanwhile.
    answered.promise.catch(() => {});
    const asking: State = { name: 'asking', hostKey, answered };
    this.#state = asking;
    const ask = async () => {
      const question = { host: this.#options.host, hostKey, fingerprint: await fingerprint(hostKey) };
      this.#log(`nobody has confirmed the host’s key on this device: asking about ${question.fingerprint}`);
      return (await confirm(question)) === true;
    };
    const settle = (agreed: boolean, cause?: unknown) => {
      if (this.#state !== asking) return;
      if (!agreed) {
        this.#break(new DirectError('E_HOST_KEY_UNCONFIRMED', 'the answer was no', { cause }));
        return;
      }
      this.#pin(hostKey);
      answered.resolve();
      this.#events.confirmed();
    };
    ask().then(settle, (error: unknown) => settle(false, error));
    this.#events.asked();
    return answered.promise;
  }

  /** @throws DirectError `E_HOST_KEY_UNCONFIRMED` after a while, and what `answered` rejects with */
  async #patience(answered: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.environment.timer(QUESTION_PATIENCE_MS, () => {
      late.reject(new DirectError('E_HOST_KEY_UNCONFIRMED', 'a person is being asked'));
    });
    try {
      await Promise.race([answered, late.promise]);
    } finally {
      cancel();
    }
  }

  #pin(hostKey: string): void {
    this.#state = { name: 'pinned', hostKey };
    this.#log('the host’s key is pinned from now on');
    this.#events.pinned(hostKey);
  }

  /** The first error counts. */
  #break(error: DirectError): DirectError {
    const state = this.#state;
    if (state.name === 'broken') return state.error;
    if (state.name === 'closed') return error;
    this.#state = { name: 'broken', error };
    this.#log(`nothing goes to this host any more: ${error.code} ${error.detail ?? ''}`);
    if (state.name === 'asking') state.answered.reject(error);
    this.#events.broken(error);
    return error;
  }

  #log(what: string): void {
    this.#options.diagnostics.log(what);
  }
}

function checkedKey(text: string): string {
  try {
    hostKeyFromText(text);
    return text;
  } catch (cause) {
    throw new TypeError('hostKey must be 32 bytes in base64url, as the agent’s link has them', { cause });
  }
}
