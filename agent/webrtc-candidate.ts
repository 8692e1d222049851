/** Candidates as lines of SDP (RFC 8839, section 5.1) and as werift's objects. */
import { createHmac, randomBytes } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { Candidate, candidatePriority } from 'werift';
import type { LocalCandidate } from './gathering.ts';
import { canonicalAddress } from './ip-address.ts';

/** A plain hash of an address is no secret: all private addresses, and all of IPv4, are tried in seconds. */
const FOUNDATION_KEY = randomBytes(16);

/** The same for candidates of one type and base (RFC 8445, section 5.1.1.3); says nothing about the base. */
function foundationOf({ type, base: [address] }: LocalCandidate): string {
  return createHmac('sha256', FOUNDATION_KEY).update(`${type} ${address}`).digest('hex').slice(0, 16);
}

/** `candidate:…` for the other end. What local address is behind it stays here, as with browsers. */
export function candidateLine(candidate: LocalCandidate): string {
  const { type, endpoint, localPreference } = candidate;
  const [address, port] = endpoint;
  const priority = candidatePriority(type, localPreference);
  const related = type === 'host' ? '' : ` raddr ${isIPv4(address) ? '0.0.0.0' : '::'} rport 0`;
  return `candidate:${foundationOf(candidate)} 1 udp ${priority} ${address} ${port} typ ${type}${related}`;
}

/** What checks over a transport are ranked and paired by. */
export function baseCandidate(base: LocalCandidate, generation: number, ufrag: string): Candidate {
  const { type, endpoint, localPreference } = base;
  return new Candidate(
    foundationOf(base),
    1,
    'udp',
    candidatePriority(type, localPreference),
    ...endpoint,
    type,
    undefined,
    undefined,
    undefined,
    generation,
    ufrag,
  );
}

const LINE =
  /^(?:a=)?(?:candidate:)?([A-Za-z0-9+/]{1,32}) 1 udp (\d{1,10}) ([0-9a-fA-F.:]{2,45}) (\d{1,5}) typ (host|srflx|relay)(?: |$)/i;

/**
 * Undefined for what cannot be used: TCP, other components, garbage; and names, since a browser's mDNS name is known to
 * its own network only (its checks reach the addresses that we advertise) and any other would make the agent look up
 * what a stranger wants.
 */
export function remoteCandidate(line: string): Candidate | undefined {
  const [, foundation = '', priority, address = '', port, type = ''] = LINE.exec(line.trim()) ?? [];
  const host = isIP(address) === 0 ? undefined : canonicalAddress(address);
  const number = Number(port);
  if (host === undefined || !isUnicast(host) || !(number > 0 && number < 65_536)) return undefined;
  return new Candidate(foundation, 1, 'udp', Number(priority) % 2 ** 32, host, number, type.toLowerCase());
}

/** Nobody answers from the others; and a stranger must not make the agent send to a whole network. */
function isUnicast(address: string): boolean {
  if (address.includes(':')) return !/^(ff|::$|::ffff:)/i.test(address);
  const [first = 0] = address.split('.').map(Number);
  return first > 0 && first < 224;
}
