/**
 * `npm run bench`: the direct path beside its peers, in one run and on one machine (docs/benchmarks.md). For each
 * condition one table: a line for each figure, a column for each way, medians of runs that alternate between the
 * columns, and the ratio to the first column. Markdown to stdout and to a file, JSON beside it.
 *
 *   --rows tokens,bulk          --columns plain,werift         --conditions loopback,40ms,loss
 *   --runs 5                    --seconds 1 (of tokens)        --out bench-results (without .md and .json)
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildWeb } from '../scripts/web.ts';
import { withoutChromium } from '../test/chromium.ts';
import { networkLabMissing } from '../test/network-lab.ts';
import { COLUMNS, type Column, columnMissing } from './columns.ts';
import type { Extra } from './extras.ts';
import { goalsTable } from './goals.ts';
import { lanes } from './lanes-extra.ts';
import { describeLink, type LinkLimit, measureLink } from './link.ts';
import { machine } from './machine.ts';
import { type Condition, Place, withinMs } from './place.ts';
import { raw } from './raw-extra.ts';
import { type Line, linesOf, type Outcome, tableOf } from './results.ts';
import { MEMORY, ROWS, type Row } from './rows.ts';
import { slowReader } from './slow-reader-extra.ts';
import { timeline } from './timeline-extra.ts';

const CONDITIONS: readonly Condition[] = [
  { name: 'loopback', title: 'No latency (two networks of one machine)' },
  { name: '40ms', title: '40 ms round trip', link: { roundTripMs: 40 } },
  { name: 'loss', title: '40 ms round trip, 1 % of packets lost each way', link: { roundTripMs: 40, lossPercent: 1 } },
];
const EXTRAS: readonly Extra[] = [timeline, raw, slowReader, lanes];
const ROW_NAMES = [...new Set(ROWS.map(({ name }) => name)), 'memory', ...EXTRAS.map(({ name }) => name)];
const CELL_MS = 90_000;

interface ConditionResult {
  condition: Condition;
  link: LinkLimit;
  /** Between the page's clock and the upstream's. */
  clockDifferenceMs: number;
  lines: Line[];
  extras: { title: string; text: string; data: unknown }[];
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: ROW_NAMES.join(',') },
    columns: { type: 'string', default: COLUMNS.map(({ name }) => name).join(',') },
    conditions: { type: 'string', default: CONDITIONS.map(({ name }) => name).join(',') },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    out: { type: 'string', default: 'bench-results' },
  },
});
const rowNames = chosen('rows', values.rows, ROW_NAMES);
const conditions = chosen('conditions', values.conditions, names(CONDITIONS)).map((name) => named(CONDITIONS, name));
const asked = chosen('columns', values.columns, names(COLUMNS)).map((name) => named(COLUMNS, name));
const [runs, seconds] = [Number(values.runs), Number(values.seconds)];
if (!(runs >= 1 && seconds > 0)) throw new TypeError('--runs and --seconds take numbers');
const missing = asked.flatMap((column) => {
  const why = columnMissing(column);
  return why === undefined ? [] : [`${column.title}: not available: ${why}`];
});
const columns = asked.filter((column) => columnMissing(column) === undefined);

const why = networkLabMissing() || withoutChromium;
if (why) {
  process.stderr.write(`bench cannot run here: ${why}\n`);
  process.exit(1);
}
await buildWeb();
const startedAt = new Date();
const results: ConditionResult[] = [];
for (const condition of conditions) {
  results.push(await measure(condition));
  // What is there stays, whatever becomes of the next condition.
  writeFileSync(`${values.out}.md`, markdown());
  writeFileSync(
    `${values.out}.json`,
    JSON.stringify({ startedAt, machine: machine(), runs, seconds, missing, results }, undefined, 1),
  );
}
process.stdout.write(markdown());
process.exit(0);

