/** ICE candidates as lines of SDP (RFC 8839, section 5.1), for either library. */
import { createHmac, randomBytes } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import type { LocalCandidate } from './gathering.ts';
import { canonicalAddress } from './ip-address.ts';

/** A candidate of the other end that can be used. */
export interface RemoteCandidate {
  readonly foundation: string;
  readonly priority: number;
  /** An address in canonical text. */
  readonly host: string;
  readonly port: number;
  readonly type: 'host' | 'srflx' | 'relay';
}

/** RFC 8445, section 5.1.2.2. */
const TYPE_PREFERENCE = { host: 126, srflx: 100, relay: 0 } as const;

/** A plain hash of an address is no secret: all private addresses, and all of IPv4, are tried in seconds. */
const FOUNDATION_KEY = randomBytes(16);

/** The same for candidates of one type and base (RFC 8445, section 5.1.1.3); says nothing about the base. */
export function foundationOf({ type, base: [address] }: Pick<LocalCandidate, 'type' | 'base'>): string {
  return createHmac('sha256', FOUNDATION_KEY).update(`${type} ${address}`).digest('hex').slice(0, 16);
}

/** RFC 8445, section 5.1.2.1, for the one component that there is. */
export function priorityOf({ type, localPreference }: Pick<LocalCandidate, 'type' | 'localPreference'>): number {
  return 2 ** 24 * TYPE_PREFERENCE[type] + 2 ** 8 * localPreference + 255;
}

/** `candidate:…` for the other end. What local address is behind it stays here, as with browsers. */
export function candidateLine(candidate: LocalCandidate): string {
  const { type, endpoint } = candidate;
  const [address, port] = endpoint;
  const related = type === 'host' ? '' : ` raddr ${isIPv4(address) ? '0.0.0.0' : '::'} rport 0`;
  return `candidate:${foundationOf(candidate)} 1 udp ${priorityOf(candidate)} ${address} ${port} typ ${type}${related}`;
}

const LINE =
  /^(?:a=)?(?:candidate:)?([A-Za-z0-9+/]{1,32}) 1 udp (\d{1,10}) ([0-9a-fA-F.:]{2,45}) (\d{1,5}) typ (host|srflx|relay)(?: |$)/i;

/**
 * Undefined for what cannot be used: TCP, other components, garbage; and names, since a browser's mDNS name is known to
 * its own network only (its checks reach the addresses that we advertise) and any other would make the agent look up
 * what a stranger wants.
 */
export function parseCandidate(line: string): RemoteCandidate | undefined {
  const [, foundation = '', priority, address = '', port, type = ''] = LINE.exec(line.trim()) ?? [];
  const host = isIP(address) === 0 ? undefined : canonicalAddress(address);
  const number = Number(port);
  if (host === undefined || !isUnicast(host) || !(number > 0 && number < 65_536)) return undefined;
  const typ = type.toLowerCase() as RemoteCandidate['type'];
  return { foundation, priority: Number(priority) % 2 ** 32, host, port: number, type: typ };
}

/** Nobody answers from the others; and a stranger must not make the agent send to a whole network. */
function isUnicast(address: string): boolean {
  if (address.includes(':')) return !/^(ff|::$|::ffff:)/i.test(address);
  const [first = 0] = address.split('.').map(Number);
  return first > 0 && first < 224;
}
