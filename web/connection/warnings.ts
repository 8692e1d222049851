/** What stands in the way of a better connection, or may soon, and what a person can do about it. */
import type { IceStatus } from '../../shared/account-api.ts';
import { HINTS } from '../../shared/error-hints.ts';
import type { CandidateFacts, ConnectionReport } from '../client/index.ts';
import { familyOf } from './addresses.ts';
import { type Candidates, lastCandidates } from './candidates.ts';

export interface Warning {
  id: string;
  text: string;
  advice: string;
}

/** All that is known. */
export interface Situation {
  report: ConnectionReport;
  /** Requests need not wait for a path any longer. */
  isDecided: boolean;
  /** As the browser believes. */
  online: boolean;
  hasWebRtc: boolean;
  /** For owners. */
  ice: IceStatus | undefined;
}

const HIGH_RTT_MS = 300;
/** The host's keys for the relay last minutes (shared/limits.ts), and the edge's answer takes some seconds at worst. */
const WRONG_CLOCK_MS = 60_000;
/** So often a direct path begins where one is lost again and again; a host that restarts makes two. */
const RESTLESS_BEGINNINGS = 4;
const RESTLESS_MS = 5 * 60_000;

interface Facts extends Situation {
  candidates: Candidates;
  /** Candidates say nothing where there is nobody to reach, and nothing of interest where they led to a path. */
  isStuck: boolean;
  /** Requests go by HTTPS, and not only until there is a path. */
  isTunnel: boolean;
  /** The last attempts at each way have failed. */
  directFailed: boolean;
  relayFailed: boolean;
  hasStun: boolean;
  hasTurn: boolean;
}

interface Rule extends Warning {
  applies(facts: Facts): boolean;
}

