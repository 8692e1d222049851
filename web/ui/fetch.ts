/** `fetch` of a web UI's page over the client. */
import type { Client } from '../client/index.ts';
import { isRequest } from '../client/target.ts';
import { instead, type Patches } from './patches.ts';
import type { Reach } from './reach.ts';
import { tunnelField } from './tunnel-field.ts';

interface Scope {
  fetch: typeof fetch;
}

export function patchFetch(patches: Patches, scope: Scope, client: Pick<Client, 'fetch'>, reach: Reach): void {
  const value = instead(scope.fetch, (platforms, self, args) => {
    const [input, init] = args as unknown as [input?: RequestInfo | URL, init?: RequestInit];
    const call = (...given: unknown[]) => Reflect.apply(platforms, self, given) as Promise<Response>;
    if (args.length === 0) return call();
    try {
      // Read once: what is decided about must be what is sent.
      const target = isRequest(input) ? input : String(input);
      const url = isRequest(target) ? target.url : target;
      if (reach.moves(url)) return client.fetch(target, init);
      return reach.belongs(url) ? call(throughTunnel(target, init)) : call(target, init);
    } catch (error) {
      return Promise.reject(error);
    }
  });
  patches.replace(scope, 'fetch', { value });
}

/** The same request as the edge takes it. */
function throughTunnel(target: Request | string, init: RequestInit | undefined): Request {
  const request = new Request(target, init);
  const own = request.headers.get('authorization');
  if (own === null) return request;
  request.headers.delete('authorization');
  request.headers.set(tunnelField('authorization'), own);
  return request;
}
