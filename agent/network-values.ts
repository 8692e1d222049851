/** The network keys of the configuration: each value by itself, and those that contradict each other. */
import { type BlockList, isIP, SocketAddress } from 'node:net';
import { networks } from './ip-address.ts';
import { Mistake } from './mistake.ts';
import type { AddressMapping, NetworkSettings, PortRange } from './network-settings.ts';

/** IF_MAX_STRING_SIZE of Windows, whose names are the longest; Linux has 15 bytes. */
const MAX_INTERFACE_NAME = 256;
/** More static mappings than anybody has addresses; the agent uses no more addresses either. */
const MAX_MAPPINGS = 16;

export const NETWORK_EXPECTED = {
  interfaces: 'a list of names such as eth0 or wl*',
  exclude_interfaces: 'a list of names such as docker0 or br-*',
  nat_1to1: 'a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address',
  udp_ports: 'a port such as 50000, or a range such as 50000-50100',
  ip_family: 'any, ipv4 or ipv6',
  relay_only: 'true or false',
  port_mapping: 'true or false',
  engine: 'auto, werift or node-datachannel',
} as const;

export const IP_FAMILIES = ['any', 'ipv4', 'ipv6'] as const;

/** The name of an interface, in which `*` and `?` are wildcards. Windows has names with spaces and brackets. */
export function interfacePattern(value: string): string {
  if (value === '') throw new Mistake(`is empty. Write ${NETWORK_EXPECTED.interfaces}`);
  if (value.length > MAX_INTERFACE_NAME) {
    throw new Mistake(`is longer than any name (${MAX_INTERFACE_NAME} characters). Write it with wildcards`);
  }
  if (/[\p{Cc}/\\]/u.test(value)) {
    throw new Mistake(`has a character that no name has. Write ${NETWORK_EXPECTED.interfaces}`);
  }
  return value;
}

/** `external` or `external/local`; IPv6 addresses may be in brackets. The addresses come out in canonical text. */
export function addressMapping(value: string): AddressMapping {
  const [first = '', second, ...rest] = value.split('/').map((part) => part.trim());
  const write = `Write ${NETWORK_EXPECTED.nat_1to1}`;
  if (rest.length > 0) throw new Mistake(`has more than two addresses. ${write}`);
  if (second !== undefined && /^\d{1,3}$/.test(second)) {
    throw new Mistake(`looks like a network; after the slash comes the local address. ${write}`);
  }
  const external = address(first, write, second === undefined);
  const local = second === undefined ? undefined : address(second, write, false);
  if (local !== undefined && isIP(local) !== isIP(external)) {
    throw new Mistake(`has an IPv4 and an IPv6 address; both must be of one family. ${write}`);
  }
  return { external, local };
}

/** All of nat_1to1 together. */
export function addressMappings(mappings: AddressMapping[]): AddressMapping[] {
  if (mappings.length > MAX_MAPPINGS) {
    throw new Mistake(
      `has ${mappings.length} entries, and the agent uses ${MAX_MAPPINGS} addresses at most. Remove some`,
    );
  }
  for (const family of [4, 6]) {
    const own = mappings.filter(({ external }) => isIP(external) === family);
    const name = familyName(family);
    const bare = own.filter(({ local }) => local === undefined);
    if (bare.length > 1) {
      throw new Mistake(
        `has two ${name} addresses without a local one (${bare.map(({ external }) => external).join(', ')}), and only one ` +
          'of them can stand for all local addresses. Write external/local for each',
      );
    }
    if (bare.length === 1 && own.length > 1) {
      throw new Mistake(
        `has ${bare[0]?.external} for all local ${name} addresses, and other addresses for some of them. Write ` +
          'external/local for each',
      );
    }
    const localTwice = twice(own.map(({ local }) => local));
    if (localTwice !== undefined) {
      throw new Mistake(`has two addresses for the local ${localTwice}. Keep the one that the NAT forwards`);
    }
    const externalTwice = twice(own.map(({ external }) => external));
    if (externalTwice !== undefined) {
      throw new Mistake(
        `has ${externalTwice} for two local addresses, and a NAT forwards a port of it to one. Keep that one`,
      );
    }
  }
  return mappings;
}

/** One port, or two with a dash between. Ports below 1024 are somebody's choice; binding them may need root. */
export function portRange(value: number | string): PortRange {
  const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(String(value).trim());
  const write = `Write ${NETWORK_EXPECTED.udp_ports}`;
  if (match === null) throw new Mistake(`is neither a port nor a range. ${write}`);
  const min = Number(match[1]);
  const max = Number(match[2] ?? match[1]);
  if (min < 1 || max < 1 || min > 65_535 || max > 65_535) throw new Mistake(`is not within 1 and 65535. ${write}`);
  if (min > max) throw new Mistake(`ends before it begins. Write ${max}-${min}`);
  return { min, max };
}

