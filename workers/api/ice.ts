/** Whether clients get TURN servers, and from whom. */
import { Hono } from 'hono';
import type { IceStatus } from '../../shared/account-api.ts';
import { accountOf } from '../account-stub.ts';
import type { EdgeEnv } from '../caller.ts';
import { hasTurn } from '../ice-servers.ts';
import { turnConfigurations } from '../turn/providers.ts';
import { ownerOrHost } from './guards.ts';

export const ice = new Hono<EdgeEnv>();

ice.get('/ice', ownerOrHost(), async (c) => {
  const { iceServers, turn, ownerToken } = c.get('settings');
  const providers = await accountOf(c)
    .turn()
    .status(await turnConfigurations(turn, ownerToken));
  const serving = providers.find(({ failing }) => !failing);
  const status: IceStatus =
    iceServers === undefined
      ? { source: serving?.source ?? 'default', turn: serving !== undefined, providers }
      : { source: 'configuration', turn: hasTurn(iceServers), providers };
  return c.json(status);
});
