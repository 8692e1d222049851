/** Requests to the upstream (upstream.ts), by `fetch` or by our client, in a page. */
import type { BulkMeasured } from './in-page.ts';
import { SMALL_BYTES, type StreamsAsked, type Way } from './way.ts';

export type HttpRequest = (path: string, init: RequestInit, index: number) => Promise<Response>;

/** Of bodies that a page has to hold as a whole. */
const BLOB_BYTES = 96e6;
/** No field of the fetch standard's other kinds, which would be asked about before. */
const TEXT = { 'content-type': 'text/plain' };

export class HttpWay implements Way {
  readonly #ask: HttpRequest;
  readonly #streamsBodies: boolean;
  readonly #small = 'x'.repeat(SMALL_BYTES);
  #blob: Blob | undefined;

  /** `streamsBodies`: a request's body may be a stream, which browsers send by HTTP/2 only. */
  constructor(ask: HttpRequest, streamsBodies: boolean) {
    this.#ask = async (...given) => {
      const response = await ask(...given);
      if (!response.ok) throw new Error(`${given[0]}: ${response.status} ${(await response.text()).slice(0, 200)}`);
      return response;
    };
    this.#streamsBodies = streamsBodies;
  }

  async small(index: number): Promise<void> {
    const response = await this.#ask('/v1/bench/echo', { method: 'POST', headers: TEXT, body: this.#small }, index);
    const { length } = await response.text();
    if (length !== SMALL_BYTES) throw new Error(`${length} bytes came back`);
  }

  async first(): Promise<void> {
    const response = await this.#ask('/v1/bench/first', {}, 0);
    const reader = readerOf(response);
    const { done } = await reader.read();
    if (done) throw new Error('an empty stream');
    // Its end, which is near, so that the connection is free for the next; this takes none of the time.
    void drain(reader);
  }

  async tokens(
    { streams, seconds, everyMs }: StreamsAsked,
    token: (stream: number, at: number) => void,
  ): Promise<void> {
    const path = `/v1/bench/tokens?seconds=${seconds}&every=${everyMs}`;
    await Promise.all(
      Array.from({ length: streams }, async (_, stream) => {
        const response = await this.#ask(path, {}, stream);
        const reader = readerOf(response);
        const decoder = new TextDecoder();
        let rest = '';
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          const events = (rest + decoder.decode(value, { stream: true })).split('\n\n');
          rest = events.pop() ?? '';
          for (const event of events) token(stream, Number(event.slice(event.indexOf('"at":') + 5, -1)));
        }
      }),
    );
  }

  async down(chunk: number, bytes: (count: number) => void, signal: AbortSignal): Promise<void> {
    try {
      const response = await this.#ask(`/v1/bench/bulk?chunk=${chunk}`, { signal }, 0);
      const reader = readerOf(response);
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        bytes(value.length);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async up(chunk: number, warmMs: number, ms: number): Promise<BulkMeasured> {
    if (this.#streamsBodies) await this.#upStream(chunk, warmMs + ms);
    else await this.#upBlob(warmMs + ms);
    const response = await this.#ask(`/v1/bench/uploaded?warm=${warmMs}`, {}, 1);
    return (await response.json()) as BulkMeasured;
  }

  async #upStream(chunk: number, ms: number): Promise<void> {
    const piece = new Uint8Array(chunk);
    const end = performance.now() + ms;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (performance.now() < end) controller.enqueue(piece.slice());
        else controller.close();
      },
    });
    const init = { method: 'POST', headers: TEXT, body, duplex: 'half' };
    await (await this.#ask('/v1/bench/upload', init, 0)).text();
  }

  async #upBlob(ms: number): Promise<void> {
    this.#blob ??= new Blob(Array.from({ length: 24 }, () => new Uint8Array(BLOB_BYTES / 24)));
    const signal = AbortSignal.timeout(ms);
    try {
      const init = { method: 'POST', headers: TEXT, body: this.#blob, signal };
      await (await this.#ask('/v1/bench/upload', init, 0)).text();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

function readerOf({ body }: Response): ReadableStreamDefaultReader<Uint8Array> {
  if (body === null) throw new Error('a response without a body');
  return body.getReader();
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}