/** Keys that `contradictions` looks at. */
export type NetworkKey = keyof typeof NETWORK_EXPECTED | 'stun_urls';

export function isNetworkKey(key: string): key is NetworkKey {
  return key === 'stun_urls' || Object.hasOwn(NETWORK_EXPECTED, key);
}

/**
 * What each value allows and all together do not: settings that can never have an effect are a mistake, because who
 * wrote them waits for that effect. `place` is where a key is set, undefined where it is not.
 */
export function contradictions(
  { interfaces, excludeInterfaces, nat1to1, ipFamily, relayOnly, stunUrls, portMapping, engine }: NetworkSettings,
  place: (key: NetworkKey) => string | undefined,
): string[] {
  const problems: string[] = [];
  const at = (key: NetworkKey) => `${key} (${place(key)})`;
  for (const pattern of interfaces.filter((pattern) => excludeInterfaces.includes(pattern))) {
    problems.push(`${at('interfaces')} and ${at('exclude_interfaces')} both name "${pattern}". Remove one of them.`);
  }
  if (relayOnly) {
    const why = 'with that only addresses of TURN servers are told to clients. Remove one of them.';
    if (nat1to1.length > 0) problems.push(`${at('nat_1to1')} has no effect beside ${at('relay_only')}: ${why}`);
    if (stunUrls.length > 0) problems.push(`${at('stun_urls')} has no effect beside ${at('relay_only')}: ${why}`);
    // The default gives way; a yes that somebody wrote does not.
    if (portMapping && place('port_mapping') !== undefined) {
      problems.push(`${at('port_mapping')} has no effect beside ${at('relay_only')}: ${why}`);
    }
  }
  if (relayOnly && engine === 'node-datachannel') {
    problems.push(
      `${at('relay_only')} cannot be kept by ${at('engine')}: node-datachannel also sends from this machine’s own address. ` +
        'Set engine to auto or werift.',
    );
  }
  if (ipFamily !== 'any') {
    const strangers = nat1to1.filter(({ external }) => isIP(external) !== (ipFamily === 'ipv4' ? 4 : 6));
    for (const { external } of strangers) {
      problems.push(
        `${at('nat_1to1')}: ${external} has no effect, because ${at('ip_family')} is ${ipFamily}. Remove it, or set ip_family to any.`,
      );
    }
  }
  return problems;
}

/** A key and where it is set, if it is: `udp_ports (config.yaml:3)`. */
export function placed(key: NetworkKey, { places }: Pick<NetworkSettings, 'places'>): string {
  return places?.[key] === undefined ? key : `${key} (${places[key]})`;
}

export function familyName(family: number): string {
  return family === 4 ? 'IPv4' : 'IPv6';
}

/** Without brackets and zone, IPv6 as RFC 5952 writes it and as Node lists it. @throws Mistake */
function address(text: string, write: string, isAll: boolean): string {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  const family = isIP(bare);
  if (family === 0 && isIP(bare.replace(/\]?:\d{1,5}$/, '').replace('[', '')) !== 0) {
    throw new Mistake(
      `has a port. Remove it, and set udp_ports to the port that the NAT forwards, which is the same on both sides`,
    );
  }
  if (family === 0) {
    throw new Mistake(
      isAll ? `is no IP address. ${write}` : `has no IP address where “${shown(text)}” stands. ${write}`,
    );
  }
  if (/^::ffff:/i.test(bare)) throw new Mistake(`has an IPv4 address in IPv6 form. Write it as 203.0.113.7`);
  const { address } = new SocketAddress({ address: bare, family: family === 4 ? 'ipv4' : 'ipv6' });
  for (const [kind, list] of UNUSABLE) {
    if (list.check(address, family === 4 ? 'ipv4' : 'ipv6')) {
      throw new Mistake(`has the ${kind} address ${address}, which no client can use. ${write}`);
    }
  }
  return address;
}

function shown(text: string): string {
  return text.length > 50 ? `${text.slice(0, 50)}…` : text;
}

function twice<T>(values: readonly (T | undefined)[]): T | undefined {
  return values.find((value, index) => value !== undefined && values.indexOf(value) < index);
}

/** RFC 6890 and RFC 4291, what is not for unicast between two machines. */
const UNUSABLE: readonly (readonly [string, BlockList])[] = [
  ['unspecified', networks('0.0.0.0/8', '::/128')],
  ['loopback', networks('127.0.0.0/8', '::1/128')],
  ['link-local', networks('169.254.0.0/16', 'fe80::/10')],
  ['multicast', networks('224.0.0.0/4', 'ff00::/8')],
  ['reserved', networks('240.0.0.0/4')],
];
