/** Which pages may ask: browsers say where a request comes from, and programs are none of them. */
import type { MiddlewareHandler } from 'hono';
import { DirectError } from '../shared/errors.ts';
import type { EdgeContext, EdgeEnv } from './caller.ts';
import { wantsSocket } from './tunnel-headers.ts';

/** True without the field, too. */
function isOwnOrigin(c: EdgeContext): boolean {
  const origin = c.req.header('Origin');
  return origin === undefined || origin === new URL(c.req.url).origin;
}

/**
 * Cookies prove who asks, not which page does: `SameSite` lets pages of sibling domains through, and older browsers
 * know none of it. The page must be ours, for GET as well. @throws DirectError `E_ORIGIN`
 */
export function checkOwnPage(c: EdgeContext): void {
  const says = c.req.header('Origin') !== undefined || c.req.header('Sec-Fetch-Site') === 'same-origin';
  if (!says || !isOwnOrigin(c)) throw new DirectError('E_ORIGIN', 'a cookie is good for the edge’s own pages only');
}

/** What a browser says of where a request comes from (W3C Fetch Metadata), beside its `Origin`. */
export interface Provenance {
  method: string;
  /** That of the address. */
  ownOrigin: string;
  origin: string | undefined;
  site: string | undefined;
  mode: string | undefined;
  dest: string | undefined;
}

/**
 * Whether the request may reach a web UI by a cookie: it comes from a page of the same origin, or the person goes to an
 * address, by typing or by a link of whatever page. Everything else that a foreign page could make a browser ask would
 * drive the UI in its visitor's name.
 */
export function mayDriveWebUi({ method, ownOrigin, origin, site, mode, dest }: Provenance): boolean {
  if (site === undefined) return origin === ownOrigin;
  // “null” is what a form says whose page has the policy `no-referrer`. A sandboxed frame is of no site but its own.
  if (site === 'same-origin') return origin === undefined || origin === 'null' || origin === ownOrigin;
  return method === 'GET' && mode === 'navigate' && dest === 'document';
}

/** @throws DirectError `E_ORIGIN` */
export function checkWebUiPage(c: EdgeContext): void {
  const provenance = {
    method: c.req.method,
    ownOrigin: new URL(c.req.url).origin,
    origin: c.req.header('Origin'),
    site: c.req.header('Sec-Fetch-Site'),
    mode: c.req.header('Sec-Fetch-Mode'),
    dest: c.req.header('Sec-Fetch-Dest'),
  };
  if (!mayDriveWebUi(provenance)) throw new DirectError('E_ORIGIN', 'a web UI takes a cookie from its own pages only');
}

/** For addresses that only our own pages and programs have a use for. */
export const noForeignPages: MiddlewareHandler<EdgeEnv> = async (c, next) => {
  if (!isOwnOrigin(c)) throw new DirectError('E_ORIGIN');
  await next();
};

/** `/_direct/h/{host}/signal`, which is all that clients of foreign pages use. */
const SIGNAL = /^\/_direct\/h\/([A-Za-z0-9_-]+)\/signal$/;

/** No CORS holds for WebSockets: each one that is asked for passes here. Needs `settings`. */
export const checkSocketOrigin: MiddlewareHandler<EdgeEnv> = async (c, next) => {
  if (wantsSocket(c.req.raw) && !isOwnOrigin(c)) {
    const { allowedOrigins, openHosts } = c.get('settings');
    const isAllowed = allowedOrigins.has('*') || allowedOrigins.has(c.req.header('Origin') ?? '');
    const open = openHosts.has(SIGNAL.exec(c.req.path)?.[1] ?? '');
    if (!isAllowed && !open) throw new DirectError('E_ORIGIN');
  }
  await next();
};
