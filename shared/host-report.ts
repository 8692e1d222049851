/**
 * How a host is just now, for the owner who looks at the dashboard: asked of its agent each time, kept nowhere
 * (PROTOCOL.md, section 2). The edge decides nothing by it.
 */
import { MAX_INFO_SERVERS, MAX_INFO_TEXT_LENGTH } from './limits.ts';
import { ofType, refuse, shortText } from './message-fields.ts';

/** `none`: sessions that have lost their path and wait for another one. */
export const REPORTED_PATHS = ['direct', 'turn', 'relay', 'tunnel', 'none'] as const;

export type ReportedPath = (typeof REPORTED_PATHS)[number];

export interface HostReport {
  /** Of the agent. */
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly started_at: number;
  /** How many, by the path that they use. */
  readonly sessions: Readonly<Record<ReportedPath, number>>;
  /** Since the start, but for `running`. */
  readonly requests: { readonly running: number; readonly finished: number; readonly failed: number };
  /** Of all that runs, over the last few seconds. */
  readonly tokens_per_second: number;
  readonly upstreams: readonly ReportedUpstream[];
}

export interface ReportedUpstream {
  readonly name: string;
  readonly state: 'up' | 'down';
  readonly running: number;
  readonly waiting: number;
}

/** To the agent, alone in its message: the owner looks. */
export interface AskReportSignal {
  type: 'ask_report';
}

/** From the agent, alone in its message, and only when it was asked. */
export interface HostReportSignal extends HostReport {
  type: 'host_report';
}

/** The message for `report`, which loses the end of its list where that would be too long. */
export function hostReportMessage(report: HostReport): string {
  const upstreams = report.upstreams.slice(0, MAX_INFO_SERVERS).map((upstream) => ({
    ...upstream,
    name: upstream.name.slice(0, MAX_INFO_TEXT_LENGTH).toWellFormed(),
  }));
  return JSON.stringify({ type: 'host_report', ...report, upstreams } satisfies HostReportSignal);
}

/** Whether parsed JSON asks for a report. */
export function isAskReport(raw: unknown): boolean {
  return ofType(raw, 'ask_report') !== undefined;
}

/**
 * The report in parsed JSON, or undefined when it is a message of another kind.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseHostReport(raw: unknown): HostReport | undefined {
  const message = ofType(raw, 'host_report');
  if (message === undefined) return undefined;
  const { version, upstreams } = message;
  const sessions = record(message.sessions, 'sessions');
  const requests = record(message.requests, 'requests');
  if (!Array.isArray(upstreams) || upstreams.length > MAX_INFO_SERVERS) {
    return refuse(`upstreams must be a list of at most ${MAX_INFO_SERVERS}`);
  }
  const counts = REPORTED_PATHS.map((path) => [path, count(sessions[path], `sessions.${path}`)] as const);
  return {
    version: shortText(version, 'version', MAX_INFO_TEXT_LENGTH),
    started_at: count(message.started_at, 'started_at'),
    sessions: Object.fromEntries(counts) as Record<ReportedPath, number>,
    requests: {
      running: count(requests.running, 'requests.running'),
      finished: count(requests.finished, 'requests.finished'),
      failed: count(requests.failed, 'requests.failed'),
    },
    tokens_per_second: amount(message.tokens_per_second, 'tokens_per_second'),
    upstreams: upstreams.map((raw: unknown) => {
      const { name, state, running, waiting } = record(raw, 'upstreams');
      if (state !== 'up' && state !== 'down') return refuse('upstreams.state must be up or down');
      return {
        name: shortText(name, 'upstreams.name', MAX_INFO_TEXT_LENGTH),
        state,
        running: count(running, 'upstreams.running'),
        waiting: count(waiting, 'upstreams.waiting'),
      };
    }),
  };
}

function record(raw: unknown, name: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null) return refuse(`${name} must be an object`);
  return raw as Record<string, unknown>;
}

function count(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) return refuse(`${name} must be a whole number`);
  return value as number;
}

function amount(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return refuse(`${name} must be a number`);
  return value;
}