async function measure(condition: Condition): Promise<ConditionResult> {
  say(`${condition.title} …`);
  const place = await Place.start(condition, columns);
  try {
    const link = await measureLink(place.lab);
    say(describeLink(link, condition.link?.lossPercent));
    const plain = await place.page(named(COLUMNS, 'plain'));
    const url = `${place.upstreamOrigins[0]}/v1/bench/clock`;
    const clockDifferenceMs = await plain.evaluate((url) => bench.clockDifference(url), url);
    const lines: Line[] = [];
    for (const row of ROWS.filter(({ name }) => rowNames.includes(name))) lines.push(...(await measureRow(row, place)));
    if (rowNames.includes('memory')) lines.push(...(await memory(place)));
    const extras: ConditionResult['extras'] = [];
    for (const extra of EXTRAS) {
      if (rowNames.includes(extra.name) && extra.has(condition)) extras.push(await measureExtra(extra, place));
    }
    return { condition, link, clockDifferenceMs, lines, extras };
  } finally {
    await place.close();
  }
}

async function measureRow(row: Row, place: Place): Promise<Line[]> {
  const having = columns.filter((column) => row.has?.(column) ?? true);
  const outcomes = new Map<string, Outcome[]>(columns.map(({ name }) => [name, []]));
  // The first round is not counted: code is compiled and connections are made in it.
  for (let run = -1; run < runs; run++) {
    for (const column of having) {
      const outcome = await one(row, place, column);
      if (run >= 0) outcomes.get(column.name)?.push(outcome);
    }
  }
  const lines = linesOf(row.metrics, outcomes);
  for (const { metric, cells } of lines) {
    const shown = Object.entries(cells).map(
      ([name, { median, errors }]) => `${name} ${median?.toFixed(2) ?? errors[0] ?? '–'}`,
    );
    say(`  ${metric.label}: ${shown.join(', ')}`);
  }
  return lines;
}

async function one(row: Row, place: Place, column: Column): Promise<Outcome> {
  try {
    const work = place.page(column).then((page) => row.measure({ place, column, page, seconds }));
    return await withinMs(CELL_MS, work, 'it did not end');
  } catch (error) {
    // The next run begins anew.
    await place.closePage(column.name).catch(() => {});
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function memory(place: Place): Promise<Line[]> {
  const outcomes = new Map<string, Outcome[]>();
  for (const { name } of columns) {
    await place.closePage(name);
    const after = await place.counters(name, { collect: true });
    const values = after && { 'rss-peak': place.peakRssBytes(name) / 1e6, 'rss-after': after.rssBytes / 1e6 };
    outcomes.set(name, [values ?? {}]);
  }
  return linesOf(MEMORY, outcomes);
}

async function measureExtra(extra: Extra, place: Place): Promise<ConditionResult['extras'][number]> {
  say(`  ${extra.title} …`);
  try {
    const { text, data } = await extra.measure({ place, columns, runs, seconds });
    return { title: extra.title, text, data };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { title: extra.title, text: `failed: ${reason}`, data: { error: reason } };
  }
}

function markdown(): string {
  const titles = new Map(columns.map(({ name, title }) => [name as string, title]));
  const [first] = titles.values();
  const parts = [
    '# Benchmarks',
    `${startedAt.toISOString()}; ${machine()}.`,
    `Medians of ${runs} runs that alternate between the columns; × is the ratio to ${first}. docs/benchmarks.md says what each line is.`,
    ...missing,
  ];
  for (const { condition, link, clockDifferenceMs, lines, extras } of results) {
    parts.push(
      `## ${condition.title}`,
      `${describeLink(link, condition.link?.lossPercent)} The clocks of page and upstream differ by ${clockDifferenceMs.toFixed(2)} ms.`,
    );
    if (lines.length > 0) parts.push(tableOf(lines, titles));
    for (const { title, text } of extras) parts.push(`### ${title}`, text);
  }
  const goals = goalsTable(new Map(results.map(({ condition, lines }) => [condition.name, lines])));
  if (goals !== '') parts.push('## What was asked for', goals);
  return `${parts.join('\n\n')}\n`;
}

function say(line: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
}

function names(all: readonly { name: string }[]): string[] {
  return all.map(({ name }) => name);
}

function named<Item extends { name: string }>(all: readonly Item[], name: string): Item {
  const found = all.find((item) => item.name === name);
  if (found === undefined) throw new TypeError(`there is no ${name}`);
  return found;
}

function chosen(option: string, value: string, known: readonly string[]): string[] {
  const items = value.split(',').filter((item) => item !== '');
  const unknown = items.find((item) => !known.includes(item));
  if (unknown !== undefined) throw new TypeError(`--${option}: there is no ${unknown}; there are ${known.join(', ')}`);
  return items;
}
