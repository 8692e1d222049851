/** The ICE servers of a connection in words. */
import type { ConnectionReport, IceFacts } from '../client/index.ts';

const SOURCES: Readonly<Record<string, string>> = {
  configuration: 'the edge’s configuration (ICE_SERVERS)',
  cloudflare: 'Cloudflare’s TURN service',
  metered: 'Metered’s TURN service',
  coturn: 'your own TURN server (coturn)',
  default: 'the edge’s default, which has STUN alone',
  edge: 'the edge',
  client: 'this page',
};

export function sourceInWords(source: string): string {
  return SOURCES[source] ?? source;
}

/** `turn:turn.example:443?transport=tcp` without its host: `TURN by tcp`. */
export function serverKind(url: string): string {
  const [, scheme = '', secure] = /^(stun|turn)(s?):/.exec(url) ?? [];
  const transport = secure ? 'TLS' : (/[?&]transport=(\w+)/.exec(url)?.[1] ?? 'udp').toUpperCase();
  return `${scheme.toUpperCase()} by ${transport}`;
}

/** Each kind once. */
export function serverKinds({ urls }: IceFacts): string[] {
  return [...new Set(urls.map(serverKind))];
}

/** When the TURN credentials end; undefined before the edge has answered. */
export function credentialsEnd({ ice, at }: Pick<ConnectionReport, 'ice' | 'at'>): string | undefined {
  if (ice === undefined || !ice.urls.some((url) => url.startsWith('turn'))) return undefined;
  if (ice.endAt === undefined) return 'do not end';
  const minutes = Math.round((ice.endAt - at) / 60_000);
  if (ice.endAt < at) return 'have ended; new ones come with the next attempt';
  if (minutes < 1) return 'end in less than a minute';
  return minutes < 90 ? `end in ${minutes} min` : `end in ${Math.round(minutes / 60)} hours`;
}
