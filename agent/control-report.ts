/** A report as another process of this machine sent it, which may be of another version. */
import { z } from 'zod';
import type { AgentReport } from './agent-report.ts';
import type { ServerKind } from './discovery.ts';

const text = z.string();
const number = z.number();

const report = z.object({
  version: text,
  pid: number,
  started_at: number,
  edge: text,
  host_id: text,
  link: z.object({
    state: z.enum(['up', 'down']),
    transport: z.enum(['websocket', 'polling']).nullable(),
    since: number,
    problem: text.nullable(),
  }),
  engine: z.object({ name: text, why: text }).nullable().default(null),
  sessions: z.array(
    z.object({
      id: text,
      client: text,
      path: z.enum(['direct', 'turn', 'relay', 'tunnel']).nullable(),
      rtt_ms: number.nullable(),
      since: number,
      streams: number,
      bytes_sent: number,
      bytes_received: number,
      tokens_per_second: number,
    }),
  ),
  upstreams: z.array(
    z.object({
      // Shown, and nothing else.
      kind: text.transform((kind) => kind as ServerKind),
      name: text,
      url: text,
      models: z.array(text),
      state: z.enum(['up', 'down']),
      running: number,
      waiting: number,
    }),
  ),
  requests: z.object({ running: number, finished: number, failed: number, cancelled: number }),
  tokens_per_second: number,
});

/** @throws Error when it is no report that this version understands. */
export function parseReport(json: string): AgentReport {
  return report.parse(JSON.parse(json));
}
