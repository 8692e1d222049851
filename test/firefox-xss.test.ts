/** Answers that attack, in Firefox, whose parser repairs HTML in its own way; without a Content-Security-Policy. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pageHeaders } from '../workers/page-headers.ts';
import { launchFirefox, openApart, withoutFirefox } from './browsers.ts';
import { type MarkdownPage, startMarkdownPage } from './markdown-page.ts';
import { forbidden } from './xss-remains.ts';
import { armed, XSS_VECTORS } from './xss-vectors.ts';

/** Long enough that images fail and animations begin. */
const AFTERMATH_MS = 500;

describe.skipIf(withoutFirefox)(`answers that attack (${withoutFirefox || 'in Firefox'})`, () => {
  let browser: Browser;
  let served: MarkdownPage;
  beforeAll(async () => {
    [browser, served] = await Promise.all([launchFirefox(), startMarkdownPage()]);
  });
  afterAll(async () => {
    await browser?.close();
    served?.close();
  });

  const texts = XSS_VECTORS.map(armed);

  /** What ran in the page, and what it asked other servers for; `shown` is run with all attacks. */
  async function attack(
    shown: (texts: readonly string[]) => Promise<void> | void,
    aftermath: (page: Page) => Promise<unknown> = () => delay(AFTERMATH_MS),
  ): Promise<[string[], string[]]> {
    const page: Page = await openApart(browser, served.url);
    const asked: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(served.url) && !request.url().startsWith('data:')) asked.push(request.url());
    });
    page.on('dialog', (dialog) => {
      asked.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.waitForFunction(() => globalThis.show !== undefined);
    await page.evaluate(() => {
      const ran: number[] = [];
      Object.assign(globalThis, { ran, canary: (index: number) => ran.push(index) });
    });
    await page.evaluate(shown, texts);
    await aftermath(page);
    const ran = await page.evaluate(() => (globalThis as unknown as { ran: number[] }).ran);
    const remains = await forbidden(page);
    await page.browserContext().close();
    return [remains, [...asked, ...ran.map((index) => `${XSS_VECTORS[index]?.name} ran`)]];
  }

  test('are rendered under the policy of our pages', async () => {
    const strict = await startMarkdownPage(pageHeaders());
    const page = await openApart(browser, strict.url);
    await page.waitForFunction(() => globalThis.show !== undefined);
    const html = await page.evaluate(async () => {
      const place = await globalThis.show({ text: '**a**', streaming: false });
      return place.querySelector('.markdown-block')?.innerHTML.trim();
    });
    expect(html).toBe('<p><strong>a</strong></p>');
    await page.browserContext().close();
    strict.close();
  });

  test('at once', async () => {
    const result = await attack(async (texts) => {
      for (const text of texts) await globalThis.show({ text, streaming: false });
    });
    expect(result).toEqual([[], []]);
  });

  test('as HTML to the sanitiser', async () => {
    const result = await attack((texts) => {
      for (const text of texts) {
        const place = document.createElement('section');
        place.append(globalThis.sanitise(text));
        document.querySelector('main')?.append(place);
      }
    });
    expect(result).toEqual([[], []]);
  });

  test('are dangerous: without the sanitiser some of them run', async () => {
    const inject = (texts: readonly string[]) => {
      for (const text of texts.filter((text) => !/http-equiv|<base|name=attributes/.test(text))) {
        const place = document.createElement('section');
        document.querySelector('main')?.append(place);
        place.innerHTML = text;
      }
    };
    const image = XSS_VECTORS.findIndex(({ name }) => name === 'HTML: image onerror');
    const untilRan = (page: Page) =>
      page.waitForFunction((image) => (globalThis as unknown as { ran: number[] }).ran.includes(image), {}, image);
    const [, happened] = await attack(inject, untilRan);
    expect(happened).toContain('HTML: image onerror ran');
  });
});
