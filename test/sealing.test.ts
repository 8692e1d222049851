import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateHostKeys, type RelayRecipient, verifyAnnouncement } from '../shared/host-identity.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { Path } from '../shared/path.ts';
import { RelayKeys } from '../shared/relay-keys.ts';
import type { sealedClientPath } from '../shared/sealed-path.ts';
import { sealedAgentPath } from '../shared/sealed-path.ts';
import type { sealingIsSupported } from '../shared/sealing-support.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { addModule } from './client-page.ts';

declare global {
  // Set in the page by `addModule`.
  var sealing: { sealingIsSupported: typeof sealingIsSupported; sealedClientPath: typeof sealedClientPath };
  var relay: (message: number[]) => Promise<void>;
  var arrived: (message: number[]) => void;
}

describe.skipIf(withoutChromium)('sealing in Chromium', () => {
  const server = createServer((_request, response) => response.end());
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let page: Page;
  beforeAll(async () => {
    // WebCrypto needs a secure context, which localhost is.
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    await addModule(
      page,
      'sealing',
      "export * from '../shared/sealing-support.ts'; export * from '../shared/sealed-path.ts';",
    );
  });
  afterAll(async () => {
    await browser?.close();
    server.close();
  });

  test('is supported', async () => {
    expect(await page.evaluate(() => globalThis.sealing.sealingIsSupported())).toBe(true);
  });

  test('works with an agent in Node, both ways', async () => {
    const environment = { now: () => performance.now(), timer: () => () => {} };
    const keys = await RelayKeys.create({ hostKeys: await generateHostKeys(), environment, wallClock: Date.now });
    const host = await verifyAnnouncement(await keys.announcement(), { now: Date.now() });
    const [edge, inner] = memoryPaths();
    const agent = sealedAgentPath(inner, keys, 'session');
    agent.start({ message: (message) => agent.send(message), drained: () => {}, closed: () => {} });
    await page.exposeFunction('relay', (message: number[]) => edge.send(Uint8Array.from(message)));
    edge.start({
      message: (message) => void page.evaluate((bytes) => globalThis.arrived(bytes), [...message]),
      drained: () => {},
      closed: () => {},
    });
    const answers = await page.evaluate(
      async ({ hostKey, relayKey }) => {
        const path: Path = globalThis.sealing.sealedClientPath(
          {
            maxMessageBytes: 65_536,
            capacity: () => 1000,
            send: (message) => void globalThis.relay([...message]),
            close: () => {},
            start: (events) => {
              globalThis.arrived = (message) => events.message(Uint8Array.from(message));
            },
          },
          { hostKey: Uint8Array.from(hostKey), relayKey: Uint8Array.from(relayKey) },
          'session',
        );
        return await new Promise<string[]>((resolve, reject) => {
          const heard: string[] = [];
          path.start({
            message: (message) => {
              heard.push(new TextDecoder().decode(message));
              if (heard.length === 2) resolve(heard);
            },
            drained: () => {},
            closed: (reason) => reject(new Error(reason)),
          });
          for (const text of ['one', 'two']) path.send(new TextEncoder().encode(text));
        });
      },
      { hostKey: [...host.hostKey], relayKey: [...host.relayKey] } satisfies Record<keyof RelayRecipient, number[]>,
    );
    expect(answers).toEqual(['one', 'two']);
  });
});
