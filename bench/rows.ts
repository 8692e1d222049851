/** The rows of `npm run bench`: what each measures in one run of one column. */
import type { Page } from 'playwright-core';
import type { AgentCounters } from './agent.ts';
import type { Column } from './columns.ts';
import { distribution } from './distribution.ts';
import type { BulkAsked, BulkMeasured } from './in-page.ts';
import { OWNER_TOKEN, type Place, type WireCounters } from './place.ts';
import type { Metric } from './results.ts';
import { median, quantile } from './statistics.ts';

export interface RowContext {
  place: Place;
  column: Column;
  page: Page;
  /** Of tokens that count. */
  seconds: number;
}

export interface Row {
  /** For `--rows`. */
  name: string;
  metrics: readonly Metric[];
  /** Where the row means nothing it is left out. */
  has?(column: Column): boolean;
  /** By the keys of the metrics; those that the column does not have are absent. */
  measure(context: RowContext): Promise<Record<string, number>>;
}

const CONCURRENT = 20;
const STREAMS = [1, 10, 50] as const;
const TOKEN_EVERY_MS = 10;
/** With these the agent's work is counted. */
const COUNTED_STREAMS = 50;
const CHUNKS_KIB = [16, 256] as const;
const KIB = 1024;

const ms = (key: string, label: string, digits = 1): Metric => ({ key, label, unit: 'ms', digits });

/** What the agent, the session and the link between did for something; `unit` is what it is divided by. */
function counted(prefix: string, unit: string): Metric[] {
  return [
    { key: `${prefix}-cpu`, label: `agent: CPU for ${unit}`, unit: 'ms', digits: 1 },
    { key: `${prefix}-allocated`, label: `agent: heap allocated for ${unit}`, unit: 'kB', digits: 0 },
    { key: `${prefix}-messages`, label: `session messages for ${unit}, both ways`, unit: 'messages', digits: 0 },
    { key: `${prefix}-packets`, label: `packets on the link for ${unit}, both ways`, unit: 'packets', digits: 0 },
    { key: `${prefix}-bytes`, label: `bytes on the link for ${unit}, both ways`, unit: 'kB', digits: 0 },
  ];
}

interface Reading {
  agent: AgentCounters | undefined;
  wire: WireCounters;
  messages: number | undefined;
}

async function read({ place, column, page }: RowContext): Promise<Reading> {
  const [agent, messages] = await Promise.all([
    place.counters(column.name),
    column.kind === 'client' ? page.evaluate(() => bench.messageCounts()) : undefined,
  ]);
  return { agent, wire: place.wire(), messages: messages && messages.sent + messages.received };
}

async function whatItTook(prefix: string, before: Reading, units: number, context: RowContext) {
  const after = await read(context);
  const values: Record<string, number> = {
    [`${prefix}-packets`]: (after.wire.packets - before.wire.packets) / units,
    [`${prefix}-bytes`]: (after.wire.bytes - before.wire.bytes) / 1000 / units,
  };
  if (after.agent !== undefined && before.agent !== undefined) {
    values[`${prefix}-cpu`] = (after.agent.cpuMs - before.agent.cpuMs) / units;
    values[`${prefix}-allocated`] = (after.agent.allocatedBytes - before.agent.allocatedBytes) / 1000 / units;
  }
  if (after.messages !== undefined && before.messages !== undefined) {
    values[`${prefix}-messages`] = (after.messages - before.messages) / units;
  }
  return values;
}

const load: Row = {
  name: 'load',
  metrics: [ms('load-response', 'page load to first response', 0), ms('load-open', 'page load to open channel', 0)],
  has: ({ kind }) => kind !== 'raw',
  async measure({ place, column }) {
    const asked = {
      way: column.kind === 'client' ? (column.path === 'relay' ? 'relay' : 'client at once') : column.name,
      host: column.name,
      token: OWNER_TOKEN,
      path: '/v1/bench/first',
      origin: column.name === 'plain' ? place.upstreamOrigins[0] : undefined,
      untilOpen: column.path === 'direct',
    };
    const context = await place.browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`${place.origin}/_direct/bench/page#${encodeURIComponent(JSON.stringify(asked))}`);
      await page.waitForFunction(() => 'measured' in globalThis);
      const { sinceNavigation, opened } = await page.evaluate(
        () => (globalThis as unknown as { measured: Promise<{ sinceNavigation: number; opened?: number }> }).measured,
      );
      return { 'load-response': sinceNavigation, ...(opened === undefined ? {} : { 'load-open': opened }) };
    } finally {
      await context.close();
    }
  },
};

