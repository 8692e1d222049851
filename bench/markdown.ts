/**
 * `npm run bench:markdown [-- kind…]`: what an answer costs its page while it comes. Each has 200 kB and comes in pieces
 * of 20 characters; what counts is the work of the page's thread.
 */
import type { CDPSession, Page } from 'playwright-core';
import { launchChromium } from '../test/chromium.ts';
import { startMarkdownPage } from '../test/markdown-page.ts';

const names = process.argv.slice(2);
const LENGTH = 200_000;
const PIECE = 20;

const SECTION = `## A section

A paragraph with **strong** and _light_ words, \`code\`, a [link](https://example.com/) and enough text that it takes up a
few lines of the column, as those of most models do.

- An item
- Another item with \`code\` and **strong** words
  - and one below it

\`\`\`ts
export function add(one: number, another: number): number {
  return one + another;
}
\`\`\`

| Name | Value |
| ---- | ----- |
| one  | 1     |
| two  | 2     |

`;

const ANSWERS: Record<string, string> = {
  'of all kinds': SECTION,
  'one code block': '```ts\n',
  'one list': '- An item with some **strong** words and `code` in it\n',
  'one table': '| one | **two** | `three` |\n',
  'one paragraph': 'Words in **strong** and `code`, without a blank line between. ',
};
const CODE_LINE = 'const value = compute(another, "text", 12345);\n';
const TABLE_HEAD = '| a | b | c |\n|---|---|---|\n';

function answerOf(name: string, part: string): string {
  const [head, line] =
    name === 'one code block' ? [part, CODE_LINE] : name === 'one table' ? [TABLE_HEAD, part] : ['', part];
  return (head + line.repeat(LENGTH / line.length)).slice(0, LENGTH);
}

/** The last part comes at the pace of a fast model, when all that came before is on the page. */
const PACED = 10_000;
const PACE_MS = 20;

/** Milliseconds that the page's thread has worked, and for what. */
async function workOf(page: Page, devtools: CDPSession): Promise<Record<'script' | 'layout' | 'all', number>> {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
  const { metrics } = await devtools.send('Performance.getMetrics');
  const ms = (name: string) => 1000 * (metrics.find((metric) => metric.name === name)?.value ?? 0);
  return {
    script: ms('ScriptDuration'),
    layout: ms('LayoutDuration') + ms('RecalcStyleDuration'),
    all: ms('TaskDuration'),
  };
}

/** Shows the text from `from` on in pieces, `pace` ms apart, on top of what came before. */
async function stream(page: Page, text: string, from: number, pace: number): Promise<void> {
  await page.evaluate(
    async ({ text, from, size, pace }) => {
      const begun = performance.now();
      const place = document.querySelector('section') ?? undefined;
      for (let end = from + size, index = 1; end <= text.length; end += size, index++) {
        await globalThis.show({ text: text.slice(0, end), streaming: end < text.length }, place);
        // As the chat does: who reads along is at the end.
        requestAnimationFrame(() => scrollTo(0, document.documentElement.scrollHeight));
        const early = pace === 0 ? 0 : Math.max(0, begun + index * pace - performance.now());
        await new Promise((resolve) => setTimeout(resolve, early));
      }
    },
    { text, from, size: PIECE, pace },
  );
}

const [browser, served] = await Promise.all([launchChromium(), startMarkdownPage()]);
for (const [name, part] of Object.entries(ANSWERS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(served.url);
  await page.evaluate(async () => void (await globalThis.show({ text: '', streaming: true })));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  const text = answerOf(name, part);
  const steps: readonly [name: string, from: number, to: number, pace: number][] = [
    ['as fast as it can', 0, text.length - PACED, 0],
    [`at ${1000 / PACE_MS} pieces a second`, text.length - PACED, text.length, PACE_MS],
  ];
  for (const [pace, from, to, ms] of steps) {
    const before = await workOf(page, devtools);
    await stream(page, text.slice(0, to), from, ms);
    const after = await workOf(page, devtools);
    const each = (kind: keyof typeof after) =>
      (((after[kind] - before[kind]) * PIECE) / (to - from)).toFixed(2).padStart(6);
    process.stdout.write(
      `${name.padEnd(15)} ${pace.padEnd(22)} ${each('all')} ms a piece: ${each('script')} script, ${each('layout')} layout and style\n`,
    );
  }
  await page.close();
}
await browser.close();
served.close();
