/**
 * `client.WebSocket` in Chromium, beside Chromium’s own: the same table directly, over the relay and through the tunnel.
 * And what only a session can do: a socket goes on when the path below it is lost.
 */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { addModule, connectClient, openClientPage, openLibraryPage, untilPath } from './client-page.ts';
import { startLabStack } from './lab-stack.ts';
import { networkLabMissing } from './network-lab.ts';
import type * as behaviours from './socket-behaviours.ts';
import { BEHAVIOURS } from './socket-behaviours.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

declare global {
  // Set in the page by `addModule`.
  var table: typeof behaviours;
  /** What the page’s WebSockets are made of. */
  var Implementation: typeof WebSocket;
  /** What a socket of the page has received. */
  var ticks: string[];
}

const WAYS = ['Chromium’s own', 'direct', 'relay', 'tunnel'] as const;
type Way = (typeof WAYS)[number];

async function openPage(browser: Browser, stack: Stack, way: Way): Promise<Page> {
  const { page } = await openLibraryPage(browser, stack, way === 'relay' ? '?no_webrtc=1' : '');
  await addModule(page, 'table', `export * from './socket-behaviours.ts';`);
  if (way === 'Chromium’s own') {
    await page.evaluate(() => {
      globalThis.Implementation = WebSocket;
    });
    return page;
  }
  if (way === 'tunnel') {
    await page.evaluate(
      async ({ host, token }) => {
        const headers = { 'content-type': 'application/json' };
        await fetch('/_direct/api/sign-in', { method: 'POST', headers, body: JSON.stringify({ token }) });
        // Nothing but plain addresses passes, as behind some firewalls.
        class TunnelOnly extends WebSocket {
          constructor(url: string, protocols?: string[]) {
            super(url.includes('/_direct/') ? 'ws://localhost:1' : url, protocols);
          }
        }
        const environment = { WebSocket: TunnelOnly };
        const options = { url: location.origin, host, credentials: 'cookie', webrtc: false, environment } as const;
        globalThis.client = globalThis.library.connect(options);
        await globalThis.client.ready;
      },
      { host: HOST_ID, token: OWNER_TOKEN },
    );
  } else {
    await connectClient(page);
  }
  await untilPath(page, way);
  await page.evaluate(() => {
    globalThis.Implementation = globalThis.client.WebSocket;
  });
  return page;
}

describe.skipIf(withoutChromium)(`WebSockets in Chromium (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  let count = 0;
  const addressFor = (way: Way) => {
    const base = way === 'Chromium’s own' ? stack.fake.url : stack.origin;
    return `${base.replace('http', 'ws')}/v1/realtime?way=${WAYS.indexOf(way)}-${++count}`;
  };

  describe.each(WAYS)('%s', (way) => {
    let page: Page;
    beforeAll(async () => {
      page = await openPage(browser, stack, way);
    });
    afterAll(() => page?.context().close());

    test.each(BEHAVIOURS.map(({ name, expected }) => ({ name, expected })))('$name', async ({ name, expected }) => {
      const run = ({ name, url }: { name: string; url: string }) =>
        globalThis.table.BEHAVIOURS.find((known) => known.name === name)?.run(globalThis.Implementation, url);
      expect(await page.evaluate(run, { name, url: addressFor(way) })).toEqual(expected);
    });

    test('a server that vanishes', async () => {
      const end = await page.evaluate(
        (url) => globalThis.table.endOfKilled(globalThis.Implementation, url),
        addressFor(way),
      );
      expect(end).toEqual(way === 'tunnel' ? [1011] : [1006]);
    });

    test('a server that chooses none of the subprotocols', async () => {
      const end = await page.evaluate(
        (url) => globalThis.table.endOfUnchosen(globalThis.Implementation, url),
        addressFor(way),
      );
      expect(end).toEqual([
        ['error', 3],
        ['close', 1006, '', false, 3],
      ]);
    });

    test.skipIf(way === 'Chromium’s own')('goes by the path that it should, at a relative address', async () => {
      const path = `/v1/realtime?relative=${WAYS.indexOf(way)}`;
      const url = await page.evaluate(async (path) => {
        const socket = new globalThis.client.WebSocket(path);
        await new Promise((resolve) => socket.addEventListener('open', resolve));
        return socket.url;
      }, path);
      expect(url).toBe(stack.origin.replace('http', 'ws') + path);
      expect(stack.fake.sockets.filter(({ url }) => url === path).length).toBe(1);
      await expect.poll(() => page.evaluate(() => globalThis.client.path)).toBe(way);
    });

    test.skipIf(way === 'Chromium’s own')('an address of another origin is not the host’s', async () => {
      const path = '/v1/realtime?elsewhere';
      const before = stack.fake.sockets.length;
      const code = await page.evaluate(
        async ({ url }) => {
          const socket = new globalThis.client.WebSocket(url);
          await new Promise((resolve) => socket.addEventListener('open', resolve));
          socket.close(3000);
          return new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
        },
        { url: `${stack.fake.url}${path}` },
      );
      expect(code).toBe(3000);
      // The upstream itself saw the browser’s handshake.
      expect(stack.fake.sockets[before]?.headers['sec-websocket-extensions']).toContain('permessage-deflate');
    });
  });
});

const missing = networkLabMissing() || withoutChromium;

test.skipIf(missing)(`a socket outlives the direct path that it began on (${missing || 'real'})`, async () => {
  const labStack = await startLabStack();
  const { lab, browser, stack } = labStack;
  try {
    const { page } = await openClientPage(browser, stack);
    await untilPath(page, 'direct');
    const path = '/v1/realtime?outlives';
    const ticks = 300;
    const ended = page.evaluate(
      ({ path, ticks }) => {
        globalThis.ticks = [];
        const socket = new globalThis.client.WebSocket(path);
        socket.onopen = () => socket.send(`tick ${ticks} 20`);
        socket.onmessage = ({ data }) => {
          globalThis.ticks.push(data as string);
          // Sent while the path is gone, too.
          if (data === '150') socket.send('still here');
          if (globalThis.ticks.length > ticks) socket.close(4000);
        };
        return new Promise<unknown>((resolve) => {
          socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean, ticks: globalThis.ticks });
        });
      },
      { path, ticks },
    );
    await page.waitForFunction(() => globalThis.ticks?.length > 20);
    lab.cut('udp');
    await untilPath(page, 'relay');
    const result = (await ended) as { code: number; wasClean: boolean; ticks: string[] };
    expect(result).toMatchObject({ code: 4000, wasClean: true });
    expect(result.ticks.filter((tick) => tick !== 'still here')).toEqual(
      Array.from({ length: ticks }, (_, i) => `${i}`),
    );
    expect(result.ticks).toContain('still here');
    expect(stack.fake.sockets.filter(({ url }) => url === path).length).toBe(1);
  } finally {
    await labStack.close();
  }
});
