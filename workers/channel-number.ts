/**
 * Numbers of channels. They are random, so that a late message of an earlier channel hits no later one. Those of relays
 * are odd and those of the tunnel even, so that an object that was evicted needs no memory to tell them apart.
 */
import { MAX_CHANNEL_NUMBER } from '../shared/limits.ts';

type Owner = 'tunnel' | 'relay';

/** A number that is not `taken`. */
export function newChannelNumber(owner: Owner, taken: (number: number) => boolean): number {
  const random = (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) & MAX_CHANNEL_NUMBER;
  const number = owner === 'relay' ? random | 1 : random & ~1;
  return taken(number) ? newChannelNumber(owner, taken) : number;
}

export function channelOwner(number: number): Owner {
  return number % 2 === 1 ? 'relay' : 'tunnel';
}
