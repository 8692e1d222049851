/** A running agent as lines for a terminal: a pure function of its report, the terminal's size and the time. */
import type { AgentReport, LinkReport, SessionReport, UpstreamReport } from './agent-report.ts';
import { cut, duration, figure, pad, size, width } from './live-text.ts';

export interface ViewOptions {
  /** Of the terminal; no line is as long as that, since some wrap a line that fills one. */
  columns: number;
  /** Lines at most. */
  rows: number;
  /** Milliseconds since 1970. */
  now: number;
  colors: boolean;
}

type Style = 'bold' | 'quiet' | 'good' | 'bad' | 'plain';
interface Piece {
  text: string;
  style: Style;
}
type Line = Piece[];

const CODES: Record<Exclude<Style, 'plain'>, string> = { bold: '1', quiet: '2', good: '32', bad: '31' };
const CLIENTS: ReadonlyMap<string, string> = new Map([
  ['owner', 'owner’s token'],
  ['session', 'owner’s browser'],
  ['invitation', 'guest'],
  ['key', 'API key'],
  ['anonymous', 'anybody'],
  ['tunnel', 'plain HTTPS'],
]);
const TRANSPORTS = { websocket: 'WebSocket', polling: 'HTTPS polling' };
const TITLE_COLUMNS = 11;
const GAP = '  ';
/** Of the upstreams, when there are many. */
const MAX_UPSTREAM_LINES = 8;
/** So few sessions are shown in any case. */
const MIN_SESSION_LINES = 2;

interface Column {
  title: string;
  /** The lower, the longer it stays on a narrow terminal. */
  rank: number;
  alignment: 'left' | 'right';
  text(session: SessionReport, now: number): string;
}

const COLUMNS: readonly Column[] = [
  { title: 'SESSION', rank: 3, alignment: 'left', text: ({ id }) => id },
  { title: 'CLIENT', rank: 5, alignment: 'left', text: ({ client }) => CLIENTS.get(client) ?? client },
  { title: 'PATH', rank: 0, alignment: 'left', text: ({ path }) => path ?? 'waiting' },
  { title: 'RTT', rank: 1, alignment: 'right', text: ({ rtt_ms: ms }) => (ms === null ? '–' : `${figure(ms)} ms`) },
  { title: 'STREAMS', rank: 4, alignment: 'right', text: ({ streams }) => `${streams}` },
  { title: 'TOK/S', rank: 2, alignment: 'right', text: ({ tokens_per_second: rate }) => rateText(rate) },
  { title: 'SENT', rank: 6, alignment: 'right', text: ({ bytes_sent: bytes }) => size(bytes) },
  { title: 'RECEIVED', rank: 7, alignment: 'right', text: ({ bytes_received: bytes }) => size(bytes) },
  { title: 'FOR', rank: 8, alignment: 'right', text: ({ since }, now) => duration(now - since) },
];

/** Without a report: no agent runs, or none that can be asked. */
export function renderView(report: AgentReport | undefined, options: ViewOptions): string[] {
  const { columns, rows, colors } = options;
  const lines = report === undefined ? [absent()] : linesOf(report, options);
  const room = Math.max(0, rows);
  return lines.slice(0, room).map((line) => painted(line, columns - 1, colors));
}

function absent(): Line {
  return [piece('No agent runs here. Start it with: direct-agent up', 'quiet')];
}

function linesOf(report: AgentReport, { columns, rows, now }: ViewOptions): Line[] {
  const { host_id, edge, version, started_at } = report;
  const head: Line[] = [
    [
      piece(host_id, 'bold'),
      piece(` at ${edge}`),
      piece(`, direct-agent ${version} for ${duration(now - started_at)}`, 'quiet'),
    ],
    titled('Edge', link(report.link, now)),
    titled('Requests', requests(report)),
    ...upstreams(report.upstreams),
  ];
  const { sessions } = report;
  if (sessions.length === 0) return [...head, titled('Sessions', [piece('none', 'quiet')])];
  // The empty line, the titles, and one to say how many more there are.
  const room = Math.max(MIN_SESSION_LINES, rows - head.length - 2);
  return [...head, [], ...table(sessions, room, columns - 1, now)];
}

function link({ state, transport, since, problem }: LinkReport, now: number): Line {
  const time = duration(now - since);
  if (state === 'down') {
    return [piece(`not connected for ${time}`, 'bad'), piece(problem === null ? '' : ` (${problem})`)];
  }
  return [piece('connected', 'good'), piece(` by ${TRANSPORTS[transport ?? 'websocket']} for ${time}`)];
}

