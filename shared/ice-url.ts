/** ICE servers that a browser takes: URLs of STUN and TURN (RFC 7064, RFC 7065), and credentials for TURN. */
import type { IceServer } from './signal.ts';

export interface IceUrl {
  readonly scheme: 'stun' | 'stuns' | 'turn' | 'turns';
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of TURN only. */
  readonly transport: 'udp' | 'tcp' | undefined;
}

/** A list in JSON: it travels with every offer, beside an SDP of up to 32 kB and a grant, in a message of 64 kB. */
export const MAX_ICE_SERVERS_LENGTH = 8192;

/** Groups: scheme, IPv6 address, name or IPv4 address, port, transport. Browsers throw on anything else. */
const FORM = /^(stuns?|turns?):(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/;

/** Undefined if it is no URL of a STUN or TURN server. */
export function parseIceUrl(url: string): IceUrl | undefined {
  // RFC 3986, section 6.2.2.1: what may have upper-case letters here means the same without.
  const [, scheme, address, name, digits, transport] = FORM.exec(url.toLowerCase()) ?? [];
  const host = address ?? name;
  if (scheme === undefined || host === undefined) return undefined;
  const isTurn = scheme.startsWith('turn');
  const port = digits === undefined ? (scheme.endsWith('s') ? 5349 : 3478) : Number(digits);
  if (port < 1 || port > 65_535 || (transport !== undefined && !isTurn)) return undefined;
  return {
    scheme: scheme as IceUrl['scheme'],
    host,
    port,
    transport: transport as IceUrl['transport'],
  };
}

/** Whether `url` is one of a TURN server. */
export function isTurnUrl(url: string): boolean {
  return parseIceUrl(url)?.scheme.startsWith('turn') === true;
}

/** Why `new RTCPeerConnection` would not take `server`, without its values, which may be secrets; undefined: it would. */
export function iceServerProblem({ urls, username, credential }: IceServer): string | undefined {
  if (urls.length === 0) return 'urls is empty';
  if (urls.some((url) => parseIceUrl(url) === undefined)) return 'urls must be stun:, stuns:, turn: or turns: URLs';
  if (urls.some(isTurnUrl) && (!username || !credential)) return 'a TURN server needs username and credential';
  return undefined;
}
