/**
 * The agent's relay keys (PROTOCOL.md, section 8). They live in memory only: after a restart nothing old can be opened,
 * hence nothing can be replayed either, and what crossed the edge is lost to everyone once the key is dropped.
 */
import { encodeBase64url } from './base64url.ts';
import { DirectError } from './errors.ts';
import { type Announcement, type HostKeys, hostKeyBytes, signAnnouncement } from './host-identity.ts';
import {
  MAX_FIRST_MESSAGES_PER_RELAY_KEY,
  RELAY_KEY_CHECK_MS,
  RELAY_KEY_LIFETIME_MS,
  RELAY_KEY_ROTATION_MS,
} from './limits.ts';
import type { SessionEnvironment } from './path-link.ts';
import {
  decapsulate,
  generateRelayKeyPair,
  PREFACE_BYTES,
  type RelayKeyPair,
  relayKeyBytes,
  relayKeyId,
  type SealingKeys,
  splitPreface,
} from './sealing.ts';

export interface RelayKeysOptions {
  hostKeys: HostKeys;
  environment: Pick<SessionEnvironment, 'now' | 'timer'>;
  /** Milliseconds since 1970; clients judge by it. It may jump, so ages are measured with `environment.now` as well. */
  wallClock(): number;
  /** A new relay key replaces the announced one; clients need this announcement from now on. */
  rotated?(announcement: Announcement): void;
  maxFirstMessages?: number;
}

interface RelayKey {
  readonly id: string;
  readonly pair: RelayKeyPair;
  readonly announcement: Announcement;
  /** `environment.now` when it was made. */
  readonly madeAt: number;
  /** Encapsulated keys of all first messages, so that none is taken twice; true: a session has begun by it. */
  readonly taken: Map<string, boolean>;
}

export class RelayKeys {
  readonly #options: RelayKeysOptions;
  readonly #hostKey: Uint8Array;
  readonly #maxFirstMessages: number;
  /** The announced one is the last. Two or three at most: rotated ones are dropped when they are full or expired. */
  #keys: RelayKey[];
  #rotating: Promise<void> | undefined;
  #cancelCheck: () => void = () => {};
  #closed = false;

  private constructor(options: RelayKeysOptions, hostKey: Uint8Array, first: RelayKey) {
    this.#options = options;
    this.#hostKey = hostKey;
    this.#maxFirstMessages = options.maxFirstMessages ?? MAX_FIRST_MESSAGES_PER_RELAY_KEY;
    this.#keys = [first];
    this.#checkLater();
  }

  /** Makes the first relay key, and keeps rotating them until `close`. */
  static async create(options: RelayKeysOptions): Promise<RelayKeys> {
    return new RelayKeys(options, await hostKeyBytes(options.hostKeys), await makeKey(options));
  }

