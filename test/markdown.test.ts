/** Answers in Markdown, in a real browser: what they become, and what stays while they grow. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pageHeaders } from '../workers/page-headers.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { type MarkdownPage, startMarkdownPage } from './markdown-page.ts';

describe.skipIf(withoutChromium)(`Markdown (${withoutChromium || 'in Chromium'})`, () => {
  let browser: Browser;
  let served: MarkdownPage;
  let page: Page;
  /** What the page’s policy has refused, and exceptions. */
  let complaints: string[];
  beforeAll(async () => {
    // As the edge serves pages, so that whatever its policy forbids shows here.
    [browser, served] = await Promise.all([launchChromium(), startMarkdownPage(pageHeaders())]);
  });
  afterAll(async () => {
    await browser?.close();
    served?.close();
  });
  beforeEach(async () => {
    complaints = [];
    const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    page = await context.newPage();
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(served.url);
    return async () => {
      await context.close();
      expect(complaints).toEqual([]);
    };
  });

  /** The HTML of an answer that is there as a whole, without what surrounds a block. */
  const html = (text: string) =>
    page.evaluate(async (text) => {
      const place = await globalThis.show({ text, streaming: false });
      return [...place.querySelectorAll('.markdown-block')].map(({ innerHTML }) => innerHTML.trim()).join('|');
    }, text);

  test.each([
    ['emphasis', '**a** _b_ ~~c~~ `d`', '<p><strong>a</strong> <em>b</em> <del>c</del> <code>d</code></p>'],
    ['an outline without gaps', '## a\n#### b\n# c', '<h3>a</h3>|<h4>b</h4>|<h3>c</h3>'],
    ['nested lists', '- a\n  1. b', '<ul>\n<li>a<ol>\n<li>b</li>\n</ol>\n</li>\n</ul>'],
    ['task lists', '- [x] a\n- [ ] b', '<ul>\n<li class="task">☑ a</li>\n<li class="task">☐ b</li>\n</ul>'],
    ['TeX', 'Let $a*b*c$ and \\(x_1\\)', '<p>Let $a*b*c$ and \\(x_1\\)</p>'],
    ['raw HTML as text', '<div onclick="x">\n<b>a</b>', '<p>&lt;div onclick="x"&gt;<br><b>a</b></p>'],
    ['HTML in a line as text', 'the <script> tag', '<p>the &lt;script&gt; tag</p>'],
    ['line breaks in tables', '|a|\n|-|\n|b<br>c|', /<td>b<br>c<\/td>/],
    [
      'links',
      '[a](https://a.test/ "t")',
      '<p><a href="https://a.test/" title="t" target="_blank" rel="noopener noreferrer">a</a></p>',
    ],
    ['autolinks', 'https://a.test', /^<p><a href="https:\/\/a\.test"/],
    ['addresses of people', 'a@b.test', /^<p><a href="mailto:a@b\.test"/],
    ['no link to our own origin', '[a](/_direct/api/me)', '<p><a target="_blank" rel="noopener noreferrer">a</a></p>'],
    ['remote images as links', '![a](https://a.test/b.png)', /^<p><a href="https:\/\/a\.test\/b\.png".*>a<\/a><\/p>$/],
    [
      'images of the answer itself',
      '![a](data:image/png;base64,AAAA)',
      '<p><img src="data:image/png;base64,AAAA" alt="a"></p>',
    ],
    ['no drawings, which are documents', '![a](data:image/svg+xml;base64,AAAA)', '<p>a</p>'],
    [
      'a definition that comes later',
      '[a][b]\n\nc\n\n[b]: https://a.test',
      /^<p><a href="https:\/\/a\.test".*>a<\/a><\/p>\|<p>c<\/p>$/,
    ],
  ])('%s', async (_, text, expected) => {
    if (typeof expected === 'string') expect(await html(text)).toBe(expected);
    else expect(await html(text)).toMatch(expected);
  });

  test('code has its language, a scroller for the keyboard and a button that copies it', async () => {
    await html('```js\nlet a = "<b>";\n```');
    expect(await page.locator('figcaption span').first().textContent()).toBe('js');
    const code = page.getByRole('group', { name: 'Code' });
    expect(await code.getAttribute('tabindex')).toBe('0');
    const button = page.getByRole('button', { name: 'Copy' });
    await button.click();
    await expect.poll(() => page.getByTestId('copy-code').textContent()).toBe('Copied');
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('let a = "<b>";');
    await expect.poll(() => page.getByTestId('copy-code').textContent()).toBe('Copy');
  });

  test('long code is copied as it came', async () => {
    const code = Array.from({ length: 250 }, (_, index) => `line ${index}\n`).join('');
    await html(`\`\`\`\n${code}\`\`\``);
    expect(await page.locator('pre').textContent()).toBe(code);
    await page.getByTestId('copy-code').click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe(code.trimEnd());
  });

  test('a table scrolls by itself', async () => {
    await html(`|${'wide|'.repeat(40)}\n|${'-|'.repeat(40)}\n|${'a|'.repeat(40)}`);
    const table = page.getByRole('group', { name: 'Table' });
    expect(await table.evaluate((place) => place.scrollWidth > place.clientWidth)).toBe(true);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  test('an open fence is code at once', async () => {
    const code = await page.evaluate(async () => {
      const place = await globalThis.show({ text: 'Look:\n\n```py\nprint("*a*', streaming: true });
      return place.querySelector('pre > code.language-py')?.textContent;
    });
    expect(code).toBe('print("*a*\n');
  });

  test('finished blocks keep their nodes, and what grows keeps what has not changed', async () => {
    const kept = await page.evaluate(async () => {
      const text =
        '# A\n\nsome **text**\n\n- one\n- two\n\n```js\nlet a;\nlet b;\n```\n\n|a|b|\n|-|-|\n|1|2|\n|3|4|\n\nend';
      // Longer than the rest after any update.
      const settled = () => new Promise((resolve) => setTimeout(resolve, 500));
      const place = await globalThis.show({ text: text.slice(0, 1), streaming: true });
      const changed: string[] = [];
      const early: Node[] = [];
      let removed = 0;
      const observer = new MutationObserver((records) => {
        for (const { removedNodes } of records) removed += removedNodes.length;
      });
      for (let end = 2; end <= text.length; end++) {
        await globalThis.show({ text: text.slice(0, end), streaming: true }, place);
        if (text.slice(0, end).endsWith('- t')) {
          await settled();
          early.push(...place.querySelectorAll('h3, h3 + *, strong, li:first-child'));
        }
        // The first line of the table is a paragraph until the second one comes.
        if (text.slice(0, end).endsWith('|1|')) {
          await settled();
          observer.observe(place, { childList: true, subtree: true });
        }
      }
      await globalThis.show({ text, streaming: false }, place);
      await settled();
      for (const node of early) if (!node.isConnected) changed.push(node.nodeName);
      const once = await globalThis.show({ text, streaming: false });
      return { early: early.length, changed, removed, same: once.innerHTML === place.innerHTML };
    });
    expect(kept).toEqual({ early: 3, changed: [], removed: 0, same: true });
  });

  test('a long answer that is there as a whole appears in steps, all of it', async () => {
    await page.evaluate(async () => {
      const text = Array.from({ length: 3_000 }, (_, index) => `- **item** ${index}\n\n---\n\n`).join('');
      await globalThis.show({ text: `${text}the end`, streaming: false });
    });
    await expect.poll(() => page.locator('.markdown-block').count()).toBe(6_001);
    expect(await page.locator('.markdown-block').last().textContent()).toContain('the end');
  });

  test('another answer in the same place replaces it', async () => {
    const text = await page.evaluate(async () => {
      const place = await globalThis.show({ text: 'first\n\nanswer', streaming: false });
      await globalThis.show({ text: 'second', streaming: false }, place);
      return place.textContent?.trim();
    });
    expect(text).toBe('second');
  });

  test('what the parser cannot take is text', async () => {
    const deep = '> '.repeat(5_000);
    expect(await html(`before\n\n${deep}x`)).toContain('&gt; &gt; ');
  });
});
