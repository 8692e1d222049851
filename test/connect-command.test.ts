/** `direct-agent connect` as a person runs it: a process on the laptop, a real edge, a real agent. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { useOllama, useOpenAi } from './packages.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';
import { type Forwarder, startForwarder } from './tcp-forwarder.ts';

// A process takes a second to start, and several where all tests run.
vi.setConfig({ testTimeout: 120_000 });
const PATIENCE = { timeout: 40_000 };

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'direct-laptop-'));

/** What went to the edge and back, as bytes on the wire. */
const wire = { bytes: 0, text: '' };
let stack: Stack;
let edge: Forwarder;
beforeAll(async () => {
  stack = await Stack.start();
  edge = await startForwarder(stack.edge.url, () => {
    const count = (bytes: Buffer) => {
      wire.bytes += bytes.length;
    };
    const up = (bytes: Buffer) => {
      count(bytes);
      wire.text += bytes.toString('latin1');
    };
    return { up, down: count, closed: () => {} };
  });
});
const laptops: Laptop[] = [];
afterAll(async () => {
  for (const { child } of laptops) child.kill('SIGKILL');
  edge?.close();
  await stack?.close();
  rmSync(folder, { recursive: true });
});

class Laptop {
  readonly child: ChildProcess;
  readonly exit: Promise<number>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [main, 'connect', ...args], {
      env: { PATH: process.env.PATH, DIRECT_AGENT_FOLDER: folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (part) => {
      this.stdout += part;
    });
    this.child.stderr?.on('data', (part) => {
      this.stderr += part;
    });
    this.exit = once(this.child, 'close').then(([code]) => code as number);
    laptops.push(this);
  }

  /** The base URL, once the host is reached directly. */
  async direct(): Promise<string> {
    await expect.poll(() => this.stdout, PATIENCE).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
    await expect.poll(() => this.stderr, PATIENCE).toContain(': direct');
    return this.stdout.trim();
  }

  /**
   * Runs `use` on the direct path; again if the path was lost meanwhile: tests beside this one take networks away
   * that both sides may have met on. What went by the edge in that run is returned.
   */
  async directly(use: () => Promise<void>): Promise<{ bytes: number; text: string }> {
    for (let run = 1; ; run++) {
      await expect.poll(() => this.stderr.trimEnd().split('\n').at(-1), PATIENCE).toContain(': direct');
      const said = this.stderr;
      const before = { ...wire };
      await use();
      const passed = { bytes: wire.bytes - before.bytes, text: wire.text.slice(before.text.length) };
      // A path is told once it has lasted for a second, and what a lost one held up takes less by the next.
      await delay(3_000);
      if (this.stderr === said || run === 5) return passed;
    }
  }

  async stop(): Promise<number> {
    this.child.kill('SIGINT');
    return this.exit;
  }
}

const link = () => `${edge.url}/_direct/chat#host=${HOST_ID}&key=${stack.hostKey}`;
const key = { DIRECT_KEY: OWNER_TOKEN };
let base: string;
let laptop: Laptop;

