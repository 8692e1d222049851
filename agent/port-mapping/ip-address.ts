/** Addresses as PCP writes them, and which of them a router can have outside. */
import { isIPv4, isIPv6 } from 'node:net';
import { addressBytes, ipv6Groups, networks } from '../ip-address.ts';
import type { MappedAddress } from '../network-settings.ts';
import { Refused } from './lease.ts';

/** ::ffff:0:0/96 (RFC 4291, section 2.5.5.2): how PCP writes IPv4. */
const IPV4_MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** 16 bytes (RFC 6887, section 5). @throws TypeError if it is no address. */
export function pcpAddressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from([...IPV4_MAPPED, ...addressBytes(address)]);
  if (!isIPv6(address)) throw new TypeError(`no IP address: ${address}`);
  return Uint8Array.from(addressBytes(address));
}

/** The other way round, from exactly 16 bytes. */
export function pcpAddressText(bytes: Uint8Array): string {
  if (IPV4_MAPPED.every((byte, index) => bytes[index] === byte)) return bytes.subarray(12).join('.');
  return new URL(`http://[${ipv6Groups(bytes)}]`).hostname.slice(1, -1);
}

/** What no router can have outside: this host, link-local, multicast, reserved (RFC 6890). */
const NEVER = networks('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3');

/** Private, and shared by the customers of a provider (RFC 1918, RFC 6598). */
const BEHIND_NAT = networks('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10');

/** Whether the whole internet can know the address. */
export function isGlobal(address: string): boolean {
  if (isIPv4(address)) return !NEVER.check(address, 'ipv4') && !BEHIND_NAT.check(address, 'ipv4');
  // 2000::/3 is all that IANA has given out of global unicast.
  return isIPv6(address) && /^[23][0-9a-f]{3}:/i.test(address);
}

/** Whether it belongs to machines inside one network: RFC 1918, RFC 6598, and IPv6's unique local ones (RFC 4193). */
export function isPrivate(address: string): boolean {
  if (isIPv4(address)) return BEHIND_NAT.check(address, 'ipv4');
  return isIPv6(address) && /^f[cd][0-9a-f]{2}:/i.test(address);
}

/**
 * A private address passes. Behind two NATs the outer network's devices reach it (a phone on the Wi-Fi of the
 * provider's router, the host behind a router of its own), and for everybody else it is one candidate that fails.
 *
 * @throws Refused if it is no address that clients could send to.
 */
export function checkedExternal(address: string, port: number): MappedAddress {
  const usable = isIPv4(address) ? !NEVER.check(address, 'ipv4') : isGlobal(address);
  if (!usable) throw new Refused(`the router says that its address is ${isIPv4(address) ? address : 'none of use'}`);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Refused('the router grants no port');
  return { address, port };
}
