/**
 * What stands for the WebSocket to the edge while the agent polls (shared/PROTOCOL.md, section 7): messages come in the
 * answers of polls and leave in POSTs, one at a time. Both are numbered, so that one that was lost can be repeated and
 * none is taken twice.
 */
import { randomBytes } from 'node:crypto';
import { BATCH_TYPE, decodeBatch, type LinkMessage } from '../shared/channel.ts';
import { DirectError } from '../shared/errors.ts';
import { LinkQueue } from '../shared/link-queue.ts';
import type { LinkSocket } from './channels.ts';
import { refusal } from './refusal.ts';

export interface PollConnectionOptions {
  /** Calls the edge; `path` begins after the link's URL. */
  request(path: string, init: RequestInit): Promise<Response>;
  /** It is over, and with it what it carried; called once. */
  ended(reason: string): void;
  /** The shortest time between two POSTs of small messages. */
  intervalMs: number;
  /** The pause after the first POST that fails; it doubles with each. */
  retryMs: number;
}

/** So many bytes are no tokens: they do not wait for the interval. */
const BULK_BYTES = 8 * 1024;
const MAX_RETRIES = 3;

export class PollConnection implements LinkSocket {
  readonly #id = randomBytes(15).toString('base64url');
  readonly #options: PollConnectionOptions;
  readonly #stop = new AbortController();
  readonly #queue = new LinkQueue();
  /** For each message that has not left, in order. */
  readonly #done: (() => void)[] = [];
  /** Bytes of the POST that is under way. */
  #leaving = 0;
  #answers = 0;
  #posts = 0;
  #postedAt = Number.NEGATIVE_INFINITY;
  #posting: Promise<void> | undefined;
  /** Ends the wait for more to send. */
  #hurry: (() => void) | undefined;

  constructor(options: PollConnectionOptions) {
    this.#options = options;
  }

  get open(): boolean {
    return !this.#stop.signal.aborted;
  }

  get bufferedAmount(): number {
    return this.#queue.bytes + this.#leaving;
  }

  /** Polls once, and returns what came. @throws DirectError when it is refused, or what `request` throws. */
  async poll(): Promise<LinkMessage[]> {
    const query = new URLSearchParams({ batch: '1', channels: this.#id, after: String(this.#answers) });
    const response = await this.#options.request(`/signal?${query}`, { method: 'GET' });
    if (response.status === 200 && response.headers.get('content-type') === BATCH_TYPE) {
      const messages = decodeBatch(new Uint8Array(await response.arrayBuffer()));
      this.#answers += 1;
      return messages;
    }
    const body = await response.text();
    if (response.status === 204) return [];
    // An edge that has no channels for us answers with signals.
    if (response.status === 200) return [body];
    const error = refusal(response.status, body);
    if (error.code === 'E_SESSION_UNKNOWN') this.end('the edge has lost the connection');
    throw error;
  }

  send(message: LinkMessage, done: () => void): void {
    if (!this.open) {
      setImmediate(done);
      return;
    }
    this.#queue.push(message);
    this.#done.push(done);
    if (this.#queue.bytes >= BULK_BYTES) this.#hurry?.();
    this.#posting ??= this.#post();
  }

  /** Resolves when all has left that was sent, or after `ms`. */
  async flushed(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#hurry?.();
    await Promise.race([this.#posting, promise]);
    clearTimeout(timer);
  }

  end(reason: string): void {
    if (!this.open) return;
    this.#stop.abort();
    this.#options.ended(reason);
    for (const done of this.#done.splice(0)) done();
  }

  /** Posts until nothing is left. */
  async #post(): Promise<void> {
    try {
      for (;;) {
        await this.#gathered();
        const batch = this.#queue.take();
        if (batch === undefined || !this.open) break;
        this.#leaving = batch.bytes.length;
        this.#posts += 1;
        this.#postedAt = performance.now();
        await this.#postBatch(batch.bytes);
        this.#leaving = 0;
        for (const done of this.#done.splice(0, batch.count)) done();
      }
    } catch (error) {
      this.end(`the edge could not be told (${error instanceof Error ? error.message : 'unknown reason'})`);
    }
    // In the same turn as the look at the queue, so that the next message begins anew.
    this.#posting = undefined;
  }

  /** One turn of the event loop, and for small messages the rest of the interval. */
  async #gathered(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const wait = this.#postedAt + this.#options.intervalMs - performance.now();
    if (wait > 0 && this.#queue.bytes > 0 && this.#queue.bytes < BULK_BYTES) await this.#sleep(wait, true);
  }

  /** @throws DirectError when the edge refuses it, or what `request` throws the last time. */
  async #postBatch(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const path = `/channels?${new URLSearchParams({ channels: this.#id, number: String(this.#posts) })}`;
    const headers = { 'content-type': BATCH_TYPE };
    for (let failures = 0; ; failures += 1) {
      try {
        const response = await this.#options.request(path, {
          method: 'POST',
          body,
          headers,
          signal: this.#stop.signal,
        });
        const text = await response.text();
        if (response.ok) return;
        const error = refusal(response.status, text);
        if (response.status < 500) throw error;
        throw new Error(error.message);
      } catch (error) {
        if (error instanceof DirectError || !this.open || failures === MAX_RETRIES) throw error;
        await this.#sleep(this.#options.retryMs * 2 ** failures, false);
      }
    }
  }

  #sleep(ms: number, hurried: boolean): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#stop.signal.removeEventListener('abort', wake);
        this.#hurry = undefined;
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#stop.signal.addEventListener('abort', wake, { once: true });
      if (hurried) this.#hurry = wake;
    });
  }
}
