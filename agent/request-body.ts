/** The body of a request, on its way to an upstream. */
import { Readable } from 'node:stream';
import { DirectError, ProtocolError } from '../shared/errors.ts';
import type { AgentExchange } from '../shared/exchange.ts';
import type { RequestHead } from '../shared/head.ts';

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
