/** Shows what a running agent counts to Prometheus, at an address of this machine. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { isIP } from 'node:net';
import type { AgentReport, SessionReport } from './agent-report.ts';
import { CommandError, EXIT, plain } from './command-error.ts';
import { isLoopback } from './edge-address.ts';
import type { Meter, MeteredPath } from './meter.ts';
import { Histogram, OPEN_SECONDS } from './meter-histogram.ts';
import type { MetricsAddress } from './metrics-address.ts';
import { type Labels, MetricsText } from './metrics-text.ts';

/** The agent, as far as it is shown. */
export interface Observed {
  readonly meter: Meter;
  report(): AgentReport;
}

export interface MetricsServer {
  /** From now on there is something to show. */
  show(agent: Observed): void;
  close(): Promise<void>;
}

const PATHS: readonly MeteredPath[] = ['direct', 'turn', 'relay', 'tunnel'];
/** Servers and people give names of any length. */
const MAX_LABEL_LENGTH = 60;
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** @throws CommandError when the address cannot be used */
export async function openMetrics({ host, port }: MetricsAddress): Promise<MetricsServer> {
  let agent: Observed | undefined;
  const server = createServer((request, response) => {
    const refuse = (status: number, text: string) => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
    };
    // A page of anybody's can have a name that leads to this machine, and read what is there (DNS rebinding).
    if (isLoopback(bracketed(host)) && !isOwnName(request.headers.host)) {
      return refuse(403, 'Ask for localhost: other names are refused.');
    }
    if (request.url !== '/metrics') return refuse(404, 'The metrics are at /metrics.');
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'There is only GET.');
    if (agent === undefined) return refuse(503, 'The agent is starting.');
    const observed = agent;
    const asked = performance.now();
    // As late as the next turn of the event loop comes, so late comes everything.
    setImmediate(() => {
      response.writeHead(200, { 'content-type': CONTENT_TYPE });
      response.end(metricsText(observed.meter, observed.report(), ownProcess((performance.now() - asked) / 1000)));
    });
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error;
    throw new CommandError(EXIT.config, `metrics: ${bracketed(host)}:${port} ${whatToDo(code)}`);
  }
  return {
    show: (observed) => {
      agent = observed;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function whatToDo(code: unknown): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'is in use by another program. Name another port, or end what uses this one.';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `is no address of this machine (${code}). Name a port alone to use 127.0.0.1.`;
    case 'EACCES':
      return 'may not be used by this user. Name a port above 1023.';
    default:
      return `cannot be listened at (${code}). Name another address.`;
  }
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

function isOwnName(host: string | undefined): boolean {
  const url = URL.parse(`http://${host ?? ''}`);
  return url !== null && isLoopback(url.hostname);
}

interface OwnProcess {
  cpuSeconds: number;
  residentBytes: number;
  /** Undefined where the system does not say. */
  openFiles: number | undefined;
  startedAt: number;
  lagSeconds: number;
  activeSeconds: number;
}

function ownProcess(lagSeconds: number): OwnProcess {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openFiles: openFiles(),
    startedAt: performance.timeOrigin / 1000,
    lagSeconds,
    activeSeconds: performance.eventLoopUtilization().active / 1000,
  };
}

