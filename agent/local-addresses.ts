/** Which addresses of this machine WebRTC uses, what clients are told in their place, and why the others are left out. */
import type { NetworkInterfaceInfo } from 'node:os';
import { ConfigError } from './config-error.ts';
import { networks } from './ip-address.ts';
import type { AddressMapping, LocalAddress, NetworkSettings } from './network-settings.ts';
import { familyName, placed } from './network-values.ts';

/** As `os.networkInterfaces()` gives them: those that are up and have an address. */
export type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

export type AddressSettings = Pick<
  NetworkSettings,
  'interfaces' | 'excludeInterfaces' | 'nat1to1' | 'ipFamily' | 'places'
>;

export interface LeftAddress {
  readonly interface: string;
  readonly address: string;
  /** Completes “… is left out: ”. */
  readonly why: string;
}

export interface ChosenAddresses {
  used: LocalAddress[];
  left: LeftAddress[];
}

/**
 * Each address costs a socket, and pairs to check with each candidate of the client: with 6 of those, 16 make 96 of
 * the 100 pairs that RFC 8445 (section 6.1.2.5) lets an agent check. A machine with more has aliases of one network.
 */
export const MAX_LOCAL_ADDRESSES = 16;

/** Interfaces in messages; whoever has more sees them with `ip address`. */
const MAX_SHOWN = 8;
/** Addresses that are left out for one reason. */
const MAX_LEFT_SHOWN = 3;

const LOOPBACK = 'loopback';
const LINK_LOCAL = 'link-local';
const LINK_LOCAL_NETWORKS = networks('169.254.0.0/16', 'fe80::/10');

/**
 * Interfaces that lead to guests inside this machine only. A client cannot reach their addresses, or reaches its own
 * docker0 there: the same 172.17.0.1 exists on most machines that have Docker. libwebrtc leaves out the virtual
 * machines' ones by name as well (rtc_base/network.cc, IsIgnoredNetwork); LocalAI met what Docker's do to a call
 * (https://github.com/mudler/LocalAI/pull/11466).
 *
 * Not here: VPNs and overlays such as Tailscale, WireGuard and ZeroTier, since their peers do reach this machine there,
 * and by no other address if it has no other way in; `br0`, `br-lan`, `bridge0` and Hyper-V's external switches, which
 * hold the address of the real network.
 */
