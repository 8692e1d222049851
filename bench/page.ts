/**
 * `npm run bench:page [-- --runs 5]`: what the chat page costs. First the sizes of its files against their budgets, then
 * how long a person on a slow phone network waits: the page by the edge in workerd, in Chromium with Lighthouse's “slow
 * 4G” (150 ms of latency, 1.6 Mbit/s down, 750 kbit/s up, a processor four times slower) by Chrome's own protocol. Ends
 * with 1 when a budget is exceeded.
 *
 * The local edge compresses by gzip, as Cloudflare would do for a browser without brotli and zstd; TLS, which loopback
 * has none of, adds a round trip. Chrome slows down requests only: neither WebSockets nor WebRTC, so the time to an
 * open channel is that of the page and of what it asks, and not of the connection's own round trips (bench/connect.ts).
 */
import { parseArgs } from 'node:util';
import { type BrowserContext, chromium } from 'playwright-core';
import { buildWeb } from '../scripts/web.ts';
import { CHROMIUM_OPTIONS, withoutChromium } from '../test/chromium.ts';
import { Stack } from '../test/stack.ts';
import { machine } from './machine.ts';
import { contextWith, visit, type Watched, watch } from './page-load.ts';
import { BUDGETS, pageSizes, type Size } from './page-sizes.ts';
import { median, table } from './statistics.ts';

/** Of the first contentful paint, with nothing cached. */
const COLD_PAINT_MS = 1_000;
const SLOW_4G = {
  offline: false,
  latency: 150,
  downloadThroughput: (1.6 * 1024 * 1024) / 8,
  uploadThroughput: (750 * 1024) / 8,
};
const SLOWER_PROCESSOR = 4;
const STEPS = ['first paint', 'first contentful paint', 'client begins', 'channel open'] as const;
type Load = Record<(typeof STEPS)[number], number>;

async function load(context: BrowserContext, url: string): Promise<Load> {
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('Network.enable');
  await devtools.send('Network.emulateNetworkConditions', SLOW_4G);
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: SLOWER_PROCESSOR });
  await page.addInitScript(watch);
  await page.goto(url);
  await page.waitForFunction(() => (globalThis as unknown as Watched).direct);
  const { paints, lines } = await page.evaluate(() => ({
    paints: performance.getEntriesByType('paint').map(({ name, startTime }) => [name, startTime] as const),
    lines: (globalThis as unknown as Watched).lines,
  }));
  await page.close();
  const paint = (name: string) => paints.find(([known]) => known === name)?.[1] ?? Number.NaN;
  const line = (pattern: RegExp) => lines.find(([, text]) => pattern.test(text))?.[0] ?? Number.NaN;
  return {
    'first paint': paint('first-paint'),
    'first contentful paint': paint('first-contentful-paint'),
    'client begins': line(/attempt 1$/),
    'channel open': line(/data channel open/),
  };
}

/** Each in a fresh browser: nothing cached, and once more with what the first load has left. */
async function loads(runs: number): Promise<{ cold: Load[]; warm: Load[] }> {
  const stack = await Stack.start({ flags: { logLevel: 'error' } });
  const browser = await chromium.launch(CHROMIUM_OPTIONS);
  try {
    const memory = await visit(browser, stack.pageUrl);
    const url = new URL('/_direct/chat', stack.pageUrl).href;
    const [cold, warm]: [Load[], Load[]] = [[], []];
    for (let i = 0; i < runs; i++) {
      const context = await contextWith(browser, memory);
      cold.push(await load(context, url));
      const page = await context.newPage();
      await page.goto(url);
      await page.evaluate(async () => await navigator.serviceWorker.ready);
      await page.close();
      warm.push(await load(context, url));
      await context.close();
    }
    return { cold, warm };
  } finally {
    await browser.close();
    await stack.close();
  }
}

const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1);

function sizeRow(name: string, { gzip, brotli, files }: Size, budget?: number): string[] {
  const verdict = budget === undefined ? '' : `< ${kilobytes(budget)}: ${gzip < budget ? 'kept' : 'EXCEEDED'}`;
  return [name, `${files}`, kilobytes(gzip), kilobytes(brotli), verdict];
}

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
const runs = Number(values.runs);
if (!(runs >= 1)) throw new TypeError('--runs takes a number');
if (withoutChromium) {
  process.stderr.write(`bench:page cannot run here: ${withoutChromium}\n`);
  process.exit(1);
}

await buildWeb();
const sizes = pageSizes();
console.log(`${machine()}\n`);
console.log(
  table([
    ['kB', 'files', 'gzip -9', 'brotli', 'budget'],
    sizeRow('client alone', sizes.client, BUDGETS.client),
    sizeRow('  what it loads later', sizes.clientLater),
    sizeRow('page: script', sizes.start, BUDGETS.start),
    sizeRow('  what it loads later', sizes.later),
    sizeRow('page: styles', sizes.styles),
    sizeRow('page: document', sizes.document),
  ]),
);
const { cold, warm } = await loads(runs);
const middle = (all: readonly Load[], step: (typeof STEPS)[number]) => median(all.map((times) => times[step]));
console.log(`\nslow 4G, median of ${runs} loads in milliseconds\n`);
console.log(
  table([
    ['', ...STEPS],
    ['cold', ...STEPS.map((step) => middle(cold, step).toFixed(0))],
    ['warm', ...STEPS.map((step) => middle(warm, step).toFixed(0))],
  ]),
);
const paint = middle(cold, 'first contentful paint');
console.log(
  `\nbudget: first contentful paint, cold, < ${COLD_PAINT_MS} ms: ${paint < COLD_PAINT_MS ? 'kept' : 'EXCEEDED'}`,
);
const isKept = sizes.client.gzip < BUDGETS.client && sizes.start.gzip < BUDGETS.start && paint < COLD_PAINT_MS;
process.exit(isKept ? 0 : 1);
