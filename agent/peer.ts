/** The answering end of a WebRTC connection, whichever library makes it. */
import type { Path } from '../shared/path.ts';
import type { Candidate } from '../shared/signal.ts';

export interface PeerEvents {
  /** A local candidate was found; an empty `candidate` ends them. */
  candidate(candidate: Candidate): void;
  /** A step in the life of the connection, for the log. */
  step(what: string): void;
  /** Whether packets pass through a TURN server, of either end; once that is known, and when it changes. */
  kind?(kind: 'direct' | 'turn'): void;
  /** The connection is over, whoever ended it; called once. */
  closed(reason: string): void;
}

/** Its path is there from the start and takes messages once open. */
export interface Peer {
  readonly path: Path;
  /**
   * The SDP answer to `offer`, with the candidates that are known already; the others follow as events.
   * @throws Error when the offer cannot be answered.
   */
  answer(offer: string): Promise<string>;
  /** A candidate of the other end. Candidates that cannot be used are ignored, as browsers ignore them. */
  addCandidate(candidate: Candidate): void;
  /** Ends the connection after what was queued has left. Idempotent. */
  close(reason: string): void;
}

/** Both ends create this channel themselves, which saves the round trip of DCEP (RFC 8832). */
export const CHANNEL = { label: 'direct-agent', id: 0 } as const;

/** How long the last messages may take to leave before the connection is torn down. */
export const LINGER_MS = 500;

/** Why a connection is closed: ours is there from the start at both ends, and so are the lanes. */
export const OTHER_CHANNEL = 'the client has opened another data channel';
