/** Responses that outlive the page: asked for with an id, read on with it by whoever comes next. */
import { DirectError } from '../../shared/errors.ts';
import { isHoldId } from '../../shared/hold.ts';
import type { ClientRequestInit, FetchInput, HoldingFetch } from './fetch.ts';
import { networkError } from './network-error.ts';

export interface HeldRequestInit extends ClientRequestInit {
  /**
   * The host keeps the response under this id, and goes on with it when the request is aborted, or the page is gone:
   * 22 to 64 characters of base64url, made of 128 random bits or more. Who knows it and has the same credential can
   * `resume` it for a minute after it was last read. Until the request's body has been sent, an abort ends it as usual.
   */
  hold?: string;
}

/** What `Client` has of it. */
export interface Held {
  /** A `fetch` with the semantics of the standard one. Needs no `this`. */
  readonly fetch: (input: FetchInput, init?: HeldRequestInit) => Promise<Response>;
  /**
   * The response that was asked for with `hold: id`: its status and header fields, and its body from byte `from` on.
   * Whoever reads it now is cut off with `E_CANCELLED`. A response that is over, another's or never was is answered with
   * 404 and `E_NOT_FOUND`, an offset beyond what the host has with 400 and `E_BAD_REQUEST`.
   * @throws TypeError when `id` or `from` is malformed, and as `fetch` does.
   */
  resume(id: string, from: number, init?: Pick<RequestInit, 'signal'>): Promise<Response>;
  /**
   * Nobody will come for the response: the host forgets it, and stops it if it is still running.
   * @throws TypeError when `id` is malformed, and as `fetch` does.
   */
  release(id: string): Promise<void>;
}

/** Where the tunnel is, and no page of the edge. The host is asked for nothing at this address. */
const TUNNEL_PATH = '/v1/';

export function createHeld(fetch: HoldingFetch, origin: string): Held {
  const ask = async (method: 'GET' | 'DELETE', id: string, from: number, init: Pick<RequestInit, 'signal'>) => {
    if (!Number.isSafeInteger(from) || from < 0) throw new TypeError('resume: from must be a number of bytes');
    const request: RequestInit = { ...init, method, redirect: 'manual', cache: 'no-store' };
    return fetch(new URL(TUNNEL_PATH, origin), request, { resume: { id: checkedId(id), from } });
  };
  return {
    fetch: async (input, init) => fetch(input, init, init?.hold === undefined ? {} : { hold: checkedId(init.hold) }),
    resume: (id, from, init = {}) => ask('GET', id, from, init),
    async release(id) {
      const response = await ask('DELETE', id, 0, {});
      await response.body?.cancel();
      // One that the host does not have has nothing to be released.
      if (response.ok || response.status === 404) return;
      throw networkError(new DirectError('E_PATH_LOST', `the host answered ${response.status}`));
    },
  };
}

function checkedId(id: string): string {
  if (!isHoldId(id)) throw new TypeError('hold must be 22 to 64 characters of base64url');
  return id;
}
