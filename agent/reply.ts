/** One response to a client, whatever becomes of its request. */
import { DirectError, type ErrorCode, errorBody } from '../shared/errors.ts';
import type { HeaderList, ResponseHead } from '../shared/head.ts';
import { RateLimited } from './access.ts';
import type { ResponseSink } from './held-response.ts';
import { type RequestMeter, UNMETERED } from './meter.ts';

/** What the client gets to see: a head once, then a body, or an error in the form that still fits. */
export class Reply {
  readonly #sink: ResponseSink;
  #started = false;
  /** Of the request, once it is known: the form of an error depends on it. */
  path = '';
  /** For the log: the status, then how it ended if not well. */
  outcome = '';
  /** Is told of the upstream's answer, if this is its way to the client. */
  meter: RequestMeter = UNMETERED;
  #status: number | undefined;
  #code: ErrorCode | undefined;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  get hasBegun(): boolean {
    return this.#started;
  }

  /** Of its head, if it has one. */
  get status(): number | undefined {
    return this.#status;
  }

  /** With what it failed. */
  get code(): ErrorCode | undefined {
    return this.#code;
  }

  async head(head: ResponseHead): Promise<void> {
    this.meter.answered(head.headers.find(([name]) => name === 'content-type')?.[1]);
    this.#started = true;
    this.#status = head.status;
    this.outcome = `${head.status}`;
    await this.#sink.sendHead(head);
  }

  data(bytes: Uint8Array): Promise<void> {
    this.meter.passed(bytes);
    return this.#sink.sendData(bytes);
  }

  finish(trailers: HeaderList): void {
    this.#sink.finish(trailers);
  }

  /** Before the head, an error is an HTTP response with our JSON; after it, a reset with the code. */
  async fail(error: unknown): Promise<void> {
    const known = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
    this.#code = known.code;
    if (this.#started || known.code === 'E_CANCELLED' || known.code === 'E_PATH_LOST') {
      this.outcome = `${this.outcome} ${known.code}`.trim();
      this.#sink.reset(known.code);
      return;
    }
    const body = Buffer.from(JSON.stringify(errorBody(known, this.path)));
    const headers: HeaderList = [
      ['content-type', 'application/json'],
      ['content-length', `${body.length}`],
      ['cache-control', 'no-store'],
    ];
    if (known instanceof RateLimited) headers.push(['retry-after', `${Math.ceil(known.retryAfterMs / 1000)}`]);
    try {
      await this.head({ status: known.entry.http, statusText: '', headers });
      this.outcome += ` ${known.code}`;
      await this.#sink.sendData(body);
      this.#sink.finish();
    } catch {
      // The client is gone as well; the stream has ended with its code.
    }
  }
}
