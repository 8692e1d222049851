/** A request that may be forwarded, where to, and what its service changes in the fields of both directions. */
import type { Readable } from 'node:stream';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import type { Answer } from './answer.ts';
import type { WholeBody } from './request-body.ts';

export interface Routed {
  head: RequestHead;
  /** Of the upstream. */
  base: URL;
  /** Path and query there. */
  target: string;
  /** Fields for the upstream, in place of the client's of the same name. */
  own: Readonly<Record<string, string>>;
  /** The upstream's fields, before what every proxy changes in them; names are in lower case. */
  received(fields: HeaderList): HeaderList;
}

/** Likewise with all that it takes to ask. */
export interface Asked extends Routed {
  body: Readable | WholeBody | null;
  /** The whole answer as the client may see it. */
  answered?: ((answer: Answer) => Promise<Answer>) | undefined;
  signal: AbortSignal;
}

/** The path of a base URL, without a slash at the end. */
export function prefixOf(base: URL): string {
  return base.pathname.replace(/\/$/, '');
}
