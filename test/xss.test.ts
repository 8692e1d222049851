/**
 * Answers that are made to run a script, in a real browser without a Content-Security-Policy: the sanitiser alone holds.
 * Each comes at once, a character at a time, and as HTML to the sanitiser itself, which the parser does not shield then.
 */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { type MarkdownPage, startMarkdownPage } from './markdown-page.ts';
import { forbidden } from './xss-remains.ts';
import { armed, XSS_VECTORS } from './xss-vectors.ts';

/** Long enough that images fail, animations begin and pages are asked for. */
const AFTERMATH_MS = 500;

describe.skipIf(withoutChromium)(`answers that attack (${withoutChromium || 'in Chromium'})`, () => {
  let browser: Browser;
  let served: MarkdownPage;
  let context: BrowserContext;
  let page: Page;
  /** Scripts that ran, requests that left, dialogs, pages that were opened or left. */
  let happened: string[];
  beforeAll(async () => {
    [browser, served] = await Promise.all([launchChromium(), startMarkdownPage()]);
  });
  afterAll(async () => {
    await browser?.close();
    served?.close();
  });
  beforeEach(async () => {
    happened = [];
    context = await browser.newContext();
    page = await context.newPage();
    await page.exposeFunction('tell', (what: string) => void happened.push(what));
    await page.addInitScript(() => {
      Object.assign(globalThis, { canary: (index: number) => tell(`${index} ran`) });
    });
    await page.goto(served.url);
    await page.evaluate(async () => void (await globalThis.show({ text: '', streaming: true })));
    await context.route('**', (route) => route.abort());
    context.on('request', (request) => happened.push(`request to ${request.url()}`));
    context.on('dialog', (dialog) => {
      happened.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    context.on('page', (opened) => happened.push(`page ${opened.url()}`));
    page.on('framenavigated', (frame) => happened.push(`navigation to ${frame.url()}`));
    page.on('frameattached', () => happened.push('frame'));
    return () => context.close();
  });

  /** Does to what is on the page what a person could, and waits. `stay`: but what leads to another page. */
  async function provoke({ stay = false } = {}): Promise<void> {
    await page.evaluate(
      async ({ ms, stay }) => {
        // A busy machine shows some of it in a second step.
        await new Promise((resolve) => setTimeout(resolve, ms));
        const events = ['click', 'focus', 'mouseover', 'pointerover', 'pointerdown', 'toggle', 'animationstart'];
        // A click on a link that may be there would open it.
        const stop = (event: Event) => {
          const link = event.target instanceof Element ? event.target.closest('a') : null;
          if (link?.target === '_blank' && /^(https?|mailto):$/.test(link.protocol)) event.preventDefault();
          if (link !== null && !link.hasAttribute('href')) event.preventDefault();
          if (stay && !/^\W*javascript:/.test(link?.href ?? '')) event.preventDefault();
        };
        document.addEventListener('click', stop, true);
        for (const element of document.querySelectorAll('main *')) {
          if (element instanceof HTMLButtonElement && element.className === 'code-copy') continue;
          for (const type of events) {
            element.dispatchEvent(
              new (type === 'click' ? MouseEvent : Event)(type, { bubbles: true, cancelable: true }),
            );
          }
          if (element instanceof HTMLFormElement && !stay) element.requestSubmit();
        }
        await new Promise((resolve) => setTimeout(resolve, ms));
      },
      { ms: AFTERMATH_MS, stay },
    );
  }

  const texts = XSS_VECTORS.map(armed);

  test('at once', async () => {
    await page.evaluate(async (texts) => {
      document.querySelector('section')?.remove();
      for (const text of texts) await globalThis.show({ text, streaming: false });
    }, texts);
    await provoke();
    expect([await forbidden(page), happened]).toEqual([[], []]);
  });

  test('a character at a time', async () => {
    await page.evaluate(async (texts) => {
      document.querySelector('section')?.remove();
      const places = await Promise.all(
        texts.map((text) => globalThis.show({ text: text.slice(0, 1), streaming: true })),
      );
      // All at the same time, so that each has rested when its next character comes.
      for (let end = 2; end <= Math.max(...texts.map(({ length }) => length)); end++) {
        for (const [index, text] of texts.entries()) {
          // Those of one element over and over have been seen by then.
          if (end > text.length + 1 || (end > 300 && text.length > 1_000 && end < text.length - 100)) continue;
          await globalThis.show({ text: text.slice(0, end), streaming: end <= text.length }, places[index]);
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
    }, texts);
    await provoke();
    expect([await forbidden(page), happened]).toEqual([[], []]);
  });

  test('as HTML to the sanitiser', async () => {
    await page.evaluate((texts) => {
      document.querySelector('section')?.remove();
      for (const text of texts) {
        const place = document.createElement('section');
        place.append(globalThis.sanitise(text));
        // The one thing that is done to it before it comes into the page (web/markdown/frames.ts).
        for (const link of place.querySelectorAll('a')) link.target = '_blank';
        document.querySelector('main')?.append(place);
      }
    }, texts);
    await provoke();
    expect([await forbidden(page), happened]).toEqual([[], []]);
  });

  test('are dangerous: without the sanitiser many of them run, or ask another server', async () => {
    // Without those that end the page for all others.
    const apart = /http-equiv|<base|target="_self"|action="https/;
    await page.evaluate(
      (texts) => {
        for (const text of texts) {
          for (const html of [text, globalThis.parse(text)]) {
            const place = document.createElement('section');
            document.querySelector('main')?.append(place);
            place.innerHTML = html;
          }
        }
      },
      texts.filter((text) => !apart.test(text)),
    );
    await provoke({ stay: true });
    const dangerous = new Set<string | undefined>();
    for (const what of happened) {
      const [, ran, asked] = /^(\d+) ran$|evil\.test\/(\d+)/.exec(what) ?? [];
      const vector = XSS_VECTORS[Number(ran ?? asked)];
      if ((ran ?? asked) !== undefined) dangerous.add(vector?.name);
    }
    expect([...dangerous]).toEqual(
      expect.arrayContaining([
        'HTML: image onerror',
        'HTML: link',
        'HTML: image that leaks',
        'Markdown: link to a script',
      ]),
    );
    expect(dangerous.size).toBeGreaterThan(80);
  });
});

/** Exposed to the page. */
declare function tell(what: string): Promise<void>;
