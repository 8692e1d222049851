/**
 * What a running agent says of itself to whoever may ask on this machine: `status`, `doctor`, the live view, metrics.
 * It holds no token, no prompt, no answer and no address of a client. Times are milliseconds since 1970.
 */
import type { ServerKind } from './discovery.ts';

export interface AgentReport {
  readonly version: string;
  readonly pid: number;
  readonly started_at: number;
  readonly edge: string;
  readonly host_id: string;
  readonly link: LinkReport;
  /** The library that makes direct connections, and why it is that one; null: an agent of an older version. */
  readonly engine: { readonly name: string; readonly why: string } | null;
  readonly sessions: readonly SessionReport[];
  readonly upstreams: readonly UpstreamReport[];
  readonly requests: RequestsReport;
  /** Of all that runs, over the last few seconds. Events of streamed answers are counted, about one per token. */
  readonly tokens_per_second: number;
}

/** Since the start, but for `running`. */
export interface RequestsReport {
  readonly running: number;
  readonly finished: number;
  readonly failed: number;
  /** Their clients gave them up. */
  readonly cancelled: number;
}

export interface LinkReport {
  readonly state: 'up' | 'down';
  readonly transport: 'websocket' | 'polling' | null;
  /** When the state last changed. */
  readonly since: number;
  /** Why it is down. */
  readonly problem: string | null;
}

export interface SessionReport {
  /** The beginning of its id: the whole one lets its holder take part in the signaling. */
  readonly id: string;
  /** The kind of `Grant.subject`: owner, session, invitation, key or anonymous. `tunnel`: the edge for many clients. */
  readonly client: string;
  /** null: it has lost its path and waits for another one. */
  readonly path: 'direct' | 'turn' | 'relay' | 'tunnel' | null;
  readonly rtt_ms: number | null;
  readonly since: number;
  /** Open now. */
  readonly streams: number;
  /** Bytes of bodies: to the client, and from it. */
  readonly bytes_sent: number;
  readonly bytes_received: number;
  readonly tokens_per_second: number;
}

export interface UpstreamReport {
  readonly kind: ServerKind;
  readonly name: string;
  readonly url: string;
  readonly models: readonly string[];
  readonly state: 'up' | 'down';
  /** Requests that run there, and that wait for their turn. */
  readonly running: number;
  readonly waiting: number;
}
