/** Connects WebSockets: to the host over the session while it has a path, else through the edge; others as they are. */
import { DirectError } from '../../shared/errors.ts';
import type { HeaderList, RequestHead } from '../../shared/head.ts';
import { DIRECT_HOST, DIRECT_SERVICE, UPSTREAM_AUTHORIZATION } from '../../shared/tunnel-fields.ts';
import { loggedPath } from './diagnostics.ts';
import { hasLostPath } from './exchange-over.ts';
import { type FetchOptions, MAX_SESSIONS_PER_REQUEST } from './fetch.ts';
import type { SocketRequest } from './socket.ts';
import { httpUrl } from './socket-address.ts';
import type { SocketLink } from './socket-link.ts';
import { openOverPlatform } from './socket-over-platform.ts';
import { openOverSession } from './socket-over-session.ts';
import { belongsToHost } from './target.ts';
import { uiRequestFields } from './web-ui.ts';

/** @throws DirectError, Error, the signal's reason; pages see all of them as 1006. */
export async function dial(options: FetchOptions, request: SocketRequest): Promise<SocketLink> {
  const { diagnostics, environment, origin } = options;
  const url = httpUrl(request.url);
  if (!belongsToHost(url, origin)) return overPlatform(options, request, {});
  const name = `WebSocket ${loggedPath(url)}`;
  const started = environment.now();
  const done = (outcome: string) =>
    diagnostics.log(`← ${outcome} ${name}, ${Math.round(environment.now() - started)}ms`);
  try {
    const link = (await overSession(options, request, url, name)) ?? (await overTunnel(options, request, name));
    done('open');
    return link;
  } catch (error) {
    done(`failed (${error instanceof DirectError ? error.code : error})`);
    throw error;
  }
}

/** Undefined: there is no session. */
async function overSession(
  { diagnostics, environment, route, service }: FetchOptions,
  { protocols, headers = [], signal }: SocketRequest,
  url: URL,
  name: string,
): Promise<SocketLink | undefined> {
  const ui = { url, credentials: 'include', hasOrigin: true } as const;
  const fields: HeaderList = [...headers, ...(service === undefined ? [] : uiRequestFields(ui, environment.cookies))];
  if (protocols.length > 0) fields.push(['sec-websocket-protocol', protocols.join(', ')]);
  const path = url.pathname + url.search;
  const head: RequestHead = {
    method: 'GET',
    path,
    protocol: 'websocket',
    headers: fields,
    ...(service && { service }),
  };
  for (let attempt = 1; attempt <= MAX_SESSIONS_PER_REQUEST; attempt++) {
    const session = await route(signal);
    if (session === undefined) return undefined;
    try {
      diagnostics.log(`→ ${name}`);
      return await openOverSession(session, { head, protocols, signal });
    } catch (error) {
      signal.throwIfAborted();
      // A handshake is a GET: it may be made again where nobody knows whether it has arrived.
      if (!hasLostPath(session, error)) throw error;
    }
  }
  return undefined;
}

async function overTunnel(options: FetchOptions, request: SocketRequest, name: string): Promise<SocketLink> {
  const { diagnostics, edgeOrigin, environment, host, noTunnel, origin, service, token } = options;
  const refusal = await noTunnel?.();
  request.signal.throwIfAborted();
  if (refusal !== undefined) throw refusal;
  diagnostics.log(`→ ${name} over HTTPS`);
  if (origin !== edgeOrigin) return overPlatform(options, request, {});
  // Browsers let nobody put fields into a handshake: there the cookie has to do, and the address names the host.
  if (environment.browser) return overPlatform(options, { ...request, url: namedUrl(options, request.url) }, {});
  const own = (request.headers ?? []).map(([name, value]) =>
    // The edge would take it for its own.
    name === 'authorization' ? [UPSTREAM_AUTHORIZATION, value] : [name, value],
  );
  return overPlatform(options, request, {
    ...Object.fromEntries(own),
    [DIRECT_HOST]: host,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(service === undefined ? {} : { [DIRECT_SERVICE]: service }),
  });
}

function namedUrl({ host, service }: FetchOptions, { origin, pathname, search }: URL): URL {
  const url = new URL(`/_direct/h/${encodeURIComponent(host)}/socket`, origin);
  url.searchParams.set('path', pathname + search);
  if (service !== undefined) url.searchParams.set('service', service);
  return url;
}

function overPlatform(
  { environment }: FetchOptions,
  { url, protocols, signal }: SocketRequest,
  headers: Record<string, string>,
): Promise<SocketLink> {
  const { WebSocket } = environment;
  if (WebSocket === undefined) throw new DirectError('E_PATH_LOST', 'this runtime has no WebSocket');
  const list = [...protocols];
  // The second form is undici’s, and Node’s.
  const given = Object.keys(headers).length === 0 ? list : ({ protocols: list, headers } as unknown as string[]);
  return openOverPlatform(new WebSocket(url.href, given), signal);
}