const RULES: readonly Rule[] = [
  {
    id: 'no-network',
    applies: ({ online }) => !online,
    text: 'This device has no network.',
    advice: 'Check Wi-Fi or mobile data. The page reconnects by itself.',
  },
  {
    id: 'host-offline',
    applies: ({ report }) => report.error?.code === 'E_HOST_OFFLINE',
    text: 'The host is not connected to the edge.',
    advice: 'Start the agent on the home machine: direct-agent up. Check that the machine is not asleep.',
  },
  {
    id: 'browser-too-old',
    applies: ({ report }) => report.error?.code === 'E_HOST_KEY_UNCONFIRMED' && report.path === 'tunnel',
    text: 'This browser cannot check who answers, so there is neither a direct path nor the relay.',
    advice: 'Update it: Chrome and Edge from 137, Firefox from 130 and Safari from 17 can.',
  },
  {
    id: 'browser-without-webrtc',
    applies: ({ report, hasWebRtc }) => !hasWebRtc && report.webrtc,
    text: 'This browser has no WebRTC, or it is switched off.',
    advice:
      'Allow it in the browser’s settings, or use another browser. Extensions for privacy may switch it off, too.',
  },
  {
    id: 'clock',
    applies: ({ report }) => Math.abs(report.ice?.clockAheadMs ?? 0) > WRONG_CLOCK_MS,
    text: 'This device’s clock is wrong.',
    advice: 'Let the system set date and time by itself. What the host signs is good for minutes only.',
  },
  {
    id: 'host-key',
    applies: ({ report }) => report.error?.code === 'E_HOST_KEY',
    text: 'What answered could not prove that it is the host.',
    advice: 'Check this device’s clock and the home machine’s. If both are right, do not trust this edge.',
  },
  {
    id: 'websockets-blocked',
    applies: ({ isTunnel, relayFailed }) => isTunnel && relayFailed,
    text: 'The tunnel is in use because the relay’s WebSocket does not get through.',
    advice:
      'A proxy or a filter on this network may block WebSockets. Allow wss:// to the edge, or try another network.',
  },
  {
    id: 'tunnel',
    applies: ({ isTunnel, relayFailed }) => isTunnel && !relayFailed,
    text: 'The edge could read what is sent now.',
    advice: 'Wait for a better way, or have the host accept no tunnel (tunnel: no in the agent’s configuration).',
  },
  {
    id: 'polling',
    applies: ({ report, relayFailed }) =>
      report.path !== 'tunnel' && !relayFailed && report.timeline.some(({ fact }) => fact?.type === 'polling'),
    text: 'Signaling went without a WebSocket, by polling.',
    advice: 'Connecting takes longer this way. A proxy on this network may block WebSockets.',
  },
  {
    id: 'turn-unreachable',
    applies: ({ candidates, hasTurn, isStuck }) =>
      hasTurn && !has(candidates.local, 'relay') && candidates.isComplete && isStuck,
    text: 'No TURN server has answered.',
    advice:
      'Its credentials may be refused, or this network blocks it. TURN by TLS on port 443 gets through most firewalls.',
  },
  {
    id: 'turn-forced-missing',
    applies: ({ report, hasTurn }) => wantsTurn(report) && report.ice !== undefined && !hasTurn,
    text: 'Only TURN is wanted, but the edge names no TURN server.',
    advice: 'Set up a TURN server at the edge, or switch “Force TURN” off.',
  },
  {
    id: 'no-udp',
    applies: ({ candidates, hasStun, isStuck, report }) =>
      hasStun && isStuck && !wantsTurn(report) && candidates.isComplete && !hasOutside(candidates.local),
    text: 'No STUN server has answered: this network seems to block UDP.',
    advice: 'Allow UDP to the Internet, set up TURN by TLS at the edge, or try another network.',
  },
  {
    id: 'mdns-only',
    applies: ({ candidates, hasStun, hasTurn, isStuck }) =>
      !hasStun && !hasTurn && isStuck && candidates.isComplete && isHidden(candidates.local),
    text: 'The browser hides this device’s addresses, and no STUN server shows another one.',
    advice: 'Have the edge name a STUN server (ICE_SERVERS), or use a network that lets mDNS through.',
  },
  {
    id: 'ipv6-only',
    applies: ({ candidates, isStuck }) => isStuck && lacksCommonFamily(candidates),
    text: 'This device and the host have no kind of address in common: one has IPv6 alone, the other IPv4.',
    advice: 'Switch IPv6 on at home, or set up a TURN server that has both.',
  },
  {
    id: 'symmetric-nat',
    applies: ({ candidates, hasTurn, isStuck }) => isStuck && !hasTurn && isSymmetric(candidates.local),
    text: 'This network gives each connection another port (symmetric NAT), and there is no TURN server.',
    advice: 'Set up TURN at the edge; Cloudflare’s is free for small amounts. “TURN” in docs/edge.md says how.',
  },
  {
    id: 'turn-missing',
    applies: ({ candidates, hasTurn, isStuck, directFailed, report }) =>
      isStuck &&
      !hasTurn &&
      directFailed &&
      hasOutside(candidates.local) &&
      !isSymmetric(candidates.local) &&
      report.error?.code === 'E_HANDSHAKE_TIMEOUT',
    text: 'No straight way was found, and there is no TURN server.',
    advice: 'Set up TURN at the edge, or port mapping (UPnP or PCP) on the router at home.',
  },
  {
    id: 'turn-provider-fails',
    applies: ({ ice }) => ice?.providers.some(({ failing }) => failing) === true && ice.source !== 'configuration',
    text: 'A TURN provider refuses to make credentials.',
    advice: 'Check the key that is set at the edge; the dashboard shows what the provider says.',
  },
  {
    id: 'high-rtt',
    applies: ({ report }) => (report.rtt ?? 0) > HIGH_RTT_MS,
    text: 'Answers take long to come back on this path.',
    advice:
      'Another network may be faster. On Wi-Fi, go nearer to the router; large downloads slow down everything else.',
  },
  {
    id: 'restless',
    applies: ({ report: { paths, at: now } }) =>
      paths.filter(({ at, path }) => now - at < RESTLESS_MS && isDirect(path)).length >= RESTLESS_BEGINNINGS,
    text: 'The direct path is lost again and again.',
    advice: 'The network may be weak. “No WebRTC” below keeps requests on the relay for as long as this page is open.',
  },
];

