/** What the local port takes from the client (`#client`), so that its tests can be the host. */
import type { Client } from '#client';
import { DirectError, isErrorCode } from '../../shared/errors.ts';
import type { HeaderList } from '../../shared/head.ts';

export type HostClient = Pick<Client, 'fetch' | 'dial' | 'origin'>;
export type SocketLink = Awaited<ReturnType<Client['dial']>>;

/** A request of a program, as it goes on to a host. */
export interface LocalRequest {
  method: string;
  /** Path with query, normalised. */
  target: string;
  headers: Headers;
  /** In memory where it is small: such a request can be sent again when a path was lost. */
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null;
  /** The program has gone away. */
  signal: AbortSignal;
}

export interface LocalSocketRequest {
  target: string;
  protocols: readonly string[];
  headers: HeaderList;
  signal: AbortSignal;
}

/** Who answers the requests of a local port. */
export interface Destination {
  /** @throws whatever `failureOf` understands */
  request(request: LocalRequest): Promise<Response>;
  /** @throws likewise */
  socket(request: LocalSocketRequest): Promise<SocketLink>;
}

/** All requests go to one host. */
export function oneHost(client: HostClient): Destination {
  return {
    request: ({ method, target, headers, body, signal }) => {
      const url = client.origin + target;
      // Redirects are the program's business, as without us.
      const init = { method, headers, redirect: 'manual', duplex: 'half' } as const;
      return client.fetch(new Request(url, { ...init, body }), { signal });
    },
    socket: ({ target, ...request }) =>
      client.dial({ ...request, url: new URL(client.origin.replace(/^http/, 'ws') + target) }),
  };
}

/** How many causes deep our error may be. */
const MAX_CAUSES = 8;

/**
 * Our error in what the client threw. The most exact one: “no path” often has a reason behind it, such as a host that is
 * offline. By its shape, not by its class: the client may be bundled apart from this file.
 */
export function failureOf(thrown: unknown): DirectError {
  let found: DirectError | undefined;
  let error = thrown;
  for (let depth = 0; depth < MAX_CAUSES && error instanceof Error; depth++) {
    const { code, detail } = error as { code?: unknown; detail?: unknown };
    if (isErrorCode(code)) found = new DirectError(code, typeof detail === 'string' ? detail : undefined);
    if (found !== undefined && found.code !== 'E_PATH_LOST') return found;
    error = error.cause;
  }
  // What is left is the platform's fetch, which did not reach the edge.
  return found ?? new DirectError('E_PATH_LOST', 'the edge cannot be reached', { cause: thrown });
}
