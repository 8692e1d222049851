/** What a lost packet holds up: tokens of many streams on a path with lanes, and on one with a single lane. */
import type { Page } from 'playwright-core';
import { COLUMNS, type Column } from './columns.ts';
import { type Arrival, type Distribution, distribution, type Held, heldUp } from './distribution.ts';
import type { Extra } from './extras.ts';
import { quantile, table } from './statistics.ts';

const STREAMS = 50;
/**
 * So few that congestion control holds up none: after a loss SCTP's window is four packets (RFC 9260, section 7.2.3), and
 * at 1 % it stays near that. More tokens than fit into it wait for the window, whatever the lanes are.
 */
const EVERY_MS = 250;
const SECONDS = 12;

interface Variant {
  delays: Distribution;
  held: Held;
}

export const lanes: Extra = {
  name: 'lanes',
  title: `Delays of the tokens of ${STREAMS} streams of ${1000 / EVERY_MS} tokens/s, with lanes and without`,
  has: ({ link }) => link?.lossPercent !== undefined,
  async measure({ place, columns, runs }) {
    const roundTripMs = place.condition.link?.roundTripMs ?? 0;
    const variants: [name: string, page: () => Promise<{ page: Page; close(): Promise<unknown> }>][] = [];
    for (const column of columns.filter(({ path }) => path === 'direct')) {
      variants.push([column.title, async () => ({ page: await place.page(column), close: async () => {} })]);
      variants.push([`${column.title}, one lane`, () => oneLane(column)]);
    }
    const chromium = COLUMNS.find(({ kind }) => kind === 'raw');
    if (chromium !== undefined && columns.includes(chromium)) {
      variants.push([chromium.title, async () => ({ page: await place.page(chromium), close: async () => {} })]);
    }
    const arrivals = new Map<string, Arrival[]>(variants.map(([name]) => [name, []]));
    for (let run = 0; run < runs; run++) {
      for (const [name, open] of variants) {
        const { page, close } = await open();
        const { tokens } = await page.evaluate((asked) => bench.tokens(asked), {
          streams: STREAMS,
          seconds: SECONDS,
          everyMs: EVERY_MS,
          beside: false,
        });
        await close();
        // Runs are far apart, so that no two of their tokens count as arriving together.
        const shiftMs = run * 1e6;
        for (const [stream, all] of tokens.entries()) {
          for (const { atMs, delayMs } of all) arrivals.get(name)?.push({ stream, atMs: atMs + shiftMs, delayMs });
        }
      }
    }
    const results = new Map<string, Variant>();
    for (const [name, all] of arrivals) {
      const delays = distribution(all.map(({ delayMs }) => delayMs));
      results.set(name, { delays, held: heldUp(all, delays.p50 + roundTripMs / 2) });
    }
    return { text: shown(results, roundTripMs), data: Object.fromEntries(results) };

    async function oneLane(column: Column) {
      const page = await place.openOneLane(column);
      return { page, close: () => page.context().close() };
    }
  },
};

function shown(results: ReadonlyMap<string, Variant>, roundTripMs: number): string {
  const head = ['ms', 'tokens', 'p50', 'p90', 'p99', 'p99.9', 'max', 'late', 'held by another stream’s loss'];
  const rows = [...results].map(([name, { delays, held }]) => [
    name,
    `${delays.count}`,
    ...[delays.p50, delays.p90, delays.p99, delays.p999, delays.max].map((ms) => ms.toFixed(1)),
    share(held.late, delays.count),
    share(held.byOthers, delays.count),
    held.streams.length === 0 ? '–' : `${quantile(held.streams, 0.5)} / ${quantile(held.streams, 0.9)}`,
  ]);
  const explained = `Late: ${roundTripMs / 2} ms above the variant’s median or more. Held by another’s loss is an estimate (bench/distribution.ts): late ones that came together with another stream’s token that had been written before. Last column: streams that one loss made late, median and 90 %.`;
  return `${table([[...head, 'streams late together'], ...rows])}\n\n${explained}`;
}

function share(count: number, all: number): string {
  return `${count} (${((100 * count) / all).toFixed(2)} %)`;
}