function requests({ requests: { running, finished, failed }, tokens_per_second: rate }: AgentReport): Line {
  return [
    piece(`${running} running, ${finished} answered`),
    piece(`, ${failed} failed`, failed > 0 ? 'bad' : 'plain'),
    piece(rate > 0 ? `, ${rateText(rate)} tokens/s` : ''),
  ];
}

function upstreams(all: readonly UpstreamReport[]): Line[] {
  if (all.length === 0) return [titled('Upstreams', [piece('no local LLM server found', 'bad')])];
  const shown = all.slice(0, all.length > MAX_UPSTREAM_LINES ? MAX_UPSTREAM_LINES - 1 : MAX_UPSTREAM_LINES);
  const lines = shown.map(({ name, url, state, models, running, waiting }, index) => {
    const where = name === url ? url : `${name} at ${url}`;
    const busy = running + waiting === 0 ? '' : `, ${running} running${waiting === 0 ? '' : `, ${waiting} waiting`}`;
    const many = `, ${models.length} ${models.length === 1 ? 'model' : 'models'}`;
    return titled(index === 0 ? 'Upstreams' : '', [
      piece(state, state === 'up' ? 'good' : 'bad'),
      piece(`${state === 'up' ? GAP : ''} ${where}${state === 'up' ? many : ''}${busy}`),
    ]);
  });
  const rest = all.length - shown.length;
  return rest === 0 ? lines : [...lines, titled('', [piece(`and ${rest} more`, 'quiet')])];
}

function table(sessions: readonly SessionReport[], room: number, columns: number, now: number): Line[] {
  const fits = sessions.length <= room;
  const shown = fits ? sessions : busiest(sessions, room - 1);
  const cells = shown.map((session) => COLUMNS.map(({ text }) => text(session, now)));
  const widths = COLUMNS.map(({ title }, index) =>
    Math.max(...[title, ...cells.map((row) => row[index] ?? '')].map(width)),
  );
  const kept = keep(widths, columns);
  const row = (texts: readonly string[], style: (index: number) => Style): Line =>
    kept.map((index, at) =>
      piece(
        (at === 0 ? '' : GAP) + pad(texts[index] ?? '', widths[index] ?? 0, COLUMNS[index]?.alignment),
        style(index),
      ),
    );
  const rest = sessions.length - shown.length;
  return [
    row(
      COLUMNS.map(({ title }) => title),
      () => 'quiet',
    ),
    ...cells.map((texts, index) => row(texts, (column) => styleOf(shown[index], COLUMNS[column]))),
    ...(rest === 0 ? [] : [[piece(`and ${rest} more`, 'quiet')]]),
  ];
}

function styleOf(session: SessionReport | undefined, column: Column | undefined): Style {
  if (column?.title !== 'PATH') return 'plain';
  if (session?.path === 'direct') return 'good';
  return session?.path === null ? 'bad' : 'plain';
}

/** Those with open streams first; else in their order, so that lines stay where they are. */
function busiest(sessions: readonly SessionReport[], room: number): SessionReport[] {
  const chosen = new Set([...sessions].sort((a, b) => Number(b.streams > 0) - Number(a.streams > 0)).slice(0, room));
  return sessions.filter((session) => chosen.has(session));
}

/** Which columns there is room for. */
function keep(widths: readonly number[], columns: number): number[] {
  const kept: number[] = [];
  let used = 0;
  const byRank = [...COLUMNS.keys()].sort((a, b) => (COLUMNS[a]?.rank ?? 0) - (COLUMNS[b]?.rank ?? 0));
  for (const index of byRank) {
    const needed = (widths[index] ?? 0) + (kept.length === 0 ? 0 : GAP.length);
    if (used + needed > columns && kept.length > 0) break;
    used += needed;
    kept.push(index);
  }
  return kept.sort((a, b) => a - b);
}

function rateText(rate: number): string {
  return rate === 0 ? '–' : figure(rate);
}

function titled(title: string, line: Line): Line {
  return [piece(pad(title, TITLE_COLUMNS), 'quiet'), ...line];
}

function piece(text: string, style: Style = 'plain'): Piece {
  return { text, style };
}

function painted(line: Line, columns: number, colors: boolean): string {
  let left = columns;
  let text = '';
  for (const { text: whole, style } of line) {
    const shown = cut(whole, left);
    left -= width(shown);
    if (shown !== '') text += colors && style !== 'plain' ? `\x1b[${CODES[style]}m${shown}\x1b[0m` : shown;
    // What follows a piece that was cut has lost its meaning.
    if (shown !== whole) break;
  }
  return text.trimEnd();
}
