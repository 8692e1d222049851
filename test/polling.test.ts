import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openClientPage, untilPath } from './client-page.ts';
import { HOST_ID, Stack } from './stack.ts';

/** A proxy as in some offices: HTTPS passes, WebSockets do not. */
async function startOffice(target: string) {
  let open = false;
  const { port } = new URL(target);
  const server: Server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const forward = request({ host: '127.0.0.1', port, method, path: url, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forward.destroy());
    incoming.pipe(forward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    if (!open) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const { method, url, headers } = incoming;
    const forward = request({ host: '127.0.0.1', port, method, path: url, headers });
    forward.on('upgrade', (response, upstream, rest) => {
      const fields = Object.entries(response.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join('')}\r\n`);
      socket.write(rest);
      upstream.write(head);
      upstream.pipe(socket).on('error', () => upstream.destroy());
      socket.pipe(upstream).on('error', () => socket.destroy());
    });
    forward.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    allowWebSockets: () => {
      open = true;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe.skipIf(withoutChromium)('where WebSockets are blocked', () => {
  let stack: Stack;
  let office: Awaited<ReturnType<typeof startOffice>>;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    office = await startOffice(stack.edge.url);
    await stack.stopAgent();
    await stack.startAgent({ signalingUrl: `${office.url}/_direct/h/${HOST_ID}` });
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
    office?.close();
  });

  test('the agent polls, and browsers connect directly all the same', async () => {
    expect(stack.log.join('\n')).toContain('link: connected to the edge by HTTPS polling');
    const { page } = await openClientPage(browser, stack);
    await untilPath(page, 'direct');
    expect(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status)).toBe(200);
    await page.context().close();
  });

  test('a browser that has to poll as well connects directly', async () => {
    const { page, console } = await openClientPage(browser, stack, '?webrtc_diag=1', office.url);
    await untilPath(page, 'direct');
    expect(console.join('\n')).toMatch(/poll/i);
    await page.context().close();
  });
});
