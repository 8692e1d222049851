/** What an upstream answers, and its way to the client. */
import { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { DirectError } from '../shared/errors.ts';
import type { HeaderList } from '../shared/head.ts';
import { hasBody } from '../shared/semantics.ts';
import { responseHeaders } from './headers.ts';
import { filterList, type Refuses } from './model-scope.ts';
import type { Reply } from './reply.ts';
import type { Routed } from './routed.ts';

/** A list of a thousand models has under 1 MB. */
const MAX_LIST_BYTES = 4 * 1024 * 1024;

/** The part of a response that undici and Node have in common. */
export interface Answer {
  statusCode: number;
  fields: HeaderList;
  body: Readable;
  trailers: Record<string, string | string[] | undefined>;
}

/** Passes a response on. @throws DirectError `E_UPSTREAM_FAILED` when it breaks off, or when the client gave up. */
export async function respond(
  { statusCode: status, fields, body, trailers }: Answer,
  { head, base, received }: Pick<Routed, 'head' | 'base' | 'received'>,
  reply: Reply,
): Promise<void> {
  const decoder = hasBody(head.method, status) ? decoderFor(fields) : undefined;
  await reply.head({ status, statusText: '', headers: responseHeaders(received(fields), base, decoder !== undefined) });
  try {
    const decoded = decoder === undefined ? body : pipe(body, decoder);
    for await (const chunk of decoded) await reply.data(chunk as Uint8Array);
  } catch (error) {
    throw error instanceof DirectError ? error : new DirectError('E_UPSTREAM_FAILED', reason(error));
  }
  reply.finish(trailerList(trailers));
}

/** An answer of the agent's own, as from an upstream. */
export function ownAnswer(status: number, body: object): Answer {
  const bytes = Buffer.from(JSON.stringify(body));
  return {
    statusCode: status,
    fields: [
      ['content-type', 'application/json'],
      ['content-length', `${bytes.length}`],
    ],
    body: Readable.from([bytes], { objectMode: false }),
    trailers: {},
  };
}

/** A list of models with nothing that somebody refuses. @throws DirectError */
export async function filtered(answer: Answer, refuses: Refuses): Promise<Answer> {
  const { fields, body } = answer;
  const decoder = decoderFor(fields);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of decoder === undefined ? body : pipe(body, decoder)) {
      size += (piece as Buffer).length;
      if (size > MAX_LIST_BYTES) throw new DirectError('E_UPSTREAM_FAILED', 'its list of models is too long');
      pieces.push(piece as Buffer);
    }
  } catch (error) {
    throw error instanceof DirectError ? error : new DirectError('E_UPSTREAM_FAILED', reason(error));
  }
  const list = filterList(Buffer.concat(pieces), refuses);
  const ofTheWhole = ['content-length', 'content-encoding', 'etag'];
  const kept = fields.filter(([name]) => !ofTheWhole.includes(name));
  return {
    ...answer,
    fields: [...kept, ['content-length', `${list.length}`]],
    body: Readable.from([list], { objectMode: false }),
    trailers: {},
  };
}

/** Nobody took the connection, so that nothing of the request was sent. */
export class NobodyThere extends DirectError {
  constructor(detail: string) {
    super('E_UPSTREAM_UNREACHABLE', detail);
  }
}

const NOT_CONNECTED =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT)$/;

/** The error of a connection to an upstream, for the client. */
export function unreachable(error: unknown): DirectError {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error && 'code' in first ? String(first.code) : '';
  return NOT_CONNECTED.test(code)
    ? new NobodyThere(reason(error))
    : new DirectError('E_UPSTREAM_UNREACHABLE', reason(error));
}

/** Why a connection failed, without the stack; undici puts the system's error into `cause`. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown reason';
  return error instanceof AggregateError ? reason(error.errors[0]) : error.message;
}

function decoderFor(fields: HeaderList): ReturnType<typeof createGunzip> | undefined {
  switch (fields.find(([name]) => name === 'content-encoding')?.[1].toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      return undefined;
  }
}

function pipe(body: Readable, decoder: ReturnType<typeof createGunzip>): Readable {
  body.on('error', (error) => decoder.destroy(error));
  decoder.on('close', () => body.destroy());
  return body.pipe(decoder);
}

function trailerList(trailers: Record<string, string | string[] | undefined>): HeaderList {
  const all = Object.entries(trailers).flatMap(([name, value]) =>
    [value ?? []].flat().map((item): [string, string] => [name.toLowerCase(), item]),
  );
  // It means nothing there (RFC 9110, section 6.5.1), and must not pass by where HttpOnly ones are taken off.
  return all.filter(([name]) => name !== 'set-cookie');
}
