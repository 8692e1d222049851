/** What a laptop goes through and Node tells nobody: it sleeps, and it comes to another network. */
import type { Network } from '#client';
import type { Interfaces } from '../local-addresses.ts';

export interface LaptopNetworkOptions {
  interfaces(): Interfaces;
  /** Milliseconds since 1970: this clock goes on while the machine sleeps. */
  now(): number;
  /** Calls `look` every so many ms until the returned function is called. */
  every(ms: number, look: () => void): () => void;
  /** The edge is on this machine: no network is needed to reach it. */
  isLocal: boolean;
}

/** Reading the interfaces takes well under a millisecond. A path that died with the network is noticed this late. */
const LOOK_MS = 2_000;
/** A look that comes so much later than it should means that the machine slept, or could do nothing for as long. */
const ASLEEP_MS = 8_000;

export function laptopNetwork({ interfaces, now, every, isLocal }: LaptopNetworkOptions): Network {
  return {
    online: () => isLocal || addressesOf(interfaces()).length > 0,
    watch: ({ wake }) => {
      let before = addressesOf(interfaces());
      let lookedAt = now();
      return every(LOOK_MS, () => {
        const addresses = addressesOf(interfaces());
        const slept = now() - lookedAt - LOOK_MS;
        lookedAt = now();
        const isNew = addresses.some((address) => !before.includes(address));
        const hasChanged = isNew || addresses.length !== before.length;
        before = addresses;
        // An address that has gone may be that of the path; one that has come is a reason for another path.
        if (hasChanged) wake('network change', isNew);
        else if (slept > ASLEEP_MS) wake('sleep', false);
      });
    },
  };
}

/** Without those of this machine alone. */
function addressesOf(interfaces: Interfaces): string[] {
  return Object.entries(interfaces)
    .flatMap(([name, addresses]) =>
      (addresses ?? []).filter(({ internal }) => !internal).map((one) => `${name} ${one.address}`),
    )
    .sort();
}
