/** The coarse limit per client address. It stops floods before they cost an object's time; it counts nothing exactly. */
import { RetryLater } from './outcome.ts';

/** The period of the limit in wrangler.toml. */
const PERIOD_MS = 60_000;

/**
 * What counts as one client: an IPv4 address, or the /64 of an IPv6 one, since a home gets at least that many
 * addresses (RFC 6177).
 */
export function clientKey(address: string | undefined): string {
  if (address === undefined || !address.includes(':')) return address ?? 'unknown';
  const [head = '', tail] = address.toLowerCase().split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // `::` stands for the groups that are missing to eight (RFC 4291, section 2.2).
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length);
  const all = [...groups, ...Array<string>(zeros).fill('0'), ...after];
  return all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** Counts one request. @throws RetryLater `E_RATE_LIMITED` */
export async function countRequest(limit: RateLimit, address: string | undefined): Promise<void> {
  const { success } = await limit.limit({ key: clientKey(address) });
  if (!success) throw new RetryLater('E_RATE_LIMITED', PERIOD_MS, 'requests from your address');
}
