/** A request that may be forwarded, where to, and what its service changes in the fields of both directions. */
import type { HeaderList, RequestHead } from '../shared/head.ts';

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
