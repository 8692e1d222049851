import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { withoutChromium } from './chromium.ts';
import { openClientPage, untilPath } from './client-page.ts';
import { type LabStack, startLabStack } from './lab-stack.ts';
import { NetworkLab, networkLabMissing } from './network-lab.ts';
import { Stack } from './stack.ts';

const withoutLab = networkLabMissing();
const withoutBoth = withoutLab || withoutChromium;

/** Counts what a program inside writes to it, a line each 20 ms. */
async function startCounter(lab: NetworkLab) {
  let bytes = 0;
  let socket: Socket | undefined;
  const server: Server = createServer((connected) => {
    socket = connected.on('data', (chunk) => (bytes += chunk.length)).on('error', () => {});
  }).listen(0, lab.hostAddress);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const writer = lab.spawn(
    process.execPath,
    '-e',
    `const socket = require('node:net').connect(${port}, '${lab.hostAddress}');
     socket.on('error', (error) => process.stdout.write(error.code));
     setInterval(() => socket.write('x'), 20);`,
  );
  let said = '';
  writer.stdout?.on('data', (chunk) => (said += chunk));
  await expect.poll(() => bytes).toBeGreaterThan(0);
  return {
    bytes: () => bytes,
    /** What the writer's socket failed with. */
    error: () => said,
    isClosed: () => socket?.destroyed ?? false,
    close: () => {
      socket?.destroy();
      server.close();
    },
  };
}

describe.skipIf(withoutLab)(`a network of a test's own (${withoutLab || 'real'})`, () => {
  test('is a link to the host, and leaves nothing behind', async () => {
    const lab = await NetworkLab.start();
    const counter = await startCounter(lab);
    const links = () => execFileSync('ip', ['-brief', 'address'], { encoding: 'utf8' });
    expect(links()).toContain(lab.hostAddress);
    counter.close();
    await lab.close();
    expect(links()).not.toContain(lab.hostAddress);
    expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).not.toContain(`da-lab-${process.pid}-`);
  });

  test('several do not meet', async () => {
    const labs = await Promise.all([NetworkLab.start(), NetworkLab.start(), NetworkLab.start()]);
    try {
      expect(new Set(labs.map(({ hostAddress }) => hostAddress)).size).toBe(3);
      const counters = await Promise.all(labs.map(startCounter));
      labs[0]?.cut('all');
      const [first = 0, ...others] = counters.map((counter) => counter.bytes());
      await expect.poll(() => others.every((bytes, i) => (counters[i + 1]?.bytes() ?? 0) > bytes + 10)).toBe(true);
      // What was on its way may still arrive.
      expect(counters[0]?.bytes()).toBeLessThan(first + 10);
      for (const counter of counters) counter.close();
    } finally {
      await Promise.all(labs.map((lab) => lab.close()));
    }
  });

  test('what a killed process left is removed by the next', async () => {
    const child = `import { NetworkLab } from './network-lab.ts';
      const lab = await NetworkLab.start({ link: { roundTripMs: 2 } });
      process.stdout.write(lab.hostAddress + ' ' + process.pid);
      process.kill(process.pid, 'SIGKILL');`;
    const run = () =>
      execFileSync(process.execPath, ['--input-type=module', '-e', child], { cwd: import.meta.dirname });
    let said = '';
    try {
      run();
    } catch (error) {
      said = String((error as { stdout: Buffer }).stdout);
    }
    const [left = '', pid = ''] = said.split(' ');
    const namespaces = () => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
    expect(left).toMatch(/^10\./);
    expect(namespaces()).toContain(`da-lab-${pid}-`);
    const lab = await NetworkLab.start();
    expect(execFileSync('ip', ['-brief', 'address'], { encoding: 'utf8' })).not.toContain(`${left}/`);
    expect(namespaces()).not.toContain(`da-lab-${pid}-`);
    await lab.close();
  });

  describe('its link', () => {
    let lab: NetworkLab;
    let counter: Awaited<ReturnType<typeof startCounter>>;
    beforeAll(async () => {
      lab = await NetworkLab.start();
    });
    afterEach(() => {
      lab.restore();
      counter?.close();
    });
    afterAll(() => lab?.close());

    test('loses packets without a word to either end, and nothing once it is restored', async () => {
      counter = await startCounter(lab);
      lab.cut('tcp');
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = counter.bytes();
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(counter.bytes()).toBe(before);
      lab.restore();
      await expect.poll(() => counter.bytes()).toBeGreaterThan(before);
      expect(counter.isClosed()).toBe(false);
      expect(counter.error()).toBe('');
    });

    test('without UDP still carries TCP', async () => {
      counter = await startCounter(lab);
      lab.cut('udp');
      const before = counter.bytes();
      await expect.poll(() => counter.bytes()).toBeGreaterThan(before + 5);
    });

    test('leads to another network: the old address is gone, and new connections come from the new one', async () => {
      counter = await startCounter(lab);
      const old = lab.clientAddress;
      for (let roams = 1; roams <= 2; roams++) {
        lab.roam();
        // What was sent before may still arrive.
        await new Promise((resolve) => setTimeout(resolve, 100));
        const before = counter.bytes();
        const from = await sourceAddress(lab);
        expect([from, from === old]).toEqual([lab.clientAddress, roams === 2]);
        // Back in the first network, the old connection may go on.
        if (roams === 1) expect(counter.bytes()).toBe(before);
        expect([counter.isClosed(), counter.error()]).toEqual([false, '']);
      }
    });

    test('stops with its programs, and goes on with them', async () => {
      counter = await startCounter(lab);
      lab.sleep();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = counter.bytes();
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(counter.bytes()).toBe(before);
      lab.wake();
      await expect.poll(() => counter.bytes()).toBeGreaterThan(before);
    });

    test('resets connections at both ends at once', async () => {
      counter = await startCounter(lab);
      lab.reset();
      await expect.poll(() => counter.isClosed()).toBe(true);
      expect(counter.error()).toMatch(/^(ECONNABORTED|ECONNRESET|EPIPE)/);
    });
  });

  test('a bad link loses some datagrams, a cut one all', async () => {
    const lab = await NetworkLab.start({ link: { roundTripMs: 2, lossPercent: 30 } });
    try {
      // 140 on average, and 200 less often than the machine fails.
      const arrived = await countDatagrams(lab, 200);
      expect(arrived).toBeGreaterThan(20);
      expect(arrived).toBeLessThan(195);
      lab.cut('udp');
      expect(await countDatagrams(lab, 20)).toBe(0);
    } finally {
      await lab.close();
    }
  });

  test('a slow link takes its time', async () => {
    const lab = await NetworkLab.start({ link: { roundTripMs: 200 } });
    try {
      const server = createServer((socket) => socket.end('x').on('error', () => {})).listen(0, lab.hostAddress);
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const child = lab.spawn(
        process.execPath,
        '-e',
        `const start = performance.now();
         require('node:net').connect(${port}, '${lab.hostAddress}').on('data', () => {
           process.stdout.write(String(performance.now() - start));
         });`,
      );
      const [took] = await once(child.stdout ?? child, 'data');
      // A round trip for the handshake and a half one for the byte that follows the server's last packet of it.
      expect(Number(took)).toBeGreaterThan(200);
      server.close();
    } finally {
      await lab.close();
    }
  });
});

