/** Cloudflare Realtime TURN (developers.cloudflare.com/realtime/turn/generate-credentials). */
import {
  answeredJson,
  askProvider,
  type Minted,
  mintedServers,
  type TurnProvider,
  type TurnWorld,
} from './provider.ts';
import { type CloudflareTurn, MAX_TTL_SECONDS } from './settings.ts';

const KEYS = 'https://rtc.live.cloudflare.com/v1/turn/keys';

export function cloudflareTurn({ keyId, token }: CloudflareTurn, world: TurnWorld): TurnProvider {
  const credentials = `${KEYS}/${keyId}/credentials`;
  const authorization = { Authorization: `Bearer ${token}` };
  return {
    name: 'cloudflare',

    async mint({ ttlSeconds, signal }): Promise<Minted> {
      const ttl = Math.min(ttlSeconds, MAX_TTL_SECONDS);
      // Counted from before the request: the credential must not seem to last longer than it does.
      const expiresAt = world.now() + ttl * 1000;
      const init = {
        method: 'POST',
        headers: { ...authorization, 'Content-Type': 'application/json' },
        body: JSON.stringify({ ttl }),
        signal,
      };
      const response = await askProvider(world, `${credentials}/generate-ice-servers`, init, 201);
      const answer = await answeredJson(response);
      const servers = mintedServers((answer as { iceServers?: unknown } | null)?.iceServers);
      const usernames = new Set(servers.flatMap(({ username }) => username ?? []));
      return { servers, expiresAt, usernames: [...usernames] };
    },

    async revoke(username, signal) {
      const url = `${credentials}/${encodeURIComponent(username)}/revoke`;
      await askProvider(world, url, { method: 'POST', headers: authorization, signal }, 204);
    },
  };
}
