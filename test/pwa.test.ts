/** The page as an installed one: without the network, and from one build to the next. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { FakeEdge } from './fake-edge.ts';

const ROOT = `${import.meta.dirname}/..`;

/** The page's build into `folder`, with its name in the document: another name is another build. */
async function buildInto(folder: string, name: string): Promise<void> {
  const mark = {
    name: 'mark',
    transformIndexHtml: (html: string) => html.replace('<html ', `<html data-build="${name}" `),
    // What the page loads later has another name, too.
    transform: (code: string, id: string) =>
      id.endsWith('/settings-dialog.tsx') ? `${code}\nglobalThis.build = '${name}';` : undefined,
  };
  const options = { root: `${ROOT}/web`, configFile: `${ROOT}/web/vite.config.ts`, logLevel: 'warn' } as const;
  await build({ ...options, plugins: [mark], build: { outDir: `${folder}/_direct` } });
}

describe.skipIf(withoutChromium)('the installed page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-pwa-'));
  const [first, second, without] = [`${folder}/first`, `${folder}/second`, `${folder}/without`];
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let edge: FakeEdge;
  let origin: string;

  beforeAll(async () => {
    browser = await launchChromium();
    await buildInto(first, 'first');
    await buildInto(second, 'second');
    cpSync(first, without, { recursive: true });
    rmSync(`${without}/_direct/sw.js`);
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });
  const buildShown = (of = page) => of.evaluate(() => document.documentElement.dataset.build);

  beforeEach(async () => {
    edge = await FakeEdge.start();
    edge.web = first;
    origin = edge.origin;
    context = await browser.newContext();
    await context.addCookies([edge.signIn('owner')]);
    page = await context.newPage();
  });
  afterEach(async () => {
    await context.close();
    await edge.close();
  });

  const open = () => page.goto(`${origin}/_direct/chat`);
  const kept = () =>
    page.evaluate(async () => {
      const names = await caches.keys();
      const requests = await Promise.all(names.map(async (name) => await (await caches.open(name)).keys()));
      return { names, paths: requests.flat().map(({ url }) => new URL(url).pathname) };
    });
  /** Visits once, until the service worker has everything. */
  const install = async () => {
    await open();
    await page.evaluate(async () => await navigator.serviceWorker.ready);
  };

  const states = () =>
    page.evaluate(async () => {
      const { active, installing, waiting } = await navigator.serviceWorker.ready;
      return [active?.state, installing, waiting];
    });

  test('is one by Chromium’s criteria', async () => {
    await open();
    const devtools = await context.newCDPSession(page);
    const { errors, data } = await devtools.send('Page.getAppManifest');
    expect(errors).toEqual([]);
    expect(JSON.parse(data ?? '')).toMatchObject({ start_url: '/_direct/chat', scope: '/_direct/' });
    const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
    // Contexts of tests are private windows, where nothing can be installed.
    expect(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito')).toEqual([]);
  });

  test('opens without the network, and keeps nothing but its own files', async () => {
    await install();
    const { paths } = await kept();
    expect(paths).toContain('/_direct/chat');
    for (const path of paths) expect(path).toMatch(/^\/_direct\/(chat$|assets\/)/);
    await context.setOffline(true);
    await edge.close();
    await open();
    expect(await page.evaluate(() => navigator.serviceWorker.controller?.scriptURL)).toMatch(/\/_direct\/sw\.js$/);
    await page.getByTestId('prompt').waitFor();
    // The page's own words, of an edge that is out of reach.
    await expect.poll(() => page.getByRole('status').allInnerTexts()).not.toEqual(['']);
    expect(
      await page.evaluate(() =>
        fetch('/v1/models').then(
          () => 'answered',
          () => 'offline',
        ),
      ),
    ).toBe('offline');
    edge = await FakeEdge.start();
  });

  test('is replaced by a new build at the next load, and nothing is left of the old one', async () => {
    await install();
    const before = await kept();
    edge.web = second;
    await open();
    expect(await buildShown()).toBe('first');
    // While the old one is shown, as it may want more of its files.
    await expect.poll(async () => (await kept()).names.length).toBe(2);
    await expect.poll(states).toEqual(['activated', null, null]);
    await open();
    expect(await buildShown()).toBe('second');
    await expect.poll(async () => (await kept()).names.length).toBe(1);
    expect((await kept()).names).not.toEqual(before.names);
  });

  test('that is open when a new build comes has its own files to the end', async () => {
    await install();
    // The one before came from the edge.
    await open();
    edge.web = second;
    const newer = await context.newPage();
    await newer.goto(`${origin}/_direct/chat`);
    await expect.poll(async () => (await kept()).names.length).toBe(2);
    await expect.poll(states).toEqual(['activated', null, null]);
    await newer.goto(`${origin}/_direct/chat`);
    expect(await buildShown(newer)).toBe('second');
    await newer.waitForLoadState('networkidle');
    expect((await kept()).names.length).toBe(2);
    // As if much time had passed: what browsers have by themselves is gone.
    await (await context.newCDPSession(page)).send('Network.clearBrowserCache');
    await page.getByTestId('settings').click();
    await page.getByTestId('settings-dialog').waitFor();
    await page.close();
    page = newer;
    await newer.reload();
    await expect.poll(async () => (await kept()).names.length).toBe(1);
  });

  test('goes away with an edge that has no service worker', async () => {
    await install();
    edge.web = without;
    await open();
    const registrations = () => page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length);
    await expect.poll(registrations).toBe(0);
    expect(await kept()).toEqual({ names: [], paths: [] });
  });
});
