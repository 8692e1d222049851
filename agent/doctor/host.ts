/** What the edge says of this host: whether it knows the credential and sees the agent; and by the way, the time. */
import { z } from 'zod';
import { CommandError } from '../command-error.ts';
import type { Connection } from '../config.ts';
import { edgeOf } from '../edge-address.ts';
import { EdgeApi, EdgeError } from '../edge-api.ts';
import { type Finding, failure, inParts, ok, skipped, warning } from './finding.ts';
import type { LocalAgent } from './local-agent.ts';
import { within } from './once.ts';

const CALL_MS = 5_000;
/** What TURN credentials and the keys of the relay bear; both are made for hours. */
const CLOCK_OFF_MS = 60_000;

const presence = z.object({
  online: z.boolean(),
  since: z.number().optional(),
  version: z.string().max(64).optional(),
});

/** The answer to the one call that asks for nothing else than presence. */
export interface Look {
  /** Undefined: something answered that was the edge. */
  readonly unreachable: string | undefined;
  readonly credential: 'accepted' | 'refused' | 'unknown';
  /** Null: the edge does not say. */
  readonly online: boolean | null;
  readonly since: number | undefined;
  /** Of the edge's program. */
  readonly version: string | undefined;
  /** What is wrong, for people. */
  readonly problem: string | undefined;
  /** How far this machine's clock is ahead of the edge's; undefined: no answer had a date. */
  readonly clockAheadMs: number | undefined;
  readonly ms: number;
}

export interface LookOptions {
  readonly connection: Connection;
  readonly fetch: typeof fetch;
  /** Milliseconds since 1970. */
  now(): number;
  /** Why the edge's name leads nowhere; undefined: it leads somewhere. */
  nameProblem(): Promise<string | undefined>;
  readonly signal: AbortSignal;
}

/** Rejects only when `signal` is aborted. */
export async function lookAtHost({ connection, fetch, now, nameProblem, signal }: LookOptions): Promise<Look> {
  const { hostId, token, signalingUrl } = connection;
  const start = performance.now();
  let clockAheadMs: number | undefined;
  const observed: typeof globalThis.fetch = async (input, init) => {
    const response = await fetch(input, init);
    const date = Date.parse(response.headers.get('date') ?? '');
    // The field counts whole seconds, so on average it is half a second behind.
    if (!Number.isNaN(date)) clockAheadMs = now() - date - 500;
    return response;
  };
  const done = (more: Partial<Look>): Look => ({
    unreachable: undefined,
    credential: 'unknown',
    online: null,
    since: undefined,
    version: undefined,
    problem: undefined,
    clockAheadMs,
    ms: Math.round(performance.now() - start),
    ...more,
  });
  const unnamed = await nameProblem();
  if (unnamed !== undefined) {
    return done({ unreachable: `The edge ${edgeOf(signalingUrl)} cannot be reached by its name (${unnamed}).` });
  }
  const limit = within(CALL_MS, signal);
  const api = new EdgeApi({ edge: edgeOf(signalingUrl), token, fetch: observed, signal: limit });
  try {
    const { body } = await api.request('GET', `/_direct/h/${hostId}`);
    const seen = presence.safeParse(body).data;
    return done({ credential: 'accepted', online: seen?.online ?? null, since: seen?.since, version: seen?.version });
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) {
      return done({ unreachable: `The edge ${edgeOf(signalingUrl)} does not answer within ${CALL_MS / 1000} s.` });
    }
    if (!(error instanceof CommandError)) throw error;
    const code = error instanceof EdgeError ? error.code : undefined;
    if (code === undefined) return done({ unreachable: error.message });
    // Known, but an edge may keep presence to its owner.
    if (code === 'E_FORBIDDEN') return done({ credential: 'accepted' });
    return done({ credential: code === 'E_UNAUTHORIZED' ? 'refused' : 'unknown', problem: error.message });
  }
}

