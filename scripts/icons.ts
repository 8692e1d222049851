/** Makes the icons of the installed page from the one of all pages: `node scripts/icons.ts`, after that has changed. */
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { findProgram } from './programs.ts';

const look = `${import.meta.dirname}/../web/look`;
const folder = `${import.meta.dirname}/../web/pwa`;
const svg = readFileSync(`${look}/icon.svg`, 'utf8');

/** Without its round corners and smaller, as launchers cut away up to a fifth at each side (W3C manifest, "maskable"). */
const maskable = svg
  .replace('viewBox="0 0 64 64"', 'viewBox="-8 -8 80 80"')
  .replace(/<rect [^>]*fill="([^"]+)"\/>/, '<rect x="-8" y="-8" width="80" height="80" fill="$1"/>');

const executablePath = findProgram('chromium');
if (executablePath === undefined) throw new Error('chromium is not installed');
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const page = await browser.newPage();
for (const [name, size, image] of [
  ['icon-192', 192, svg],
  ['icon-512', 512, svg],
  ['maskable-512', 512, maskable],
] as const) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>*{margin:0}svg{display:block;width:100vw;height:100vh}</style>${image}`);
  await page.screenshot({ path: `${folder}/${name}.png`, omitBackground: true });
}
await browser.close();
