/** Whether the router opens a port when it is asked: PCP, NAT-PMP, UPnP-IGD. What it grants is given back at once. */
import { randomBytes } from 'node:crypto';
import { type Endpoint, endpointText } from '../datagram.ts';
import { chooseAddresses, type Interfaces } from '../local-addresses.ts';
import type { NetworkSettings } from '../network-settings.ts';
import { isGlobal, isPrivate } from '../port-mapping/ip-address.ts';
import { type Gateway, type Lease, type Protocol, Refused, systemTime } from '../port-mapping/lease.ts';
import { askNatPmp } from '../port-mapping/nat-pmp.ts';
import { askPcp } from '../port-mapping/pcp.ts';
import { askUpnp } from '../port-mapping/upnp.ts';
import { type Finding, ok, skipped, warning } from './finding.ts';
import { unlessAborted, within } from './once.ts';
import { StunProbe } from './stun-probe.ts';

/** PCP and NAT-PMP repeat for 3.75 s; UPnP takes a search and two requests. */
const ASK_MS = 5_000;
const RELEASE_MS = 1_000;
const CHECK = 'router.port';

export interface RouterOptions {
  readonly interfaces: Interfaces;
  readonly network: NetworkSettings;
  gateway(address: string): Promise<Gateway | undefined>;
  /** In the order of preference. */
  readonly protocols?: readonly Protocol[];
  readonly signal: AbortSignal;
}

export async function checkRouter(options: RouterOptions): Promise<Finding[]> {
  const { interfaces, network, signal } = options;
  if (network.relayOnly) return [skipped(CHECK, 'The router is not asked for a port: relay_only is set.')];
  if (!network.portMapping) return [skipped(CHECK, 'The router is not asked for a port: port_mapping is off.')];
  const local = chooseAddresses(interfaces, network).used.find(({ family }) => family === 4);
  if (local === undefined) return [skipped(CHECK, 'The router is not asked for a port: no IPv4 address is used.')];
  if (isGlobal(local.address)) return [skipped(CHECK, `${local.address} is public: no router has to open a port.`)];
  const limit = within(ASK_MS, signal);
  const gateway = await unlessAborted(options.gateway(local.address), limit).catch(() => undefined);
  if (gateway === undefined) return [skipped(CHECK, 'No router was found to ask for a port.')];
  // A port that is really in use, and not the agent's own.
  const socket = await StunProbe.open(4, limit);
  try {
    return await askAll(options, gateway, [local.address, socket.port], limit);
  } finally {
    socket.close();
  }
}

async function askAll(
  options: RouterOptions,
  gateway: Gateway,
  local: Endpoint,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { protocols = [askPcp, askNatPmp, askUpnp] } = options;
  const [address, port] = local;
  const asked = protocols.map(async (protocol) => {
    const ask = {
      local: { address, port },
      gateway,
      suggested: undefined,
      nonce: randomBytes(12),
      time: systemTime,
      signal,
    };
    const lease = await protocol(ask);
    await lease.release(AbortSignal.timeout(RELEASE_MS)).catch(() => {});
    return lease;
  });
  const ended = await Promise.allSettled(asked.map((each) => unlessAborted(each, signal)));
  const leases = ended.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const [lease] = leases;
  if (lease !== undefined) return [granted(lease, leases)];
  const refusals = ended.flatMap((each) =>
    each.status === 'rejected' && each.reason instanceof Refused ? [each.reason] : [],
  );
  const [refusal] = refusals;
  const data = { gateway: gateway.address };
  const meaning = 'Direct connections then depend on the router’s NAT alone; see the lines about it.';
  if (refusal !== undefined) {
    return [
      warning(CHECK, `The router ${gateway.address} opens no port: ${refusal.message}.`, {
        meaning,
        fix: 'Allow this machine in the router’s UPnP or PCP settings, or forward a UDP port and set udp_ports.',
        data,
      }),
    ];
  }
  return [
    ok(CHECK, `The router ${gateway.address} speaks none of PCP, NAT-PMP and UPnP-IGD.`, {
      meaning,
      fix: 'For the best connections switch UPnP on there, or forward a UDP port and set udp_ports.',
      data,
    }),
  ];
}

function granted({ external, gateway }: Lease, leases: readonly Lease[]): Finding {
  const protocols = leases.map(({ protocol }) => protocol);
  const what = `The router ${gateway} opens ports (${protocols.join(', ')}); its outer address is ${external.address}.`;
  const data = { gateway, protocols, external: endpointText([external.address, external.port]) };
  if (!isPrivate(external.address)) {
    return ok(CHECK, what, { meaning: 'Clients reach this machine directly, whatever their NAT.', data });
  }
  const isCarriers = /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(external.address);
  return warning(CHECK, what, {
    meaning: isCarriers
      ? 'That is an address of the provider’s own NAT (RFC 6598): the opened port leads out of the house, not to the internet. Direct connections depend on the provider’s NAT.'
      : 'That address is private: there are two routers, one behind the other. The opened port leads into the outer one’s network only.',
    fix: isCarriers
      ? 'Ask the provider for a public IPv4 address, or use IPv6.'
      : 'Let the outer router pass everything to the inner one (bridge mode, exposed host), or connect this machine to the outer one.',
    data,
  });
}