/** The address from which a program inside reaches the host now. */
async function sourceAddress(lab: NetworkLab): Promise<string> {
  const server = createServer((socket) => socket.end(socket.remoteAddress ?? '').on('error', () => {}));
  await once(server.listen(0, lab.hostAddress), 'listening');
  const { port } = server.address() as AddressInfo;
  const connect = `require('node:net').connect(${port}, '${lab.hostAddress}').pipe(process.stdout)`;
  const child = lab.spawn(process.execPath, '-e', connect);
  const [said] = await once(child.stdout ?? child, 'data');
  server.close();
  return String(said);
}

async function countDatagrams(lab: NetworkLab, count: number): Promise<number> {
  const socket = createSocket('udp4').bind(0, lab.hostAddress);
  await once(socket, 'listening');
  let arrived = 0;
  socket.on('message', () => arrived++);
  const sender = lab.spawn(
    process.execPath,
    '-e',
    `const socket = require('node:dgram').createSocket('udp4');
     let left = ${count};
     setInterval(() => left-- > 0 ? socket.send('x', ${socket.address().port}, '${lab.hostAddress}') : process.exit(), 2);`,
  );
  await once(sender, 'exit');
  // What is on the link still arrives: the last datagram has half a round trip to go.
  let before: number;
  do {
    before = arrived;
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (arrived > before);
  socket.close();
  return arrived;
}

describe.skipIf(withoutBoth)(`Chromium on a network of its own (${withoutBoth || 'real'})`, () => {
  let lab: NetworkLab;
  let stack: Stack;
  let browser: Browser;
  let labStack: LabStack;
  beforeAll(async () => {
    labStack = await startLabStack();
    ({ lab, stack, browser } = labStack);
  });
  afterAll(() => labStack?.close());
  const pathOf = (page: Page) => page.getByTestId('path').textContent();

  test('opens the page in a secure context, and connects directly over the link', async () => {
    const page = await browser.newPage();
    await page.goto(stack.pageUrl);
    expect(await page.evaluate(() => globalThis.isSecureContext && crypto.subtle !== undefined)).toBe(true);
    await expect.poll(() => pathOf(page)).toContain('⚡ direct');
    await page.close();
  });

  test('loses the direct path with UDP while HTTPS works, and gets it back by itself', async () => {
    const { page, console } = await openClientPage(browser, stack, '?webrtc_diag=1');
    await untilPath(page, 'direct');
    const client = () => page.evaluate(() => ({ path: globalThis.client.path, state: globalThis.client.state }));
    await expect.poll(client).toEqual({ path: 'direct', state: 'connected' });
    await page.evaluate(() => {
      const seen = globalThis as unknown as { paths: string[] };
      seen.paths = [];
      globalThis.client.on('path', (path) => seen.paths.push(path));
    });
    lab.cut('udp');
    await expect.poll(async () => (await client()).path, { timeout: 30_000 }).not.toBe('direct');
    expect(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status)).toBe(200);
    lab.restore();
    await expect.poll(async () => (await client()).path, { timeout: 45_000 }).toBe('direct');
    const paths = await page.evaluate(() => (globalThis as unknown as { paths: string[] }).paths);
    expect([paths[0], paths.at(-1)]).toEqual(['relay', 'direct']);
    expect(console.join('\n')).toContain('path: relay');
    await page.context().close();
  });

  test('has no faster way to the host than its slow link', async () => {
    const slow = await NetworkLab.start({ link: { roundTripMs: 100 } });
    const far = await Stack.start({ edge: { host: slow.hostAddress } });
    try {
      const { page } = await openClientPage(await slow.launchChromium(), far);
      await untilPath(page, 'direct');
      const took = await page.evaluate(async () => {
        const start = performance.now();
        await globalThis.client.fetch('/v1/models');
        return performance.now() - start;
      });
      expect(took).toBeGreaterThan(99);
    } finally {
      await far.close();
      await slow.close();
    }
  });
});