const VIRTUAL: readonly (readonly [RegExp, string])[] = [
  // docker0, docker_gwbridge; networks of docker compose; container ends of any runtime; Home Assistant's supervisor.
  [/^(docker.*|br-[0-9a-f]{12}|veth.*|hassio)$/, 'containers'],
  [/^(podman|cni|nerdctl|lxcbr|lxdbr|incusbr|lxc)[-\w]*$/, 'containers'],
  [/^(cbr|kube|flannel|cali|cilium|antrea|weave)[-\w.]*$/, 'Kubernetes'],
  // libvirt, KVM, VMware, VirtualBox, Parallels, macOS' vmnet.
  [/^(virbr|vnet|vmnet|vboxnet|vnic|vmenet)[-\w]*$/, 'virtual machines'],
  [/^(VirtualBox Host-Only|VMware Network Adapter VMnet)/, 'virtual machines'],
  // From 100 on: macOS' networks of virtual machines and of Internet Sharing.
  [/^bridge1\d\d$/, 'virtual machines'],
  // Hyper-V's internal switches.
  [/^vEthernet \((WSL|Default Switch|nat\b|Docker|HNS )/, 'virtual machines'],
  // AirDrop and its like.
  [/^(awdl|llw)\d+$/, 'Apple’s own connections'],
];

/** After the others, in case there are more than are used. */
const OVERLAY = /^(tun|tap|utun|wg|tailscale|zt|nebula|ZeroTier)/i;

interface Address {
  readonly interface: string;
  readonly address: string;
  readonly family: 4 | 6;
  readonly internal: boolean;
}

/**
 * Pure: the same interfaces give the same addresses in the same order, in whatever order the system lists them.
 *
 * By default all are used but loopback, link-local and virtual ones; the last only while another interface has an
 * address. `interfaces`, or `nat1to1` with that local address, chooses a virtual one all the same.
 */
export function chooseAddresses(interfaces: Interfaces, settings: AddressSettings): ChosenAddresses {
  const all = addressesOf(interfaces);
  // Whatever the settings exclude: they never make a network of containers the way to this machine.
  const hasOther = all.some((one) => virtualFor(one) === undefined && !one.internal && !isLinkLocal(one));
  const left: LeftAddress[] = [];
  const used: LocalAddress[] = [];
  const seen = new Set<string>();
  for (const one of inOrder(all, settings)) {
    const why =
      reasonToLeave(one, settings, hasOther) ?? (seen.has(one.address) ? 'another interface has it' : undefined);
    if (why !== undefined) {
      left.push({ interface: one.interface, address: one.address, why });
    } else if (used.length === MAX_LOCAL_ADDRESSES) {
      left.push({ interface: one.interface, address: one.address, why: `more than ${MAX_LOCAL_ADDRESSES}` });
    } else {
      seen.add(one.address);
      const { interface: name, address, family } = one;
      const external = mappingOf(one, settings.nat1to1)?.external;
      used.push({ interface: name, address, family, advertised: [external ?? address] });
    }
  }
  return { used, left };
}

/**
 * One line for the log: what is used, what clients are told of it, and what is left out for which reason. Loopback and
 * link-local addresses, which nobody expects there, are named only where nothing else is.
 */
export function describeAddresses({ used, left }: ChosenAddresses): string {
  const usual: readonly string[] = used.length === 0 ? [] : [LOOPBACK, LINK_LOCAL];
  const leaves = byReason(left.filter(({ why }) => !usual.includes(why)));
  const uses = used.map(({ interface: name, address, advertised }) =>
    advertised.includes(address) ? `${address} (${name})` : `${advertised.join(', ')} for ${address} (${name})`,
  );
  const first = uses.length === 0 ? 'no address for direct connections' : `direct connections at ${uses.join(', ')}`;
  return [first, ...(leaves === '' ? [] : [`left out ${leaves}`])].join('; ');
}

/**
 * Patterns that match nothing at the moment, a sentence each. That is no mistake by itself: a laptop's other
 * interface may come up later.
 */
export function idlePatterns(settings: AddressSettings, interfaces: Interfaces): string[] {
  const names = Object.keys(interfaces);
  return settings.interfaces
    .filter((pattern) => !names.some((name) => matches(pattern, name)))
    .map(
      (pattern) =>
        `${placed('interfaces', settings)}: "${pattern}" matches no interface that is up. ${whatExists(interfaces)}`,
    );
}

/**
 * Whether the settings leave an address to use, and each NAT mapping has its local address. A machine without any
 * network passes: no setting is to blame, and it may come.
 * @throws {ConfigError} naming the setting, what this machine has, and the fix
 */
export function checkUsable(settings: AddressSettings, interfaces: Interfaces): void {
  const byDefault = chooseAddresses(interfaces, {
    interfaces: [],
    excludeInterfaces: [],
    nat1to1: [],
    ipFamily: 'any',
  });
  if (byDefault.used.length === 0) return;
  const { used, left } = chooseAddresses(interfaces, settings);
  const problems: string[] = [];
  if (used.length === 0) {
    const idle = idlePatterns(settings, interfaces).map((text) => `${text} Correct the name, or remove it.`);
    problems.push(...idle);
    if (idle.length === 0 || idle.length < settings.interfaces.length) problems.push(nothingLeft(settings, left));
  }
  for (const mapping of settings.nat1to1) {
    const problem = problemOfMapping(mapping, interfaces, { used, left });
    if (problem !== undefined) problems.push(`${placed('nat_1to1', settings)}: ${problem}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

/** With `*` and `?` as wildcards; letters count as equal in both cases, as Windows has it. */
export function matches(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[\\^$.+()[\]{}|]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.');
  // Linux lists aliases as eth0:1.
  return [name, name.replace(/:.*$/, '')].some((one) => new RegExp(`^${source}$`, 'isu').test(one));
}

function addressesOf(interfaces: Interfaces): Address[] {
  return Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.map(({ address, family, internal }) => ({
      interface: name,
      address: address.replace(/%.*$/, ''),
      family: family === 'IPv6' ? (6 as const) : (4 as const),
      internal,
    })),
  );
}

function reasonToLeave(one: Address, settings: AddressSettings, hasOther: boolean): string | undefined {
  const { interfaces, excludeInterfaces, nat1to1, ipFamily } = settings;
  // A wildcard means the networks of this machine; who wants to stay inside it, or on one cable, says so by name.
  const isNamed = interfaces.some((name) => name.toLowerCase() === one.interface.toLowerCase());
  if (one.internal && !isNamed) return LOOPBACK;
  // A socket for fe80:: needs a zone, and a candidate has none (RFC 8839, section 5.1).
  if (isLinkLocal(one) && !(isNamed && one.family === 4)) return LINK_LOCAL;
  const excluded = excludeInterfaces.find((pattern) => matches(pattern, one.interface));
  if (excluded !== undefined) return `exclude_interfaces has ${excluded}`;
  if (interfaces.length > 0 && !interfaces.some((pattern) => matches(pattern, one.interface))) {
    return 'not in interfaces';
  }
  const virtual = virtualFor(one);
  if (virtual !== undefined && hasOther && interfaces.length === 0 && !isMappedByName(one, nat1to1)) {
    return `for ${virtual} inside this machine`;
  }
  if (ipFamily !== 'any' && ipFamily !== `ipv${one.family}`) return `ip_family is ${ipFamily}`;
  return undefined;
}

/** Mapped before others, physical before overlays before virtual; the first address of each interface and family first. */
function inOrder(all: readonly Address[], { nat1to1 }: AddressSettings): Address[] {
  const rank = (one: Address) => {
    if (isMappedByName(one, nat1to1)) return 0;
    if (virtualFor(one) !== undefined) return 3;
    return OVERLAY.test(one.interface) ? 2 : 1;
  };
  const sorted = [...all].sort(
    (a, b) => compare(a.interface, b.interface) || a.family - b.family || compare(a.address, b.address),
  );
  const turn = new Map<Address, number>();
  for (const group of Map.groupBy(sorted, (one) => `${one.family} ${one.interface}`).values()) {
    group.forEach((one, index) => void turn.set(one, index));
  }
  return sorted.sort((a, b) => rank(a) - rank(b) || (turn.get(a) ?? 0) - (turn.get(b) ?? 0));
}

/** The same on every machine; numbers count as numbers: eth2 comes before eth10. */
const { compare } = new Intl.Collator('en', { numeric: true });

function virtualFor({ interface: name }: Address): string | undefined {
  const plain = name.replace(/:.*$/, '');
  return VIRTUAL.find(([pattern]) => pattern.test(plain))?.[1];
}

function isLinkLocal({ address, family }: Address): boolean {
  return LINK_LOCAL_NETWORKS.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function mappingOf(one: Address, nat1to1: readonly AddressMapping[]): AddressMapping | undefined {
  return (
    nat1to1.find(({ local }) => local === one.address) ??
    nat1to1.find(({ external, local }) => local === undefined && familyOf(external) === one.family)
  );
}

function isMappedByName({ address }: Address, nat1to1: readonly AddressMapping[]): boolean {
  return nat1to1.some(({ local }) => local === address);
}

function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

function problemOfMapping(
  { external, local }: AddressMapping,
  interfaces: Interfaces,
  { used, left }: ChosenAddresses,
): string | undefined {
  const family = familyOf(external);
  if (local === undefined) {
    // Where nothing is used at all, that is the problem to tell.
    if (used.length === 0 || used.some((one) => one.family === family)) return undefined;
    const why = left.filter((one) => familyOf(one.address) === family && one.why !== LOOPBACK);
    const reason = why.length === 0 ? 'and it has none' : `and none of them is used (${reasons(why)})`;
    return `${external} stands for the ${familyName(family)} addresses of this machine, ${reason}. Remove it.`;
  }
  if (used.some(({ address }) => address === local)) return undefined;
  const reason = left.find(({ address }) => address === local);
  if (reason !== undefined) return `${external}/${local}: ${local} (${reason.interface}) is left out: ${reason.why}.`;
  return `${external}/${local}: no interface has ${local}. ${whatExists(interfaces)} Correct what follows the slash.`;
}

function nothingLeft(settings: AddressSettings, left: readonly LeftAddress[]): string {
  const set = [
    ...(settings.interfaces.length > 0 ? [placed('interfaces', settings)] : []),
    ...(settings.excludeInterfaces.length > 0 ? [placed('exclude_interfaces', settings)] : []),
    ...(settings.ipFamily !== 'any' ? [placed('ip_family', settings)] : []),
  ];
  return `${set.join(', ')}: no address of this machine is left to use (${reasons(left)}). Change what leaves out the right one.`;
}

/** Without loopback, which is nobody's problem. */
function reasons(left: readonly LeftAddress[]): string {
  return byReason(left.filter(({ why }) => why !== LOOPBACK));
}

function byReason(left: readonly LeftAddress[]): string {
  return [...Map.groupBy(left, ({ why }) => why)]
    .map(([why, group]) => {
      const names = group.map(({ interface: name, address }) => `${address} (${name})`);
      return `${someOf(names, MAX_LEFT_SHOWN)}: ${why}`;
    })
    .join('; ');
}

function whatExists(interfaces: Interfaces): string {
  const usual = addressesOf(interfaces).filter((one) => !one.internal && !isLinkLocal(one));
  const shown = inOrder(usual, { interfaces: [], excludeInterfaces: [], nat1to1: [], ipFamily: 'any' });
  const groups = [...Map.groupBy(shown, (one) => one.interface)].map(
    ([name, group]) => `${name} (${group.map(({ address }) => address).join(', ')})`,
  );
  return groups.length === 0 ? 'None is up at the moment.' : `This machine has ${someOf(groups, MAX_SHOWN)}.`;
}

function someOf(items: readonly string[], most: number): string {
  const more = items.length > most ? ` and ${items.length - most} more` : '';
  return items.slice(0, most).join(', ') + more;
}