/** Codes that a rule explains, and of what passes by itself; for others the error speaks for itself. */
const EXPLAINED = new Set<string>([
  'E_CANCELLED',
  'E_GOING_AWAY',
  'E_HOST_RESTARTED',

  'E_HOST_OFFLINE',
  'E_HOST_KEY',
  'E_HOST_KEY_UNCONFIRMED',
  'E_HANDSHAKE_TIMEOUT',
  'E_PATH_LOST',
]);

/** The most important ones first. */
export function warningsOf(situation: Situation): Warning[] {
  const { report, online } = situation;
  const { path, ice, error, timeline } = report;
  const lastOf = (way: 'direct' | 'relay') =>
    timeline.findLastIndex(({ fact }) => fact?.type === 'failed' && fact.way === way);
  const lastPath = (name: string) => timeline.findLastIndex(({ fact }) => fact?.type === 'path' && fact.path === name);
  const facts: Facts = {
    ...situation,
    candidates: lastCandidates(timeline),
    isTunnel: situation.isDecided && path === 'tunnel',
    isStuck: online && error?.code !== 'E_HOST_OFFLINE' && !isDirect(path),
    directFailed: lastOf('direct') > Math.max(lastPath('direct'), lastPath('turn')),
    relayFailed: lastOf('relay') > lastPath('relay'),
    hasStun: ice?.urls.some((url) => /^stuns?:/.test(url)) === true,
    hasTurn: ice?.urls.some((url) => /^turns?:/.test(url)) === true,
  };
  const found = RULES.filter((rule) => rule.applies(facts)).map(({ id, text, advice }) => ({ id, text, advice }));
  if (error !== undefined && !EXPLAINED.has(error.code)) {
    found.unshift({ id: error.code, text: error.message, advice: HINTS[error.code] });
  }
  return found;
}

function isDirect(path: ConnectionReport['path']): boolean {
  return path === 'direct' || path === 'turn';
}

function wantsTurn({ iceTransportPolicy, webrtc }: ConnectionReport): boolean {
  return webrtc && iceTransportPolicy === 'relay';
}

function has(candidates: readonly CandidateFacts[], type: string): boolean {
  return candidates.some((candidate) => candidate.type === type);
}

/** An address that is to be reached from elsewhere. */
function hasOutside(candidates: readonly CandidateFacts[]): boolean {
  return has(candidates, 'srflx') || has(candidates, 'relay');
}

function isHidden(candidates: readonly CandidateFacts[]): boolean {
  return candidates.length > 0 && candidates.every(({ address }) => familyOf(address) === 'mDNS');
}

function familiesOf(candidates: readonly CandidateFacts[]): Set<string> {
  const families = candidates.map(({ address }) => familyOf(address)).filter((family) => family !== undefined);
  return new Set(families);
}

function lacksCommonFamily({ local, remote, isComplete }: Candidates): boolean {
  const [ours, theirs] = [familiesOf(local), familiesOf(remote)];
  // What mDNS names stand for nobody knows; what STUN has seen of them counts.
  ours.delete('mDNS');
  theirs.delete('mDNS');
  return isComplete && ours.size > 0 && theirs.size > 0 && ![...ours].some((family) => theirs.has(family));
}

/** STUN servers see one address of this end at more ports than it has sockets: a NAT with mapping by destination (RFC 4787). */
function isSymmetric(candidates: readonly CandidateFacts[]): boolean {
  const udp = candidates.filter(({ protocol }) => protocol === 'udp');
  const sockets = udp.filter(({ type, address }) => type === 'host' && familyOf(address) !== 'IPv6').length;
  const seen = udp.filter(({ type, address }) => type === 'srflx' && familyOf(address) === 'IPv4');
  const ports = new Map<string, Set<unknown>>();
  for (const { address = '', port } of seen) ports.set(address, (ports.get(address) ?? new Set()).add(port));
  return [...ports.values()].some(({ size }) => size > Math.max(1, sockets));
}