test('a link and a key make the host a port, which is remembered for this user alone', async () => {
  laptop = new Laptop(['--port', '0', link()], key);
  base = await laptop.direct();
  expect(laptop.stderr).toContain(`OPENAI_BASE_URL=${base}/v1`);
  expect(laptop.stderr).toContain(`OLLAMA_HOST=${base}`);
  expect(laptop.stdout + laptop.stderr).not.toContain(OWNER_TOKEN);
  const file = join(folder, 'laptop.json');
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    connections: [{ name: HOST_ID, edge: edge.url, host_id: HOST_ID, key: OWNER_TOKEN, host_key: stack.hostKey }],
  });
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('the openai package uses it, on the direct path alone', async () => {
  const openai = new OpenAI({ apiKey: 'whatever', baseURL: `${base}/v1`, maxRetries: 0 });
  const passed = await laptop.directly(() => useOpenAi(openai, 5000));
  // The answer alone has more than 500 kB. Pings and candidates may pass.
  expect(passed.bytes).toBeLessThan(10_000);
  expect(passed.text).not.toMatch(/(GET|POST) \/(v1|api)\//);
  // The invented key went nowhere.
  const asked = stack.fake.requests.find(({ url }) => url.startsWith('/v1/chat/completions'));
  expect(asked?.headers.map(([name]) => name.toLowerCase())).not.toContain('authorization');
});

test('the ollama package uses it', async () => {
  const ollama = new Ollama({ host: base });
  const passed = await laptop.directly(() => useOllama(ollama));
  expect(passed.bytes).toBeLessThan(10_000);
});

test('a program that goes away ends the request at the upstream', async () => {
  const gone = new AbortController();
  const response = await fetch(`${base}/v1/test/trickle?n=100000&ms=20&who=leaves`, { signal: gone.signal });
  await response.body?.getReader().read();
  const asked = () => stack.fake.requests.find(({ url }) => url.includes('who=leaves'));
  expect(asked()?.aborted).toBe(false);
  gone.abort();
  await expect.poll(() => asked()?.aborted, PATIENCE).toBe(true);
  // Before the head as well.
  const early = new AbortController();
  const waiting = fetch(`${base}/v1/test/hang?who=waits`, { signal: early.signal });
  await expect.poll(() => stack.fake.requests.some(({ url }) => url.includes('who=waits')), PATIENCE).toBe(true);
  early.abort();
  await expect(waiting).rejects.toThrow('aborted');
  await expect
    .poll(() => stack.fake.requests.find(({ url }) => url.includes('who=waits'))?.aborted, PATIENCE)
    .toBe(true);
});

test('an upload of any size passes, and what the host refuses is said', async () => {
  const bytes = Buffer.alloc(5_000_000, 7);
  const answer = await fetch(`${base}/v1/test/sink`, { method: 'POST', body: bytes });
  expect(await answer.json()).toMatchObject({ bytes: 5_000_000 });
  const large = await fetch(`${base}/v1/test/sink`, { method: 'POST', body: Buffer.alloc(12_000_000) });
  expect([large.status, await large.json()]).toMatchObject([413, { error: { code: 'E_BODY_TOO_LARGE' } }]);
});

test('WebSockets pass, both kinds of messages, with subprotocol and close code', async () => {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/realtime?protocol=b`, ['a', 'b'], {
    headers: { 'openai-beta': 'realtime=v1' },
  });
  const heard: [string, boolean][] = [];
  socket.on('message', (data, isBinary) => heard.push([data.toString(), isBinary]));
  await once(socket, 'open');
  expect(socket.protocol).toBe('b');
  socket.send('text');
  socket.send(Buffer.from('binary'));
  socket.send('count 1000');
  await expect.poll(() => heard.length, PATIENCE).toBe(1002);
  expect(heard.slice(0, 2)).toEqual([
    ['text', false],
    ['binary', true],
  ]);
  expect(heard.slice(2).map(([text]) => Number(text))).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  socket.send('close 4003 enough');
  const [code, reason] = await once(socket, 'close');
  expect([code, String(reason)]).toEqual([4003, 'enough']);
  const recorded = stack.fake.sockets.at(-1);
  expect(recorded?.headers['openai-beta']).toBe('realtime=v1');
  const refused = new WebSocket(`${base.replace('http', 'ws')}/v1/realtime?status=401`);
  const [, response] = await once(refused, 'unexpected-response');
  expect(response.statusCode).toBe(502);
  refused.on('error', () => {}).terminate();
});

test('a WebSocket of a program that is lost ends at the upstream', async () => {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/realtime?who=lost`);
  await once(socket, 'open');
  socket.terminate();
  const there = () => stack.fake.sockets.find(({ url }) => url.includes('who=lost'))?.closed;
  await expect.poll(there, PATIENCE).toMatchObject({ code: 1001 });
});

