/** The body of a request, on its way to an upstream. */
import { Readable } from 'node:stream';
import { DirectError, ProtocolError } from '../shared/errors.ts';
import type { AgentExchange } from '../shared/exchange.ts';
import type { RequestHead } from '../shared/head.ts';
import { RateLimited } from './access.ts';

/**
 * Bodies that are held as a whole, all together: because the model in them is looked for, or while their requests wait.
 * Clients must not fill the agent's memory. Six of the greatest by default.
 */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/** Of these, of one subject: who sends some and never ends them must not keep the others from asking. */
const MAX_WHOLE_BYTES_OF_ONE = MAX_WHOLE_BYTES / 2;

/** A body in memory, until it is freed. */
export class WholeBody {
  #bytes: Buffer;
  /** The same body with another model. It knows the bytes as they came, which must go with these. */
  #renamed: ((model: string) => Uint8Array) | undefined;
  #freed: (() => void) | undefined;

  constructor(bytes: Buffer, freed: () => void) {
    this.#bytes = bytes;
    this.#freed = freed;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** How the body is written with another model in place of its own. */
  set renamed(renamed: (model: string) => Uint8Array) {
    this.#renamed = renamed;
  }

  /** Writes it so: about as many bytes in place of these. */
  rename(model: string): void {
    const { buffer, byteOffset, byteLength } = this.#renamed?.(model) ?? this.#bytes;
    this.#bytes = Buffer.from(buffer, byteOffset, byteLength);
  }

  /** More than once is once. */
  free(): void {
    this.#bytes = Buffer.alloc(0);
    this.#renamed = undefined;
    this.#freed?.();
    this.#freed = undefined;
  }
}

/** Reads bodies as a whole, and counts what they hold. */
export class WholeBodies {
  #held = 0;
  readonly #heldOf = new Map<string, number>();

  /** Whether there could be room for the body that comes with `head`. */
  static canRead({ headers }: RequestHead): boolean {
    const declared = headers.find(([name]) => name === 'content-length')?.[1];
    return Number(declared ?? 0) <= MAX_WHOLE_BYTES_OF_ONE;
  }

  /** @throws RateLimited when there are too many large ones, or too many of `subject`; DirectError of the body's own */
  async read(body: Readable | null, subject: string): Promise<WholeBody> {
    const pieces: Buffer[] = [];
    let size = 0;
    const free = () => this.#count(subject, -size);
    try {
      for await (const piece of body ?? []) {
        const { length } = piece as Buffer;
        size += length;
        const ofSubject = this.#count(subject, length);
        if (this.#held > MAX_WHOLE_BYTES || ofSubject > MAX_WHOLE_BYTES_OF_ONE) {
          throw new RateLimited(1_000, 'too many large bodies at a time');
        }
        pieces.push(piece as Buffer);
      }
    } catch (error) {
      free();
      throw error;
    }
    return new WholeBody(Buffer.concat(pieces), free);
  }

  /** Returns what `subject` has now. */
  #count(subject: string, bytes: number): number {
    this.#held += bytes;
    const held = (this.#heldOf.get(subject) ?? 0) + bytes;
    if (held === 0) this.#heldOf.delete(subject);
    else this.#heldOf.set(subject, held);
    return held;
  }
}

/** The body as a stream that ends with E_BODY_TOO_LARGE at `limit`, or null when there is none. */
export async function readBody(head: RequestHead, exchange: AgentExchange, limit: number): Promise<Readable | null> {
  const tooLarge = () => new DirectError('E_BODY_TOO_LARGE', `the limit is ${limit} bytes`);
  const declared = head.headers.find(([name]) => name === 'content-length')?.[1];
  if (declared !== undefined && !/^\d{1,15}$/.test(declared)) throw new ProtocolError('content-length is malformed');
  if (Number(declared ?? 0) > limit) throw tooLarge();
  // A request without a body ends with its head; the first piece tells them apart before anything is sent.
  const first = await exchange.readData();
  if (first === null) return null;
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    let size = 0;
    for (let piece: Uint8Array | null = first; piece !== null; piece = await exchange.readData()) {
      size += piece.length;
      if (size > limit) throw tooLarge();
      yield piece;
    }
    if (declared !== undefined && size !== Number(declared)) throw new ProtocolError('content-length is wrong');
  };
  return Readable.from(pieces(), { objectMode: false });
}
