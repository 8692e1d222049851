/**
 * `npm run bench:first-byte [-- --runs 10]`: from a fresh page to the first byte of a streamed answer, by our client as a
 * page uses it (connect, and ask at once), by plain `fetch` through the tunnel, and by our client once WebRTC is up.
 * Without latency and with 40 ms between browser and edge, which is a real link (test/network-lab.ts): TCP's handshakes
 * and WebRTC's take their round trips. Agent and edge are on the same machine.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Browser } from 'playwright-core';
import { buildWeb } from '../scripts/web.ts';
import { withoutChromium } from '../test/chromium.ts';
import { NetworkLab, networkLabMissing } from '../test/network-lab.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from '../test/stack.ts';
import { machine } from './machine.ts';
import { median, quantile, table } from './statistics.ts';

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '10' } } });
const RUNS = Number(options.runs);
const ROUND_TRIPS_MS = [0, 40];
const WAYS = ['client at once', 'tunnel', 'client, WebRTC up'] as const;
type Way = (typeof WAYS)[number];

/** Milliseconds, and which way it went in the end. */
interface Run {
  sinceCall: number;
  sinceNavigation: number;
  path: string;
}

async function run(browser: Browser, stack: Stack, way: Way): Promise<Run> {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const body = JSON.stringify({
      model: 'tokens-100-at-20',
      stream: true,
      messages: [{ role: 'user', content: 'go' }],
    });
    const asked = JSON.stringify({ way, host: HOST_ID, token: OWNER_TOKEN, path: '/v1/chat/completions', body });
    await page.goto(`${stack.origin}/_direct/bench/page#${encodeURIComponent(asked)}`);
    await page.waitForFunction(() => 'measured' in globalThis);
    return await page.evaluate(() => (globalThis as unknown as { measured: Promise<Run> }).measured);
  } finally {
    await context.close();
  }
}

/** Alternating, so that what else the machine does meets all ways alike. */
async function measure(roundTripMs: number): Promise<string[][]> {
  const lab = await NetworkLab.start(roundTripMs === 0 ? {} : { link: { roundTripMs } });
  let stack: Stack | undefined;
  try {
    stack = await Stack.start({
      flags: { logLevel: 'error' },
      edge: { host: lab.hostAddress, main: join(import.meta.dirname, 'first-byte-worker.ts') },
    });
    const browser = await lab.launchChromium();
    // The first of each compiles code that the others find compiled.
    for (const way of WAYS) await run(browser, stack, way);
    const runs = new Map<Way, Run[]>(WAYS.map((way) => [way, []]));
    for (let i = 0; i < RUNS; i++) for (const way of WAYS) runs.get(way)?.push(await run(browser, stack, way));
    return WAYS.map((way) => row(roundTripMs, way, runs.get(way) ?? []));
  } finally {
    await stack?.close();
    await lab.close();
  }
}

function row(roundTripMs: number, way: Way, runs: readonly Run[]): string[] {
  const [calls, navigations] = [runs.map((run) => run.sinceCall), runs.map((run) => run.sinceNavigation)];
  const paths = [...new Set(runs.map(({ path }) => path))].join(', ');
  const shown = [median(calls), Math.min(...calls), quantile(calls, 0.9), median(navigations)];
  return [`${roundTripMs} ms`, way, paths, ...shown.map((ms) => ms.toFixed(0))];
}

const why = networkLabMissing() || withoutChromium;
if (why) {
  process.stderr.write(`bench:first-byte cannot run here: ${why}\n`);
  process.exit(1);
}
await buildWeb();
const rows: string[][] = [];
for (const roundTripMs of ROUND_TRIPS_MS) rows.push(...(await measure(roundTripMs)));
const head = ['round trip', 'way', 'path', 'from call: median', 'least', '90 %', 'from navigation: median'];
console.log(`${machine()}\n\n${table([head, ...rows])}\n`);
console.log(`Milliseconds until the first byte of a streamed answer; ${RUNS} runs each, alternating, a fresh browser context
for each. From call: from \`fetch\`. Path: which one the client had in the end.`);
