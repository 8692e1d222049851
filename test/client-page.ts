/** A bare page on the edge's origin with the built client library, for tests that drive the library itself. */
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import type { Client, connect, patchFetch } from '../web/client/index.ts';
import { HOST_ID, OWNER_TOKEN, type Stack } from './stack.ts';

declare global {
  // Set in the page by `openClientPage`; tests use them inside `page.evaluate`.
  var client: Client;
  var library: { connect: typeof connect; patchFetch: typeof patchFetch };
}

export interface ClientPage {
  page: Page;
  /** Everything that the page wrote to its console. */
  console: string[];
}

/** Opens the page with `globalThis.library`. `query` is that of its address, `origin` the edge as the browser sees it. */
export async function openLibraryPage(
  browser: Browser,
  stack: Pick<Stack, 'origin'>,
  query = '',
  origin = stack.origin,
): Promise<ClientPage> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const lines: string[] = [];
  page.on('console', (message) => lines.push(message.text()));
  await page.goto(`${origin.replace('127.0.0.1', 'localhost')}/_direct/client.js${query}`);
  // As text, because the test runner rewrites dynamic imports in functions.
  await page.addScriptTag({
    type: 'module',
    content: `import * as library from '/_direct/client.js'; globalThis.library = library;`,
  });
  await page.waitForFunction(() => globalThis.library !== undefined);
  return { page, console: lines };
}

/** Connects `globalThis.client`. A deaf one hears no event of its network, as where that changes behind a router. */
export async function connectClient(page: Page, { deaf = false } = {}): Promise<void> {
  await page.evaluate(
    async ({ host, token, deaf }) => {
      const environment = deaf ? { network: { online: () => true, watch: () => () => {} } } : {};
      globalThis.client = globalThis.library.connect({ url: location.origin, host, token, environment });
      await globalThis.client.ready;
    },
    { host: HOST_ID, token: OWNER_TOKEN, deaf },
  );
}

/** Opens the page and connects. */
export async function openClientPage(...where: Parameters<typeof openLibraryPage>): Promise<ClientPage> {
  const opened = await openLibraryPage(...where);
  await connectClient(opened.page);
  return opened;
}

/** Waits until requests of the page's client go by `path`. */
export async function untilPath(page: Page, path: Client['path']): Promise<void> {
  await page.waitForFunction((path) => globalThis.client.path === path, path);
}

/** Runs a module of this repository or of npm in the page, as `globalThis[name]`. */
export async function addModule(page: Page, name: string, source: string): Promise<void> {
  const bundle = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: name,
    platform: 'browser',
    target: 'es2024',
  });
  await page.addScriptTag({ content: bundle.outputFiles[0]?.text ?? '' });
}
