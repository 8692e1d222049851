/**
 * The whole walk of a new user: an empty folder, an empty home, the packed tarball, a Node, npm, and an account at
 * Cloudflare (a fake one, which runs what was uploaded and nothing else).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { LocalEdge } from '../scripts/edge.ts';
import { FakeCloudflare, SUBDOMAIN } from './fake-cloudflare.ts';
import { type FakeLlm, startFakeLlm } from './fake-llm.ts';
import { packed } from './packed.ts';

// Each step starts processes, of npm and wrangler among them, which take seconds on a busy machine.
vi.setConfig({ testTimeout: 180_000 });
const PATIENCE = { timeout: 60_000 };

const root = fileURLToPath(new URL('..', import.meta.url));
const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js');
const world = mkdtempSync(join(tmpdir(), 'direct-agent-new-user-'));
/** The user's own home and folder, and those of their laptop. */
const [home, desk, laptopHome] = ['home', 'desk', 'laptop'].map((name) => {
  mkdirSync(join(world, name));
  return join(world, name);
}) as [string, string, string];

/** This Node and the system's programs, and none that this repository has installed. */
const PATH = [
  dirname(process.execPath),
  ...(process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules')),
].join(delimiter);

class Terminal {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  stdout = '';
  stderr = '';

  constructor(program: string, args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(program, args, {
      cwd: desk,
      env: { PATH, HOME: home, TMPDIR: world, DIRECT_AGENT_PORT_MAPPING: 'no', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (part) => {
      this.stdout += part;
    });
    this.child.stderr?.on('data', (part) => {
      this.stderr += part;
    });
    this.exit = once(this.child, 'close').then(([code]) => code as number | null);
    terminals.push(this);
  }

  /** What it printed for programs, once it has ended well. */
  async done(): Promise<string> {
    const code = await this.exit;
    expect(this.stderr, this.child.spawnargs.join(' ')).not.toMatch(/unexpected:/);
    expect(code, `${this.child.spawnargs.join(' ')}\n${this.stderr}`).toBe(0);
    return this.stdout.trim();
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGINT');
    return this.exit;
  }
}

const terminals: Terminal[] = [];
let tarball: string;
let cloudflare: FakeCloudflare;
let llm: FakeLlm;
beforeAll(async () => {
  [tarball, cloudflare, llm] = await Promise.all([
    packed(),
    FakeCloudflare.start(),
    startFakeLlm({ strictHost: true }),
  ]);
}, 240_000);
afterAll(async () => {
  for (const { child } of terminals) child.kill('SIGKILL');
  await edge?.close();
  await Promise.all([cloudflare?.close(), llm?.close()]);
  rmSync(world, { recursive: true, force: true });
});

/** As installed in the folder. */
const directAgent = (args: readonly string[], env: Record<string, string> = {}) =>
  new Terminal(join(desk, 'node_modules/.bin/direct-agent'), args, env);
const deploy = (...args: string[]) => directAgent(['deploy', '--wrangler', wrangler, ...args], cloudflare.env);
const ask = async (url: string, key: string, prompt: string) => {
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const messages = [{ role: 'user' as const, content: prompt }];
  return (await openai.chat.completions.create({ model: 'fake', messages })).choices[0]?.message.content;
};

let ownerToken: string;
let edge: LocalEdge | undefined;
const edgeUrl = () => edge?.url ?? '';
let agent: Terminal;
let link: string;
let apiKey: string;

describe('a new user', () => {
  test('runs the tarball with npx: nothing else is fetched', async () => {
    const version = new Terminal('npx', ['--yes', `direct-agent@file:${tarball}`, '--version']);
    const { version: expected } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await version.done()).toBe(expected);
    await new Terminal('npm', ['install', tarball]).done();
    expect(readdirSync(join(desk, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['direct-agent']);
  });

  test('tries the deploy, and is told what a machine without a login needs', async () => {
    const dry = deploy('--dry-run');
    expect(await dry.done()).toBe('');
    const { CLOUDFLARE_API_TOKEN: _, ...anonymous } = cloudflare.env;
    const refused = directAgent(['deploy', '--wrangler', wrangler], anonymous);
    expect(await refused.exit).toBe(78);
    expect(refused.stderr).toContain('CLOUDFLARE_API_TOKEN');
    expect(cloudflare.workers.size).toBe(0);
  });

  test('deploys the edge, and gets its address and the owner token', async () => {
    const first = deploy();
    const [url, token = '', ...rest] = (await first.done()).split('\n');
    expect(url).toBe(`https://direct-agent.${SUBDOMAIN}.workers.dev`);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(rest).toEqual([]);
    expect(first.stderr).toContain(`npx direct-agent login ${url}`);
    expect(first.stderr).not.toContain(token);
    expect(cloudflare.unknown).toEqual([]);
    expect(cloudflare.workers.get('direct-agent')?.secrets).toEqual({ OWNER_TOKEN: token });
    ownerToken = token;
  });

  test('deploys again: an update, which keeps the token', async () => {
    const again = deploy();
    expect(await again.done()).toBe(`https://direct-agent.${SUBDOMAIN}.workers.dev`);
    expect(again.stderr).toContain('updated');
    expect(cloudflare.workers.get('direct-agent')?.secrets).toEqual({ OWNER_TOKEN: ownerToken });
    // Nothing may be asked of the internet here.
    edge = await cloudflare.run('direct-agent', { ICE_SERVERS: '[]' });
    const page = await fetch(`${edge.url}/_direct/chat`);
    expect(await page.text()).toContain('<script');
    expect((await fetch(`${edge.url}/_direct/client.js`)).headers.get('content-type')).toContain('javascript');
    expect((await fetch(`${edge.url}/v1/models`)).status).toBe(401);
  });

  test('logs in, and approves as the owner', async () => {
    agent = directAgent(['login', edgeUrl(), '--name', 'Home', '--upstream', llm.url]);
    await expect.poll(() => agent.stderr, PATIENCE).toMatch(/^Code: +\S+$/m);
    const code = /^Code: +(\S+)$/m.exec(agent.stderr)?.[1];
    const { ok } = await fetch(`${edgeUrl()}/_direct/api/device/approve`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ownerToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user_code: code }),
    });
    expect(ok).toBe(true);
    await expect.poll(() => agent.stdout, PATIENCE).toMatch(/#host=home&key=[\w-]{43}\n/);
    link = agent.stdout.trim();
    await expect.poll(() => agent.stderr, PATIENCE).toContain('connected to the edge');
  });

  test('has a first chat through the tunnel, with the owner token and with an API key', async () => {
    expect(await ask(edgeUrl(), ownerToken, 'hello')).toBe('This is the fake answer to: hello');
    apiKey = await directAgent(['key', 'create', '--name', 'laptop']).done();
    expect(await ask(edgeUrl(), apiKey, 'again')).toBe('This is the fake answer to: again');
  });

  test('reaches the host directly with the client of the package', async () => {
    writeFileSync(
      join(desk, 'program.mjs'),
      `import { connect } from 'direct-agent/client';
       const [host, hostKey] = ['host', 'key'].map((name) => new URLSearchParams(process.env.LINK.split('#')[1]).get(name));
       const client = connect({ url: new URL(process.env.LINK).origin, host, hostKey, token: process.env.DIRECT_KEY });
       while (client.path !== 'direct') await new Promise((resolve) => setTimeout(resolve, 20));
       const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'directly?' }] });
       const headers = { 'content-type': 'application/json' };
       const response = await client.fetch('/v1/chat/completions', { method: 'POST', headers, body });
       console.log(client.path, (await response.json()).choices[0].message.content);
       client.close();`,
    );
    const program = new Terminal(process.execPath, ['program.mjs'], { LINK: link, DIRECT_KEY: apiKey });
    expect(await program.done()).toBe('direct This is the fake answer to: directly?');
  });

  test('uses the home box on the laptop with the openai package, by connect', async () => {
    const laptop = directAgent(['connect', '--port', '0', link], { HOME: laptopHome, DIRECT_KEY: apiKey });
    await expect.poll(() => laptop.stdout, PATIENCE).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
    await expect.poll(() => laptop.stderr, PATIENCE).toContain(': direct');
    expect(await ask(laptop.stdout.trim(), 'any', 'from the laptop')).toBe(
      'This is the fake answer to: from the laptop',
    );
    expect(laptop.stdout + laptop.stderr).not.toContain(apiKey);
    expect(await laptop.stop()).toBe(0);
  });

  test('logs out: the agent ends, and the edge knows the host no more', async () => {
    await directAgent(['logout']).done();
    expect(await agent.exit).not.toBe(0);
    expect(agent.stderr).toContain('direct-agent login');
    await expect(ask(edgeUrl(), ownerToken, 'anyone?')).rejects.toMatchObject({ status: expect.any(Number) });
    const status = directAgent(['status']);
    expect(await status.exit).not.toBe(0);
  });

  test('has the owner token nowhere but where it was printed, and nothing in the way', () => {
    const printed = terminals.filter(({ stdout, stderr }) => (stdout + stderr).includes(ownerToken));
    expect(printed).toHaveLength(1);
    const files = readdirSync(world, { recursive: true, encoding: 'utf8' })
      .map((name) => join(world, name))
      .filter((path) => !path.includes('node_modules') && statSync(path).isFile());
    expect(files.filter((path) => readFileSync(path, 'latin1').includes(ownerToken))).toEqual([]);
    // Of deploy's own folders none is left.
    expect(readdirSync(world).filter((name) => name.startsWith('direct-agent-deploy-'))).toEqual([]);
    expect(existsSync(join(desk, '.wrangler'))).toBe(false);
  });
});
