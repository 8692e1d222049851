import { describe, expect, it } from 'vitest';
import {
  MAX_CANDIDATES_PER_SESSION,
  MAX_QUEUED_SIGNALS,
  MAX_SDP_BYTES,
  SIGNALING_SESSION_TTL_MS,
} from '../shared/limits.ts';
import type { SessionSignal } from '../shared/signal.ts';
import { MAX_OFFERS_PER_SESSION, newSession, type SessionState, step } from './signaling-session.ts';

const NOW = 1_000_000;
const iceServers = [{ urls: ['stun:stun.example.com:3478'] }];
const grant = { subject: 'key:k1', models: ['llama'] };
const added = { ice_servers: iceServers, grant, from: 'AbCdEfGhIjKlMnOp' };
const fresh = newSession({ id: 's1', host: 'home', iceServers, grant, from: 'AbCdEfGhIjKlMnOp' }, NOW);
const OFFER: SessionSignal = { session_id: 's1', type: 'offer', sdp: 'v=0\r\n' };
const ANSWER: SessionSignal = { session_id: 's1', type: 'answer', sdp: 'v=0\r\n' };
const CANDIDATE: SessionSignal = {
  session_id: 's1',
  type: 'candidate',
  candidate: { candidate: '', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null },
};
const FAILURE: SessionSignal = { session_id: 's1', type: 'error', code: 'E_HOST_BUSY', message: 'full' };

const from = (type: 'client' | 'agent', state: SessionState, signals: SessionSignal[], now = NOW, host = 'home') =>
  step(state, { type, host, signals }, now);
const refusalOf = ({ effects }: ReturnType<typeof step>) => {
  const refusal = effects.find((effect) => effect.type === 'refuse');
  return refusal && { code: refusal.error.code, detail: refusal.error.detail };
};
const offered = from('client', fresh, [OFFER]).state;
const repeat = (signal: SessionSignal, times: number) => Array<SessionSignal>(times).fill(signal);

describe('what passes', () => {
  it('sends an offer to the host with what the edge says, not the client', () => {
    const ice_servers = [{ urls: ['turn:192.168.0.1:22'], username: 'u', credential: 'p' }];
    const evil = { ...OFFER, ice_servers, grant: { subject: 'owner' }, from: 'somebodyelse0000', more: true };
    const { effects } = from('client', fresh, [evil]);
    expect(effects).toEqual([{ type: 'to-host', signals: [{ ...OFFER, ...added }] }]);
  });

  it('sends the client’s candidates on in one batch, in order', () => {
    const last: SessionSignal = { ...CANDIDATE, candidate: { ...CANDIDATE.candidate, sdpMid: '1' } };
    expect(from('client', offered, [CANDIDATE, last]).effects).toEqual([
      { type: 'to-host', signals: [CANDIDATE, last] },
    ]);
  });

  it('keeps what the agent says until the client has taken it', () => {
    const answered = from('agent', offered, [ANSWER, CANDIDATE]).state;
    expect(answered.waiting).toEqual([ANSWER, CANDIDATE]);
    expect(step(answered, { type: 'taken', count: 1 }, NOW).state.waiting).toEqual([CANDIDATE]);
  });

  it('lives on for the full time after each message', () => {
    const { state } = from('client', offered, [CANDIDATE], NOW + 1000);
    expect(state.expiresAt).toBe(NOW + 1000 + SIGNALING_SESSION_TTL_MS);
  });

  it('starts anew with another offer: counts, the answer, and what waited', () => {
    const used = from('agent', from('client', offered, repeat(CANDIDATE, 64)).state, [ANSWER, CANDIDATE]).state;
    const { state } = from('client', used, [OFFER]);
    expect(state).toMatchObject({ offers: 2, answered: false, candidates: { client: 0, agent: 0 }, waiting: [] });
    expect(refusalOf(from('agent', state, [ANSWER]))).toBeUndefined();
  });
});

describe('what is refused', () => {
  const cases: [string, ReturnType<typeof step>, string, string?][] = [
    ['another host’s agent', from('agent', offered, [ANSWER], NOW, 'other'), 'E_SESSION_UNKNOWN'],
    ['another host’s address', from('client', offered, [CANDIDATE], NOW, 'other'), 'E_SESSION_UNKNOWN'],
    ['an expired session', from('client', fresh, [OFFER], fresh.expiresAt), 'E_SESSION_UNKNOWN'],
    ['another session’s message', from('client', fresh, [{ ...OFFER, session_id: 's2' }]), 'E_BAD_REQUEST', 'another'],
    ['an empty list', from('client', fresh, []), 'E_BAD_REQUEST', 'empty'],
    ['an answer from the client', from('client', offered, [ANSWER]), 'E_BAD_REQUEST', 'clients send'],
    ['an error from the client', from('client', offered, [FAILURE]), 'E_BAD_REQUEST', 'clients send'],
    ['an offer from the agent', from('agent', offered, [OFFER]), 'E_BAD_REQUEST', 'agents send'],
    ['a candidate first', from('client', fresh, [CANDIDATE]), 'E_BAD_REQUEST', 'before the offer'],
    ['an answer first', from('agent', fresh, [ANSWER]), 'E_BAD_REQUEST', 'before the offer'],
    ['a second answer', from('agent', offered, [ANSWER, ANSWER]), 'E_BAD_REQUEST', 'answer already'],
    [
      'one candidate too many from the client',
      from('client', offered, repeat(CANDIDATE, MAX_CANDIDATES_PER_SESSION + 1)),
      'E_BAD_REQUEST',
      '64 candidates',
    ],
    [
      'one candidate too many from the agent',
      from('agent', offered, repeat(CANDIDATE, MAX_CANDIDATES_PER_SESSION + 1)),
      'E_BAD_REQUEST',
      '64 candidates',
    ],
    ['one offer too many', from('client', fresh, repeat(OFFER, MAX_OFFERS_PER_SESSION + 1)), 'E_BAD_REQUEST', 'offers'],
    ['a full queue', from('agent', offered, repeat(FAILURE, MAX_QUEUED_SIGNALS + 1)), 'E_BAD_REQUEST', 'too many'],
    [
      // 3 bytes each: within the parser's count of characters, but not within a message in UTF-8.
      'an offer too long for the agent',
      from('client', fresh, [{ ...OFFER, sdp: `v=0${'€'.repeat(MAX_SDP_BYTES - 3)}` }]),
      'E_TOO_LARGE',
    ],
    [
      'an answer too long for the client',
      from('agent', offered, [{ ...ANSWER, sdp: `v=0${'€'.repeat(MAX_SDP_BYTES - 3)}` }]),
      'E_TOO_LARGE',
    ],
  ];
  it.each(cases)('%s', (_name, result, code, detail) => {
    expect(refusalOf(result)?.code).toBe(code);
    if (detail !== undefined) expect(refusalOf(result)?.detail).toContain(detail);
  });

  it('lets what came before the refused message stand', () => {
    const { state, effects } = from('client', offered, repeat(CANDIDATE, MAX_CANDIDATES_PER_SESSION + 1));
    expect(state.candidates.client).toBe(MAX_CANDIDATES_PER_SESSION);
    expect(effects[0]).toEqual({ type: 'to-host', signals: repeat(CANDIDATE, MAX_CANDIDATES_PER_SESSION) });
  });

  it('changes nothing for a stranger', () => {
    expect(from('agent', offered, [ANSWER], NOW + 5, 'other').state).toBe(offered);
  });
});
