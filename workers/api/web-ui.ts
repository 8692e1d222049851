/** Which host's web UI a browser shows. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import type { EdgeEnv } from '../caller.ts';
import { chooseHost } from '../session-cookie.ts';
import { malformed } from './fields.ts';
import { ownerOrGuest } from './guards.ts';
import { usableHosts } from './hosts.ts';
import { jsonBody } from './json-body.ts';

export const webUi = new Hono<EdgeEnv>();

webUi.post('/ui/host', ownerOrGuest(), async (c) => {
  const { host } = await jsonBody(c);
  if (host !== null && typeof host !== 'string')
    malformed('host must be a host id, or null for whichever is the only one');
  const usable = await usableHosts(c, c.get('caller'));
  if (host !== null && !usable.some(({ id, web_ui }) => id === host && web_ui)) {
    throw new DirectError('E_NOT_FOUND', 'there is no such host, or its web UI is not switched on');
  }
  chooseHost(c, host);
  return c.body(null, 204);
});
