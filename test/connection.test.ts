/** The indicator on the chat page, and the diagnostics behind it. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { Coturn, coturnMissing } from './nat/coturn.ts';
import { waitForRelay } from './slow-clock.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';

const missing = coturnMissing() || withoutChromium;

describe.skipIf(missing)(`the connection on the chat page (${missing || 'real'})`, () => {
  let coturn: Coturn;
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    coturn = await Coturn.start();
    [stack, browser] = await Promise.all([
      Stack.start({ variables: { ICE_SERVERS: JSON.stringify([coturn.iceServer(['udp'])]) } }),
      launchChromium(),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await Promise.all([stack?.close(), coturn?.close()]);
  });

  async function open(): Promise<Page> {
    const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    // What the page asks for at first goes by none other than the session's paths.
    await waitForRelay(context);
    const page = await context.newPage();
    await page.goto(stack.pageUrl);
    await untilPath(page, 'direct');
    // Before that nothing can be asked.
    await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
    return page;
  }

  const untilPath = (page: Page, path: string) =>
    expect.poll(() => page.getByTestId('path').getAttribute('data-path')).toBe(path);
  const text = (page: Page, testid: string) => page.getByTestId(testid).textContent();

  test('a tap on the path shows what it means and how it came about', async () => {
    const page = await open();
    expect(await text(page, 'path')).toContain('⚡ direct');
    await page.getByTestId('path').click();
    const dialog = page.getByRole('dialog', { name: 'Connection' });
    await expect.poll(() => dialog.isVisible()).toBe(true);
    await expect.poll(() => text(page, 'connection-state')).toContain('The edge sees none of it.');
    for (const step of [
      'attempt 1',
      'session created',
      'offer sent',
      'answer received',
      // Where the name of its own address takes Chromium longer, the TURN server's answer is the first.
      /local candidate: (host|srflx) udp/,
      'remote candidate: host udp',
      'ICE connected',
      'DTLS connected',
      'data channel open',
      // ICE may begin with TURN's pair and change to a better one.
      /session uses the (direct|turn) path/,
      'path: direct',
    ]) {
      await expect.poll(() => text(page, 'timeline')).toMatch(step);
    }
    await expect.poll(() => text(page, 'selected-pair')).toMatch(/This browser.*udp.*The host.*udp/);
    await expect.poll(() => text(page, 'path-changes')).toContain('⚡ direct');
    expect(await text(page, 'ice-servers')).toContain('the edge’s configuration');
    await page.keyboard.press('Escape');
    await expect.poll(() => dialog.count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('path');
    await page.context().close();
  });

  test('measures both ways, and shows the times', async () => {
    const page = await open();
    await page.getByTestId('path').click();
    await page.getByTestId('measure').click();
    await expect.poll(() => text(page, 'measured')).toMatch(/⚡ direct [\d.]+ ms, ☁ tunnel [\d.]+ ms/);
    const plot = page.getByTestId('latency-plot');
    await expect.poll(() => plot.locator('.mark-direct').count()).toBeGreaterThanOrEqual(5);
    await expect.poll(() => plot.locator('.mark-tunnel').count()).toBe(5);
    expect(await plot.getAttribute('aria-label')).toMatch(/direct .* median of \d.*; tunnel .* median of 5/);
    await page.context().close();
  });

  test('the switches lead by TURN, by the relay, and back, and say so', async () => {
    const page = await open();
    await page.getByTestId('path').click();
    await page.getByTestId('force-turn').check();
    await untilPath(page, 'turn');
    await expect.poll(() => text(page, 'ice-servers')).toContain('yes, on this browser’s side');
    await page.getByTestId('no-webrtc').check();
    await untilPath(page, 'relay');
    expect(await page.getByTestId('force-turn').isChecked()).toBe(false);
    await page.getByTestId('no-webrtc').uncheck();
    await untilPath(page, 'direct');
    // The chat goes on with the new client.
    await page.keyboard.press('Escape');
    await page.getByTestId('prompt').fill('still there?');
    await page.getByTestId('prompt').press('Enter');
    await expect.poll(() => text(page, 'message-assistant')).toContain('to: still there?');
    await page.context().close();
  });

  test('what is copied has no address and no secret, unless addresses are wanted', async () => {
    const page = await open();
    await page.getByTestId('prompt').fill('my secret prompt');
    await page.getByTestId('prompt').press('Enter');
    await expect.poll(() => text(page, 'message-assistant')).toContain('secret prompt');
    await page.getByTestId('path').click();
    const copied = async () => {
      await page.getByTestId('copy-report').click();
      await page.getByText('Copied.').waitFor();
      // The browser's version looks like an address.
      return (await page.evaluate(() => navigator.clipboard.readText())).replace(/^browser: .*$/m, '');
    };
    await expect.poll(() => text(page, 'timeline')).toContain('path: direct');
    const masked = await copied();
    for (const line of ['direct-agent: connection report', 'path: direct', 'timeline']) {
      expect(masked).toContain(line);
    }
    expect(masked).toMatch(/session uses the (direct|turn) path/);
    expect(masked).not.toMatch(/\d+\.\d+\.\d+\.\d+|[0-9a-f]+::|[0-9a-f]{8}-[0-9a-f-]+\.local/);
    expect(masked).toMatch(/\d+\.\d+\.\d+\.x/);
    await page.getByTestId('with-addresses').check();
    const whole = await copied();
    expect(whole).toMatch(/\d+\.\d+\.\d+\.\d+/);
    for (const secret of [OWNER_TOKEN, stack.hostKey, coturn.secret, 'secret prompt', 'chat/completions']) {
      expect(masked).not.toContain(secret);
      expect(whole).not.toContain(secret);
    }
    await page.context().close();
  });

  test('diagnostics that could not be loaded say so, and are loaded at the next tap', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route('**/assets/diagnostics-dialog-*', (route) => route.abort());
    await page.goto(stack.pageUrl);
    await untilPath(page, 'direct');
    await page.getByTestId('path').click();
    await page.getByText('could not be loaded').waitFor();
    await page.unroute('**/assets/diagnostics-dialog-*');
    await page.getByTestId('path').click();
    await page.getByTestId('diagnostics').waitFor();
    expect(await page.getByText('could not be loaded').count()).toBe(0);
    await context.close();
  });

  test('a host that stops is said to be offline, with what to do', async () => {
    const page = await open();
    await page.getByTestId('path').click();
    await stack.stopAgent();
    await untilPath(page, 'offline');
    await expect.poll(() => text(page, 'connection-warnings')).toContain('Start the agent on the home machine');
    await stack.startAgent();
    await untilPath(page, 'direct');
    await expect.poll(() => page.getByTestId('connection-warnings').count()).toBe(0);
    await page.context().close();
  });
});
