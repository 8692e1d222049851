/**
 * Which of the agent's candidates are tried first. Browsers try host candidates before all others, and one pair each
 * 50 ms: where the agent is behind another NAT, its private addresses would cost that time and lead nowhere.
 */
import type { CandidateFacts } from './candidate-pair.ts';

/** Addresses for the networks behind NATs: RFC 1918, RFC 6598, RFC 3927. */
const PRIVATE = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.)/;

/** RFC 8839, section 5.1: foundation, component, transport, priority, address, port, “typ”, type. */
export function parseCandidate(line: string): CandidateFacts | undefined {
  const [, , protocol, , address, port, , type] = line.split(' ');
  return type === undefined ? undefined : { type, protocol: protocol?.toLowerCase(), address, port: Number(port) };
}

/** The candidates in an SDP, as their lines are outside of it. */
export function candidateLines(sdp: string): string[] {
  const lines = sdp.split('\n').filter((line) => line.startsWith('a=candidate:'));
  return lines.map((line) => line.trim().slice(2));
}

/** The address at which the rest of the world sees this end, if the candidate tells it. */
export function reflexiveAddress(candidate: string): string | undefined {
  const line = parseCandidate(candidate);
  return line?.type === 'srflx' ? line.address : undefined;
}

/**
 * Takes out of an SDP the candidates that are worth less than 50 ms: private host addresses of an agent that is seen at
 * other addresses than this end, and so is not on this network. They are to be added a moment later: networks may be
 * linked otherwise.
 */
export function laterCandidates(sdp: string, seenAt: ReadonlySet<string>): { sdp: string; later: string[] } {
  const candidates = candidateLines(sdp);
  const reflexive = candidates.map(reflexiveAddress).filter((address) => address !== undefined);
  const isElsewhere = reflexive.length > 0 && seenAt.size > 0 && !reflexive.some((address) => seenAt.has(address));
  if (!isElsewhere) return { sdp, later: [] };
  const later = candidates.filter((line) => {
    const { type = '', address = '' } = parseCandidate(line) ?? {};
    return type === 'host' && PRIVATE.test(address);
  });
  const left = sdp.split(/(?<=\n)/).filter((line) => !later.includes(line.trim().slice(2)));
  return { sdp: left.join(''), later };
}
