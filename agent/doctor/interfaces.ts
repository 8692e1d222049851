/** The addresses of this machine: which of them clients are told, which not and why, and what IPv6 is worth here. */
import { ConfigError } from '../config-error.ts';
import { chooseEngine, type Installed } from '../engine.ts';
import { chooseAddresses, type Interfaces, idlePatterns, type LeftAddress } from '../local-addresses.ts';
import type { NetworkSettings } from '../network-settings.ts';
import { isGlobal } from '../port-mapping/ip-address.ts';
import { reaches } from './edge.ts';
import { type Finding, inParts, ok, skipped, warning } from './finding.ts';
import { hostOf, type Lookup, named } from './names.ts';
import { within } from './once.ts';

const CALL_MS = 4_000;
/** Nobody expects them to be used. */
const USUAL = ['loopback', 'link-local'];

export function checkInterfaces(interfaces: Interfaces, network: NetworkSettings): Finding[] {
  const { used, left } = chooseAddresses(interfaces, network);
  const findings: Finding[] = idlePatterns(network, interfaces).map((line) => ({
    ...warning('network.interfaces', ''),
    ...inParts(line),
  }));
  const data = { used: used.map(({ interface: name, address }) => ({ interface: name, address })), left };
  const byInterface = Map.groupBy(used, (one) => one.interface);
  const names = [...byInterface].map(([name, all]) => `${name} (${all.map(({ address }) => address).join(', ')})`);
  if (used.length === 0) {
    const fix = 'Connect this machine to a network; if it is connected, see “interfaces” in the configuration.';
    const meaning = 'There can be no direct connection.';
    findings.push(warning('network.interfaces', 'No network interface is used.', { meaning, fix, data }));
  } else {
    const told = used.filter(({ address, advertised }) => advertised[0] !== address);
    const meaning =
      told.length === 0
        ? {}
        : { meaning: `Clients are told ${[...new Set(told.flatMap((one) => one.advertised))].join(', ')}.` };
    findings.push(ok('network.interfaces', `Used: ${names.join('; ')}.`, { ...meaning, data }));
  }
  const unusual = left.filter(({ why }) => used.length === 0 || !USUAL.includes(why));
  for (const [why, all] of Map.groupBy(unusual, (one) => one.why))
    findings.push(ok('network.interfaces', leftOut(why, all)));
  return findings;
}

/** Which library makes direct connections. Where the configuration names one that is not there, that says so. */
export function checkEngine(network: NetworkSettings, installed?: Installed): Finding[] {
  try {
    const { name, why } = chooseEngine(network, installed);
    return [ok('network.engine', `Direct connections are made by ${name}: ${why}.`, { data: { engine: name } })];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [skipped('network.engine', 'No engine for direct connections: see the configuration above.')];
  }
}

function leftOut(why: string, all: readonly LeftAddress[]): string {
  const names = [...new Set(all.map((one) => one.interface))];
  const shown = names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
  return `Left out: ${shown} (${why}).`;
}

export interface Ipv6Options {
  readonly interfaces: Interfaces;
  readonly network: NetworkSettings;
  /** Undefined: none is known. */
  readonly edge: string | undefined;
  readonly look: Lookup;
  readonly signal: AbortSignal;
}

export async function checkIpv6({ interfaces, network, edge, look, signal }: Ipv6Options): Promise<Finding[]> {
  if (network.ipFamily === 'ipv4') return [skipped('network.ipv6', 'IPv6 is not used: ip_family is ipv4.')];
  const { used } = chooseAddresses(interfaces, network);
  const addresses = used
    .filter(({ family, address }) => family === 6 && isGlobal(address))
    .map(({ address }) => address);
  if (addresses.length === 0) {
    return [
      ok('network.ipv6', 'This machine has no global IPv6 address.', {
        meaning: 'Direct connections use IPv4 alone, through the router’s NAT.',
        fix: 'If your provider offers IPv6, switch it on in the router: it needs no NAT.',
        data: { addresses },
      }),
    ];
  }
  const limit = within(CALL_MS, signal);
  const target = edge === undefined ? undefined : await ipv6Of(edge, look, limit);
  const has = `This machine has the global IPv6 address ${addresses[0]}`;
  if (target === undefined) {
    return [ok('network.ipv6', `${has}; nothing was there to try it with.`, { data: { addresses, edge_ms: null } })];
  }
  const ms = await reaches(target.address, target.port, limit);
  const data = { addresses, edge_ms: ms ?? null };
  if (ms !== undefined) return [ok('network.ipv6', `${has} and reaches the edge by IPv6 (${ms} ms).`, { data })];
  return [
    warning('network.ipv6', `${has}, but the edge does not answer by IPv6.`, {
      meaning: 'Connections try it in vain before they take IPv4.',
      fix: 'Mend IPv6 in the router, or set ip_family: ipv4.',
      data,
    }),
  ];
}

async function ipv6Of(
  edge: string,
  look: Lookup,
  signal: AbortSignal,
): Promise<{ address: string; port: number } | undefined> {
  const { port, protocol } = new URL(edge);
  const host = hostOf(edge);
  const { addresses } = await named(look, host, 6, signal);
  const address = addresses.find((one) => one.includes(':') && isGlobal(one));
  return address === undefined ? undefined : { address, port: Number(port || (protocol === 'https:' ? 443 : 80)) };
}

/** Variables that other programs take for the way out. `reached`: whether the edge answers. */
export async function checkProxy(
  env: Readonly<Record<string, string | undefined>>,
  reached: () => Promise<boolean>,
): Promise<Finding[]> {
  const names = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].filter((name) => (env[name] ?? '') !== '');
  if (names.length === 0) return [];
  const what = `${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} set; direct-agent uses no proxy.`;
  const data = { variables: names };
  if (await reached()) {
    return [ok('network.proxy', what, { meaning: 'It does not need one: the edge answers without.', data })];
  }
  return [
    warning('network.proxy', what, {
      meaning: 'That may be why the edge does not answer.',
      fix: 'Let this machine reach the edge by TCP port 443 without the proxy.',
      data,
    }),
  ];
}
