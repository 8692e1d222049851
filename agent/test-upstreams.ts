/** Upstreams of tests: one server that is there already, or none. */
import type { OwnHeaders } from './upstream.ts';
import { Upstreams } from './upstreams.ts';

/** The server at `url`, which nobody watches; `any` goes to it with each request. It is known once `found` has come. */
export function oneUpstream(url: string | undefined, any: OwnHeaders = {}, found?: Promise<void>): Upstreams {
  const all =
    url === undefined ? [] : [{ kind: 'openai', name: 'test', url, models: ['test'], needsKey: false } as const];
  return new Upstreams({
    servers: found === undefined ? all : [],
    search: async () => {
      await found;
      return all;
    },
    headers: { any, of: {} },
    accepts: async () => true,
  });
}
