/**
 * Web UIs in Chromium, through edge and agent, as their owner switches them on: pages load by plain HTTPS, and what they
 * ask for goes by the direct path. One UI is made for this, with a login; two others have never heard of us.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { type FakeWebUi, startFakeWebUi, USER } from './fake-web-ui.ts';
import { logIn, serveWebUi } from './log-in.ts';
import { type RealWebUi, startNodeRed, startTiddlyWiki } from './real-web-uis.ts';
import { waitForRelay } from './slow-clock.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('a web UI in Chromium', () => {
  let stack: Stack;
  let browser: Browser;
  let login: Awaited<ReturnType<typeof logIn>>;
  let context: BrowserContext;
  /** What the browser complains about, with the address of whatever made it do so. */
  let complaints: string[];
  /** Messages that the page has sent by way of the edge, on the path that is kept in reserve. */
  let relayed: number;

  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    login = await logIn(stack);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });
  afterEach(async () => {
    // Ours are named by their address; a UI's own are its business.
    const ours = complaints.filter((line) => /_direct\/|Content Security Policy/i.test(line));
    await context.close();
    expect(ours).toEqual([]);
  });

  /** The agent serves `webUi`, the owner has switched it on and is signed in in a new browser. */
  async function serve(webUi: string, flags: Record<string, unknown> = {}): Promise<Page> {
    await serveWebUi(stack, login, { webUi, ...flags });
    context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
    context.setDefaultTimeout(20_000);
    // What a UI asks for at once goes end to end then.
    await waitForRelay(context);
    const ask = async (method: string, path: string, data: object) => {
      const headers = { origin: stack.origin };
      const answer = await context.request.fetch(`${stack.origin}/_direct/api${path}`, { method, headers, data });
      expect([path, answer.ok()]).toEqual([path, true]);
    };
    await ask('POST', '/sign-in', { token: OWNER_TOKEN });
    const page = await context.newPage();
    complaints = [];
    relayed = 0;
    page.on('websocket', (socket) => {
      if (!new URL(socket.url()).pathname.endsWith('/relay')) return;
      socket.on('framesent', ({ payload }) => {
        // Texts are signs of life.
        if (typeof payload !== 'string') relayed += 1;
      });
    });
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => complaints.push(`${error.stack}`));
    return page;
  }

  /** Until a request of the page goes end to end, and not by the relay. */
  const untilDirect = (page: Page) =>
    expect
      .poll(async () => {
        const [asked, before] = [endToEnd().length, relayed];
        await page.evaluate(() => fetch('/favicon.ico').then((response) => response.text()));
        return endToEnd().length > asked && relayed === before;
      })
      .toBe(true);
  /** What reached the UI end to end, and not as plain HTTPS. */
  const endToEnd = () => stack.log.flatMap((line) => /proxy: web_ui: (.*)$/.exec(line)?.[1] ?? []);
  const byTunnel = () => stack.log.flatMap((line) => /proxy: web_ui by the tunnel: (.*)$/.exec(line)?.[1] ?? []);
  const text = (page: Page, testid: string) => page.getByTestId(testid).textContent();

  describe('with a login', () => {
    let ui: FakeWebUi;
    beforeAll(async () => {
      ui = await startFakeWebUi();
    });
    afterAll(() => ui?.close());

    async function signIn(page: Page): Promise<void> {
      await page.goto(`${stack.origin}/`);
      await page.getByTestId('user').fill(USER);
      await page.getByTestId('sign-in').click();
      await page.waitForURL(`${stack.origin}/app`);
    }

    test('knows who asks on every path, although no script and no browser has its cookie', async () => {
      const page = await serve(ui.url);
      await signIn(page);
      await expect.poll(() => text(page, 'me')).toBe(USER);
      expect(byTunnel()).toContain('POST /login 303');
      await untilDirect(page);
      const before = relayed;
      await page.getByTestId('note').fill('far away');
      await page.getByTestId('save').click();
      await expect.poll(() => text(page, 'status')).toBe('201 {"count":1}');
      expect(ui.notes).toEqual([{ by: USER, text: 'far away' }]);
      expect(endToEnd()).toContain('POST /notes 201');
      await expect.poll(() => page.getByTestId('events').locator('li').last().textContent()).toBe('far away');
      await expect.poll(() => text(page, 'socket')).toBe(`{"hello":"${USER}"} ping `);
      expect(relayed).toBe(before);
      const cookies = JSON.stringify(await context.cookies());
      expect(cookies).toContain('csrf');
      for (const secret of ui.secrets) expect(cookies).not.toContain(secret);
      // A page that loads anew with a direct path: fetch, EventSource and WebSocket.
      await page.reload();
      await expect.poll(() => text(page, 'me')).toBe(USER);
      await expect.poll(() => text(page, 'socket')).toContain('ping');
    });

    test('goes by the relay where there is no direct path', async () => {
      // Without a TURN server there is none then.
      const page = await serve(ui.url, { relayOnly: true });
      await signIn(page);
      await expect.poll(() => endToEnd().join('\n')).toMatch(/GET \/socket 101|GET \/me 200/);
      await page.evaluate(() => fetch('/file').then((response) => response.arrayBuffer()));
      expect(endToEnd()).toContain('GET /file 200');
      expect(relayed).toBeGreaterThan(0);
    });

    test('signs nobody else in', async () => {
      const page = await serve(ui.url);
      await signIn(page);
      const stranger = await browser.newContext();
      expect((await stranger.request.get(`${stack.origin}/me`)).status()).toBe(401);
      await stranger.close();
      const other = await browser.newContext();
      const headers = { origin: stack.origin };
      await other.request.post(`${stack.origin}/_direct/api/sign-in`, { headers, data: { token: OWNER_TOKEN } });
      const theirs = await other.newPage();
      await theirs.goto(`${stack.origin}/app`);
      // To its login: this browser of the same owner has not been there.
      expect(new URL(theirs.url()).pathname).toBe('/');
      await other.close();
    });

    test.each(['/strict', '/strict-meta'])('runs its own script under its own policy: %s', async (path) => {
      const page = await serve(ui.url);
      await page.goto(stack.origin + path);
      await expect.poll(() => text(page, 'strict')).toBe('its own script ran');
      await untilDirect(page);
    });

    test('stays on plain HTTPS where the host says so', async () => {
      const page = await serve(ui.url, { webUiHttpsPaths: ['/me'] });
      await signIn(page);
      await expect.poll(() => text(page, 'me')).toBe(USER);
      await untilDirect(page);
      await page.evaluate(() => fetch('/me').then((response) => response.text()));
      await page.evaluate(() => fetch('/file').then((response) => response.arrayBuffer()));
      expect(endToEnd()).toContain('GET /file 200');
      expect(endToEnd().filter((line) => line.includes('/me '))).toEqual([]);
    });
  });

  describe('TiddlyWiki', () => {
    let ui: RealWebUi;
    beforeAll(async () => {
      ui = await startTiddlyWiki();
    });
    afterAll(() => ui?.close());

    test('keeps what is written in it far away', async () => {
      const page = await serve(ui.url);
      await page.goto(`${stack.origin}/`);
      await untilDirect(page);
      const before = relayed;
      await page.getByRole('button', { name: 'new tiddler', exact: true }).first().click();
      await page.locator('.tc-titlebar.tc-edit-texteditor').fill('Made far away');
      const words = page.frameLocator('.tc-tiddler-edit-frame iframe').locator('textarea');
      await words.fill('These words went a long way.');
      await page.getByTitle('Confirm changes to this tiddler').click();
      const file = join(ui.folder, 'tiddlers', 'Made far away.tid');
      const kept = () => {
        try {
          return readFileSync(file, 'utf8');
        } catch {
          return 'nothing yet';
        }
      };
      await expect.poll(kept).toContain('These words went a long way.');
      expect(endToEnd()).toContain('PUT /recipes/default/tiddlers/Made%20far%20away 204');
      expect(relayed).toBe(before);
      await page.goto('about:blank');
      await page.goto(`${stack.origin}/#Made%20far%20away`);
      await page.getByText('These words went a long way.').waitFor();
    });
  });

  describe('Node-RED', () => {
    let ui: RealWebUi;
    beforeAll(async () => {
      ui = await startNodeRed();
    });
    afterAll(() => ui?.close());

    test('deploys a flow that is drawn in it, and shows by its WebSocket what that does', async () => {
      const page = await serve(ui.url);
      await page.goto(`${stack.origin}/`);
      const node = (type: string) => page.locator(`.red-ui-palette-node[data-palette-type="${type}"]`);
      const sheet = page.locator('#red-ui-workspace-chart');
      await node('inject').dragTo(sheet, { targetPosition: { x: 300, y: 200 } });
      await node('debug').dragTo(sheet, { targetPosition: { x: 600, y: 200 } });
      await page.locator('.red-ui-flow-port-output').first().dragTo(page.locator('.red-ui-flow-port-input').first());
      await untilDirect(page);
      const before = relayed;
      await page.locator('#red-ui-header-button-deploy').click();
      await expect.poll(() => endToEnd().join('\n')).toContain('POST /flows 200');
      await page.locator('.red-ui-flow-node-button-button').first().click();
      await expect.poll(() => page.locator('.red-ui-debug-msg').allTextContents()).toHaveLength(1);
      expect(relayed).toBe(before);
      expect(readFileSync(join(ui.folder, 'flows.json'), 'utf8')).toContain('"type":"debug"');
      await page.close();
      // The log has a WebSocket when it ends.
      await expect.poll(() => endToEnd().join('\n')).toContain('GET /comms 101');
    });
  });
});
