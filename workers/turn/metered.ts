/**
 * Metered's TURN servers (metered.ca/docs/turn-rest-api/get-credential). An API key of theirs stands for one credential,
 * which lasts until its owner ends it: the answer names no end, and there is nothing to revoke for one user alone.
 */
import { answeredJson, askProvider, mintedServers, type TurnProvider, type TurnWorld } from './provider.ts';
import type { MeteredTurn } from './settings.ts';

export function meteredTurn({ app, apiKey, region }: MeteredTurn, world: TurnWorld): TurnProvider {
  const query = new URLSearchParams({ apiKey, ...(region === undefined ? {} : { region }) });
  return {
    name: 'metered',
    async mint({ signal }) {
      const url = `https://${app}.metered.live/api/v1/turn/credentials?${query}`;
      const response = await askProvider(world, url, { method: 'GET', signal }, 200);
      return { servers: mintedServers(await answeredJson(response)), usernames: [] };
    },
  };
}
