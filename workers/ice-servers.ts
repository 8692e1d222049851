/** Lists of ICE servers: what may stand in them, and parts of them. */
import { DirectError } from '../shared/errors.ts';
import { type IceServer, parseIceServers, type SessionReady } from '../shared/signal.ts';

type SingleServers = Pick<SessionReady, 'stun_url' | 'turn_url' | 'turn_username' | 'turn_credential'>;

/** Free, anycast, and at the edge that the owner has chosen already (developers.cloudflare.com/realtime/turn). */
export const DEFAULT_ICE_SERVERS: readonly IceServer[] = [{ urls: ['stun:stun.cloudflare.com:3478'] }];

/** A list in JSON: it travels with every offer, beside an SDP of up to 32 kB and a grant, in a message of 64 kB. */
export const MAX_ICE_SERVERS_LENGTH = 8192;

// RFC 7064 and RFC 7065; schemes are case-insensitive. Groups: scheme, port. Browsers throw on anything else.
const STUN_URL = /^(stuns?):(?:\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i;
const TURN_URL = /^(turns?):(?:\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?(?:\?transport=(?:udp|tcp))?$/i;
const STUN = /^stuns?:/i;
const TURN = /^turns?:/i;

/** Chromium and Firefox refuse to talk to DNS's port, and gathering waits for it in vain. */
const BLOCKED_PORT = 53;

/** Whether `url` is a STUN or TURN URL. */
export function isIceUrl(url: string): boolean {
  const [, , port = '3478'] = STUN_URL.exec(url) ?? TURN_URL.exec(url) ?? [undefined, undefined, '0'];
  return Number(port) > 0 && Number(port) < 65_536;
}

export function isTurnUrl(url: string): boolean {
  return TURN.test(url);
}

/**
 * Parses a list of RTCIceServer that `new RTCPeerConnection` takes: known schemes, and credentials for TURN.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseUsableIceServers(value: unknown): IceServer[] {
  const servers = parseIceServers(value);
  for (const { urls, username, credential } of servers) {
    if (urls.length === 0) refuse('ice_servers.urls is empty');
    if (!urls.every(isIceUrl)) refuse('ice_servers.urls must be stun:, stuns:, turn: or turns: URLs');
    if (urls.some(isTurnUrl) && (!username || !credential))
      refuse('ice_servers needs username and credential for TURN');
  }
  if (JSON.stringify(servers).length > MAX_ICE_SERVERS_LENGTH) {
    refuse(`ice_servers is longer than ${MAX_ICE_SERVERS_LENGTH}`);
  }
  return servers;
}

function refuse(detail: string): never {
  throw new DirectError('E_BAD_REQUEST', detail);
}

/** Without the URLs that browsers block. */
export function withoutBlockedPorts(servers: readonly IceServer[]): IceServer[] {
  return filterUrls(servers, (url) => {
    const [, , port] = STUN_URL.exec(url) ?? TURN_URL.exec(url) ?? [];
    return Number(port) !== BLOCKED_PORT;
  });
}

/** The STUN servers alone, without any credential. */
export function stunOnly(servers: readonly IceServer[]): IceServer[] {
  return filterUrls(servers, (url) => STUN.test(url)).map(({ urls }) => ({ urls }));
}

/** With the default STUN server if there is none: TURN alone would send everything through the relay. */
export function withStun(servers: readonly IceServer[]): IceServer[] {
  return stunOnly(servers).length > 0 ? [...servers] : [...DEFAULT_ICE_SERVERS, ...servers];
}

export function hasTurn(servers: readonly IceServer[]): boolean {
  return servers.some(({ urls }) => urls.some(isTurnUrl));
}

function filterUrls(servers: readonly IceServer[], keep: (url: string) => boolean): IceServer[] {
  return servers.map((server) => ({ ...server, urls: server.urls.filter(keep) })).filter(({ urls }) => urls.length > 0);
}

/** The first server of each kind, for clients that know only single ones (term-llm); empty texts where there is none. */
export function singleServers(servers: readonly IceServer[]): SingleServers {
  const first = (scheme: RegExp) => {
    const server = servers.find(({ urls }) => urls.some((url) => scheme.test(url)));
    return { server, url: server?.urls.find((url) => scheme.test(url)) ?? '' };
  };
  const turn = first(TURN);
  return {
    stun_url: first(STUN).url,
    turn_url: turn.url,
    turn_username: turn.server?.username ?? '',
    turn_credential: turn.server?.credential ?? '',
  };
}
