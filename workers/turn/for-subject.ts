/** The TURN credential of whoever asks: the one that the account keeps, or a new one. */
import type { CachedTurn } from '../account/turn-credentials.ts';
import { accountOf } from '../account-stub.ts';
import type { EdgeContext } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import type { Settings } from '../settings.ts';
import { mintFirst } from './minting.ts';
import { realWorld } from './provider.ts';
import { type TurnConfiguration, turnConfigurations, turnProviders, turnUser } from './providers.ts';

/** Of the providers that are used: none where the owner has named the servers. */
export async function turnConfigurationsOf({ iceServers, turn, ownerToken }: Settings): Promise<TurnConfiguration[]> {
  return iceServers === undefined ? turnConfigurations(turn, ownerToken) : [];
}

/**
 * A credential for `subject`, and undefined when no provider serves. `cached` is what the account said when it was asked
 * who the caller is. A new one is made here and not in the object, which a slow provider would keep in memory.
 * @throws DirectError `E_UNAUTHORIZED` when the subject has ended meanwhile
 */
export async function turnFor(
  c: EdgeContext,
  subject: string,
  configurations: readonly TurnConfiguration[],
  cached: CachedTurn | undefined,
): Promise<CachedTurn | undefined> {
  if (configurations.length === 0) return undefined;
  const known = cached ?? (await keptForNobody(c, subject, configurations));
  if (known !== undefined) return known;
  const { turn, ownerToken } = c.get('settings');
  const world = realWorld(c.env.TURN_API?.fetch);
  const asked = { subject, user: await turnUser(subject, ownerToken), ttlSeconds: turn.ttlSeconds };
  const minting = await mintFirst(turnProviders(turn, world), configurations, asked, world);
  const recorded = accountOf(c).turn().record(minting);
  if (minting.minted === undefined) {
    c.executionCtx.waitUntil(recorded);
    return undefined;
  }
  // Nobody gets it before it is kept: it could not be revoked.
  unwrap(await recorded);
  const { configuration, servers, expiresAt } = minting.minted;
  return { source: configuration.source, servers, expiresAt };
}

/** Who has no credential is not asked about at the account, which may have a TURN credential for them all the same. */
async function keptForNobody(
  c: EdgeContext,
  subject: string,
  configurations: readonly TurnConfiguration[],
): Promise<CachedTurn | undefined> {
  if (subject !== 'anonymous') return undefined;
  return accountOf(c)
    .turn()
    .usable(subject, [...configurations]);
}
