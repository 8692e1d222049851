/** For tests: requests on a stream of a session. */
import { ClientExchange } from '../shared/exchange.ts';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import type { Session } from '../shared/session.ts';

export interface Asked {
  /** GET, or with a body POST, unless told otherwise. */
  method?: string;
  headers?: HeaderList;
  body?: string | Uint8Array;
  protocol?: RequestHead['protocol'];
}

export function begin(
  session: Session,
  path: string,
  { method, headers = [], body, protocol }: Asked = {},
): ClientExchange {
  const exchange = new ClientExchange(session.openStream());
  const verb = method ?? (body === undefined ? 'GET' : 'POST');
  exchange.sendHead({ method: verb, path, headers, ...(protocol && { protocol }) }).catch(() => {});
  if (body !== undefined) exchange.sendData(Buffer.from(body)).catch(() => {});
  if (protocol === undefined) exchange.finish();
  return exchange;
}
