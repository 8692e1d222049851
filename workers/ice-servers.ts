/** Lists of ICE servers: what may stand in them, and parts of them. */
import { DirectError } from '../shared/errors.ts';
import { iceServerProblem, isTurnUrl, MAX_ICE_SERVERS_LENGTH, parseIceUrl } from '../shared/ice-url.ts';
import { type IceServer, parseIceServers, type SessionReady } from '../shared/signal.ts';

type SingleServers = Pick<SessionReady, 'stun_url' | 'turn_url' | 'turn_username' | 'turn_credential'>;

/** Free, anycast, and at the edge that the owner has chosen already (developers.cloudflare.com/realtime/turn). */
export const DEFAULT_ICE_SERVERS: readonly IceServer[] = [{ urls: ['stun:stun.cloudflare.com:3478'] }];

/** Chromium and Firefox refuse to talk to DNS's port, and gathering waits for it in vain. */
const BLOCKED_PORT = 53;

/**
 * Parses a list of RTCIceServer that `new RTCPeerConnection` takes: known schemes, and credentials for TURN.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseUsableIceServers(value: unknown): IceServer[] {
  const servers = parseIceServers(value);
  for (const server of servers) {
    const problem = iceServerProblem(server);
    if (problem !== undefined) refuse(`ice_servers: ${problem}`);
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
  return filterUrls(servers, (url) => parseIceUrl(url)?.port !== BLOCKED_PORT);
}

/** The STUN servers alone, without any credential. */
export function stunOnly(servers: readonly IceServer[]): IceServer[] {
  return filterUrls(servers, isStunUrl).map(({ urls }) => ({ urls }));
}

/** With the default STUN server if there is none: TURN alone would send everything through the relay. */
export function withStun(servers: readonly IceServer[]): IceServer[] {
  return stunOnly(servers).length > 0 ? [...servers] : [...DEFAULT_ICE_SERVERS, ...servers];
}

export function hasTurn(servers: readonly IceServer[]): boolean {
  return servers.some(({ urls }) => urls.some(isTurnUrl));
}

function isStunUrl(url: string): boolean {
  return parseIceUrl(url)?.scheme.startsWith('stun') === true;
}

function filterUrls(servers: readonly IceServer[], keep: (url: string) => boolean): IceServer[] {
  return servers.map((server) => ({ ...server, urls: server.urls.filter(keep) })).filter(({ urls }) => urls.length > 0);
}

/** The first server of each kind, for clients that know only single ones (term-llm); empty texts where there is none. */
export function singleServers(servers: readonly IceServer[]): SingleServers {
  const first = (isWanted: (url: string) => boolean) => {
    const server = servers.find(({ urls }) => urls.some(isWanted));
    return { server, url: server?.urls.find(isWanted) ?? '' };
  };
  const turn = first(isTurnUrl);
  return {
    stun_url: first(isStunUrl).url,
    turn_url: turn.url,
    turn_username: turn.server?.username ?? '',
    turn_credential: turn.server?.credential ?? '',
  };
}
