/** Looks up names of STUN and TURN servers, each family by itself. */
import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { canonicalAddress } from './ip-address.ts';

/** Names of servers rarely change, and a reconnecting client should not wait for them. */
const KEPT_MS = 60_000;
const FAILURE_KEPT_MS = 2_000;

/** Addresses of `host` in one family; empty when there are none, or nobody knows. Never throws. */
export type ResolveName = (host: string, family: 4 | 6) => Promise<readonly string[]>;

/**
 * Asks the name servers directly: `getaddrinfo` would block one of Node's few threads for each silent name server. Only
 * names that those do not know are looked for in the system's other sources, such as /etc/hosts.
 */
export function createNameResolver(now: () => number = () => performance.now()): ResolveName {
  const known = new Map<string, { addresses: Promise<readonly string[]>; until: number }>();
  return (host, family) => {
    const literal = isIP(host);
    if (literal !== 0) return Promise.resolve(literal === family ? [canonicalAddress(host) ?? host] : []);
    const key = `${family} ${host}`;
    const cached = known.get(key);
    if (cached !== undefined && cached.until > now()) return cached.addresses;
    const entry = { addresses: ask(host, family), until: now() + KEPT_MS };
    known.set(key, entry);
    for (const [name, { until }] of known) if (until <= now()) known.delete(name);
    void entry.addresses.then((addresses) => {
      if (addresses.length === 0) entry.until = now() + FAILURE_KEPT_MS;
    });
    return entry.addresses;
  };
}

async function ask(host: string, family: 4 | 6): Promise<readonly string[]> {
  try {
    return await lookUp(host, family);
  } catch {
    return [];
  }
}

/** The name servers first, then the system's other sources. Rejects with the system's error. */
export async function lookUp(host: string, family: 4 | 6): Promise<readonly string[]> {
  try {
    // Made anew: it reads the system's list of name servers, which changes with the network.
    const resolver = new Resolver({ timeout: 1000, tries: 2 });
    return await (family === 4 ? resolver.resolve4(host) : resolver.resolve6(host));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ENOTFOUND' && code !== 'ENODATA' && code !== 'ECONNREFUSED') throw error;
  }
  return (await lookup(host, { family, all: true })).map(({ address }) => address);
}