export function edgeFindings(edge: string, { unreachable, ms }: Look): Finding[] {
  if (unreachable === undefined)
    return [ok('edge.http', `The edge ${edge} answers (${ms} ms).`, { data: { edge, ms } })];
  const { what, fix = 'Check the edge’s address and this machine’s connection.' } = inParts(unreachable);
  return [
    failure('edge.http', what, {
      meaning: 'While the edge cannot be reached, nobody outside reaches this host.',
      fix,
      data: { edge },
    }),
  ];
}

export function clockFindings({ clockAheadMs, unreachable }: Pick<Look, 'clockAheadMs' | 'unreachable'>): Finding[] {
  if (clockAheadMs === undefined) {
    const why = unreachable === undefined ? 'the edge’s answer has no date' : 'the edge does not answer';
    return [skipped('edge.clock', `This machine’s clock is not compared: ${why}.`)];
  }
  const data = { ahead_ms: clockAheadMs };
  const seconds = Math.round(Math.abs(clockAheadMs) / 1000);
  if (Math.abs(clockAheadMs) <= CLOCK_OFF_MS) {
    return [
      ok('edge.clock', `This machine’s clock agrees with the edge’s (within ${Math.max(1, seconds)} s).`, { data }),
    ];
  }
  const direction = clockAheadMs > 0 ? 'fast' : 'slow';
  return [
    warning('edge.clock', `This machine’s clock is ${seconds} s ${direction}.`, {
      meaning: 'Certificates, TURN credentials and expiry dates are judged by it, and may count as ended or not begun.',
      fix: 'Switch on the automatic time (NTP) of this system.',
      data,
    }),
  ];
}

export function credentialFindings({ credential, problem, unreachable }: Look): Finding[] {
  const data = { credential };
  if (unreachable !== undefined) {
    return [skipped('host.credential', 'The credential is not checked: the edge does not answer.', { data })];
  }
  if (credential === 'accepted') return [ok('host.credential', 'The edge accepts this host’s credential.', { data })];
  const parts = inParts(problem ?? 'The edge does not say whether it accepts this host’s credential.');
  if (credential === 'refused') {
    const meaning = 'The agent cannot serve, and a running one has stopped.';
    return [{ ...failure('host.credential', '', { meaning, data }), ...parts }];
  }
  return [{ ...warning('host.credential', '', { data }), ...parts }];
}

/** `agent`: the one that runs on this machine. `now`: milliseconds since 1970. */
export function presenceFindings(look: Look, agent: LocalAgent | undefined, now: number): Finding[] {
  const { online, since, unreachable, credential } = look;
  const data = { online, since: since ?? null, local_agent: agent === undefined ? null : { pid: agent.pid } };
  if (unreachable !== undefined || credential === 'refused') {
    return [skipped('host.presence', 'Whether the edge sees an agent of this host is not known.', { data })];
  }
  if (online === null) return [skipped('host.presence', 'The edge does not say whether it sees an agent.', { data })];
  const local = agent === undefined ? '' : ` It runs on this machine (process ${agent.pid}).`;
  if (online) {
    const time = since === undefined ? ', which polls' : `, connected for ${duration(now - since)}`;
    return [ok('host.presence', `The edge sees the agent${time}.${local}`, { data })];
  }
  if (agent === undefined) {
    return [
      warning('host.presence', 'The edge sees no agent of this host: it is offline.', {
        meaning: 'Nobody can use this host now.',
        fix: 'Start it with: direct-agent up; or let it start by itself: direct-agent service install',
        data,
      }),
    ];
  }
  const why = agent.problem === null ? '' : ` It says: ${agent.problem}.`;
  return [
    failure(
      'host.presence',
      `An agent runs on this machine (process ${agent.pid}), but the edge does not see it.${why}`,
      {
        meaning: 'Nobody can use this host now.',
        fix: 'If the lines above about the edge are right, wait a minute, then restart the agent.',
        data,
      },
    ),
  ];
}

function duration(ms: number): string {
  const whole = Math.floor(ms / 60_000);
  if (whole < 2) return 'less than 2 minutes';
  return whole < 120 ? `${whole} minutes` : `${Math.floor(whole / 60)} hours`;
}
