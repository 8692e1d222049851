/** URLs of STUN and TURN servers (RFC 7064, RFC 7065): pure. */
import { isIP } from 'node:net';
import type { IceServer } from '../shared/signal.ts';

export type TurnTransport = 'udp' | 'tcp' | 'tls';

export interface StunServer {
  /** A name or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface TurnServer extends StunServer {
  readonly transport: TurnTransport;
}

/** One RTCIceServer's TURN URLs: ways to the same relay. */
export interface TurnEntry {
  readonly servers: readonly TurnServer[];
  readonly username: string;
  readonly credential: string;
}

/** More would only cost time and ports; providers name under 6. */
const MAX_STUN_SERVERS = 8;
const MAX_TURN_ENTRIES = 4;
const MAX_TURN_URLS = 8;

const URL_FORM = /^(stuns?|turns?):(\[[0-9a-fA-F:.]+\]|[^:/?[\]]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;

interface ParsedUrl extends StunServer {
  scheme: string;
  transport: string | undefined;
}

function parse(url: string): ParsedUrl | undefined {
  const match = URL_FORM.exec(url);
  if (match === null) return undefined;
  const [, scheme = '', host = '', port, transport] = match;
  const secure = scheme.toLowerCase().endsWith('s');
  const number = port === undefined ? (secure ? 5349 : 3478) : Number(port);
  if (number < 1 || number > 65535) return undefined;
  const address = host.startsWith('[') ? host.slice(1, -1) : host;
  if (host.startsWith('[') && isIP(address) !== 6) return undefined;
  return { scheme: scheme.toLowerCase(), host: address, port: number, transport: transport?.toLowerCase() };
}

/** The `stun:` servers, each once. `stuns:` and STUN over TCP say nothing about UDP ports, so they are left out. */
export function stunServers(iceServers: readonly IceServer[]): StunServer[] {
  const found = new Map<string, StunServer>();
  for (const { urls } of iceServers) {
    for (const url of urls) {
      const { scheme, host, port, transport } = parse(url) ?? {};
      if (scheme !== 'stun' || transport === 'tcp' || host === undefined || port === undefined) continue;
      found.set(`${host} ${port}`, { host, port });
    }
  }
  return [...found.values()].slice(0, MAX_STUN_SERVERS);
}

/** The TURN servers that have credentials. TURN over DTLS (`turns:…?transport=udp`) is left out. */
export function turnEntries(iceServers: readonly IceServer[]): TurnEntry[] {
  return iceServers
    .flatMap(({ urls, username, credential }) => {
      if (username === undefined || credential === undefined) return [];
      const servers = new Map<string, TurnServer>();
      for (const url of urls) {
        const parsed = parse(url);
        const transport = parsed === undefined ? undefined : turnTransport(parsed);
        if (parsed === undefined || transport === undefined || !isTurnPort(parsed.port)) continue;
        const { host, port } = parsed;
        servers.set(`${transport} ${host} ${port}`, { host, port, transport });
      }
      return servers.size === 0
        ? []
        : [{ servers: [...servers.values()].slice(0, MAX_TURN_URLS), username, credential }];
    })
    .slice(0, MAX_TURN_ENTRIES);
}

/**
 * As Chromium has it (libwebrtc, TurnPort::AllowedTurnPort): whoever names the servers must not make this end talk to
 * mail servers and the like, in its own network too.
 */
function isTurnPort(port: number): boolean {
  return port >= 1024 || port === 53 || port === 80 || port === 443;
}

function turnTransport({ scheme, transport }: ParsedUrl): TurnTransport | undefined {
  if (scheme === 'turn') return transport === 'tcp' ? 'tcp' : 'udp';
  if (scheme === 'turns') return transport === 'udp' ? undefined : 'tls';
  return undefined;
}
