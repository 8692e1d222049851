/** `?no_webrtc` in the page's address: everything goes through the edge, and no browser warns of WebRTC. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutChromium } from './chromium.ts';
import { connectClient, openLibraryPage, untilPath } from './client-page.ts';
import { type LabStack, startLabStack } from './lab-stack.ts';
import { type NetworkLab, networkLabMissing } from './network-lab.ts';
import type { Stack } from './stack.ts';
import { beginTurn, bytesOf, readTurn } from './token-turn.ts';

const missing = networkLabMissing() || withoutChromium;

declare global {
  // Set in the page by `countConnections`.
  var connections: number;
}

/** Counts the page's RTCPeerConnections from now on. */
async function countConnections(page: Page): Promise<void> {
  await page.evaluate(() => {
    globalThis.connections = 0;
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        globalThis.connections += 1;
      }
    };
  });
}

describe.skipIf(missing)(`a page without WebRTC (${missing || 'real'})`, () => {
  let lab: NetworkLab;
  let stack: Stack;
  let browser: Browser;
  let labStack: LabStack;
  beforeAll(async () => {
    labStack = await startLabStack();
    ({ lab, stack, browser } = labStack);
  });
  afterAll(() => labStack?.close());

  async function open(query: string): Promise<Page> {
    const { page } = await openLibraryPage(browser, stack, query);
    await countConnections(page);
    await connectClient(page);
    return page;
  }

  test('stays on the relay, whose resets its streams survive', async () => {
    const page = await open('?no_webrtc=1');
    await untilPath(page, 'relay');
    const turn = await beginTurn(page, { tokens: 600, perSecond: 50 });
    for (let resets = 0; resets < 3; resets++) {
      lab.reset();
      const before = await bytesOf(page, turn);
      // More than was on its way.
      await expect.poll(() => bytesOf(page, turn)).toBeGreaterThan(before + 5_000);
    }
    const { sha256, error } = await readTurn(page, turn);
    expect(error).toBeUndefined();
    const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
    expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
    const state = await page.evaluate(() => [globalThis.client.path, globalThis.client.state, globalThis.connections]);
    expect(state).toEqual(['relay', 'off', 0]);
    await page.context().close();
  });

  test('is what the flag makes of it: the same page without it connects directly', async () => {
    const page = await open('');
    await untilPath(page, 'direct');
    expect(await page.evaluate(() => globalThis.connections)).toBe(1);
    await page.context().close();
  });
});
