import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) if (child.exitCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL');
});

/** `npm start` in a process group of its own, as a terminal starts it. */
function start(...args: string[]) {
  const child = spawn('npm', ['start', '--silent', '--', ...args], { cwd: root, detached: true });
  started.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (part) => {
    output.stdout += part;
  });
  child.stderr.on('data', (part) => {
    output.stderr += part;
  });
  return { child, output };
}

/** Processes of the group, from /proc. */
function groupOf(pgid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /, '')
          .split(' ');
        return Number(fields[2]) === pgid && fields[0] !== 'Z';
      } catch {
        return false;
      }
    });
}

describe('npm start', () => {
  test.skipIf(withoutChromium)('serves the demo model at a printed URL, and Ctrl+C ends everything', async () => {
    const { child, output } = start('--demo', '--port', '0');
    await expect
      .poll(() => output.stdout, { timeout: 30_000 })
      .toMatch(/^http:\/\/localhost:\d+\/_direct\/chat#\S+\n$/);
    expect(output.stderr).toContain('built-in demo model');
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      await page.goto(output.stdout.trim());
      await expect.poll(() => page.getByTestId('path').textContent()).toContain('⚡ direct');
      await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
      await page.getByTestId('prompt').fill('is anyone there?');
      await page.getByTestId('prompt').press('Enter');
      await expect.poll(() => page.getByTestId('message-assistant').last().textContent()).toContain('demo');
    } finally {
      await browser.close();
    }
    expect(groupOf(child.pid ?? 0).length).toBeGreaterThan(1);
    process.kill(-(child.pid ?? 0), 'SIGINT');
    await once(child, 'exit');
    await expect.poll(() => groupOf(child.pid ?? 0)).toEqual([]);
    const token = /token=([\w-]+)/.exec(output.stdout)?.[1] ?? 'missing';
    expect(output.stderr).not.toContain(token);
  });

  test('takes another port when the wanted one is in use', async () => {
    const blocker: Server = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const address = blocker.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { child, output } = start('--demo', '--port', `${port}`);
    await expect.poll(() => output.stdout, { timeout: 30_000 }).toMatch(/^http:\/\/localhost:\d+\//);
    expect(output.stdout).not.toContain(`:${port}/`);
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await once(child, 'exit');
    blocker.close();
  });
});
