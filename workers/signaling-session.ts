/**
 * One signaling session as a state machine: what it lets through, what waits for the client, when it ends.
 * No storage, socket or clock in here; SessionObject is the shell around it.
 */
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import { MAX_CANDIDATES_PER_SESSION, MAX_QUEUED_SIGNALS, SIGNALING_SESSION_TTL_MS } from '../shared/limits.ts';
import type { IceServer, SessionSignal } from '../shared/signal.ts';
import { checkSize } from './batch.ts';

/** The first offer and ICE restarts; a client that needs more is better off with a new session. */
export const MAX_OFFERS_PER_SESSION = 8;

export interface SessionState {
  readonly id: string;
  readonly host: string;
  /** What the agent uses; goes to it with each offer. */
  readonly iceServers: IceServer[];
  /** What the client may do; the agent enforces it. */
  readonly grant: Grant;
  /** `OfferSignal.from`, if the client's address is known. */
  readonly from: string | null;
  /** Of the host when it admitted the session (host-object.ts); absent before. */
  readonly generation?: number;
  readonly expiresAt: number;
  readonly offers: number;
  /** Whether the latest offer has its answer. */
  readonly answered: boolean;
  /** Since the latest offer, from each side. */
  readonly candidates: { readonly client: number; readonly agent: number };
  /** For a client that polls or has not attached yet. */
  readonly waiting: readonly SessionSignal[];
}

export type SessionEvent =
  /** Messages from one side, which came in by way of `host`'s address. */
  | { type: 'client' | 'agent'; host: string; signals: readonly SessionSignal[] }
  /** The first `count` waiting messages were handed to the client. */
  | { type: 'taken'; count: number };

export type SessionEffect =
  | { type: 'to-host'; signals: SessionSignal[] }
  /** For the sender of the event. What came before the refused message stays in force. */
  | { type: 'refuse'; error: DirectError };

export interface SessionStep {
  state: SessionState;
  effects: SessionEffect[];
}

export function newSession(
  { id, host, iceServers, grant, from }: Pick<SessionState, 'id' | 'host' | 'iceServers' | 'grant' | 'from'>,
  now: number,
): SessionState {
  return {
    id,
    host,
    iceServers,
    grant,
    from,
    expiresAt: now + SIGNALING_SESSION_TTL_MS,
    offers: 0,
    answered: false,
    candidates: { client: 0, agent: 0 },
    waiting: [],
  };
}

const refuse = (detail: string): never => {
  throw new DirectError('E_BAD_REQUEST', detail);
};

function countCandidate(state: SessionState, side: 'client' | 'agent'): SessionState {
  const count = state.candidates[side] + 1;
  if (count > MAX_CANDIDATES_PER_SESSION) return refuse(`more than ${MAX_CANDIDATES_PER_SESSION} candidates`);
  return { ...state, candidates: { ...state.candidates, [side]: count } };
}

function keepForClient(state: SessionState, signal: SessionSignal): SessionState {
  if (state.waiting.length >= MAX_QUEUED_SIGNALS) return refuse('too many messages wait for the client');
  checkSize(signal);
  return { ...state, waiting: [...state.waiting, signal] };
}

/** The state after a message from the client, and the message as the agent gets it. @throws DirectError */
function fromClient(state: SessionState, signal: SessionSignal): [SessionState, SessionSignal] {
  if (signal.type === 'candidate') {
    if (state.offers === 0) return refuse('a candidate before the offer');
    return [countCandidate(state, 'client'), signal];
  }
  if (signal.type !== 'offer') return refuse('clients send offers and candidates');
  if (state.offers >= MAX_OFFERS_PER_SESSION) return refuse(`more than ${MAX_OFFERS_PER_SESSION} offers`);
  // Made anew, so that nothing else is passed on: a client could make the agent talk to any server, or allow itself all.
  const offer = {
    session_id: state.id,
    type: 'offer',
    sdp: signal.sdp,
    ice_servers: state.iceServers,
    grant: state.grant,
    ...(state.from === null ? {} : { from: state.from }),
  } as const;
  checkSize(offer);
  // A new offer voids what the agent said to the one before: its answer would not fit any longer.
  const candidates = { client: 0, agent: 0 };
  return [{ ...state, offers: state.offers + 1, answered: false, candidates, waiting: [] }, offer];
}

/** The state after a message from the agent. @throws DirectError */
function fromAgent(state: SessionState, signal: SessionSignal): SessionState {
  switch (signal.type) {
    case 'offer':
      return refuse('agents send answers, candidates and errors');
    case 'answer':
      if (state.offers === 0) return refuse('an answer before the offer');
      if (state.answered) return refuse('the offer has an answer already');
      return keepForClient({ ...state, answered: true }, signal);
    case 'candidate':
      return keepForClient(countCandidate(state, 'agent'), signal);
    case 'error':
      return keepForClient(state, signal);
  }
}

/** Applies `event`. Pure: the same arguments give the same step. */
export function step(state: SessionState, event: SessionEvent, now: number): SessionStep {
  if (event.type === 'taken') return { state: { ...state, waiting: state.waiting.slice(event.count) }, effects: [] };
  // Another host's session shall look like none.
  if (event.host !== state.host || state.expiresAt <= now) {
    return { state, effects: [{ type: 'refuse', error: new DirectError('E_SESSION_UNKNOWN') }] };
  }
  const effects: SessionEffect[] = [];
  const toHost: SessionSignal[] = [];
  let next = state;
  try {
    if (event.signals.length === 0) refuse('an empty list');
    for (const signal of event.signals) {
      if (signal.session_id !== state.id) refuse('session_id names another session');
      if (event.type === 'agent') next = fromAgent(next, signal);
      else {
        const [after, forwarded] = fromClient(next, signal);
        next = after;
        toHost.push(forwarded);
      }
      next = { ...next, expiresAt: now + SIGNALING_SESSION_TTL_MS };
    }
  } catch (error) {
    if (!(error instanceof DirectError)) throw error;
    effects.push({ type: 'refuse', error });
  }
  if (toHost.length > 0) effects.unshift({ type: 'to-host', signals: toHost });
  return { state: next, effects };
}
