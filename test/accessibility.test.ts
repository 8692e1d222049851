/** Barriers that machines can find, in every view, light and dark, on a phone and on a desktop. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectNoViolations } from './axe.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { type MarkdownPage, startMarkdownPage } from './markdown-page.ts';
import { openView, SIZES, VIEWS } from './page-views.ts';

const SCHEMES = ['light', 'dark'] as const;

/** All that Markdown can be. */
const ANSWER = `# Title

Text with **strong**, _light_, ~~gone~~ and \`code\`, a [link](https://example.com/) and a https://example.com/.

### Part

1. one
   - [x] done
   - [ ] not yet
2. two

> quoted, with a [link](https://example.com/) and \`code\`

\`\`\`ts
const answer = 42;
\`\`\`

| a | b |
| - | - |
| 1 | <mark>2</mark> |

---

![of another server](https://example.com/a.png)`;

describe.skipIf(withoutChromium)(`accessibility (${withoutChromium || 'in Chromium'})`, () => {
  let browser: Browser;
  let served: MarkdownPage;
  beforeAll(async () => {
    [browser, served] = await Promise.all([launchChromium(), startMarkdownPage()]);
  });
  afterAll(async () => {
    await browser?.close();
    served?.close();
  });

  test.each(Object.keys(VIEWS))('%s', async (name) => {
    const problems: string[] = [];
    const { page, close } = await openView(browser, name, {}, (text) => problems.push(text));
    try {
      for (const viewport of Object.values(SIZES)) {
        await page.setViewportSize(viewport);
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme });
          await expectNoViolations(page);
        }
      }
      expect(problems).toEqual([]);
    } finally {
      await close();
    }
  });

  test('an answer in Markdown', async () => {
    const page = await browser.newPage();
    await page.goto(served.url);
    await page.evaluate(async (text) => {
      // Messages have headings of their own.
      document.querySelector('h1')?.insertAdjacentElement('afterend', document.createElement('h2'))?.append('Model');
      await globalThis.show({ text, streaming: false });
    }, ANSWER);
    for (const viewport of Object.values(SIZES)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of SCHEMES) {
        await page.emulateMedia({ colorScheme });
        await expectNoViolations(page);
      }
    }
    await page.close();
  });
});
