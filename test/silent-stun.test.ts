/**
 * STUN servers that never answer, over IPv4 and IPv6, and one whose name nobody knows: who has another way does not
 * wait for them. What is compared is the order of what happens: how long it takes is the machine's affair.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { connectClient, openLibraryPage, untilPath } from './client-page.ts';
import { Stack } from './stack.ts';

/** Bound to an address of this machine that Chromium can send to, and deaf. */
class SilentServer {
  readonly #socket: Socket;
  readonly #host: string;
  /** Addresses and ports that asked. */
  readonly askers = new Set<string>();

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.on('message', (_, { address, port }) => this.askers.add(`${address} ${port}`));
  }

  static async start(host: string): Promise<SilentServer> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4').bind(0, host);
    await once(socket, 'listening');
    return new SilentServer(socket, host);
  }

  get url(): string {
    return `stun:${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${this.#socket.address().port}`;
  }

  close(): void {
    this.#socket.close();
  }
}

/** Browsers send from their real interfaces, and not over IPv6 where they have none. */
function addressOf(family: 'IPv4' | 'IPv6'): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const usual = all.find((one) => one.family === family && !one.internal && !one.address.startsWith('fe80:'));
  return usual?.address;
}

interface Connecting {
  openMs: number;
  lines: string[];
}

describe.skipIf(withoutChromium)(`silent STUN servers (${withoutChromium || 'real'})`, () => {
  const servers: SilentServer[] = [];
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
    const addresses = [addressOf('IPv4') ?? '127.0.0.1', addressOf('IPv6')].filter((one) => one !== undefined);
    servers.push(...(await Promise.all(addresses.map(SilentServer.start))));
  });
  afterAll(async () => {
    await browser?.close();
    for (const server of servers) server.close();
  });

  /** With these servers, until both ends have given up on them. */
  async function connectWith(urls: readonly string[]): Promise<Connecting> {
    const iceServers = JSON.stringify(urls.map((url) => ({ urls: [url] })));
    const stack = await Stack.start({ variables: { ICE_SERVERS: iceServers } });
    try {
      const { page, console: lines } = await openLibraryPage(browser, stack, '?webrtc_diag=1');
      await connectClient(page);
      await untilPath(page, 'direct');
      for (const end of ['local candidate: end', 'remote candidate: end']) {
        await expect.poll(() => indexOf(lines, end), { timeout: 30_000 }).toBeGreaterThan(-1);
      }
      expect(await page.evaluate(() => globalThis.client.path)).toBe('direct');
      await page.context().close();
      return { openMs: Number(/\+(\d+)ms/.exec(lines[indexOf(lines, 'data channel open')] ?? '')?.[1]), lines };
    } finally {
      await stack.close();
    }
  }

  test('do not hold up a connection that needs none', async () => {
    const without = await connectWith([]);
    const { openMs, lines } = await connectWith([...servers.map(({ url }) => url), 'stun:nowhere.invalid:3478']);
    console.log(`channel open after ${without.openMs} ms without STUN servers, ${openMs} ms with silent ones`);
    for (const { askers } of servers) {
      // The browser's socket and the agent's, unless one of them speaks no IPv6.
      expect(askers.size).toBeGreaterThan(0);
    }
    expect(servers[0]?.askers.size).toBeGreaterThan(1);
    // Each end was still asking when it had a pair. Chromium stops to ask then, before the channel is open.
    const [connected, open] = ['ICE connected', 'data channel open'].map((step) => indexOf(lines, step));
    expect(connected).toBeGreaterThan(-1);
    expect(indexOf(lines, 'local candidate: end')).toBeGreaterThan(connected ?? 0);
    expect(indexOf(lines, 'remote candidate: end')).toBeGreaterThan(open ?? 0);
  });
});

function indexOf(lines: readonly string[], what: string): number {
  return lines.findIndex((line) => line.includes(what));
}
