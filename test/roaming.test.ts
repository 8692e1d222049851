/** From one network to another in mid-stream: a browser whose address goes, and who has another one at once. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutChromium } from './chromium.ts';
import { openClientPage, openDeafClientPage, untilPath } from './client-page.ts';
import { NetworkLab, networkLabMissing } from './network-lab.ts';
import { Stack } from './stack.ts';
import { beginTurn, readTurn } from './token-turn.ts';

const missing = networkLabMissing() || withoutChromium;
const TOKENS = 160;
const TOKENS_PER_SECOND = 20;

describe.skipIf(missing)(`from Wi-Fi to LTE (${missing || 'real'})`, () => {
  let lab: NetworkLab;
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    lab = await NetworkLab.start();
    [stack, browser] = await Promise.all([Stack.start({ edge: { host: lab.hostAddress } }), lab.launchChromium()]);
  });
  afterAll(async () => {
    await lab?.close();
    await stack?.close();
  });

  test.each([
    ['the direct path', 'direct', openClientPage],
    ['the direct path of a browser that notices nothing', 'direct', openDeafClientPage],
    ['the relay', 'relay', openClientPage],
    ['the relay of a browser that notices nothing', 'relay', openDeafClientPage],
  ] as const)('tokens on %s go on, byte for byte', async (what, path, open) => {
    const query = path === 'relay' ? '&no_webrtc=1' : '';
    const { page, console: lines } = await open(browser, stack, `?webrtc_diag=1${query}`);
    try {
      await untilPath(page, path);
      const turn = await beginTurn(page, { tokens: TOKENS, perSecond: TOKENS_PER_SECOND });
      lab.roam();
      const { sha256, longestPauseMs } = await readTurn(page, turn);
      const requests = stack.fake.requests.filter(({ url }) => url.includes(turn));
      expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
      await untilPath(page, path);
      console.log(`${what}: the longest pause between two tokens was ${Math.round(longestPauseMs)} ms`);
    } catch (error) {
      console.log(lines.join('\n'));
      throw error;
    } finally {
      await page.context().close();
    }
  });
});
