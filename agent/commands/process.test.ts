/** The command line as people run it: a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { chooseAddresses } from '../local-addresses.ts';
import { codeAnswer, DEVICE_CODE, FakeEdge, FakeProcess, oauth, TOKEN } from './test-fake-edge.ts';

// A process takes half a second to start, and several where all tests run.
vi.setConfig({ testTimeout: 60_000 });

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function run(folder: string, ...args: string[]) {
  const env = {
    PATH: process.env.PATH,
    DIRECT_AGENT_FOLDER: folder,
    DIRECT_AGENT_UPSTREAM: 'http://127.0.0.1:2',
    DIRECT_AGENT_PORT_MAPPING: 'no',
  };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (part) => (output.stdout += part));
  child.stderr.on('data', (part) => (output.stderr += part));
  const exit = once(child, 'close').then(([code]) => code as number);
  return { child, output, exit };
}

const quick = { json: codeAnswer({ interval: 1 }) };

test('login goes on to serve with what it was given, until the edge refuses; then it says what to do', async () => {
  const edge = (await FakeEdge.start()).allowLogin(oauth('authorization_pending'));
  edge.on('POST /_direct/api/device/code', quick).on('UPGRADE', 'E_UNAUTHORIZED');
  const { folder } = new FakeProcess();
  const first = run(folder, 'login', edge.url);
  expect(await first.exit).toBe(69);
  const { public_key, private_key } = JSON.parse(readFileSync(join(folder, 'host-key.json'), 'utf8'));
  expect(first.output.stdout).toBe(`${edge.url}/_direct/chat#host=attic&key=${public_key}\n`);
  expect(first.output.stderr).toContain(`Run: direct-agent login ${edge.url}\n`);
  expect(edge.to('/_direct/h/attic/signal')).toMatchObject([{ authorization: `Bearer ${TOKEN}` }]);
  edge.on('UPGRADE', 'E_REPLACED');
  // “up” is what a bare command does.
  const second = run(folder);
  expect(await second.exit).toBe(69);
  expect(second.output.stderr).toContain(
    `Another agent with the same key took over this host (see ${edge.url}/_direct/). This one stops.`,
  );
  for (const { stdout, stderr } of [first.output, second.output]) {
    for (const secret of [TOKEN, DEVICE_CODE, private_key]) expect(stdout + stderr).not.toContain(secret);
    expect(stderr).not.toMatch(/\n {4}at /);
  }
});

test('up says where to go once the link is up, on stdout for programs, and ends with Ctrl+C or for good', async () => {
  const edge = (await FakeEdge.start()).allowLogin().on('POST /_direct/api/device/code', quick);
  const { folder } = new FakeProcess();
  expect(await run(folder, 'login', edge.url, '--no-serve').exit).toBe(0);
  expect(edge.agents).toEqual([]);
  const { child, output, exit } = run(folder, 'up');
  await expect.poll(() => output.stdout, { timeout: 25_000 }).toMatch(/\/_direct\/chat#host=attic&key=[\w-]{43}\n$/);
  child.kill('SIGINT');
  expect(await exit).toBe(0);
  const other = run(folder, 'up', '--web-ui', 'http://127.0.0.1:3000/', '--web-ui-https-paths', '/static,/login');
  await expect.poll(() => other.output.stdout, { timeout: 25_000 }).toBe(output.stdout);
  expect(other.output.stderr).toContain('serving the web UI at http://127.0.0.1:3000;');
  // The owner removes the host.
  edge.agents.at(-1)?.close(4401);
  expect(await other.exit).toBe(69);
  expect(other.output.stderr).toContain(`Run: direct-agent login ${edge.url}\n`);
});

test('up for programs: a log of objects, metrics, and status of the one that runs', async () => {
  const edge = (await FakeEdge.start()).allowLogin().on('POST /_direct/api/device/code', quick);
  edge.on('GET /_direct/h/attic', { json: { id: 'attic', online: true } });
  const { folder } = new FakeProcess();
  expect(await run(folder, 'login', edge.url, '--no-serve').exit).toBe(0);
  const port = await freePort();
  const { output, exit } = run(folder, 'up', '--log-format', 'json', '--metrics', `${port}`);
  await expect.poll(() => output.stderr, { timeout: 25_000 }).toContain('connected to the edge');
  await expect.poll(() => output.stderr, { timeout: 25_000 }).toContain('shown to Prometheus');
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(metrics).toContain('\ndirect_agent_link_up 1\n');
  expect(Number(/^process_resident_memory_bytes (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(1e6);
  const status = run(folder, 'status', '--json');
  expect(await status.exit).toBe(0);
  expect(JSON.parse(status.output.stdout).agent).toMatchObject({
    host_id: 'attic',
    link: { state: 'up', transport: 'websocket' },
    sessions: [],
  });
  const second = run(folder, 'up', '--metrics', `${port}`);
  expect(await second.exit).toBe(78);
  expect(second.output.stderr).toContain(
    `direct-agent: metrics: 127.0.0.1:${port} is in use by another program. Name another port, or end what uses this one.`,
  );
  // The owner removes the host: the reason is in the log as well.
  edge.agents.at(-1)?.close(4401);
  expect(await exit).toBe(69);
  const lines = output.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const line of lines)
    expect(line).toMatchObject({ time: expect.stringMatching(/Z$/), level: expect.any(String) });
  expect(lines).toContainEqual(expect.objectContaining({ component: 'link', level: 'info', transport: 'websocket' }));
  expect(lines.at(-1)).toMatchObject({ level: 'error', message: expect.stringContaining('Run: direct-agent login') });
  expect(output.stderr).not.toContain(TOKEN);
});

test('Ctrl+C while a login waits ends it without a trace', async () => {
  const edge = (await FakeEdge.start()).allowLogin().on('POST /_direct/api/device/code', quick);
  edge.on('POST /_direct/api/device/token', oauth('authorization_pending'));
  const { folder } = new FakeProcess();
  const { child, output, exit } = run(folder, 'login', edge.url, '--no-serve');
  await expect.poll(() => edge.to('/_direct/api/device/token').length, { timeout: 25_000 }).toBe(1);
  child.kill('SIGINT');
  expect(await exit).toBe(130);
  expect(output.stdout).toBe('');
  expect(output.stderr).toMatch(/The login was given up; nothing has changed\.\n$/);
});

test('mistakes in the network’s flags end it before anybody is asked, each with its flag', async () => {
  const edge = (await FakeEdge.start()).allowLogin();
  const { folder } = new FakeProcess();
  const wrong = [
    '--nat-1to1',
    '203.0.113.7, home.example',
    '--udp-ports',
    '0',
    '--interfaces',
    'eth0',
    '--interfaces=',
  ];
  const { exit, output } = run(folder, 'login', edge.url, ...wrong, '--exclude-interfaces', 'docker0,/dev/x');
  expect(await exit).toBe(78);
  const lines = output.stderr.trim().split('\n');
  expect(lines.map((line) => line.replace(/^direct-agent: (\S+) \((\S+)\): .*$/, '$1 $2'))).toEqual([
    'interfaces[1] --interfaces',
    'exclude_interfaces[1] --exclude-interfaces',
    'nat_1to1[1] --nat-1to1',
    'udp_ports --udp-ports',
  ]);
  const relay = run(folder, 'login', edge.url, '--relay-only', '--stun-urls', 'stun:a.example', '--ip-family', 'ipv4');
  expect(await relay.exit).toBe(78);
  expect(relay.output.stderr).toContain('stun_urls (--stun-urls) has no effect beside relay_only (--relay-only)');
  expect([edge.calls, output.stdout]).toEqual([[], '']);
});

const hasNetwork = chooseAddresses(networkInterfaces(), {
  interfaces: [],
  excludeInterfaces: [],
  nat1to1: [],
  ipFamily: 'any',
}).used.length;
// Without a network no setting is to blame for having none.
test.skipIf(hasNetwork === 0)('an interface that is not there ends it, with what this machine has', async () => {
  const { folder } = new FakeProcess();
  const { exit, output } = run(folder, 'login', 'http://127.0.0.1:2', '--interfaces', 'nowhere7');
  expect(await exit).toBe(78);
  expect(output.stderr).toMatch(
    /^direct-agent: interfaces \(--interfaces\): "nowhere7" matches no interface that is up\. This machine has /,
  );
});

test('mistakes of the command line have their own code, and no stack trace', async () => {
  const { folder } = new FakeProcess();
  const wrong = [
    ['login'],
    ['login', 'http://edge.example'],
    ['logn', 'x'],
    ['key', 'create'],
    ['device', 'remove', 'nobody'],
  ];
  const runs = wrong.map((args) => run(folder, ...args));
  expect(await Promise.all(runs.map(({ exit }) => exit))).toEqual(wrong.map(() => 64));
  for (const { output } of runs) {
    expect(output.stdout).toBe('');
    expect(output.stderr).not.toMatch(/\n {4}at /);
  }
  const help = run(folder, '--help');
  expect([await help.exit, help.output.stdout]).toEqual([0, expect.stringContaining('login')]);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
