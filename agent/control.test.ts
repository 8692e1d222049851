import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { AgentReport } from './agent-report.ts';
import { askAgent, type ControlOptions, startControl } from './control.ts';
import { controlAddress, isOurs } from './control-address.ts';
import { EXAMPLE_REPORT } from './test-report.ts';

vi.setConfig({ testTimeout: 60_000 });

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function start(folder: string, more: Partial<ControlOptions> = {}) {
  const log: string[] = [];
  const control = await startControl({ folder, report: () => EXAMPLE_REPORT, log: (line) => log.push(line), ...more });
  endings.push(() => control.close());
  return { control, log };
}

test('whoever may read the folder is told how the agent is, until it ends', async () => {
  const folder = temporary();
  expect(await askAgent(folder)).toBeUndefined();
  const { control, log } = await start(folder);
  expect(await askAgent(folder)).toEqual(EXAMPLE_REPORT);
  const { path } = controlAddress(folder);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await control.close();
  expect(await askAgent(folder)).toBeUndefined();
  expect([existsSync(path), log]).toEqual([false, []]);
});

test('it answers one question, and changes nothing', async () => {
  const folder = temporary();
  await start(folder);
  const status = async (method: string, path: string) => {
    const asked = request({ socketPath: controlAddress(folder).path, method, path });
    asked.end();
    const [response] = await once(asked, 'response');
    response.resume();
    return response.statusCode;
  };
  expect(await status('GET', '/report')).toBe(200);
  expect(await status('POST', '/report')).toBe(404);
  expect(await status('GET', '/report?x=1')).toBe(404);
  expect(await status('GET', '/')).toBe(404);
});

test('the socket of a killed agent is replaced, that of a living one is not', async () => {
  const folder = temporary();
  const { path } = controlAddress(folder);
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const killed = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  expect(existsSync(path)).toBe(true);
  const { control } = await start(folder);
  expect(await askAgent(folder)).toEqual(EXAMPLE_REPORT);
  const other: AgentReport = { ...EXAMPLE_REPORT, pid: 99 };
  const { log } = await start(folder, { report: () => other, retryMs: [] });
  expect(await askAgent(folder)).toEqual(EXAMPLE_REPORT);
  expect(log).toEqual(['status: another agent answers for this folder; this one cannot be asked']);
  // As when an agent takes over a host: the first one ends a little later.
  const next = await start(folder, { report: () => other, retryMs: new Array(500).fill(20) });
  await control.close();
  await expect.poll(async () => (await askAgent(folder))?.pid, { timeout: 20_000 }).toBe(99);
  expect(next.log).toEqual([]);
});

test('one that ends late leaves the socket of the next', async () => {
  const folder = temporary();
  const { control } = await start(folder);
  const { path } = controlAddress(folder);
  rmSync(path);
  await start(folder, { report: () => ({ ...EXAMPLE_REPORT, pid: 99 }) });
  await control.close();
  expect((await askAgent(folder))?.pid).toBe(99);
});

test('a folder with a long name has its socket elsewhere, where nobody else may put one', async () => {
  const folder = join(temporary(), 'n'.repeat(120));
  mkdirSync(folder);
  const { path, elsewhere = '' } = controlAddress(folder);
  expect(Buffer.byteLength(path)).toBeLessThan(97);
  await start(folder);
  expect(await askAgent(folder)).toEqual(EXAMPLE_REPORT);
  expect([statSync(elsewhere).mode & 0o777, dirname(path)]).toEqual([0o700, elsewhere]);
  const open = temporary();
  chmodSync(open, 0o755);
  expect([isOurs(open), isOurs(join(open, 'none')), isOurs(elsewhere)]).toEqual([false, false, true]);
});

test('whoever listens in a folder that is not ours is not believed to be an agent', async () => {
  const folder = join(temporary(), 'n'.repeat(120));
  const { path, elsewhere = '' } = controlAddress(folder);
  mkdirSync(elsewhere, { recursive: true });
  const { mode } = statSync(elsewhere);
  endings.push(() => chmodSync(elsewhere, mode));
  chmodSync(elsewhere, 0o777);
  const planted = createServer().listen(path);
  endings.push(() => planted.close());
  await once(planted, 'listening');
  const { log } = await start(folder);
  expect(log).toEqual([expect.stringContaining('belongs to somebody else')]);
});

test('one that is closed while it takes over the socket leaves none', async () => {
  for (let round = 0; round < 5; round++) {
    const folder = temporary();
    const before = createServer().listen(controlAddress(folder).path);
    await once(before, 'listening');
    const { control } = await start(folder, { retryMs: [30] });
    before.close();
    // In the turn of the attempt, which does not know yet whether it may take over.
    await new Promise((resolve) => setTimeout(resolve, 30));
    await control.close();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await askAgent(folder)).toBeUndefined();
  }
});

test('addresses are short, apart, and no secret', () => {
  const linux = { platform: 'linux', temporary: '/tmp', user: '1000' } as const;
  expect(controlAddress('/home/u/.config/direct-agent', linux)).toEqual({
    path: '/home/u/.config/direct-agent/agent.sock',
    isFile: true,
  });
  const windows = (folder: string) => controlAddress(folder, { ...linux, platform: 'win32' });
  expect(windows('/a').path).toMatch(/^\\\\\.\\pipe\\direct-agent-[0-9a-f]{32}$/);
  expect(windows('/a').path).not.toBe(windows('/b').path);
  // In bytes, not in characters.
  expect(controlAddress(`/${'ä'.repeat(45)}`, linux).elsewhere).toBe('/tmp/direct-agent-1000');
});

// Root may write anywhere.
test.skipIf(process.getuid?.() === 0)('an agent that may not make its socket says so once', async () => {
  const folder = temporary();
  chmodSync(folder, 0o500);
  const { log } = await start(folder);
  expect(log).toEqual([expect.stringMatching(/^status: cannot be asked for \(.*EACCES/)]);
  chmodSync(folder, 0o700);
});

test('an agent whose socket cannot be there says so once, and goes on', async () => {
  const folder = temporary();
  // A folder has the name, and something is in it.
  mkdirSync(join(folder, 'agent.sock', 'x'), { recursive: true });
  const { log, control } = await start(folder);
  expect(log).toEqual([expect.stringMatching(/^status: cannot be asked for \(.*agent\.sock/)]);
  await control.close();
});

test('what answers but says something else is no agent', async () => {
  const folder = temporary();
  const says = async (text: string) => {
    const server = createServer((socket) => {
      socket.resume();
      socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n${text}`);
    });
    server.listen(controlAddress(folder).path);
    await once(server, 'listening');
    const found = await askAgent(folder);
    server.close();
    await once(server, 'close');
    return found;
  };
  expect(await says('hello')).toBeUndefined();
  expect(await says(JSON.stringify({ ...EXAMPLE_REPORT, link: { state: 'odd' } }))).toBeUndefined();
  // A later version has more to say.
  expect(await says(JSON.stringify({ ...EXAMPLE_REPORT, more: 1 }))).toEqual(EXAMPLE_REPORT);
});

test('one that does not answer is waited for no longer than the caller likes', async () => {
  const folder = temporary();
  const server = createServer(() => {});
  server.listen(controlAddress(folder).path);
  await once(server, 'listening');
  endings.push(() => server.close());
  const gone = new AbortController();
  const asked = askAgent(folder, gone.signal);
  gone.abort();
  expect(await asked).toBeUndefined();
});
