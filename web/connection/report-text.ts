/** The report as text for a bug report: what others need to see, and nothing that is nobody's business. */
import type { ConnectionReport } from '../client/index.ts';
import { maskAddresses } from './addresses.ts';
import { candidateText, lastCandidates } from './candidates.ts';
import { eventText, offset } from './event-text.ts';
import { credentialsEnd, serverKinds } from './ice-words.ts';
import { duration, latencies, samplesOf } from './latency.ts';
import type { Warning } from './warnings.ts';

export interface ReportTextOptions {
  report: ConnectionReport;
  warnings: readonly Warning[];
  /** The browser's name and version, as it gives them. */
  browser: string;
  /** Which build of the page this is. */
  page: string;
  /** As they are, instead of masked. */
  withAddresses: boolean;
}

/** Without requests: their paths may name files and chats. */
export function reportText({ report, warnings, browser, page, withAddresses }: ReportTextOptions): string {
  const shown = withAddresses ? (text: string) => text : maskAddresses;
  const { path, rtt, state, error, pair, timeline, paths, ice } = report;
  const { local, remote } = lastCandidates(timeline);
  const section = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
  return [
    'direct-agent: connection report',
    `made: ${new Date(report.startedAt + report.at).toISOString()}, ${offset(report.at)} after the beginning`,
    `versions: protocol ${report.protocolVersion}, page ${page}`,
    `browser: ${browser}`,
    `path: ${path}${rtt === undefined ? '' : `, ${duration(rtt)}`}; direct path: ${state}`,
    `wanted: ${wanted(report)}`,
    `error: ${error === undefined ? 'none' : shown(`${error.code} ${error.message}`)}`,
    `ICE servers: ${ice === undefined ? 'none yet' : iceText(report)}`,
    `pair: ${pair === undefined ? 'none' : shown(pairText(pair))}`,
    ...section(
      'warnings',
      warnings.map(({ id, text }) => shown(`${id}: ${text}`)),
    ),
    ...section('candidates', [
      ...local.map((candidate) => shown(`local ${candidateText(candidate)}`)),
      ...remote.map((candidate) => shown(`remote ${candidateText(candidate)}`)),
    ]),
    ...section(
      'time to the first byte',
      latencies(samplesOf(report.requests)).map(
        ({ way, count, median }) => `${way}: ${duration(median)}, median of ${count}`,
      ),
    ),
    ...section(
      'paths',
      paths.map((change) => `${offset(change.at)} ${change.path}`),
    ),
    ...section(
      'timeline',
      timeline.map((event) => `${offset(event.at)} ${shown(eventText(event))}`),
    ),
    '',
  ].join('\n');
}

function wanted({ webrtc, iceTransportPolicy }: ConnectionReport): string {
  if (!webrtc) return 'no WebRTC';
  return iceTransportPolicy === 'relay' ? 'TURN only' : 'any path';
}

function iceText(report: ConnectionReport): string {
  const { ice } = report;
  if (ice === undefined) return '';
  const end = credentialsEnd(report);
  const kinds = serverKinds(ice).join(', ') || 'none';
  const clock = `clock ${(ice.clockAheadMs / 1_000).toFixed(1)} s ahead of the edge’s`;
  return [`${kinds}; named by ${ice.source}`, end && `credentials ${end}`, clock].filter(Boolean).join('; ');
}

function pairText({ local, remote }: NonNullable<ConnectionReport['pair']>): string {
  const end = (candidate: typeof local) => (candidate === undefined ? '(hidden)' : candidateText(candidate));
  return `${end(local)} → ${end(remote)}`;
}
