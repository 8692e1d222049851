/** How AccountObject revokes what providers have made. */
import type { Revoke } from '../account/turn-credentials.ts';
import { inTime, realWorld, TurnFailure } from './provider.ts';
import { turnProviders } from './providers.ts';
import { turnSettings } from './settings.ts';

/** By the providers as they are set up now: a key that was taken away cannot revoke, and says so as a failure. */
export function revokingBy(env: Cloudflare.Env): Revoke {
  const world = realWorld(env.TURN_API?.fetch);
  return async (source, username) => {
    const provider = turnProviders(turnSettings(env), world).find(({ name }) => name === source);
    if (provider?.revoke === undefined) throw new TurnFailure('no longer set up');
    await inTime(world, async (signal) => provider.revoke?.(username, signal));
  };
}
