/** The providers that the owner has set up, in their order. */
import { encodeBase64url } from '../../shared/base64url.ts';
import { cloudflareTurn } from './cloudflare.ts';
import { coturnTurn } from './coturn.ts';
import { hmac } from './keyed-hash.ts';
import { meteredTurn } from './metered.ts';
import type { TurnProvider, TurnSource, TurnWorld } from './provider.ts';
import type { TurnSettings } from './settings.ts';

/** 96 bits in 16 characters: no two meet by chance. */
const NAME_BYTES = 12;

export function turnProviders(settings: TurnSettings, world: TurnWorld): TurnProvider[] {
  const { cloudflare, metered, coturn } = settings;
  return [
    ...(cloudflare === undefined ? [] : [cloudflareTurn(cloudflare, world)]),
    ...(metered === undefined ? [] : [meteredTurn(metered, world)]),
    ...(coturn === undefined ? [] : [coturnTurn(coturn, world)]),
  ];
}

/** Which provider, set up how. */
export interface TurnConfiguration {
  readonly source: TurnSource;
  /** Another one as soon as any variable of it changes. */
  readonly id: string;
}

/** Of the providers that are set up, in their order. Keyed by the owner's token: what is stored tells nothing of keys. */
export function turnConfigurations(settings: TurnSettings, ownerToken: string): Promise<TurnConfiguration[]> {
  const { cloudflare, metered, coturn, ttlSeconds } = settings;
  const all: [TurnSource, object | undefined][] = [
    ['cloudflare', cloudflare],
    ['metered', metered],
    ['coturn', coturn],
  ];
  const set = all.filter(([, variables]) => variables !== undefined);
  return Promise.all(
    set.map(async ([source, variables]) => ({
      source,
      id: await keyedName(ownerToken, 'direct-agent turn configuration v1', [source, variables, ttlSeconds]),
    })),
  );
}

/** `MintRequest.user` of a subject, which whoever runs the TURN server cannot take back. */
export function turnUser(subject: string, ownerToken: string): Promise<string> {
  return keyedName(ownerToken, 'direct-agent turn user v1', subject);
}

async function keyedName(ownerToken: string, purpose: string, value: unknown): Promise<string> {
  const hash = await hmac('SHA-256', ownerToken, JSON.stringify([purpose, value]));
  return encodeBase64url(hash.slice(0, NAME_BYTES));
}
