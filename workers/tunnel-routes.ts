/** The tunnel's front door: every address that is neither ours nor the page's belongs to a host. */
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { DirectError } from '../shared/errors.ts';
import { DIRECT_GRANT, encodeGrant } from '../shared/grant.ts';
import { isId } from '../shared/signal.ts';
import { callerOf, type EdgeContext, type EdgeEnv, grantOf, refuseCaller } from './caller.ts';
import { markEnd } from './marked-body.ts';
import { readSettings } from './settings.ts';
import { DIRECT_HOST } from './tunnel-headers.ts';

/** Tells HostObject a tunnelled request from the Worker's own ones; clients have no say in it. */
export const TUNNEL_HOSTNAME = 'tunnel';

export const tunnel = new Hono<EdgeEnv>();

// Any origin: the key is in a field that a page must know, not in a cookie that a browser adds.
tunnel.use(cors({ origin: '*', exposeHeaders: ['*'], maxAge: 7200 }));

tunnel.all('*', async (c) => {
  c.set('settings', readSettings(c.env));
  // Hosts that are open for signaling are not open for this: a request here reaches the model.
  const caller = await callerOf(c);
  if (caller !== 'owner') return refuseCaller(c, 'the tunnel needs the owner’s token');
  const { raw } = c.req;
  const { pathname, search } = new URL(raw.url);
  const url = `https://${TUNNEL_HOSTNAME}${pathname}${search}`;
  const marked = raw.body !== null && !raw.headers.has('content-length');
  const request = marked ? new Request(url, new Request(raw, { body: markEnd(raw.body) })) : new Request(url, raw);
  // In place of what the client may have set; the agent believes it of this way only.
  request.headers.set(DIRECT_GRANT, encodeGrant(grantOf(caller)));
  // Said again: the copy has a signal of its own, and the object must see when the client goes away.
  return c.env.HOSTS.getByName(hostOf(c)).fetch(request, { signal: raw.signal });
});

function hostOf(c: EdgeContext): string {
  const asked = c.req.header(DIRECT_HOST);
  if (asked === undefined) return c.get('settings').defaultHost;
  if (!isId(asked)) throw new DirectError('E_NOT_FOUND', 'Direct-Host is not a host id');
  return asked;
}
