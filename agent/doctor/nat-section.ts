/** Which servers are asked how the network treats UDP, and the findings of both families. */
import type { IceServer } from '../../shared/signal.ts';
import type { Endpoint } from '../datagram.ts';
import { type StunServer, stunServers } from '../ice-urls.ts';
import type { Interfaces } from '../local-addresses.ts';
import type { NetworkSettings } from '../network-settings.ts';
import type { ResolveName } from '../server-names.ts';
import { type Finding, skipped } from './finding.ts';
import { type NatView, observeNat } from './nat.ts';
import { natFindings } from './nat-words.ts';
import { once } from './once.ts';
import { turnWays } from './turn.ts';
import type { Visit } from './visit.ts';

/** What an edge names that has no ICE_SERVERS; for machines that have no edge yet. */
const DEFAULT_ICE_SERVERS: readonly IceServer[] = [{ urls: ['stun:stun.cloudflare.com:3478'] }];

export interface NatSectionOptions {
  readonly network: NetworkSettings;
  /** Asked besides those of the configuration or the edge. */
  readonly extra: readonly StunServer[];
  readonly visit: Visit | undefined;
  readonly interfaces: () => Interfaces;
  readonly resolve: ResolveName;
  /** Whether the edge answers by TCP. */
  readonly reached: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

export interface NatSection {
  check(family: 4 | 6): Promise<Finding[]>;
  /** The servers that answer. */
  answering(): Promise<readonly Endpoint[]>;
}

export function natSection(options: NatSectionOptions): NatSection {
  const { network, extra, visit, interfaces, resolve, reached, signal } = options;
  const isWanted = (family: 4 | 6) =>
    !network.relayOnly && (network.ipFamily === 'any' || network.ipFamily === `ipv${family}`);
  const observe = (family: 4 | 6) =>
    once(async (): Promise<NatView | undefined> => {
      if (!isWanted(family)) return undefined;
      const servers = [...extra, ...(await knownServers(network.stunUrls, visit))];
      const ownAddresses = Object.values(interfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
      return await observeNat({ family, servers, resolve, ownAddresses, signal });
    });
  const views = { 4: observe(4), 6: observe(6) };
  return {
    async check(family) {
      if (family === 4 && network.relayOnly) {
        return [skipped('nat.udp', 'NAT does not matter: relay_only is set, all goes through TURN.')];
      }
      return isWanted(family) ? natFindings(await views[family](), family, await reached()) : [];
    },
    async answering() {
      const both = await Promise.all([views[4](), views[6]()]);
      return both.flatMap((view) => view?.answered.map(({ server }) => server) ?? []);
    },
  };
}

/** Whoever tells addresses apart: STUN servers, and TURN servers, which speak STUN as well. */
async function knownServers(stunUrls: readonly string[], visit: Visit | undefined): Promise<StunServer[]> {
  if (stunUrls.length > 0) return stunServers([{ urls: [...stunUrls] }]);
  const admitted = await visit?.admitted();
  const iceServers = admitted === undefined || 'why' in admitted ? DEFAULT_ICE_SERVERS : admitted.facts.iceServers;
  const turn = turnWays(iceServers).flatMap(({ server }) => (server.transport === 'udp' ? [server] : []));
  return [...stunServers(iceServers), ...turn];
}
