/**
 * Pictures of every view in every state, on a phone and on a desktop, light and dark, for eyes:
 * `npm run screens [folder] [name…]`. Without names, those that the README shows are renewed as well.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { buildWeb } from '../scripts/web.ts';
import { launchChromium } from './chromium.ts';
import { openView, SIZES, VIEWS } from './page-views.ts';
import { PATH_VIEWS, showPath } from './path-views.ts';

/** What the README shows, below docs/. */
const SHOWN = {
  'page.png': 'path-direct-desktop-light',
  'phone.png': 'path-direct-phone-dark',
  'diagnostics.png': 'path-direct-diagnostics-phone-light',
  'dashboard.png': 'hosts-desktop-light',
};

const [folder = 'screens', ...names] = process.argv.slice(2);

await buildWeb();
mkdirSync(folder, { recursive: true });
const browser = await launchChromium();
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const options = { viewport, colorScheme, deviceScaleFactor: size === 'phone' ? 2 : 1 };
    const look = async (page: Page, view: string) => {
      await page.screenshot({ path: `${folder}/${view}-${size}-${colorScheme}.png`, fullPage: true });
    };
    for (const name of wanted(Object.keys(VIEWS))) {
      const { page, close } = await openView(browser, name, options, (text) => {
        process.stderr.write(`${name}: ${text}\n`);
      });
      await look(page, name);
      await close();
    }
    for (const path of wanted(Object.keys(PATH_VIEWS))) await showPath(browser, path, options, look);
  }
}
await browser.close();
if (names.length === 0) {
  for (const [shown, view] of Object.entries(SHOWN)) copyFileSync(`${folder}/${view}.png`, `docs/${shown}`);
}

function wanted(all: readonly string[]): readonly string[] {
  return all.filter((name) => names.length === 0 || names.includes(name));
}
