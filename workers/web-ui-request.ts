/** Which requests may be for a host's web UI; whether they are, the account says (account/web-ui-choice.ts). */
import { DirectError } from '../shared/errors.ts';
import { isId } from '../shared/signal.ts';
import { DIRECT_HOST, DIRECT_SERVICE } from '../shared/tunnel-fields.ts';
import type { EdgeContext } from './caller.ts';
import { chosenHost } from './session-cookie.ts';

export interface WebUiRequest {
  /** `Direct-Host`: programs and our own pages name the host whose models they ask. */
  named: string | null;
  /** What the person has chosen in this browser. */
  chosen: string | null;
  /** `Direct-Service` says so; only our client in a document of the UI does. */
  explicit: boolean;
}

/** `byBrowser`: the credential is one that browsers send by themselves. */
export function mayBeForWebUi({ named, explicit }: WebUiRequest, byBrowser: boolean): boolean {
  return explicit || (byBrowser && named === null);
}

/** @throws DirectError `E_NOT_FOUND`, `E_BAD_REQUEST` for what cannot be meant. */
export function webUiRequest(c: EdgeContext): WebUiRequest {
  const named = c.req.header(DIRECT_HOST) ?? null;
  if (named !== null && !isId(named)) throw new DirectError('E_NOT_FOUND', 'Direct-Host is not a host id');
  const service = c.req.header(DIRECT_SERVICE);
  if (service !== undefined && service !== 'web_ui') {
    throw new DirectError('E_BAD_REQUEST', 'Direct-Service names no service');
  }
  return { named, chosen: chosenHost(c), explicit: service !== undefined };
}

/**
 * A service worker from a host would stand between browser and edge for as long as it likes, before our own pages too.
 * @throws DirectError `E_FORBIDDEN`
 */
export function checkNoServiceWorker({ headers }: Request): void {
  // Service Workers, section “Update”; browsers let no page set either field.
  if (headers.get('service-worker') !== null || headers.get('sec-fetch-dest') === 'serviceworker') {
    throw new DirectError('E_FORBIDDEN', 'a host’s service worker would be one of the edge’s own pages, too');
  }
}
