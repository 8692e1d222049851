/** For tests: a report in which nothing is wrong, and its parts. */
import type { CandidateFacts, ConnectionReport, Fact, TimelineEvent } from '../client/index.ts';

export function events(...facts: Fact[]): TimelineEvent[] {
  return facts.map((fact, index) => ({ at: index * 10, text: fact.type, fact }));
}

export function candidate(from: 'local' | 'remote', given?: Partial<CandidateFacts>): Fact {
  if (given === undefined) return { type: 'candidate', from, candidate: undefined };
  return { type: 'candidate', from, candidate: { type: 'host', protocol: 'udp', address: '', port: 50_000, ...given } };
}

export function testReport(given: Partial<ConnectionReport> = {}): ConnectionReport {
  return {
    startedAt: Date.UTC(2026, 10, 21, 15),
    at: 34_000,
    protocolVersion: 1,
    path: 'direct',
    state: 'connected',
    rtt: 12,
    error: undefined,
    webrtc: true,
    iceTransportPolicy: 'all',
    timeline: [],
    paths: [{ at: 120, path: 'direct' }],
    requests: [],
    ice: { source: 'default', urls: ['stun:stun.example:3478'], endAt: undefined, clockAheadMs: 300 },
    pair: undefined,
    ...given,
  };
}
