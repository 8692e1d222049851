/** URLs of STUN and TURN servers (RFC 7064, RFC 7065): pure. */
import { type IceUrl, parseIceUrl } from '../shared/ice-url.ts';
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

/** The `stun:` servers, each once. `stuns:` and STUN over TCP say nothing about UDP ports, so they are left out. */
export function stunServers(iceServers: readonly IceServer[]): StunServer[] {
  const found = new Map<string, StunServer>();
  for (const { urls } of iceServers) {
    for (const url of urls) {
      const parsed = parseIceUrl(url);
      if (parsed?.scheme !== 'stun') continue;
      const { host, port } = parsed;
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
        const parsed = parseIceUrl(url);
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

function turnTransport({ scheme, transport }: IceUrl): TurnTransport | undefined {
  if (scheme === 'turn') return transport === 'tcp' ? 'tcp' : 'udp';
  if (scheme === 'turns') return transport === 'udp' ? undefined : 'tls';
  return undefined;
}
