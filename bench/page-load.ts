/** Loads of the page in a browser, and what it notes of them, for the benchmarks. */
import type { Browser, BrowserContext } from 'playwright-core';

/** Set in the page by `watch`; times are milliseconds since the start of the navigation. */
export interface Watched {
  __WEBRTC_DIAGNOSTICS__: boolean;
  /** Time and text of each line of the diagnostics. */
  lines: [number, string][];
  /** When the page's first script began. */
  script?: number;
  /** When the page showed a direct path. */
  direct?: number;
}

/** Runs in the page before anything else. */
export function watch(): void {
  const seen = globalThis as unknown as Watched;
  seen.__WEBRTC_DIAGNOSTICS__ = true;
  seen.lines = [];
  console.log = (line) => void seen.lines.push([performance.now(), String(line)]);
  // What the page's first script does first.
  const { getItem } = Storage.prototype;
  Storage.prototype.getItem = function (this: Storage, key) {
    seen.script ??= performance.now();
    return getItem.call(this, key);
  };
  const look = () => {
    if (document.querySelector('[data-testid=path]')?.textContent?.includes('direct'))
      seen.direct ??= performance.now();
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
}

/** What a browser keeps of a person who has been here. */
export interface Memory {
  cookies: Parameters<BrowserContext['addCookies']>[0];
  storage: Record<string, string>;
}

/** A fresh browser, but for what it remembers. */
export async function contextWith(browser: Browser, memory: Memory | undefined): Promise<BrowserContext> {
  const context = await browser.newContext();
  if (memory !== undefined) {
    await context.addCookies(memory.cookies);
    // Playwright's own way opens a connection, which the page would find open.
    await context.addInitScript((storage) => {
      for (const [key, value] of Object.entries(storage)) localStorage.setItem(key, value);
    }, memory.storage);
  }
  return context;
}

/** Comes by the link, and once more. */
export async function visit(browser: Browser, url: string): Promise<Memory> {
  const context = await browser.newContext();
  const page = await context.newPage();
  for (const address of [url, new URL('/', url).href]) {
    await page.goto(address);
    await page.getByTestId('path').getByText('direct').waitFor();
  }
  const memory = { cookies: await context.cookies(), storage: await page.evaluate(() => ({ ...localStorage })) };
  await context.close();
  return memory;
}
