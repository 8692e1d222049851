/** What machines can find of the barriers in a page (WCAG 2.2 AA and good practice), by axe-core. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults, RunOptions } from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const SOURCE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

declare global {
  // Set in the page by `expectNoViolations`.
  var axe: { run(options: RunOptions): Promise<AxeResults> };
}

/** Fails with each rule that the page breaks as it is now, and where. */
export async function expectNoViolations(page: Page): Promise<void> {
  // As the debugger does it, which no policy of the page forbids.
  await page.evaluate(SOURCE);
  // Half faded in, text has too little contrast.
  await page.evaluate(() => {
    for (const animation of document.getAnimations())
      if (animation.effect?.getTiming().iterations === 1) animation.finish();
  });
  const violations = await page.evaluate(async (values) => {
    const { violations } = await globalThis.axe.run({ runOnly: { type: 'tag', values } });
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id} (${help}) at ${target.join(' ')}: ${failureSummary}`),
    );
  }, TAGS);
  expect(violations).toEqual([]);
}
