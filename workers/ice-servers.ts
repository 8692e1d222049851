/** ICE servers for clients that know only one STUN and one TURN server (term-llm). */
import type { IceServer, SessionReady } from '../shared/signal.ts';

type SingleServers = Pick<SessionReady, 'stun_url' | 'turn_url' | 'turn_username' | 'turn_credential'>;

// RFC 7064 and RFC 7065; schemes are case-insensitive.
const STUN = /^stuns?:/i;
const TURN = /^turns?:/i;

/** The first server of each kind; empty texts where there is none. */
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
