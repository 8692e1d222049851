/** `direct-agent connect` on a laptop whose network comes and goes: programs notice nothing of it. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { countedTokens } from './fake-answers.ts';
import { NetworkLab, networkLabMissing } from './network-lab.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const noCurl = spawnSync('curl', ['--version']).error !== undefined && 'curl is not installed';
const missing = networkLabMissing() || noCurl;
const PATIENCE = { timeout: 60_000 };
const TOKENS = 15_000;
const PER_SECOND = 500;

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));

/** Inside the lab the edge is at loopback, since a login by plain http is for this machine alone. */
const forwarder = (host: string, port: number) => `
  const { connect, createServer } = require('node:net');
  const server = createServer((socket) => {
    const on = connect(${port}, '${host}');
    socket.on('error', () => on.destroy()).on('close', () => on.destroy());
    on.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.pipe(on).pipe(socket);
  });
  server.listen(${port}, '127.0.0.1', () => console.log('ready'));`;

function outputOf(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (part) => {
    output.stdout += part;
  });
  child.stderr?.on('data', (part) => {
    output.stderr += part;
  });
  return output;
}

describe.skipIf(missing)(`connect on the way (${missing || 'in a lab'})`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'direct-laptop-'));
  let lab: NetworkLab;
  let stack: Stack;
  let laptop: ReturnType<typeof outputOf>;
  let base: string;

  beforeAll(async () => {
    lab = await NetworkLab.start();
    stack = await Stack.start({ edge: { host: lab.hostAddress } });
    const way = lab.spawn(process.execPath, '-e', forwarder(lab.hostAddress, stack.edge.port));
    await once(way.stdout as NodeJS.ReadableStream, 'data');
    const keyFile = join(folder, 'key');
    writeFileSync(keyFile, OWNER_TOKEN, { mode: 0o600 });
    const link = `http://127.0.0.1:${stack.edge.port}/_direct/chat#host=${HOST_ID}&key=${stack.hostKey}`;
    const args = ['--folder', folder, '--key-file', keyFile, '--no-tunnel', '--verbose', link];
    laptop = outputOf(lab.spawn(process.execPath, main, 'connect', ...args));
    await vi.waitUntil(() => laptop.stdout === 'http://127.0.0.1:11434\n', PATIENCE);
    base = laptop.stdout.trim();
    await vi.waitUntil(() => told().at(-1) === 'direct', PATIENCE);
  }, 120_000);

  afterAll(async () => {
    await lab?.close();
    await stack?.close();
    rmSync(folder, { recursive: true });
  });

  /** What a person was told, in order. */
  const told = () =>
    [...laptop.stderr.matchAll(/^home: (direct|turn|relay|tunnel|offline)\b/gm)].map(([, path]) => path);
  const paths = (last: readonly string[]) => expect.poll(() => told().slice(-last.length), PATIENCE).toEqual(last);

  /** A program inside the lab, which streams an answer. */
  function ask(who: string, tokens = TOKENS): Promise<string> {
    const body = JSON.stringify({ model: `tokens-${tokens}-at-${PER_SECOND}`, stream: true, messages: [] });
    const child = lab.spawn('curl', '-sSN', '--data', body, `${base}/v1/chat/completions?who=${who}`);
    const output = outputOf(child);
    return once(child, 'close').then(([code]) => (code === 0 ? output.stdout : `exit ${code}: ${output.stderr}`));
  }

  const text = (stream: string) =>
    [...stream.matchAll(/^data: (\{.*)$/gm)]
      .map(([, json = '']) => JSON.parse(json).choices[0]?.delta?.content ?? '')
      .join('');

  test('an answer arrives whole over the loss of the direct path, and goes back to it', async () => {
    const answer = ask('cut');
    await delay(2_000);
    lab.cut('udp');
    await paths(['direct', 'relay']);
    lab.restore();
    await paths(['direct', 'relay', 'direct']);
    expect(text(await answer)).toBe(countedTokens(TOKENS).join(''));
    expect(stack.fake.requests.filter(({ url }) => url.includes('who=cut')).length).toBe(1);
  }, 180_000);

  test('another network is noticed by itself, in the middle of an answer', async () => {
    const answer = ask('roam');
    await delay(2_000);
    const before = laptop.stderr.length;
    lab.roam();
    await expect.poll(() => laptop.stderr.slice(before), PATIENCE).toContain('event: network change');
    expect(text(await answer)).toBe(countedTokens(TOKENS).join(''));
    expect(stack.fake.requests.filter(({ url }) => url.includes('who=roam')).length).toBe(1);
    await expect.poll(() => told().at(-1), PATIENCE).toBe('direct');
  }, 180_000);

  test('a laptop that slept asks its paths at once when it wakes', async () => {
    const before = laptop.stderr.length;
    lab.sleep();
    await delay(15_000);
    lab.wake();
    await expect.poll(() => laptop.stderr.slice(before), PATIENCE).toContain('event: sleep');
    expect(text(await ask('woken', 10))).toBe(countedTokens(10).join(''));
    await expect.poll(() => told().at(-1), PATIENCE).toBe('direct');
  }, 180_000);
});