function openFiles(): number | undefined {
  try {
    return readdirSync(process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd').length;
  } catch {
    return undefined;
  }
}

/** All of them; docs/configuration.md lists them for people. */
export function metricsText(meter: Meter, report: AgentReport, own: OwnProcess): string {
  const text = new MetricsText();
  const of = (path: MeteredPath) => meter.connections.get(path) ?? new Histogram(OPEN_SECONDS);
  const upstreams = labelled(report);
  return text
    .gauge('direct_agent_build_info', 'Always 1; the labels say what runs.', [
      { version: report.version, node: process.versions.node },
      1,
    ])
    .gauge('direct_agent_link_up', 'Whether the agent is connected to its edge.', [
      {},
      report.link.state === 'up' ? 1 : 0,
    ])
    .counter(
      'direct_agent_connections_total',
      'Paths of clients that were opened.',
      ...PATHS.map((path) => [{ path }, of(path).count] as const),
    )
    .histogram(
      'direct_agent_connection_open_seconds',
      'From the offer of a client to its first word on the path.',
      ...PATHS.map((path) => [{ path }, of(path)] as const),
    )
    .counter(
      'direct_agent_failures_total',
      'Requests, connections of clients and links to the edge that failed, by the code of the error.',
      ...[...meter.failures].flatMap(([of, codes]) =>
        [...codes].map(([code, count]) => [{ of, code }, count] as const),
      ),
    )
    .gauge(
      'direct_agent_sessions',
      'Sessions of clients by the path in use; none: they wait for another one.',
      ...[...PATHS, 'none' as const].map((path) => [{ path }, sessionsOn(report, path)] as const),
    )
    .gauge('direct_agent_streams', 'Requests and WebSockets that are open.', [
      {},
      report.sessions.reduce((sum, { streams }) => sum + streams, 0),
    ])
    .counter(
      'direct_agent_requests_total',
      'Requests and WebSockets that have ended.',
      [{ outcome: 'finished' }, meter.requests.finished],
      [{ outcome: 'failed' }, meter.requests.failed],
      [{ outcome: 'cancelled' }, meter.requests.cancelled],
    )
    .counter(
      'direct_agent_body_bytes_total',
      'Bytes of bodies and of WebSocket messages, to clients and from them.',
      [{ direction: 'sent' }, meter.bytes.sent],
      [{ direction: 'received' }, meter.bytes.received],
    )
    .histogram(
      'direct_agent_first_byte_seconds',
      'From a request to the first byte of the body that the upstream answered with.',
      ...[...meter.firstBytes].map(([upstream, histogram]) => [{ upstream }, histogram] as const),
    )
    .counter('direct_agent_tokens_total', 'Events of streamed answers, which servers send about one of per token.', [
      {},
      meter.tokens,
    ])
    .gauge(
      'direct_agent_upstream_up',
      'Whether the upstream answers.',
      ...upstreams.map(([upstream, { state }]) => [{ upstream }, state === 'up' ? 1 : 0] as const),
    )
    .gauge(
      'direct_agent_upstream_requests',
      'Requests that run at the upstream, and that wait for their turn.',
      ...upstreams.flatMap(([upstream, { running, waiting }]): [Labels, number][] => [
        [{ upstream, state: 'running' }, running],
        [{ upstream, state: 'waiting' }, waiting],
      ]),
    )
    .counter('process_cpu_seconds_total', 'Processor time, in user and in kernel mode.', [{}, own.cpuSeconds])
    .gauge('process_resident_memory_bytes', 'Memory in use.', [{}, own.residentBytes])
    .gauge('process_start_time_seconds', 'When the process started, since 1970.', [{}, own.startedAt])
    .gauge(
      'process_open_fds',
      'Open file descriptors.',
      ...(own.openFiles === undefined ? [] : [[{}, own.openFiles] as const]),
    )
    .gauge('nodejs_eventloop_lag_seconds', 'How late the event loop was for this answer.', [{}, own.lagSeconds])
    .counter('nodejs_eventloop_active_seconds_total', 'Time in which the event loop was busy.', [{}, own.activeSeconds])
    .toString();
}

function sessionsOn({ sessions }: AgentReport, path: MeteredPath | 'none'): number {
  return sessions.filter((session: SessionReport) => (session.path ?? 'none') === path).length;
}

/** Each under a label of its own: a sample that comes twice would make Prometheus refuse all of them. */
function labelled({ upstreams }: AgentReport): [label: string, AgentReport['upstreams'][number]][] {
  return [...new Map(upstreams.map((upstream) => [upstreamLabel(upstreams, upstream.url), upstream]))];
}

/** The name of the upstream at `base`, with its address where another one has that name. */
export function upstreamLabel(all: readonly { name: string; url: string }[], base: string): string {
  const named = all.map(({ name, url }) => ({ url, label: plain(name, MAX_LABEL_LENGTH) }));
  const label = named.find(({ url }) => url === base)?.label ?? base;
  return named.filter((other) => other.label === label).length > 1 ? `${base} ${label}` : label;
}
