/** The whole product with its client on a network of its own. */
import type { Browser } from 'playwright-core';
import { NetworkLab } from './network-lab.ts';
import { Stack, type StackOptions } from './stack.ts';

export interface LabStack {
  lab: NetworkLab;
  stack: Stack;
  /** Chromium, inside the lab. */
  browser: Browser;
  close(): Promise<void>;
}

export async function startLabStack(options: Omit<StackOptions, 'edge'> = {}): Promise<LabStack> {
  const lab = await NetworkLab.start();
  try {
    const [stack, browser] = await Promise.all([
      Stack.start({ ...options, edge: { host: lab.hostAddress } }),
      lab.launchChromium(),
    ]);
    const close = async () => {
      await lab.close();
      await stack.close();
    };
    return { lab, stack, browser, close };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
