/**
 * coturn with a shared secret (`use-auth-secret`; draft-uberti-behave-turn-rest-00): the user name says when it ends, and
 * the password is its keyed hash, which the server computes as well. Nobody is asked, and nothing can be revoked.
 */
import { hmac } from './keyed-hash.ts';
import { type Minted, mintedServers, type TurnProvider, type TurnWorld } from './provider.ts';
import type { CoturnTurn } from './settings.ts';

export function coturnTurn({ urls, secret }: CoturnTurn, world: TurnWorld): TurnProvider {
  return {
    name: 'coturn',
    async mint({ ttlSeconds, user }): Promise<Minted> {
      const endsAt = Math.floor(world.now() / 1000) + ttlSeconds;
      const username = `${endsAt}:${user}`;
      const credential = btoa(String.fromCharCode(...(await hmac('SHA-1', secret, username))));
      const servers = mintedServers([{ urls: [...urls], username, credential }]);
      return { servers, expiresAt: endsAt * 1000, usernames: [] };
    },
  };
}
