/** The chat page in each browser, by each way to the host. */
import { networkInterfaces } from 'node:os';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IS_NATIVE } from '../agent/test-network.ts';
import { BROWSERS, byTestId, openApart, textOf } from './browsers.ts';
import { Coturn, coturnMissing } from './nat/coturn.ts';
import { type Office, startOffice } from './office.ts';
import { Stack } from './stack.ts';

const TOKENS = 200;
const MODEL = `tokens-${TOKENS}-at-50`;

/** Firefox asks no TURN server on loopback. */
const address = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const withoutTurn = coturnMissing() || (address === undefined && 'this machine has no address but loopback');

for (const { name, missing, launch } of BROWSERS) {
  describe.skipIf(missing)(`the chat page in ${name} (${missing || 'real'})`, () => {
    let browser: Browser;
    let stack: Stack;
    beforeAll(async () => {
      [browser, stack] = await Promise.all([launch(), Stack.start()]);
    });
    afterAll(async () => {
      await browser?.close();
      await stack?.close();
    });

    /** The page's address with a query, at another origin perhaps. */
    const urlOf = ({ pageUrl, origin }: Stack, query: string, at = origin) =>
      pageUrl.replace(`${origin}/`, `${at.replace('127.0.0.1', 'localhost')}/${query}`);

    /** Asks and reads the answer; by `path` from the beginning to the end. */
    async function chat(page: Page, path: string): Promise<void> {
      await expect.poll(() => textOf(page, 'path'), { timeout: 30_000 }).toContain(path);
      await page.waitForFunction(
        (model) => !document.querySelector<HTMLSelectElement>(model)?.disabled,
        {},
        byTestId('model'),
      );
      await page.$eval(
        byTestId('model'),
        (select, model) => {
          // The fake has models of all speeds, and lists a few.
          select.append(new Option(model));
          if (select instanceof HTMLSelectElement) select.value = model;
          select.dispatchEvent(new Event('change', { bubbles: true }));
        },
        MODEL,
      );
      await page.type(byTestId('prompt'), 'hello home');
      await page.keyboard.press('Enter');
      const lengths = new Set<number>();
      await expect
        .poll(async () => {
          const text = await textOf(page, 'message-assistant');
          lengths.add(text?.length ?? 0);
          return text;
        })
        .toContain(`t${TOKENS - 1}`);
      expect(await textOf(page, 'message-user')).toContain('hello home');
      expect(await textOf(page, 'message-assistant')).toContain(
        Array.from({ length: TOKENS }, (_, i) => `t${i}`).join(' '),
      );
      // It came in pieces, and was shown in pieces.
      expect(lengths.size).toBeGreaterThan(5);
      expect(await textOf(page, 'path')).toContain(path);
    }

    test('has its addresses behind names of mDNS, as people have them', async () => {
      const page = await openApart(browser, stack.pageUrl);
      const addresses = await page.evaluate(async () => {
        const peer = new RTCPeerConnection();
        const all: string[] = [];
        const { promise, resolve } = Promise.withResolvers<void>();
        peer.onicecandidate = ({ candidate }) => {
          if (candidate?.address) all.push(candidate.address);
          else if (candidate === null) resolve();
        };
        peer.createDataChannel('');
        await peer.setLocalDescription();
        await promise;
        peer.close();
        return all;
      });
      expect(addresses.length).toBeGreaterThan(0);
      for (const address of addresses) expect(address).toMatch(/\.local$/);
      await page.browserContext().close();
    });

    test('direct', async () => {
      const page = await openApart(browser, stack.pageUrl);
      await chat(page, '⚡ direct');
      await page.browserContext().close();
    });

    test('through the relay', async () => {
      const page = await openApart(browser, urlOf(stack, '?no_webrtc=1'));
      await chat(page, '⇅ relay');
      await page.browserContext().close();
    });

    test('through the tunnel, where WebSockets are blocked', async () => {
      const office: Office = await startOffice(stack.edge.url);
      const page = await openApart(browser, urlOf(stack, '?no_webrtc=1', office.url));
      await chat(page, '☁ tunnel');
      expect(office.requests).toContain('POST completions');
      await page.browserContext().close();
      office.close();
    });

    describe.skipIf(withoutTurn)(`with a TURN server (${withoutTurn || 'real'})`, () => {
      test.each(['udp', 'tcp'] as const)('through it, by %s', async (transport) => {
        const coturn = await Coturn.start({ transport, addresses: [address ?? ''] });
        const behind = await Stack.start({
          variables: { ICE_SERVERS: JSON.stringify([coturn.iceServer([transport])]) },
        });
        const page = await openApart(browser, urlOf(behind, '?webrtc_turn=1'));
        // Over TCP Chromium's checks have 0 for a tiebreaker, which libjuice takes for none (agent.c,
        // agent_process_stun_binding) and refuses.
        const isRefused = IS_NATIVE && transport === 'tcp' && name === 'Chromium';
        await chat(page, isRefused ? '⇅ relay' : '⇄ turn');
        expect(coturn.allocations).not.toEqual([]);
        await page.browserContext().close();
        await Promise.all([behind.close(), coturn.close()]);
      });
    });
  });
}
