/** The system's Chromium, driven by playwright-core. */
import { type Browser, chromium, type LaunchOptions } from 'playwright-core';
import { findProgram } from '../scripts/programs.ts';

const program = findProgram('chromium');

/** For `test.skipIf`: why browser tests cannot run here, or false. */
export const withoutChromium = program === undefined ? 'chromium is not installed' : false;

/** As root and without the traffic of its own that a browser makes; mDNS candidates stay on, as people have them. */
export const CHROMIUM_OPTIONS: LaunchOptions = {
  ...(program === undefined ? {} : { executablePath: program }),
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

export function launchChromium(): Promise<Browser> {
  return chromium.launch(CHROMIUM_OPTIONS);
}