const request: Row = {
  name: 'request',
  metrics: [ms('request-p50', 'small request (1 KB), p50', 2), ms('request-p99', 'small request (1 KB), p99', 2)],
  async measure({ place, column, page }) {
    const isFast = place.condition.link === undefined && column.path !== 'relay';
    const times = await page.evaluate((count) => bench.small(count), isFast ? 200 : 60);
    return { 'request-p50': quantile(times, 0.5), 'request-p99': quantile(times, 0.99) };
  },
};

const firstByte: Row = {
  name: 'first-byte',
  metrics: [ms('first', 'first byte of a stream', 2)],
  async measure({ page }) {
    return { first: median(await page.evaluate(() => bench.first(10))) };
  },
};

const concurrent: Row = {
  name: 'concurrent',
  metrics: [ms('concurrent', `${CONCURRENT} concurrent requests (1 KB), all`)],
  async measure({ page }) {
    return { concurrent: median(await page.evaluate((count) => bench.concurrent(count, 5), CONCURRENT)) };
  },
};

function tokenRow(streams: number, beside: boolean): Row {
  const key = `${beside ? 'beside' : 'tokens'}-${streams}`;
  const what = `token delay, ${streams} stream${streams === 1 ? '' : 's'}${beside ? ' beside bulk' : ''}`;
  const isCounted = streams === COUNTED_STREAMS && !beside;
  return {
    name: beside ? 'beside' : 'tokens',
    metrics: [
      { ...ms(`${key}-p50`, `${what}, p50`, 2), above: true },
      { ...ms(`${key}-p99`, `${what}, p99`, 2), above: true },
      ...(beside ? [{ key: `${key}-rate`, label: '  the bulk beside them', unit: 'MB/s', digits: 1 }] : []),
      ...(isCounted ? counted('tokens', '1,000 tokens') : []),
    ],
    async measure(context) {
      const before = await read(context);
      const { tokens, besideRate, complete } = await context.page.evaluate((asked) => bench.tokens(asked), {
        streams,
        seconds: context.seconds,
        everyMs: TOKEN_EVERY_MS,
        beside,
      });
      const delays = tokens.flat().map(({ delayMs }) => delayMs);
      const { p50, p99, count } = distribution(delays);
      if (!complete) throw new Error(`only ${count} tokens came`);
      // Those before the first that count were passed on as well.
      const all = (streams * (context.seconds + 0.4) * 1000) / TOKEN_EVERY_MS;
      return {
        [`${key}-p50`]: p50,
        [`${key}-p99`]: p99,
        ...(beside ? { [`${key}-rate`]: besideRate } : {}),
        ...(isCounted ? await whatItTook('tokens', before, all / 1000, context) : {}),
      };
    },
  };
}

/** How long; a link's round trips take some to be used to the full, and lost packets need many to be alike. */
function bulkTimes({ condition: { link } }: Place): Pick<BulkAsked, 'warmMs' | 'ms'> {
  if (link === undefined) return { warmMs: 300, ms: 800 };
  return link.lossPercent === undefined ? { warmMs: 1000, ms: 1500 } : { warmMs: 1000, ms: 3000 };
}

function bulkRow(direction: 'down' | 'up', chunkKib: number): Row {
  const key = `${direction}-${chunkKib}`;
  const isCounted = chunkKib === CHUNKS_KIB[0];
  return {
    name: 'bulk',
    metrics: [
      { key, label: `bulk ${direction}, ${chunkKib} KiB writes`, unit: 'MB/s', digits: 1 },
      ...(isCounted ? counted(direction, `1 MB ${direction}`) : []),
    ],
    async measure(context) {
      const before = await read(context);
      const asked: BulkAsked = { chunk: chunkKib * KIB, ...bulkTimes(context.place) };
      const { rate, megabytes }: BulkMeasured = await context.page.evaluate(
        ([direction, asked]) => bench[direction](asked),
        [direction, asked] as const,
      );
      return { [key]: rate, ...(isCounted ? await whatItTook(direction, before, megabytes, context) : {}) };
    },
  };
}

export const ROWS: readonly Row[] = [
  load,
  request,
  firstByte,
  concurrent,
  ...STREAMS.map((streams) => tokenRow(streams, false)),
  ...STREAMS.map((streams) => tokenRow(streams, true)),
  ...CHUNKS_KIB.map((chunk) => bulkRow('down', chunk)),
  ...CHUNKS_KIB.map((chunk) => bulkRow('up', chunk)),
];

/** After all others, once. */
export const MEMORY: readonly Metric[] = [
  { key: 'rss-peak', label: 'agent: RSS, peak of all rows', unit: 'MB', digits: 0 },
  { key: 'rss-after', label: 'agent: RSS after a collection', unit: 'MB', digits: 0 },
];
