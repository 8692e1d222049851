/**
 * The body of a request as the session layer needs it: its length if it can be known, since small HTTP servers want
 * Content-Length, and whether it can be sent a second time.
 */
import { canStreamRequests } from './streaming.ts';

export interface RequestBody {
  /** Undefined: not known before the end. */
  readonly length: number | undefined;
  /** Whether it may be sent again (Fetch, section 4.4: a redirect asks the same). */
  readonly replayable: boolean;
  /** All of it, if it is in memory. */
  readonly bytes?: Uint8Array;
  /** The body in pieces that nobody else changes. Once, unless replayable. */
  pieces(): AsyncGenerator<Uint8Array, void>;
  /** Nothing more will be read: tells the source, even while it makes a reader wait. */
  cancel(reason: unknown): void;
  /** The body for a plain fetch, if `pieces` was not begun or the body is replayable. */
  forHttps(): BodyInit;
}

/** A Request's body up to this size may wait for its end, so that it has a length. */
const PEEK_BYTES = 1024 * 1024;
/** Bodies that are in memory already come faster than this. */
const PEEK_MS = 20;

/**
 * @param request made from `given`, or from a Request that has a body.
 * @param given `init.body` of the call.
 */
export async function readRequestBody(
  request: Request,
  given: BodyInit | null | undefined,
  timer: (ms: number, run: () => void) => () => void,
): Promise<RequestBody | undefined> {
  if (given instanceof Blob) return new BlobBody(given);
  if (given instanceof FormData) return new BlobBody(await request.blob());
  if (given instanceof ReadableStream) return new StreamBody((request.body ?? given).getReader());
  const inMemory = typeof given === 'string' || given instanceof URLSearchParams || isBuffer(given);
  // Firefox has no `Request.body`: what is not in memory is read into it.
  if (inMemory || !canStreamRequests()) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    return given == null && bytes.length === 0 ? undefined : new BytesBody(bytes);
  }
  return request.body === null ? undefined : peek(request.body.getReader(), timer);
}

function isBuffer(value: unknown): boolean {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

/**
 * What a Request was made from does not show. A string ends at once and becomes a body with a length; a stream that
 * takes its time stays one.
 */
async function peek(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  timer: (ms: number, run: () => void) => () => void,
): Promise<RequestBody> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const late = Promise.withResolvers<'late'>();
  const cancel = timer(PEEK_MS, () => late.resolve('late'));
  try {
    while (length <= PEEK_BYTES) {
      const next = reader.read();
      const result = await Promise.race([next, late.promise]);
      if (result === 'late') return new StreamBody(reader, pieces, next);
      if (result.done) return new BytesBody(join(pieces, length));
      pieces.push(copyOf(result.value));
      length += result.value.byteLength;
    }
    return new StreamBody(reader, pieces);
  } finally {
    cancel();
  }
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The session keeps what is not acknowledged, and the owner of a stream may use its buffers again. */
function copyOf(chunk: unknown): Uint8Array {
  if (!(chunk instanceof Uint8Array)) throw new TypeError('the request body’s stream must give Uint8Array chunks');
  return chunk.slice();
}

class BytesBody implements RequestBody {
  readonly replayable = true;
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get length(): number {
    return this.bytes.length;
  }

  async *pieces(): AsyncGenerator<Uint8Array, void> {
    yield this.bytes;
  }

  cancel(): void {}

  forHttps(): BodyInit {
    return this.bytes;
  }
}

class BlobBody implements RequestBody {
  readonly replayable = true;
  readonly #blob: Blob;

  constructor(blob: Blob) {
    this.#blob = blob;
  }

  get length(): number {
    return this.#blob.size;
  }

  async *pieces(): AsyncGenerator<Uint8Array, void> {
    yield* readAll(this.#blob.stream().getReader());
  }

  // A blob never makes a reader wait, and the loop over the pieces ends by itself.
  cancel(): void {}

  forHttps(): BodyInit {
    return this.#blob;
  }
}

class StreamBody implements RequestBody {
  readonly length = undefined;
  readonly replayable = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #first: readonly Uint8Array[];
  #pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  #begun = false;

  constructor(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    first: readonly Uint8Array[] = [],
    pending?: Promise<ReadableStreamReadResult<Uint8Array>>,
  ) {
    this.#reader = reader;
    this.#first = first;
    this.#pending = pending;
    // Looked at when its turn comes.
    pending?.catch(() => {});
  }

  async *pieces(): AsyncGenerator<Uint8Array, void> {
    if (this.#begun) throw new TypeError('the request body was used already');
    this.#begun = true;
    yield* this.#first;
    yield* readAll(this.#reader, this.#pending);
  }

  cancel(reason: unknown): void {
    this.#reader.cancel(reason).catch(() => {});
  }

  forHttps(): BodyInit {
    const source = this.pieces();
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = await source.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => this.cancel(reason),
    });
  }
}

async function* readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  pending?: Promise<ReadableStreamReadResult<Uint8Array>>,
): AsyncGenerator<Uint8Array, void> {
  for (let result = await (pending ?? reader.read()); !result.done; result = await reader.read()) {
    yield copyOf(result.value);
  }
}
