/**
 * The first script of the page. The build puts it into the document itself (web/build/head-script.ts), so that it runs
 * as soon as that arrives, round trips before any file. Where this browser has been before and nobody has to be asked
 * anything, it begins to connect (head-start.ts).
 */
import { leaveHeadStart } from './head.ts';
import { headStart, type KnownServers } from './head-start.ts';

/** As main.ts chooses: the link's host or that of the last visit, with a key that this browser knows. */
function knownHost(): string | undefined {
  const link = new URLSearchParams(location.hash.slice(1));
  // The edge has to be told of a token first, and the host of a pairing; switches for tests stand in the query.
  if (link.has('token') || link.has('pair') || location.search !== '') return undefined;
  const host = link.get('host') ?? localStorage.getItem('direct-agent.host');
  const pins = JSON.parse(localStorage.getItem('direct-agent.pins') ?? '{}') as Partial<Record<string, unknown>>;
  if (host === null || !Object.hasOwn(pins, host)) return undefined;
  return (link.get('key') ?? pins[host]) === pins[host] ? host : undefined;
}

const SERVERS = 'direct-agent.stun';

/** None is as good a list as any, and gathered from at once, too. */
const servers: KnownServers = {
  get: () => (JSON.parse(localStorage.getItem(SERVERS) ?? 'null') as RTCIceServer[] | null) ?? undefined,
  set: (servers) => {
    if (servers === undefined) localStorage.removeItem(SERVERS);
    else localStorage.setItem(SERVERS, JSON.stringify(servers));
  },
};

try {
  const host = knownHost();
  if (host !== undefined) {
    const platform = {
      RTCPeerConnection,
      WebSocket,
      fetch: (request: Request) => fetch(request),
      randomBytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)),
    };
    leaveHeadStart({ host, ...headStart(location.origin, host, servers, platform) });
  }
} catch {
  // A browser without storage or WebRTC: the client finds out by itself.
}
