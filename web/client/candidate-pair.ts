/** Which way a connected RTCPeerConnection goes, read from its statistics (W3C webrtc-stats). */
import type { PeerConnection } from './webrtc.ts';

/** `direct` is P2P, `turn` is P2P through a TURN server at either end. */
export type DirectKind = 'direct' | 'turn';

interface PairStats {
  type?: string;
  id?: string;
  state?: string;
  nominated?: boolean;
  /** Firefox only. */
  selected?: boolean;
  selectedCandidatePairId?: string;
  localCandidateId?: string;
  remoteCandidateId?: string;
  candidateType?: string;
  address?: string;
  port?: number;
  protocol?: string;
  relayProtocol?: string;
}

/** What is told of a candidate; browsers keep back some of it. */
export interface CandidateFacts {
  /** `host`, `srflx`, `prflx` or `relay` (RFC 8445). */
  type: string;
  /** `udp` or `tcp`. */
  protocol: string | undefined;
  /** An IP address, or a name of mDNS in its place. */
  address: string | undefined;
  port: number | undefined;
  /** How the browser speaks to its TURN server. */
  relayProtocol?: string;
}

export interface SelectedPair {
  kind: DirectKind;
  /** For the log: candidate types and transport. */
  description: string;
  local: CandidateFacts | undefined;
  remote: CandidateFacts | undefined;
}

/** A pair that cannot be found counts as direct: not every browser tells. */
export async function selectedPair(connection: PeerConnection): Promise<SelectedPair> {
  const entries = new Map<string, PairStats>();
  (await connection.getStats()).forEach((entry: PairStats) => {
    entries.set(entry.id ?? '', entry);
  });
  const all = [...entries.values()];
  const chosen = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  const pairs = all.filter(({ type }) => type === 'candidate-pair');
  const pair =
    entries.get(chosen?.selectedCandidatePairId ?? '') ??
    pairs.find(({ selected }) => selected) ??
    pairs.find(({ nominated, state }) => nominated && state === 'succeeded');
  const local = entries.get(pair?.localCandidateId ?? '');
  const remote = entries.get(pair?.remoteCandidateId ?? '');
  const relayed = local?.candidateType === 'relay' || remote?.candidateType === 'relay';
  return {
    kind: relayed ? 'turn' : 'direct',
    description: `${local?.candidateType ?? '?'} → ${remote?.candidateType ?? '?'} (${local?.protocol ?? '?'})`,
    local: local && factsOf(local),
    remote: remote && factsOf(remote),
  };
}

function factsOf({ candidateType = '?', protocol, address, port, relayProtocol }: PairStats): CandidateFacts {
  return { type: candidateType, protocol, address, port, ...(relayProtocol && { relayProtocol }) };
}
