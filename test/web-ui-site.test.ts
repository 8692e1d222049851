/** A web UI at a host name of its own, in Chromium: one signs in at the edge, and is back. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/free-port.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { type FakeWebUi, startFakeWebUi, USER } from './fake-web-ui.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('a web UI at a host name of its own', () => {
  let ui: FakeWebUi;
  let stack: Stack;
  let browser: Browser;
  /** `localhost` and its subdomains are sites of their own for browsers, and this machine. */
  let site: string;

  beforeAll(async () => {
    const port = await freePort();
    site = `http://chat.localhost:${port}`;
    [ui, browser] = await Promise.all([startFakeWebUi(), launchChromium()]);
    stack = await Stack.start({
      edge: { port },
      flags: { webUi: ui.url },
      variables: {
        EDGE_ORIGIN: `http://localhost:${port}`,
        WEB_UI_HOSTNAMES: JSON.stringify({ [`chat.localhost:${port}`]: HOST_ID }),
      },
    });
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
    await ui?.close();
  });

  async function visit(path: string): Promise<Page> {
    const context = await browser.newContext();
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    await page.goto(site + path);
    return page;
  }

  async function signInAtTheEdge(page: Page): Promise<void> {
    await page.waitForURL(`${stack.origin}/_direct/ui/enter?**`);
    await page.getByTestId('access-token').fill(OWNER_TOKEN);
    await page.getByTestId('access-connect').click();
  }

  test('is opened by who signs in at the edge, and stays open', async () => {
    const page = await visit('/?kept=1');
    await signInAtTheEdge(page);
    await page.waitForURL(`${site}/?kept=1`);
    await page.getByTestId('user').fill(USER);
    await page.getByTestId('sign-in').click();
    await page.waitForURL(`${site}/app`);
    await expect.poll(() => page.getByTestId('me').textContent()).toBe(USER);
    // A link from another site.
    await page.goto(`${stack.origin}/_direct/chat`);
    await page.evaluate((to) => location.assign(to), `${site}/app`);
    await page.waitForURL(`${site}/app`);
    // In another tab nobody is asked again.
    const tab = await page.context().newPage();
    await tab.goto(`${site}/app`);
    await expect.poll(() => tab.getByTestId('me').textContent()).toBe(USER);
    await page.context().close();
  });

  test('has nothing of the edge’s, and its scripts see no cookie of ours', async () => {
    const page = await visit('/');
    await signInAtTheEdge(page);
    await page.getByTestId('user').waitFor();
    const status = (path: string) => page.evaluate(async (asked) => (await fetch(asked)).status, path);
    expect([await status('/_direct/api/hosts'), await status('/_direct/'), await status('/_direct/chat')]).toEqual([
      404, 404, 404,
    ]);
    expect(await status(`/_direct/h/${HOST_ID}`)).toBe(200);
    expect(await page.evaluate(() => document.cookie)).not.toContain('direct_');
    const atTheEdge = page.evaluate(
      (url) => fetch(url, { credentials: 'include' }),
      `${stack.origin}/_direct/api/hosts`,
    );
    await expect(atTheEdge).rejects.toThrow();
    await page.context().close();
  });

  test('is closed when one signs out at the edge', async () => {
    const page = await visit('/');
    await signInAtTheEdge(page);
    await page.getByTestId('user').waitFor();
    await page.context().request.post(`${stack.origin}/_direct/api/sign-out`, { headers: { origin: stack.origin } });
    await page.reload();
    await page.waitForURL(`${stack.origin}/_direct/ui/enter?**`);
    await page.getByTestId('access-token').waitFor();
    await page.context().close();
  });
});
