/** Addresses as they may be shown to others: where a person lives on the Internet is nobody else's business. */

const IPV4 = /(?<![\w.])(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}(?![\w.])/g;
/** At least two colons; times of day have no hexadecimal letters and no empty groups, but may look alike. */
const IPV6 = /(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:(?:\.\d{1,3}){3})?(?![\w:])/gi;
/** mDNS (RFC 8828): a name that the browser made up, but the same one for all of a page's visits. */
const MDNS = /[\w-]+\.local\b/gi;

/** `text` with the ends of all IP addresses taken off: `203.0.113.x`, `2001:db8:…`. */
export function maskAddresses(text: string): string {
  return text
    .replace(IPV6, (address) => maskedIpv6(address))
    .replace(IPV4, '$1.x')
    .replace(MDNS, '….local');
}

function maskedIpv6(address: string): string {
  const groups = address.split(':');
  const [first = '', second = ''] = groups;
  return second === '' ? `${first}:…` : `${first}:${second}:…`;
}

export type Family = 'IPv4' | 'IPv6' | 'mDNS';

/** Undefined where the browser keeps it back. */
export function familyOf(address: string | undefined): Family | undefined {
  if (address === undefined || address === '') return undefined;
  if (address.endsWith('.local')) return 'mDNS';
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
