/** The ICE servers of an attempt: those that the program named, and when those of the edge have to be asked for anew. */
import { DirectError } from '../../shared/errors.ts';
import { iceServerProblem, MAX_ICE_SERVERS_LENGTH } from '../../shared/ice-url.ts';
import { SIGNALING_SESSION_TTL_MS } from '../../shared/limits.ts';
import { type IceServer, parseIceServers, type SessionReady } from '../../shared/signal.ts';
import type { Fact } from './report.ts';

/** New credentials are asked for so long before the old ones end: an attempt, and some that fail, fit in between. */
const MAX_RENEWAL_MARGIN_MS = 60_000;
/** An attempt takes as long: to renew what lasts no longer would be one session after the other, without end. */
const MIN_LIFETIME_MS = 1_500;
/** What timers take (HTML, section 8.7): more of it ends at once. */
const MAX_RENEWAL_MS = 2 ** 31 - 1;

/**
 * The program's own servers in the shape of the wire; undefined where it names none. What is wrong is told without the
 * values: they may be secrets.
 * @throws TypeError as `new RTCPeerConnection` would
 */
export function checkedIceServers(given: unknown): IceServer[] | undefined {
  if (given === undefined || (Array.isArray(given) && given.length === 0)) return undefined;
  const servers = parsed(given);
  for (const [index, server] of servers.entries()) {
    const problem = iceServerProblem(server);
    if (problem !== undefined) throw new TypeError(`iceServers[${index}]: ${problem}`);
  }
  if (JSON.stringify(servers).length > MAX_ICE_SERVERS_LENGTH) {
    throw new TypeError(`iceServers: more than ${MAX_ICE_SERVERS_LENGTH} characters of JSON`);
  }
  return servers;
}

function parsed(given: unknown): IceServer[] {
  try {
    return parseIceServers(given);
  } catch (error) {
    throw new TypeError(`iceServers: ${error instanceof DirectError ? error.detail : 'unusable'}`);
  }
}

/** By the edge's clock. */
function madeAt(ready: SessionReady): number {
  return ready.expires_at - SIGNALING_SESSION_TTL_MS;
}

/** What is told of an attempt's servers; `elapsed` and `now` are of the moment at which the edge has answered. */
export function iceFact(
  source: string,
  servers: readonly IceServer[],
  ready: SessionReady,
  elapsed: number,
  now: number,
): Fact {
  const expireAt = source === 'client' ? undefined : ready.ice_servers_expire_at;
  return {
    type: 'ice',
    source,
    urls: servers.flatMap(({ urls }) => urls),
    endAt: expireAt === undefined ? undefined : elapsed + expireAt - madeAt(ready),
    clockAheadMs: now - madeAt(ready),
  };
}

/**
 * In how many milliseconds from its arrival the session's ICE servers are to be renewed; undefined if they last, or not
 * long enough for another attempt. By the edge's clock alone, whatever this device believes the time to be: the session
 * ends SIGNALING_SESSION_TTL_MS after it was made.
 */
export function renewalMs(ready: SessionReady): number | undefined {
  if (ready.ice_servers_expire_at === undefined) return undefined;
  const lifetime = ready.ice_servers_expire_at - madeAt(ready);
  // No number either, if both are infinite.
  if (!(lifetime >= MIN_LIFETIME_MS)) return undefined;
  return Math.min(lifetime - Math.min(MAX_RENEWAL_MARGIN_MS, lifetime / 3), MAX_RENEWAL_MS);
}
