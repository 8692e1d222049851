/** Debian's Firefox and Chromium, driven in the same way: by puppeteer-core, Firefox over WebDriver BiDi. */
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { findProgram } from '../scripts/programs.ts';
import { CHROMIUM_OPTIONS, withoutChromium } from './chromium.ts';

const program = findProgram('firefox-esr') ?? findProgram('firefox');

/** For `test.skipIf`: why tests in Firefox cannot run here, or false. */
export const withoutFirefox = program === undefined ? 'firefox-esr is not installed' : false;

/** With a profile of its own, which ends with it. mDNS candidates stay on, as people have them. */
export function launchFirefox(preferences: Readonly<Record<string, unknown>> = {}): Promise<Browser> {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: program ?? 'firefox-esr',
    headless: true,
    extraPrefsFirefox: { ...preferences },
  });
}

function launchChromium(): Promise<Browser> {
  const { executablePath = 'chromium', args = [] } = CHROMIUM_OPTIONS;
  return puppeteer.launch({ executablePath, args });
}

export interface BrowserKind {
  name: string;
  /** For `describe.skipIf`. */
  missing: string | false;
  launch(): Promise<Browser>;
}

export const BROWSERS: readonly BrowserKind[] = [
  { name: 'Firefox', missing: withoutFirefox, launch: () => launchFirefox() },
  { name: 'Chromium', missing: withoutChromium, launch: launchChromium },
];

/** Opens `url` with cookies and storage that no other page has. Close it by `page.browserContext().close()`. */
export async function openApart(browser: Browser, url: string): Promise<Page> {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** As Playwright's: an element by its `data-testid`. */
export function byTestId(id: string): string {
  return `[data-testid="${id}"]`;
}

/** The text of the last element with this id; undefined while there is none. */
export function textOf(page: Page, id: string): Promise<string | undefined> {
  return page.$$eval(byTestId(id), (all) => all.at(-1)?.textContent ?? undefined);
}
