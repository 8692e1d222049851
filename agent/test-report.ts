/** A report of an agent with some of everything, for tests of what shows one. */
import type { AgentReport, SessionReport } from './agent-report.ts';

/** Of EXAMPLE_REPORT: some minutes after its start. */
export const EXAMPLE_NOW = Date.UTC(2026, 10, 21, 12, 30);

export function exampleSession(more: Partial<SessionReport> = {}): SessionReport {
  return {
    id: 'k3Jx9QpL',
    client: 'session',
    path: 'direct',
    rtt_ms: 4.2,
    since: EXAMPLE_NOW - 65_000,
    streams: 1,
    bytes_sent: 120_345,
    bytes_received: 2_048,
    tokens_per_second: 41.25,
    ...more,
  };
}

export const EXAMPLE_REPORT: AgentReport = {
  version: '0.1.0',
  pid: 4242,
  started_at: EXAMPLE_NOW - 3_723_000,
  edge: 'https://edge.example',
  host_id: 'attic',
  link: { state: 'up', transport: 'websocket', since: EXAMPLE_NOW - 3_722_000, problem: null },
  engine: { name: 'werift', why: 'node-datachannel is not installed' },
  sessions: [
    exampleSession(),
    exampleSession({
      id: 'Zz81mmQ0',
      client: 'key',
      path: 'relay',
      rtt_ms: 78,
      streams: 2,
      bytes_sent: 3_456_789,
      tokens_per_second: 12.5,
    }),
    exampleSession({
      id: 'tunnel00',
      client: 'tunnel',
      path: 'tunnel',
      rtt_ms: null,
      streams: 0,
      tokens_per_second: 0,
    }),
    exampleSession({
      id: 'gone0000',
      client: 'invitation',
      path: null,
      rtt_ms: null,
      streams: 1,
      tokens_per_second: 0,
    }),
  ],
  upstreams: [
    {
      kind: 'ollama',
      name: 'Ollama',
      url: 'http://127.0.0.1:11434',
      models: ['llama3.2', 'qwen3'],
      state: 'up',
      running: 3,
      waiting: 1,
    },
    {
      kind: 'llamacpp',
      name: 'llama.cpp',
      url: 'http://127.0.0.1:8080',
      models: [],
      state: 'down',
      running: 0,
      waiting: 0,
    },
  ],
  requests: { running: 4, finished: 120, failed: 2, cancelled: 5 },
  tokens_per_second: 53.75,
};
