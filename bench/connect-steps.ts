/** A person's way from a page's load to an open channel, as `npm run bench:connect` and `npm run bench` watch it. */
import type { Browser } from 'playwright-core';
import { startEdge } from '../scripts/edge.ts';
import { Coturn } from '../test/nat/coturn.ts';
import { AGENT_TOKEN, HOST_ID, OWNER_TOKEN } from '../test/stack.ts';
import type { WirePacket } from './packets.ts';
import { contextWith, type Memory, type Watched, watch } from './page-load.ts';
import { ready, SlowInternet } from './slow-internet.ts';

/** In the order in which they come; each is shown by what the page's own diagnostics say. */
export const STEPS: readonly [name: string, line: RegExp][] = [
  ['client begins', /attempt 1$/],
  ['session created', /session created/],
  ['answer received', /answer received/],
  ['ICE connected', /ICE connected/],
  ['DTLS connected', /connection connected/],
  ['channel open', /data channel open/],
];

/** Milliseconds since the start of the navigation; the times of a page that is loaded anew. */
export type Run = Map<string, number>;

export interface ConnectPlace {
  browser: Browser;
  /** Of a person who comes for the first time, with the token. */
  linkUrl: string;
  close(): Promise<void>;
}

/** `packet`: see SlowInternet. */
export async function onSlowInternet(
  roundTripMs: number,
  packet?: (packet: WirePacket) => void,
): Promise<ConnectPlace> {
  const internet = await SlowInternet.start(roundTripMs, packet);
  const stun = await Coturn.start({ addresses: [internet.address] });
  const edge = await startEdge({
    port: 0,
    host: internet.address,
    variables: {
      OWNER_TOKEN,
      AGENT_TOKEN,
      ICE_SERVERS: JSON.stringify([{ urls: `stun:${internet.address}:${stun.port}` }]),
    },
  });
  const signalingUrl = `http://${internet.address}:${edge.port}/_direct/h/${HOST_ID}`;
  const agent = internet.spawn('agent', process.execPath, [`${import.meta.dirname}/agent.ts`, signalingUrl], {
    ...process.env,
    DIRECT_AGENT_TOKEN: AGENT_TOKEN,
  });
  const hostKey = await ready(agent);
  const browser = await internet.launchChromium();
  for (const where of ['client', 'agent'] as const) {
    const ms = await internet.roundTripMs(where, edge.port);
    console.error(`round trip ${where}–edge: ${ms.toFixed(1)} ms`);
  }
  const close = async () => {
    await browser.close();
    internet.close();
    await Promise.all([edge.close(), stun.close()]);
  };
  return {
    browser,
    linkUrl: `http://localhost:${edge.port}/#host=${HOST_ID}&key=${hostKey}&token=${OWNER_TOKEN}`,
    close,
  };
}

/** Loads the page in a fresh browser, and waits until it shows the direct path. */
export async function measure(
  browser: Browser,
  url: string,
  memory?: Memory,
): Promise<{ run: Run; startedAt: number }> {
  const context = await contextWith(browser, memory);
  try {
    const page = await context.newPage();
    await page.addInitScript(watch);
    await page.goto(url);
    await page.waitForFunction(() => (globalThis as unknown as Watched).direct);
    const { lines, script, direct, html, startedAt } = await page.evaluate(() => {
      const { lines, script, direct } = globalThis as unknown as Watched;
      const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
      // Milliseconds since 1970.
      const startedAt = performance.timeOrigin;
      return { lines, script, direct, html: navigation?.responseEnd, startedAt };
    });
    const run: Run = new Map();
    const note = (name: string, ms: number | undefined) => ms !== undefined && run.set(name, ms);
    note('HTML received', html);
    note('script starts', script);
    for (const [name, pattern] of STEPS) note(name, lines.find(([, line]) => pattern.test(line))?.[0]);
    note('page shows it', direct);
    return { run, startedAt };
  } finally {
    await context.close();
  }
}
