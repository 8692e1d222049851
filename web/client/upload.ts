/** The request's way out, beside the response's way in. */
import type { ClientExchange } from '../../shared/exchange.ts';
import type { RequestHead } from '../../shared/head.ts';
import type { RequestBody } from './request-body.ts';

export class Upload {
  readonly #exchange: ClientExchange;
  readonly #body: RequestBody | undefined;
  readonly #uploaded: ((bytes: number) => void) | undefined;
  readonly #failed = Promise.withResolvers<never>();
  #begun = false;
  #sourceFailed = false;
  #cancelled = false;

  /** `uploaded` is told how many bytes have been sent, after each piece. */
  constructor(exchange: ClientExchange, body: RequestBody | undefined, uploaded?: (bytes: number) => void) {
    this.#exchange = exchange;
    this.#body = body;
    this.#uploaded = uploaded;
    this.#failed.promise.catch(() => {});
  }

  /** Rejects when the source of the body fails. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  get sourceFailed(): boolean {
    return this.#sourceFailed;
  }

  /** Whether a body that can be read only once was begun. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Sends the head and begins with the body. What is in memory leaves in one message with the head, if it fits. */
  start(head: RequestHead): void {
    const body = this.#body;
    // A failing write fails the stream as a whole; whoever reads the response learns why.
    this.#exchange.sendHead(head).catch(() => {});
    if (body === undefined) {
      this.#exchange.finish();
    } else if (body.bytes !== undefined) {
      const { length } = body.bytes;
      this.#exchange.sendData(body.bytes).then(
        () => this.#uploaded?.(length),
        () => {},
      );
      this.#exchange.finish();
    } else {
      void this.#send(body);
    }
  }

  /** Stops reading the source. */
  cancel(reason: unknown): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#body?.cancel(reason);
  }

  async #send(body: RequestBody): Promise<void> {
    this.#begun = !body.replayable;
    let sent = 0;
    try {
      for await (const piece of body.pieces()) {
        if (this.#cancelled || !(await this.#sends(piece))) return;
        sent += piece.length;
        this.#uploaded?.(sent);
      }
    } catch (error) {
      this.#sourceFailed = true;
      this.#exchange.abort('E_CANCELLED');
      this.#failed.reject(error);
      return;
    }
    // A source that was cancelled ends like one that is complete.
    if (!this.#cancelled) this.#exchange.finish();
  }

  async #sends(piece: Uint8Array): Promise<boolean> {
    try {
      await this.#exchange.sendData(piece);
      return true;
    } catch (error) {
      // The agent wants no more, for example after 413: its response says why, and the source is told.
      this.cancel(error);
      return false;
    }
  }
}
