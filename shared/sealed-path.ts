/**
 * A path over a path whose middle must not read along (PROTOCOL.md, section 8): the relay's. Messages are sealed and
 * opened in the order in which they are sent and arrive, so whatever the middle adds, changes, repeats, leaves out or
 * moves cannot be opened, and the path ends.
 */
import { DirectError } from './errors.ts';
import type { RelayRecipient } from './host-identity.ts';
import { MAX_SEALED_MESSAGES, MAX_UNOPENED_BYTES, SEAL_OVERHEAD_BYTES, UNOPENED_MESSAGE_BYTES } from './limits.ts';
import type { Path, PathEvents } from './path.ts';
import { Pipeline } from './pipeline.ts';
import type { RelayKeys } from './relay-keys.ts';
import { encapsulate, PREFACE_BYTES, type SealingKeys } from './sealing.ts';

export interface SealedPathOptions {
  maxSealedMessages?: number;
  maxUnopenedBytes?: number;
}

export interface SealedPath extends Path {
  /** See `PathOptions`; there when the first message is delivered. */
  readonly binding: Uint8Array | undefined;
  /** Resolves with the binding. @throws DirectError when there will be none */
  readonly bound: Promise<Uint8Array>;
  /** What the client's first message begins with, once bound; at the agent, once that has come. */
  readonly preface: Uint8Array | undefined;
}

/**
 * The client's end. It may send at once: nothing has to be heard first.
 * @param host from `verifyAnnouncement`.
 * @param sessionId of the signaling session, which both ends know.
 */
export function sealedClientPath(
  inner: Path,
  host: RelayRecipient,
  sessionId: string,
  options: SealedPathOptions = {},
): SealedPath {
  const path = new SealedPathEnd(inner, options);
  path.begin(encapsulate(host, sessionId));
  return path;
}

/** The agent's end. What it sends waits for the client's first message, which brings the keys. */
export function sealedAgentPath(
  inner: Path,
  keys: RelayKeys,
  sessionId: string,
  options: SealedPathOptions = {},
): SealedPath {
  return new SealedPathEnd(inner, options, (preface) => keys.accept(preface, sessionId));
}

type Accept = (preface: Uint8Array) => Promise<SealingKeys>;

const NOTHING = new Uint8Array();

class SealedPathEnd implements SealedPath {
  readonly maxMessageBytes: number;
  readonly defer?: (run: () => void) => void;
  readonly #inner: Path;
  readonly #maxSealedMessages: number;
  readonly #maxUnopenedBytes: number;
  readonly #outbound: Pipeline;
  readonly #inbound: Pipeline;
  /** The agent's, until the first message has come. */
  #accept: Accept | undefined;
  /** False at the agent until it could open the first message: it says nothing to who has no keys. */
  #trusted: boolean;
  #keys: SealingKeys | undefined;
  readonly #bound = Promise.withResolvers<Uint8Array>();
  #preface: Uint8Array | undefined;
  /** What goes before the next message: the preface, before the client's first one. */
  #before: Uint8Array = NOTHING;
  #sealed = 0;
  /** Somebody saw no capacity and waits for `drained`. */
  #starved = false;
  #events: PathEvents | undefined;
  /** The inner path has ended; what came before is still being opened. */
  #lost = false;
  #ended: string | undefined;

