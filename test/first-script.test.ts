/** The script in the page's document, by the real edge: its hash is in the policy, and it runs. */
import { createHash } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalEdge, startEdge } from '../scripts/edge.ts';
import { buildWeb } from '../scripts/web.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { AGENT_TOKEN, OWNER_TOKEN } from './stack.ts';

describe('the first script', () => {
  let edge: LocalEdge;

  beforeAll(async () => {
    await buildWeb();
    edge = await startEdge({ port: 0, variables: { OWNER_TOKEN, AGENT_TOKEN } });
  });
  afterAll(() => edge.close());

  test.each(['/', '/_direct/chat'])(
    'of %s may run by its hash, also where the browser has the document',
    async (path) => {
      const page = await fetch(edge.url + path);
      const [, script = ''] = /<script>(.*?)<\/script>/s.exec(await page.text()) ?? [];
      const hash = createHash('sha256').update(script).digest('base64');
      const policy = page.headers.get('Content-Security-Policy');
      expect(policy).toContain(`script-src 'self' 'sha256-${hash}';`);
      expect(page.headers.get('Direct-Script')).toBeNull();
      // Its header fields replace those that the browser has kept.
      const again = await fetch(edge.url + path, { headers: { 'If-None-Match': page.headers.get('ETag') ?? '' } });
      expect([again.status, again.headers.get('Content-Security-Policy')]).toEqual([304, policy]);
    },
  );

  test('has no place in other pages', async () => {
    const { headers } = await fetch(`${edge.url}/_direct/`);
    expect(headers.get('Content-Security-Policy')).toContain("script-src 'self';");
  });

  test.skipIf(withoutChromium)('runs, and no other beside it', async () => {
    const browser: Browser = await launchChromium();
    try {
      const page = await browser.newPage();
      const refused: string[] = [];
      page.on('console', (message) => void refused.push(message.text()));
      // What the script asks first.
      await page.addInitScript(() => {
        const { getItem } = Storage.prototype;
        Storage.prototype.getItem = function (key) {
          Object.assign(globalThis, { before: document.body === null });
          Storage.prototype.getItem = getItem;
          return getItem.call(this, key);
        };
      });
      await page.goto(edge.url);
      expect(await page.evaluate(() => (globalThis as { before?: boolean }).before)).toBe(true);
      expect(refused.filter((text) => text.includes('Content Security Policy'))).toEqual([]);
      await page
        .evaluate(() => {
          const script = document.createElement('script');
          script.append('globalThis.hostile = true');
          document.head.append(script);
        })
        .catch(() => {});
      expect(await page.evaluate(() => 'hostile' in globalThis)).toBe(false);
    } finally {
      await browser.close();
    }
  });
});
