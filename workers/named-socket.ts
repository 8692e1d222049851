/**
 * `/_direct/h/{host id}/socket?path=…`: a WebSocket of the tunnel whose address names the host. Pages can put no field
 * into a handshake, so `Direct-Host` is not theirs to say; without it, another one of the owner's hosts may be asked.
 */
import { DirectError } from '../shared/errors.ts';
import { isId } from '../shared/signal.ts';
import { DIRECT_HOST, DIRECT_SERVICE } from '../shared/tunnel-fields.ts';
import { leadsToUs, wantsSocket } from './tunnel-headers.ts';

/** The request of the tunnel that is meant. @throws DirectError `E_NOT_FOUND`, `E_BAD_REQUEST` */
export function namedSocket(request: Request, host: string | undefined): Request {
  if (!isId(host)) throw new DirectError('E_NOT_FOUND', 'not a host id');
  if (!wantsSocket(request)) throw new DirectError('E_BAD_REQUEST', 'this address is for WebSockets');
  const { origin, searchParams } = new URL(request.url);
  const path = searchParams.get('path') ?? '';
  const target = URL.parse(path, origin);
  if (!path.startsWith('/') || target?.origin !== origin || leadsToUs(target.href, origin)) {
    throw new DirectError('E_BAD_REQUEST', 'the path is none of a host');
  }
  const named = new Request(target, request);
  named.headers.set(DIRECT_HOST, host);
  const service = searchParams.get('service');
  // As a field, other characters would be an error of ours.
  if (service !== null) named.headers.set(DIRECT_SERVICE, encodeURIComponent(service));
  return named;
}