  constructor(inner: Path, options: SealedPathOptions, accept?: Accept) {
    this.maxMessageBytes = inner.maxMessageBytes - SEAL_OVERHEAD_BYTES;
    this.#inner = inner;
    if (inner.defer !== undefined) this.defer = (run) => inner.defer?.(run);
    this.#maxSealedMessages = options.maxSealedMessages ?? MAX_SEALED_MESSAGES;
    this.#maxUnopenedBytes = options.maxUnopenedBytes ?? MAX_UNOPENED_BYTES;
    this.#accept = accept;
    this.#trusted = accept === undefined;
    // Who does not ask need not hear it.
    this.#bound.promise.catch(() => {});
    const failed = () => this.#fail('a message could not be sealed');
    this.#outbound = new Pipeline({ result: (sealed) => this.#forward(sealed), failed });
    this.#inbound = new Pipeline({
      result: (message) => this.#deliver(message),
      failed: () => this.#fail('a message could not be opened: it was changed on the way, or is for another key'),
    });
  }

  get binding(): Uint8Array | undefined {
    return this.#keys?.binding;
  }

  get bound(): Promise<Uint8Array> {
    return this.#bound.promise;
  }

  get preface(): Uint8Array | undefined {
    return this.#preface;
  }

  /** Messages move when the keys are there. */
  begin(handshake: Promise<{ preface: Uint8Array; keys: SealingKeys }>): void {
    handshake.then(
      ({ preface, keys }) => {
        this.#preface ??= preface;
        this.#before = preface;
        this.#keys = keys;
        this.#bound.resolve(keys.binding);
        this.#inbound.run((message) => keys.open(message));
        this.#seal();
      },
      (error: unknown) => {
        const reason = error instanceof DirectError ? error.detail : undefined;
        this.#fail(reason ?? 'the keys could not be agreed on');
      },
    );
  }

  capacity(): number {
    if (this.#isOver()) return 0;
    const bytes = this.#inner.capacity() - this.#outbound.bytes;
    this.#starved ||= bytes <= 0;
    return bytes;
  }

  send(message: Uint8Array): void {
    if (this.#isOver()) return;
    if (message.length > this.maxMessageBytes) throw new RangeError(`a message of ${message.length} bytes`);
    if (++this.#sealed > this.#maxSealedMessages) {
      this.#fail('the keys are used up');
      return;
    }
    // It may wait for its turn, and the sender may use its buffer again. (A Buffer's `slice` would not copy.)
    this.#outbound.push(new Uint8Array(message));
  }

  /**
   * What was sent still leaves, which takes no longer than sealing it, and then the inner path is closed. An agent that
   * has opened nothing yet drops it.
   */
  close(): void {
    if (this.#ended !== undefined) return;
    this.#end('closed by this end');
    if (!this.#trusted) this.#outbound.stop();
    this.#outbound.whenEmpty(() => this.#inner.close());
  }

  start(events: PathEvents): void {
    this.#events = events;
    if (this.#ended !== undefined) {
      events.closed(this.#ended);
      return;
    }
    this.#inner.start({
      message: (message) => this.#receive(message),
      drained: () => this.#drained(),
      closed: (reason) => this.#innerClosed(reason),
    });
  }

  #isOver(): boolean {
    return this.#lost || this.#ended !== undefined;
  }

  /** What waits may leave. */
  #seal(): void {
    const keys = this.#keys;
    if (keys !== undefined && this.#trusted) this.#outbound.run((message) => keys.seal(message));
  }

  #forward(sealed: Uint8Array): void {
    const preface = this.#before;
    this.#before = NOTHING;
    this.#inner.send(preface.length === 0 ? sealed : concat(preface, sealed));
    this.#drained();
  }

  /** There may be capacity again. */
  #drained(): void {
    if (!this.#starved || this.capacity() <= 0) return;
    this.#starved = false;
    this.#events?.drained();
  }

  #receive(message: Uint8Array): void {
    if (this.#isOver()) return;
    const { bytes, length } = this.#inbound;
    if (bytes + length * UNOPENED_MESSAGE_BYTES > this.#maxUnopenedBytes) {
      this.#fail('more has arrived than can be opened');
      return;
    }
    this.#inbound.push(this.#accept === undefined ? message : this.#receivePreface(this.#accept, message));
  }

  /** Takes the client's first message apart. */
  #receivePreface(accept: Accept, message: Uint8Array): Uint8Array {
    this.#accept = undefined;
    const preface = message.slice(0, PREFACE_BYTES);
    this.#preface = preface;
    this.begin(accept(preface).then((keys) => ({ preface: NOTHING, keys })));
    return message.subarray(PREFACE_BYTES);
  }

  #deliver(message: Uint8Array): void {
    if (!this.#trusted) {
      this.#trusted = true;
      this.#seal();
    }
    this.#events?.message(message);
  }

  #innerClosed(reason: string): void {
    this.#outbound.stop();
    if (this.#isOver()) return;
    this.#lost = true;
    this.#inbound.whenEmpty(() => this.#end(reason));
  }

  /** Says nothing to the other end but that the path is over, whatever was wrong: the middle learns nothing from it. */
  #fail(reason: string): void {
    this.#outbound.stop();
    this.#end(reason);
    this.#inner.close();
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#bound.reject(new DirectError('E_PATH_LOST', reason));
    this.#inbound.stop();
    this.#events?.closed(reason);
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