test('Ctrl+C ends what runs, and the command without arguments goes on with what it knows', async () => {
  const running = fetch(`${base}/v1/test/hang?who=interrupted`);
  running.catch(() => {});
  const asked = () => stack.fake.requests.find(({ url }) => url.includes('who=interrupted'));
  await expect.poll(() => asked()?.aborted, PATIENCE).toBe(false);
  expect(await laptop.stop()).toBe(0);
  await expect(running).rejects.toThrow();
  await expect.poll(() => asked()?.aborted, PATIENCE).toBe(true);
  laptop = new Laptop(['--port', '0']);
  base = await laptop.direct();
  expect(await (await fetch(`${base}/api/version`)).json()).toHaveProperty('version');
  expect(await laptop.stop()).toBe(0);
});

test('a wrong key is refused for good, with what to do, and not remembered', async () => {
  const other = `${stack.edge.url}/_direct/chat#host=${HOST_ID}&key=${stack.hostKey}`;
  const wrong = new Laptop(['--port', '0', other], { DIRECT_KEY: 'dak_wrong-wrong-wrong-wrong' });
  expect(await wrong.exit).toBe(69);
  expect(wrong.stderr).toContain('E_UNAUTHORIZED');
  expect(wrong.stderr).toContain('direct-agent key create');
  expect(wrong.stdout).toBe('');
  expect(readFileSync(join(folder, 'laptop.json'), 'utf8')).not.toContain('dak_wrong');
});

test('a key that is revoked ends the command, also in the middle of an answer', async () => {
  const owner = { authorization: `Bearer ${OWNER_TOKEN}`, 'content-type': 'application/json' };
  const api = `${stack.edge.url}/_direct/api/keys`;
  const made = await fetch(api, { method: 'POST', headers: owner, body: JSON.stringify({ name: 'laptop' }) });
  const { id, key: secret } = (await made.json()) as { id: string; key: string };
  const mine = mkdtempSync(join(folder, 'revoked-'));
  const revoked = new Laptop(['--port', '0', link()], { DIRECT_KEY: secret, DIRECT_AGENT_FOLDER: mine });
  const url = await revoked.direct();
  const answer = await fetch(`${url}/v1/test/trickle?n=100000&ms=20&who=revoked`);
  const body = answer.text();
  body.catch(() => {});
  expect((await fetch(`${api}/${id}`, { method: 'DELETE', headers: owner })).ok).toBe(true);
  expect(await revoked.exit).toBe(69);
  await expect(body).rejects.toThrow();
  expect(revoked.stderr).toContain('(E_UNAUTHORIZED)');
  const asked = () => stack.fake.requests.find((request) => request.url.includes('who=revoked'));
  await expect.poll(() => asked()?.aborted, PATIENCE).toBe(true);
});

test('an edge that is not there is waited for, and its address not remembered', async () => {
  const mine = mkdtempSync(join(folder, 'nowhere-'));
  const waiting = new Laptop(['--port', '0', 'http://127.0.0.1:9/_direct/h/home'], {
    ...key,
    DIRECT_AGENT_FOLDER: mine,
  });
  await expect.poll(() => waiting.stdout, PATIENCE).toMatch(/^http:/);
  expect(waiting.stderr).toContain('home: the edge cannot be reached. It is tried again by itself.');
  const answer = await fetch(`${waiting.stdout.trim()}/v1/models`);
  expect([answer.status, await answer.json()]).toMatchObject([502, { error: { code: 'E_PATH_LOST', retry: true } }]);
  expect(await waiting.stop()).toBe(0);
  expect(existsSync(join(mine, 'laptop.json'))).toBe(false);
});

test('a host with another key stops everything', async () => {
  const wrongKey = 'A'.repeat(43);
  const lie = new Laptop(['--port', '0', '--name', 'lie', link().replace(stack.hostKey, wrongKey)], {
    ...key,
    DIRECT_AGENT_FOLDER: mkdtempSync(join(folder, 'other-')),
  });
  expect(await lie.exit).toBe(69);
  expect(lie.stderr).toContain('WARNING: “lie” does not have the key that this machine knows. (E_HOST_KEY_CHANGED)');
  expect(lie.stdout).toBe('');
});
