/** From one network to another in mid-stream: a browser whose address goes, and who has another one at once. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutChromium } from './chromium.ts';
import { connectClient, openLibraryPage, untilPath } from './client-page.ts';
import { type LabStack, startLabStack } from './lab-stack.ts';
import { networkLabMissing } from './network-lab.ts';
import type { Stack } from './stack.ts';
import { beginTurn, readTurn, type TurnResult } from './token-turn.ts';

const missing = networkLabMissing() || withoutChromium;
const TOKENS = 200;
const TOKENS_PER_SECOND = 20;

/** Chromium says that its network has changed; other browsers may not, and cannot where it changed behind a router. */
const CASES = [
  { name: 'the direct path', path: 'direct', deaf: false },
  { name: 'the direct path of a browser that notices nothing', path: 'direct', deaf: true },
  { name: 'the relay', path: 'relay', deaf: false },
  { name: 'the relay of a browser that notices nothing', path: 'relay', deaf: true },
] as const;
type Name = (typeof CASES)[number]['name'];

describe.skipIf(missing)(`from Wi-Fi to LTE (${missing || 'real'})`, () => {
  let labStack: LabStack;
  let stack: Stack;
  const turns = new Map<Name, { turn: string; result: TurnResult; endsOn: string }>();

  beforeAll(async () => {
    labStack = await startLabStack();
    const { lab, browser } = labStack;
    ({ stack } = labStack);
    const opened = await Promise.all(
      CASES.map(async ({ name, path, deaf }) => {
        const query = path === 'relay' ? '&no_webrtc=1' : '';
        const { page, console: lines } = await openLibraryPage(browser, stack, `?webrtc_diag=1${query}`);
        await connectClient(page, { deaf });
        await untilPath(page, path);
        return { name, path, page, lines, turn: '' };
      }),
    );
    try {
      for (const each of opened) {
        each.turn = await beginTurn(each.page, { tokens: TOKENS, perSecond: TOKENS_PER_SECOND });
      }
      const before = lab.clientAddress;
      lab.roam();
      expect(lab.clientAddress).not.toBe(before);
      await Promise.all(
        opened.map(async ({ name, path, page, turn }) => {
          const result = await readTurn(page, turn);
          console.log(`${name}: the longest pause between two tokens was ${Math.round(result.longestPauseMs)} ms`);
          await untilPath(page, path);
          turns.set(name, { turn, result, endsOn: await page.evaluate(() => globalThis.client.path) });
        }),
      );
    } catch (error) {
      for (const { name, lines } of opened) console.log(`${name}:\n${lines.join('\n')}`);
      throw error;
    }
  }, 120_000);
  afterAll(() => labStack?.close());

  test.each(CASES)('tokens on $name go on, byte for byte, and it is used again', ({ name, path }) => {
    const { turn, result, endsOn } = turns.get(name) ?? {};
    expect(result?.error).toBeUndefined();
    const requests = stack.fake.requests.filter(({ url }) => url.includes(`${turn}`));
    expect(requests.map(({ sentSha256 }) => sentSha256)).toEqual([result?.sha256]);
    expect(endsOn).toBe(path);
    // Its old address was really gone: some tokens in a row were late.
    expect(result?.longestPauseMs).toBeGreaterThan(3_000 / TOKENS_PER_SECOND);
  });
});
