/** For tests: the client's WebSockets, in memory; the edge's end of each is a few methods. */
import { ERRORS, type ErrorCode } from '../../shared/errors.ts';
import { MAX_MESSAGE_BYTES } from '../../shared/limits.ts';
import type { Path, PathEvents } from '../../shared/path.ts';
import type { Carry } from './test-webrtc.ts';

export class TestSocket extends EventTarget {
  readyState = 0;
  bufferedAmount = 0;
  readonly url: string;
  readonly sent: string[] = [];

  constructor(url: string) {
    super();
    this.url = url;
  }
  get sessionId(): string {
    return new URL(this.url).searchParams.get('session_id') ?? '';
  }
  open(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }
  send(text: string | Uint8Array): void {
    this.sent.push(String(text));
  }
  receive(signals: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(signals) }));
  }
  end(code: number, reason = ''): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
  close(): void {
    queueMicrotask(() => this.end(1000));
  }
}

/** A relay's WebSocket. The edge passes its binary messages on, and answers pings itself. */
export class TestRelaySocket extends TestSocket {
  readonly #carry: Carry;
  #agent: PathEvents | undefined;
  #cut = false;
  /** Sealed messages of the client. */
  readonly messages: Uint8Array[] = [];

  constructor(url: string, carry: Carry) {
    super(url);
    this.#carry = carry;
  }

  override send(message: string | Uint8Array): void {
    if (typeof message === 'string') {
      this.sent.push(message);
      if (message === 'ping' && !this.#cut) this.#deliver('pong');
    } else {
      const copy = message.slice();
      this.messages.push(copy);
      this.#carry(() => {
        if (!this.#cut && this.readyState < 3) this.#agent?.message(copy);
      });
    }
  }

  override end(code: number, reason = ''): void {
    if (this.readyState === 3) return;
    super.end(code, reason);
    if (!this.#cut) this.#agent?.closed('the relay closed');
  }

  override close(): void {
    if (this.readyState === 1) this.readyState = 2;
    // A browser sends what waits, and then waits for the other end's answer.
    if (!this.#cut) this.#carry(() => super.close());
  }

  /** The edge ends it with a code of ours. */
  refuse(code: ErrorCode): void {
    this.end(ERRORS[code].close, code);
  }

  /** From now on nothing passes, and neither end hears why. */
  cut(): void {
    this.#cut = true;
  }

  /** The agent's end: what it sends and receives is sealed. */
  agentPath(): Path {
    return {
      maxMessageBytes: MAX_MESSAGE_BYTES,
      capacity: () => 256 * 1024,
      send: (message) => {
        const { buffer } = message.slice();
        this.#carry(() => this.#deliver(buffer));
      },
      close: () => this.#carry(() => queueMicrotask(() => this.refuse('E_PATH_LOST'))),
      start: (events) => {
        this.#agent = events;
      },
    };
  }

  #deliver(data: unknown): void {
    queueMicrotask(() => {
      if (!this.#cut && this.readyState === 1) this.dispatchEvent(new MessageEvent('message', { data }));
    });
  }
}
