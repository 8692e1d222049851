/** Pictures of every view, for eyes: `node test/screenshots.ts [folder] [name…]`, over dist/web. */
import { mkdirSync } from 'node:fs';
import { launchChromium } from './chromium.ts';
import { openView, SIZES, VIEWS } from './page-views.ts';

const [folder = '/tmp/direct-agent-screenshots', ...names] = process.argv.slice(2);

mkdirSync(folder, { recursive: true });
const browser = await launchChromium();
for (const name of Object.keys(VIEWS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const options = { viewport, colorScheme, deviceScaleFactor: size === 'phone' ? 2 : 1 };
      const { page, close } = await openView(browser, name, options, (text) => {
        process.stderr.write(`${name}: ${text}\n`);
      });
      await page.screenshot({ path: `${folder}/${name}-${size}-${colorScheme}.png`, fullPage: true });
      await close();
    }
  }
}
await browser.close();
