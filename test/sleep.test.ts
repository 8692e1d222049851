/** A browser that sleeps while its turns run, for less and for longer than its host remembers it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutChromium } from './chromium.ts';
import { type ClientPage, openClientPage, untilPath } from './client-page.ts';
import { type LabStack, startLabStack } from './lab-stack.ts';
import { type NetworkLab, networkLabMissing } from './network-lab.ts';
import type { Stack } from './stack.ts';
import { beginTurn, readTurn } from './token-turn.ts';

const missing = networkLabMissing() || withoutChromium;

interface Sleeper extends ClientPage {
  path: 'direct' | 'relay';
  /** The name of the turn that runs. */
  turn: string;
}

describe.skipIf(missing)(`a browser asleep (${missing || 'real'})`, () => {
  let lab: NetworkLab;
  let stack: Stack;
  let browser: Browser;
  let labStack: LabStack;
  beforeAll(async () => {
    labStack = await startLabStack();
    ({ lab, stack, browser } = labStack);
  });
  afterAll(() => labStack?.close());

  const asked = (turn: string) => stack.fake.requests.filter(({ url }) => url.includes(turn));

  /** A page on each path, with a turn that runs. */
  function openSleepers(tokens: number): Promise<Sleeper[]> {
    const open = async (path: Sleeper['path'], query: string): Promise<Sleeper> => {
      const opened = await openClientPage(browser, stack, `?webrtc_diag=1${query}`);
      await untilPath(opened.page, path);
      return { ...opened, path, turn: await beginTurn(opened.page, { tokens, perSecond: 20 }) };
    };
    return Promise.all([open('direct', ''), open('relay', '&no_webrtc=1')]);
  }

  /** Each comes back to its path in the end. */
  async function checked(sleepers: Sleeper[], check: (sleeper: Sleeper) => Promise<void>): Promise<void> {
    try {
      await Promise.all(sleepers.map(check));
      await Promise.all(sleepers.map(({ page, path }) => untilPath(page, path)));
    } catch (error) {
      for (const { console: lines } of sleepers) console.log(lines.join('\n'));
      throw error;
    } finally {
      await Promise.all(sleepers.map(({ page }) => page.context().close()));
    }
  }

  test('for 20 s loses nothing, though its host has given up its direct path meanwhile', async () => {
    const sleepers = await openSleepers(440);
    lab.sleep();
    await delay(20_000);
    lab.wake();
    await checked(sleepers, async ({ page, turn }) => {
      const { sha256, error, longestPauseMs } = await readTurn(page, turn);
      expect(error).toBeUndefined();
      // It was really asleep.
      expect(longestPauseMs).toBeGreaterThan(10_000);
      expect(asked(turn).map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
    });
  });

  test('for longer than its host remembers it: what ran fails with E_HOST_RESTARTED, what follows works', async () => {
    const sleepers = await openSleepers(1_000_000);
    lab.sleep();
    // As routers do with the connections of those who are gone. Where they do not, it takes longer.
    lab.reset();
    try {
      const isForgotten = () => sleepers.every(({ turn }) => asked(turn)[0]?.aborted);
      await expect.poll(isForgotten, { timeout: 150_000 }).toBe(true);
    } finally {
      lab.wake();
    }
    await checked(sleepers, async ({ page, turn }) => {
      const statuses = await page.evaluate(async () => {
        const body = JSON.stringify({ model: 'tokens-10', stream: true, messages: [{ role: 'user', content: 'x' }] });
        const { client } = globalThis;
        const post = () => client.fetch('/v1/chat/completions', { method: 'POST', body });
        // One that leaves in the moment of waking, on a path that nobody knows to be dead yet, is not repeated by itself.
        const again = (error: Error) => {
          if ((error.cause as { code?: string }).code !== 'E_HOST_RESTARTED') throw error;
          return post();
        };
        const responses = [client.fetch('/v1/models'), post().catch(again)];
        return Promise.all(responses.map(async (response) => (await response).status));
      });
      expect(statuses).toEqual([200, 200]);
      const { error } = await readTurn(page, turn);
      expect(error).toBe('E_HOST_RESTARTED');
      expect(asked(turn)).toHaveLength(1);
    });
  }, 240_000);
});
