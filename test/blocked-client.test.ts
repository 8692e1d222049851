/** A browser whose network blocks WebSockets: no relay, but HTTPS at once, and the direct path as ever. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { connectClient, openClientPage, openLibraryPage, untilPath } from './client-page.ts';
import { type Office, startOffice } from './office.ts';
import { Stack } from './stack.ts';
import { beginTurn, readTurn } from './token-turn.ts';

describe.skipIf(withoutChromium)(`a page whose WebSockets are blocked (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let office: Office;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    office = await startOffice(stack.edge.url);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
    office?.close();
  });

  describe.each(['refused', 'swallowed'] as const)('%s', (how) => {
    beforeAll(() => {
      office.webSockets = how;
    });

    test('is answered by HTTPS, long before the relay is given up', async () => {
      const { page, console: lines } = await openLibraryPage(browser, stack, '?webrtc_diag=1&no_webrtc=1', office.url);
      // Not awaited: the first request need not know that there is no relay.
      const connecting = connectClient(page);
      const status = await page.evaluate(async () => {
        return (await globalThis.client.fetch('/v1/models')).status;
      });
      await connecting;
      const log = lines.join('\n');
      expect([status, await page.evaluate(() => globalThis.client.path)]).toEqual([200, 'tunnel']);
      expect(log).toContain('→ GET /v1/models over HTTPS');
      expect(log).not.toContain('E_HANDSHAKE_TIMEOUT');
      const turn = await beginTurn(page, { tokens: 50, perSecond: 50 });
      const { sha256 } = await readTurn(page, turn);
      const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
      expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
      await page.context().close();
    });

    test('gets the direct path, and uses it', async () => {
      const { page, console: lines } = await openClientPage(browser, stack, '?webrtc_diag=1', office.url);
      await untilPath(page, 'direct');
      const before = office.requests.length;
      const turn = await beginTurn(page, { tokens: 50, perSecond: 50 });
      const { sha256 } = await readTurn(page, turn);
      expect(office.requests.slice(before)).not.toContain('POST completions');
      const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
      expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
      expect(lines.join('\n')).toContain('signaling by polling');
      await page.context().close();
    });
  });
});
