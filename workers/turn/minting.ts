/** From the providers, in their order, the first credential that one of them makes. */
import type { Minting } from '../account/turn-credentials.ts';
import { inTime, type Minted, TurnFailure, type TurnProvider, type TurnWorld } from './provider.ts';
import type { TurnConfiguration } from './providers.ts';

/** So much of a credential's life is for those who have it already; whoever asks gets one that lasts longer. */
const MAX_MARGIN_MS = 5 * 60_000;
/** Of a short life. More than the third that clients leave (web/client/ice-servers.ts): what they then get is new. */
const MARGIN_OF_LIFE = 0.4;
/** What the second choice made is handed out no longer than this: the first may be back. */
const SECOND_CHOICE_MS = 5 * 60_000;

export interface Mint {
  subject: string;
  /** `MintRequest.user` of the subject. */
  user: string;
  ttlSeconds: number;
}

/** A provider that fails, or does not answer in time, is passed over. */
export async function mintFirst(
  providers: readonly TurnProvider[],
  configurations: readonly TurnConfiguration[],
  { subject, user, ttlSeconds }: Mint,
  world: TurnWorld,
): Promise<Minting> {
  const failures: Minting['failures'] = [];
  for (const configuration of configurations) {
    const provider = providers.find(({ name }) => name === configuration.source);
    if (provider === undefined) continue;
    try {
      const made = await inTime(world, (signal) => provider.mint({ ttlSeconds, user, signal }));
      const renewAt = renewalOf(made, ttlSeconds, failures.length > 0, world.now());
      const { servers, usernames, expiresAt = null } = made;
      return { subject, failures, minted: { configuration, servers, usernames, expiresAt, renewAt } };
    } catch (error) {
      failures.push({ configuration, reason: error instanceof TurnFailure ? error.message : 'failed' });
    }
  }
  return { subject, failures };
}

function renewalOf({ expiresAt }: Minted, ttlSeconds: number, isSecondChoice: boolean, now: number): number {
  const lifeMs = expiresAt === undefined ? 0 : expiresAt - now;
  const margin = Math.min(MAX_MARGIN_MS, lifeMs * MARGIN_OF_LIFE);
  const renewAt = expiresAt === undefined ? now + ttlSeconds * 1000 : Math.floor(expiresAt - margin);
  return isSecondChoice ? Math.min(renewAt, now + SECOND_CHOICE_MS) : renewAt;
}
