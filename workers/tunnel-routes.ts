/** The tunnel's front door: every address that is neither ours nor the page's belongs to a host. */
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { DirectError } from '../shared/errors.ts';
import { DIRECT_GRANT, encodeGrant } from '../shared/grant.ts';
import { isId } from '../shared/signal.ts';
import { identify, refuse } from './auth.ts';
import { type EdgeContext, type EdgeEnv, grantOf, mayUse } from './caller.ts';
import { markEnd } from './marked-body.ts';
import { DIRECT_HOST } from './tunnel-headers.ts';

/** Tells HostObject a tunnelled request from the Worker's own ones; clients have no say in it. */
export const TUNNEL_HOSTNAME = 'tunnel';

export const tunnel = new Hono<EdgeEnv>();

// Any origin, for pages that know a key and put it into a field. The cookie is good for our own pages only (origin.ts).
tunnel.use(cors({ origin: '*', exposeHeaders: ['*'], maxAge: 7200 }));

tunnel.all('*', async (c) => {
  const { caller, host } = await identify(c, { host: askedHost(c) ?? c.get('settings').defaultHost ?? null });
  // Hosts that are open for signaling are not open for this: a request here reaches the model.
  if (!mayUse(caller, host)) return refuse(c, caller, 'the tunnel needs a credential for this host');
  const { raw } = c.req;
  const { pathname, search } = new URL(raw.url);
  const url = `https://${TUNNEL_HOSTNAME}${pathname}${search}`;
  const marked = raw.body !== null && !raw.headers.has('content-length');
  const request = marked ? new Request(url, new Request(raw, { body: markEnd(raw.body) })) : new Request(url, raw);
  // In place of what the client may have set; the agent believes it of this way only.
  request.headers.set(DIRECT_GRANT, encodeGrant(grantOf(caller)));
  // Said again: the copy has a signal of its own, and the object must see when the client goes away. It is the client that follows
  // redirections, or not.
  return c.env.HOSTS.getByName(host).fetch(request, { signal: raw.signal, redirect: 'manual' });
});

function askedHost(c: EdgeContext): string | undefined {
  const asked = c.req.header(DIRECT_HOST);
  if (asked !== undefined && !isId(asked)) throw new DirectError('E_NOT_FOUND', 'Direct-Host is not a host id');
  return asked;
}
