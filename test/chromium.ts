/** The system's Chromium, driven by playwright-core. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type LaunchOptions, type Page } from 'playwright-core';
import { findProgram } from '../scripts/programs.ts';
import { inside } from './namespaces.ts';

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

/** In a network namespace, with further arguments. */
export async function launchChromiumInside(namespace: string, args: readonly string[]): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-chromium-'));
  const wrapper = join(folder, 'chromium');
  const command = inside(namespace, CHROMIUM_OPTIONS.executablePath ?? 'chromium').join(' ');
  writeFileSync(wrapper, `#!/bin/sh\nexec ${command} "$@"\n`);
  chmodSync(wrapper, 0o700);
  try {
    const all = [...(CHROMIUM_OPTIONS.args ?? []), ...args];
    return await chromium.launch({ ...CHROMIUM_OPTIONS, args: all, executablePath: wrapper });
  } finally {
    // The shell has read it: it became the browser.
    rmSync(folder, { recursive: true });
  }
}

/** Gives the page a device's own authenticator (CTAP 2.1) that confirms everything, as a finger on a sensor would. */
export async function addAuthenticator(page: Page): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
    },
  });
}
