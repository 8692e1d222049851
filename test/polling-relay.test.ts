/** A page on the relay while the agent can only poll: slower, and otherwise the same. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { connectClient, openClientPage, openLibraryPage, untilPath } from './client-page.ts';
import { type Office, startOffice } from './office.ts';
import { HOST_ID, Stack } from './stack.ts';
import { beginTurn, readTurn } from './token-turn.ts';

declare global {
  // Set in the page by `holdDirect`.
  var letDirect: () => void;
  var paths: string[];
}

/** The direct path does not come up before `letDirect` is called. */
async function holdDirect(page: Page): Promise<void> {
  await page.evaluate(() => {
    const held = new Promise<void>((resolve) => {
      globalThis.letDirect = resolve;
    });
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        await held;
        await super.setRemoteDescription(description);
      }
    };
  });
}

describe.skipIf(withoutChromium)(`the relay, where the agent can only poll (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let office: Office;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    office = await startOffice(stack.edge.url);
    await stack.stopAgent();
    await stack.startAgent({ signalingUrl: `${office.url}/_direct/h/${HOST_ID}` }, { webSocketRetryMs: 500 });
    expect(stack.log.join('\n')).toContain('link: connected to the edge by HTTPS polling');
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
    office?.close();
  });

  const posts = () => office.requests.filter((request) => request === 'POST channels').length;
  async function expectWhole(page: Page, turn: string): Promise<void> {
    const { sha256, error } = await readTurn(page, turn);
    expect(error).toBeUndefined();
    const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
    expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
  }

  test('carries a stream, byte for byte, in few requests', async () => {
    const { page } = await openClientPage(browser, stack, '?no_webrtc=1');
    await untilPath(page, 'relay');
    const before = posts();
    const turn = await beginTurn(page, { tokens: 500, perSecond: 200 });
    await expectWhole(page, turn);
    expect(posts()).toBeGreaterThan(before);
    expect(posts() - before).toBeLessThan(100);
    await page.context().close();
  });

  test('gives its streams to the direct path when that comes up', async () => {
    const { page } = await openLibraryPage(browser, stack);
    await holdDirect(page);
    await connectClient(page);
    await untilPath(page, 'relay');
    await page.evaluate(() => {
      globalThis.paths = [];
      globalThis.client.on('path', (path) => globalThis.paths.push(path));
    });
    const turn = await beginTurn(page, { tokens: 500, perSecond: 100 });
    await page.evaluate(() => globalThis.letDirect());
    await untilPath(page, 'direct');
    await expectWhole(page, turn);
    expect(await page.evaluate(() => globalThis.paths)).toEqual(['direct']);
    await page.context().close();
  });

  // The last one: from here on the agent has its WebSocket.
  test('goes on when the agent comes back to its WebSocket in mid-stream', async () => {
    const { page } = await openClientPage(browser, stack, '?no_webrtc=1');
    await untilPath(page, 'relay');
    const turn = await beginTurn(page, { tokens: 500, perSecond: 100 });
    office.webSockets = 'pass';
    await expect.poll(() => stack.log.join('\n')).toContain('link: connected to the edge by WebSocket');
    await expectWhole(page, turn);
    const before = posts();
    expect(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status)).toBe(200);
    expect([posts(), await page.evaluate(() => globalThis.client.path)]).toEqual([before, 'relay']);
    await page.context().close();
  });
});
