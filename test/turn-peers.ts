/** Which candidates the browser's connections really use, from their statistics (W3C webrtc-stats). */
import type { Page } from 'playwright-core';

declare global {
  // Set in the page by `recordPeers`, in the order in which they were made.
  var peers: RTCPeerConnection[];
}

export interface UsedCandidate {
  type: string;
  /** With it the type of candidate is `relay`: how this end speaks to its TURN server. */
  relayProtocol: string | undefined;
  address: string;
  port: number;
}

export interface UsedPair {
  local: UsedCandidate;
  remote: UsedCandidate;
}

/** From now on the page's connections are known; call it before the client connects. */
export async function recordPeers(page: Page): Promise<void> {
  await page.evaluate(() => {
    globalThis.peers = [];
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        globalThis.peers.push(this);
      }
    };
  });
}

interface Used {
  pair: UsedPair;
  localSdp: string | undefined;
  remoteSdp: string | undefined;
}

/**
 * The newest connection that has a selected pair and is not closed: one that the client began beside its path, and
 * ended since the path was heard again, is newer than the path's own. @throws Error when there is none.
 */
async function used(page: Page): Promise<Used> {
  const found = await page.evaluate(async () => {
    for (const peer of globalThis.peers.toReversed()) {
      if (peer.connectionState === 'closed') continue;
      const entries = new Map<string, Record<string, unknown>>();
      for (const [id, entry] of await peer.getStats()) entries.set(id, entry);
      const transport = [...entries.values()].find(({ selectedCandidatePairId }) => selectedCandidatePairId);
      const chosen = entries.get(String(transport?.selectedCandidatePairId));
      if (chosen === undefined) continue;
      const [local, remote] = [chosen.localCandidateId, chosen.remoteCandidateId].map((id) => {
        const { candidateType, relayProtocol, address, port } = entries.get(String(id)) ?? {};
        return {
          type: String(candidateType),
          relayProtocol: relayProtocol === undefined ? undefined : String(relayProtocol),
          address: String(address),
          port: Number(port),
        };
      });
      if (local === undefined || remote === undefined) continue;
      const [localSdp, remoteSdp] = [peer.localDescription?.sdp, peer.remoteDescription?.sdp];
      return { pair: { local, remote }, localSdp, remoteSdp };
    }
    return undefined;
  });
  if (found === undefined) throw new Error('no connection has a selected pair');
  return found;
}

/** The selected pair. @throws Error when no connection has one. */
export async function usedPair(page: Page): Promise<UsedPair> {
  return (await used(page)).pair;
}

type Candidate = Omit<UsedCandidate, 'relayProtocol'>;

/** What the page said that it can be reached at. @throws Error when no connection is in use. */
export async function localCandidates(page: Page): Promise<Candidate[]> {
  return candidatesIn((await used(page)).localSdp);
}

/** What the other end said, in its description and after it. @throws Error when no connection is in use. */
export async function remoteCandidates(page: Page): Promise<Candidate[]> {
  return candidatesIn((await used(page)).remoteSdp);
}

function candidatesIn(sdp = ''): Candidate[] {
  const lines = sdp.matchAll(/^a=candidate:\S+ 1 \S+ \d+ (\S+) (\d+) typ (\w+)/gm);
  return [...lines].map(([, address = '', port, type = '']) => ({ type, address, port: Number(port) }));
}
