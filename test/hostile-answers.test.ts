/** A model whose answers attack the chat page, through the whole product: nothing runs, and nothing is even refused. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { Stack } from './stack.ts';
import { armed, XSS_VECTORS } from './xss-vectors.ts';

/** In one conversation, which is sent along with each question. */
const PART = 50;

/** What Chromium asks of a page by itself. */
const OWN_REQUESTS = /^(data|blob):/;

describe.skipIf(withoutChromium)(`a model that attacks (${withoutChromium || 'in Chromium'})`, () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  async function open(context: BrowserContext, happened: string[]): Promise<Page> {
    const page = await context.newPage();
    await page.exposeFunction('tell', (what: string) => void happened.push(what));
    await page.addInitScript(() => {
      Object.assign(globalThis, { canary: (index: number) => tell(`${index} ran`) });
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
        void tell(`${violatedDirective} refused ${blockedURI}`);
      });
    });
    await page.goto(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.getByTestId('model').selectOption('fake');
    const origin = new URL(page.url()).origin;
    context.on('request', (request) => {
      if (!OWN_REQUESTS.test(request.url()) && new URL(request.url()).origin !== origin)
        happened.push(`request to ${request.url()}`);
    });
    context.on('dialog', (dialog) => {
      happened.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    context.on('page', (opened) => happened.push(`page ${opened.url()}`));
    page.on('framenavigated', (frame) => happened.push(`navigation to ${frame.url()}`));
    page.on('frameattached', () => happened.push('frame'));
    return page;
  }

  const parts = Array.from({ length: Math.ceil(XSS_VECTORS.length / PART) }, (_, part) => part * PART);

  test.each(parts)('from attack %i on', { timeout: 180_000 }, async (first) => {
    const happened: string[] = [];
    const context = await browser.newContext();
    const page = await open(context, happened);
    for (const [offset, vector] of XSS_VECTORS.slice(first, first + PART).entries()) {
      // The fake repeats what it is asked: as a block of its own, where most of Markdown begins.
      await page.getByTestId('prompt').fill(`this\n\n${armed(vector, first + offset)}`);
      await page.getByTestId('prompt').press('Enter');
      await expect.poll(() => page.getByTestId('message-assistant').count()).toBe(offset + 1);
      await page.getByTestId('send').waitFor();
      await expect
        .poll(() => page.getByTestId('message-assistant').last().textContent())
        .toContain('This is the fake answer to: this');
    }
    // What came was Markdown, and not the plain text that is shown until its renderer is there.
    expect(await page.getByTestId('message-assistant').last().locator('.markdown-block').count()).toBeGreaterThan(0);
    // Long enough that images fail and pages are asked for.
    await page.waitForTimeout(500);
    expect(happened).toEqual([]);
    await context.close();
  });
});

/** Exposed to the page. */
declare function tell(what: string): Promise<void>;
