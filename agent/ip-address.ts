/** IP addresses as text and as bytes: pure. */
import { BlockList, isIP, isIPv4, SocketAddress } from 'node:net';

/** 4 bytes, or 16. Only for addresses. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  // WHATWG URLs write each group in hexadecimal, and zeros as `::` once at most.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const all = [...before, ...new Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** The eight groups of 16 bytes, none left out. */
export function ipv6Groups(bytes: Uint8Array): string {
  const group = (i: number) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16);
  return Array.from({ length: 8 }, (_, i) => group(i)).join(':');
}

/** The text that Node gives such an address; undefined: it is none. */
export function canonicalAddress(address: string): string | undefined {
  if (isIPv4(address)) return address;
  try {
    return new SocketAddress({ address, family: 'ipv6' }).address;
  } catch {
    return undefined;
  }
}

/** Networks as `address/length`. */
export function networks(...blocks: string[]): BlockList {
  const list = new BlockList();
  for (const block of blocks) {
    const [network = '', length] = block.split('/');
    list.addSubnet(network, Number(length), isIP(network) === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** The name or address in a URL's `hostname`, where IPv6 has brackets. */
export function unbracketed(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}
