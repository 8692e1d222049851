/** An answer that comes while its page is reloaded or closed, through edge and agent: nothing of it is lost or said twice. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { Stack } from './stack.ts';

const TOKENS = 150;
const MODEL = `tokens-${TOKENS}-at-40`;
/** Long enough to be stopped, however slow the machine is. */
const ENDLESS = 'tokens-5000-at-40';
const WHOLE = Array.from({ length: TOKENS }, (_, i) => `t${i}`).join(' ');

describe.skipIf(withoutChromium)('an answer that outlives its page', () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  const answer = async (page: Page) =>
    (await page.getByTestId('message-assistant').locator('.markdown').textContent())?.trim();
  const asked = () => stack.fake.requests.filter(({ url }) => url === '/v1/chat/completions');

  /** Asks, and waits until some of the answer is there. */
  async function begin(page: Page, query = '', chosen = MODEL): Promise<void> {
    await page.goto(stack.pageUrl.replace('/#', `/${query}#`));
    await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
    // The fake has models of all speeds, and lists a few.
    await page.getByTestId('model').evaluate((select: HTMLSelectElement, model) => {
      select.append(new Option(model));
      select.value = model;
      select.dispatchEvent(new Event('change', { bubbles: true }));
    }, chosen);
    await page.getByTestId('prompt').fill('count');
    await page.getByTestId('prompt').press('Enter');
    await expect.poll(() => answer(page)).toContain('t30');
  }

  test.each([
    ['the direct path', ''],
    ['the relay', '?no_webrtc=1'],
  ])('goes on after a reload, by %s', async (_, query) => {
    const before = asked().length;
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, query);
    await page.reload();
    await expect.poll(() => answer(page), { timeout: 40_000 }).toBe(WHOLE);
    await page.getByTestId('regenerate').waitFor();
    expect(asked().slice(before)).toMatchObject([{ aborted: false }]);
    await context.close();
  });

  test('goes on after a reload, and is stopped, by the tunnel', async () => {
    const before = asked().length;
    const context = await browser.newContext();
    // As behind some firewalls: no WebSockets, and with that no relay.
    await context.addInitScript(() => {
      Object.defineProperty(globalThis, 'WebSocket', { value: undefined });
    });
    const page = await context.newPage();
    await begin(page, '?no_webrtc=1');
    expect(await page.getByTestId('path').textContent()).toContain('tunnel');
    await page.reload();
    await expect.poll(() => answer(page), { timeout: 40_000 }).toBe(WHOLE);
    expect(asked().slice(before)).toMatchObject([{ aborted: false }]);
    const other = await context.newPage();
    await begin(other, '?no_webrtc=1', ENDLESS);
    await other.getByTestId('stop').click();
    await other.getByText('Stopped.').waitFor();
    await expect.poll(() => asked().at(-1)?.aborted).toBe(true);
    await context.close();
  });

  test('goes on by the other way when a person forces one', async () => {
    const before = asked().length;
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page);
    await page.getByTestId('path').click();
    await page.getByTestId('no-webrtc').check();
    await expect.poll(() => answer(page), { timeout: 40_000 }).toBe(WHOLE);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('relay');
    expect(asked().slice(before)).toMatchObject([{ aborted: false }]);
    await context.close();
  });

  test('is whole when the tab was closed, and another one is opened later', async () => {
    const before = asked().length;
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page);
    await page.close();
    await expect.poll(() => asked().at(-1)?.sentSha256).toBeDefined();
    const next = await context.newPage();
    // Not by the link with its token, which would be another sign-in: what is held is for the one that asked.
    await next.goto(stack.origin);
    await next.getByTestId('conversation').locator('.conversation-open').click();
    await expect.poll(() => answer(next), { timeout: 40_000 }).toBe(WHOLE);
    expect(asked().slice(before)).toHaveLength(1);
    await context.close();
  });

  test('ends at the model when it is stopped', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page, '', ENDLESS);
    await page.getByTestId('stop').click();
    await page.getByText('Stopped.').waitFor();
    await expect.poll(() => asked().at(-1)?.aborted).toBe(true);
    await context.close();
  });

  test('stays as far as it came when the agent was started anew, and can be asked for again', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await begin(page);
    // Somewhere else while the agent forgets what it holds.
    await page.goto('about:blank');
    await stack.stopAgent();
    await stack.startAgent();
    await page.goto(stack.origin);
    await page.getByText('The answer broke off').waitFor();
    expect(await answer(page)).toContain('t5');
    // By a model that the fake lists.
    await page.getByTestId('regenerate').click();
    await expect.poll(() => answer(page), { timeout: 40_000 }).toBe('This is the fake answer to: count');
    await context.close();
  });
});
