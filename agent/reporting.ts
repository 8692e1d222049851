/** Puts together what a running agent tells of itself. */
import { type HostReport, REPORTED_PATHS, type ReportedPath } from '../shared/host-report.ts';
import { LIVENESS_TIMEOUT_MS } from '../shared/limits.ts';
import type { SessionView } from '../shared/sessions.ts';
import type { AgentReport, SessionReport, UpstreamReport } from './agent-report.ts';
import type { Config } from './config.ts';
import { edgeOf } from './edge-address.ts';
import type { EngineChoice } from './engine.ts';
import { shownId } from './log.ts';
import type { Meter } from './meter.ts';
import { VERSION } from './version.ts';

export interface ReportSources {
  config: Pick<Config, 'signalingUrl' | 'hostId'>;
  meter: Meter;
  engine: Pick<EngineChoice, 'name' | 'why'>;
  sessions: readonly SessionView[];
  upstreams: readonly UpstreamReport[];
}

export function reportOf({ config, meter, engine, sessions, upstreams }: ReportSources): AgentReport {
  return {
    version: VERSION,
    pid: process.pid,
    started_at: meter.startedAt,
    edge: edgeOf(config.signalingUrl),
    host_id: config.hostId,
    link: meter.link,
    engine: { name: engine.name, why: engine.why },
    sessions: sessions.map((view) => sessionReport(view, meter)),
    upstreams,
    requests: { ...meter.requests },
    tokens_per_second: meter.tokensPerSecond,
  };
}

/** What the edge may know of it: numbers, and the names that it knows already. */
export function hostReportOf({ version, started_at, sessions, requests, ...report }: AgentReport): HostReport {
  const on = (path: ReportedPath) => sessions.filter((session) => (session.path ?? 'none') === path).length;
  const { running, finished, failed } = requests;
  return {
    version,
    started_at,
    sessions: Object.fromEntries(REPORTED_PATHS.map((path) => [path, on(path)])) as Record<ReportedPath, number>,
    requests: { running, finished, failed },
    tokens_per_second: Math.round(report.tokens_per_second * 10) / 10,
    upstreams: report.upstreams.map(({ name, state, running, waiting }) => ({ name, state, running, waiting })),
  };
}

/**
 * Asks over each path that may be asked for its round-trip time. An agent's clients ask it, and it rarely asks them, so
 * it does not know by itself. Not over an idle relay, where each message costs and wakes the host's object.
 */
export function measure(sessions: readonly SessionView[]): boolean {
  let asked = false;
  for (const { session, grant } of sessions) {
    const { active } = session;
    if (active === undefined || grant === 'in-heads') continue;
    if (active.kind === 'relay' && session.streamCount === 0) continue;
    active.probe(LIVENESS_TIMEOUT_MS);
    asked ||= active.rtt === undefined;
  }
  return asked;
}

function sessionReport({ session, grant, sessionId, since }: SessionView, meter: Meter): SessionReport {
  const { now, wallClock } = meter.clock;
  const isTunnel = grant === 'in-heads';
  const { bytesSent, bytesReceived, tokensPerSecond } = meter.ofSession(session);
  const rtt = session.active?.rtt;
  return {
    id: shownId(sessionId),
    client: isTunnel ? 'tunnel' : clientOf(grant?.subject),
    path: isTunnel && session.active !== undefined ? 'tunnel' : (session.active?.kind ?? null),
    rtt_ms: rtt === undefined ? null : Math.round(rtt * 10) / 10,
    since: Math.round(wallClock() - (now() - since)),
    streams: session.streamCount,
    bytes_sent: bytesSent,
    bytes_received: bytesReceived,
    tokens_per_second: tokensPerSecond,
  };
}

/** Its kind alone: the rest of a subject says which key or invitation it is. */
function clientOf(subject: string | undefined): string {
  return subject?.split(':', 1)[0] ?? 'unknown';
}
