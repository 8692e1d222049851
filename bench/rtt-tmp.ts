/**
 * `npm run bench:connect`: from the page's load to an open channel, as a person sees it: from the start of the
 * navigation until the page shows ⚡ direct. Chromium, edge in workerd and agent on loopback; a fresh browser profile
 * for each run, so nothing is cached.
 */
import type { Browser } from 'playwright-core';
import { buildWeb } from '../scripts/web.ts';
import { NetworkLab } from '../test/network-lab.ts';
import { Stack } from '../test/stack.ts';
import { median } from './statistics.ts';

const RUNS = 10;

interface Run {
  /** Milliseconds since the start of the navigation. */
  direct: number;
  /** Step → milliseconds since the client began, from the page's own diagnostics. */
  steps: Map<string, number>;
}

const STEPS = ['session created', 'answer received', 'ICE connected', 'channel open'];

async function measure(browser: Browser, url: string): Promise<Run> {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const steps = new Map<string, number>();
    page.on('console', (message) => {
      const [, ms, what = ''] = /^\[webrtc\] \+(\d+)ms (.*)$/.exec(message.text()) ?? [];
      const step = STEPS.find((step) => what.includes(step));
      if (step !== undefined && !steps.has(step)) steps.set(step, Number(ms));
    });
    await page.addInitScript(() => {
      (globalThis as unknown as { __WEBRTC_DIAGNOSTICS__: boolean }).__WEBRTC_DIAGNOSTICS__ = true;
      const seen = globalThis as unknown as { direct?: number };
      const look = () => {
        if (document.querySelector('[data-testid=path]')?.textContent?.includes('direct')) {
          seen.direct ??= performance.now();
        }
      };
      new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
    });
    await page.goto(url);
    const direct = await page.waitForFunction(() => (globalThis as unknown as { direct?: number }).direct);
    return { direct: (await direct.jsonValue()) ?? Number.NaN, steps };
  } finally {
    await context.close();
  }
}

await buildWeb();
const lab = await NetworkLab.start({ link: { roundTripMs: 40 } });
const [stack, browser] = await Promise.all([
  Stack.start({ flags: { logLevel: 'error' }, edge: { host: lab.hostAddress } }),
  lab.launchChromium(),
]);
try {
  // The first run compiles code that the others find compiled, in the agent and in workerd: it is shown, not counted.
  const first = await measure(browser, stack.pageUrl);
  const runs: Run[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await measure(browser, stack.pageUrl));
  const direct = runs.map((run) => run.direct);
  console.log(`page load → open channel, loopback, ${RUNS} runs, milliseconds`);
  console.log(`  first run  ${first.direct.toFixed(0)}`);
  console.log(`  runs       ${direct.map((ms) => ms.toFixed(0)).join(' ')}`);
  console.log(`  median     ${median(direct).toFixed(0)}   (the issue asks for under 500; the original takes 6,200)`);
  console.log('  steps after the client began, medians:');
  for (const step of STEPS) {
    const times = runs.map((run) => run.steps.get(step)).filter((ms) => ms !== undefined);
    if (times.length > 0) console.log(`    ${step.padEnd(16)} ${median(times).toFixed(0)}`);
  }
} finally {
  await lab.close();
  await stack.close();
}