  /**
   * What clients need to seal to the host now. Fresh even when the machine slept through a rotation.
   * @throws DirectError `E_GOING_AWAY` after `close`.
   */
  async announcement(): Promise<Announcement> {
    this.#dropExpired();
    if (this.#isDue()) await this.#rotate();
    const current = this.#keys.at(-1);
    if (current === undefined) throw new DirectError('E_GOING_AWAY');
    return current.announcement;
  }

  /**
   * The keys for a path whose first message begins with `preface`, which is taken once. They are the sender's only if
   * they open what follows.
   * @throws DirectError `E_HOST_KEY` when it is not for a relay key that lives, or was taken before.
   */
  async accept(preface: Uint8Array, sessionId: string): Promise<SealingKeys> {
    const { key, name, encapsulated } = this.#find(preface);
    if (key === undefined) {
      // The announced one itself may have expired while the machine slept, and no check has come since.
      this.#rotateIfDue();
      throw new DirectError('E_HOST_KEY', 'sealed to a relay key that this agent does not have');
    }
    if (key.taken.has(name)) throw new DirectError('E_HOST_KEY', 'a first message came twice');
    if (this.#isFull(key)) throw new DirectError('E_HOST_KEY', 'the relay key is used up');
    // Before the first wait, so that two of them at the same time are not both the first.
    key.taken.set(name, false);
    this.#rotateIfDue();
    return await decapsulate(key.pair, encapsulated, this.#hostKey, sessionId);
  }

  /** A session has begun by the first message with `preface`. */
  began(preface: Uint8Array): void {
    const { key, name } = this.#find(preface);
    key?.taken.set(name, true);
  }

  /**
   * Whether no session has begun by a first message with `preface`, and none ever will: its relay key is in the memory of
   * this process alone, and from now on the preface counts as taken.
   */
  neverBegan(preface: Uint8Array): boolean {
    if (preface.length !== PREFACE_BYTES) return false;
    const { key, name } = this.#find(preface);
    if (key === undefined || key.taken.get(name) === true) return false;
    if (!key.taken.has(name) && this.#isFull(key)) return false;
    key.taken.set(name, false);
    return true;
  }

  /** The relay key that it names, if that lives, and what it has as its own. */
  #find(preface: Uint8Array) {
    const { keyId, encapsulated } = splitPreface(preface);
    this.#dropExpired();
    const id = encodeBase64url(keyId);
    return { key: this.#keys.find((key) => key.id === id), name: encodeBase64url(encapsulated), encapsulated };
  }

  /** Stops rotating and drops all keys. Paths that are open go on. */
  close(): void {
    this.#closed = true;
    this.#cancelCheck();
    this.#keys = [];
  }

  #checkLater(): void {
    this.#cancelCheck = this.#options.environment.timer(RELAY_KEY_CHECK_MS, () => {
      this.#dropExpired();
      this.#rotateIfDue();
      this.#checkLater();
    });
  }

  #dropExpired(): void {
    this.#keys = this.#keys.filter((key) => this.#isYounger(key, RELAY_KEY_LIFETIME_MS));
  }

  #isFull(key: RelayKey): boolean {
    return key.taken.size >= this.#maxFirstMessages;
  }

  /** Whether there must be a new key. */
  #isDue(): boolean {
    const current = this.#keys.at(-1);
    if (this.#closed) return false;
    return current === undefined || this.#isFull(current) || !this.#isYounger(current, RELAY_KEY_ROTATION_MS);
  }

  /** By both clocks: one may stand still while the machine sleeps, the other one may be set. */
  #isYounger({ madeAt, announcement }: RelayKey, ms: number): boolean {
    const { environment, wallClock } = this.#options;
    const leftThen = RELAY_KEY_LIFETIME_MS - ms;
    return environment.now() - madeAt < ms && wallClock() < announcement.expires_at - leftThen;
  }

  #rotateIfDue(): void {
    if (!this.#isDue()) return;
    // The next check tries again; until then the announced key runs on.
    this.#rotate().catch(() => {});
  }

  #rotate(): Promise<void> {
    this.#rotating ??= this.#addKey().finally(() => {
      this.#rotating = undefined;
    });
    return this.#rotating;
  }

  async #addKey(): Promise<void> {
    const key = await makeKey(this.#options);
    if (this.#closed) return;
    // A full key refuses everything, so nobody misses it.
    this.#keys = [...this.#keys.filter((old) => !this.#isFull(old)), key];
    this.#options.rotated?.(key.announcement);
  }
}

async function makeKey({ hostKeys, environment, wallClock }: RelayKeysOptions): Promise<RelayKey> {
  const pair = await generateRelayKeyPair();
  const bytes = await relayKeyBytes(pair);
  return {
    id: encodeBase64url(await relayKeyId(bytes)),
    pair,
    announcement: await signAnnouncement(hostKeys, bytes, wallClock() + RELAY_KEY_LIFETIME_MS),
    madeAt: environment.now(),
    taken: new Map(),
  };
}
