/**
 * The whole set-up as a new user does it: `wrangler dev`, `direct-agent login` in a terminal, the link in a browser,
 * a passkey, a chat, an API key. Then everything that was printed and sent is searched for what must stay secret.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addAuthenticator, launchChromium, withoutChromium } from './chromium.ts';
import { type FakeLlm, startFakeLlm } from './fake-llm.ts';
import { WranglerDev } from './wrangler-dev.ts';

const OWNER_TOKEN = 'an-owner-token-that-nobody-may-see';
const PROMPT = 'a prompt that no log may show';
const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));

/** The command line as a person runs it, in a folder of its own. */
class Terminal {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(folder: string, ...args: string[]) {
    this.process = spawn(process.execPath, [main, ...args], {
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        DIRECT_AGENT_FOLDER: folder,
        DIRECT_AGENT_LOG_LEVEL: 'debug',
        DIRECT_AGENT_PORT_MAPPING: 'no',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout?.on('data', (part) => {
      this.stdout += part;
    });
    this.process.stderr?.on('data', (part) => {
      this.stderr += part;
    });
  }

  get printed(): string {
    return this.stdout + this.stderr;
  }

  async ended(): Promise<number | null> {
    if (this.process.exitCode === null) await once(this.process, 'exit');
    return this.process.exitCode;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    this.process.kill('SIGINT');
    await this.ended();
  }
}

/** What a browser asked for and was told, as far as it may end up in somebody's log. */
class Traffic {
  readonly urls: string[] = [];
  readonly #errors: Promise<string>[] = [];

  watch(context: BrowserContext): void {
    // Fragments stay in the browser.
    context.on('request', (request) => void this.urls.push(request.url().replace(/#.*/, '')));
    context.on('response', (response) => {
      if (response.status() >= 400) this.#errors.push(response.text().catch(() => ''));
    });
    context.on('console', (message) => void this.urls.push(message.text()));
  }

  async errors(): Promise<string> {
    return (await Promise.all(this.#errors)).join('\n');
  }
}

describe.skipIf(withoutChromium)('a new user', () => {
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-login-'));
  const terminals: Terminal[] = [];
  const traffic = new Traffic();
  const secrets = new Map([
    ['owner token', OWNER_TOKEN],
    ['prompt', PROMPT],
  ]);
  let edge: WranglerDev;
  let llm: FakeLlm;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    [edge, llm, browser] = await Promise.all([
      WranglerDev.start({ OWNER_TOKEN, ICE_SERVERS: '[]' }),
      startFakeLlm({ strictHost: true }),
      launchChromium(),
    ]);
    const context = await browser.newContext();
    traffic.watch(context);
    page = await context.newPage();
    page.setDefaultTimeout(20_000);
    await addAuthenticator(page);
  });
  afterAll(async () => {
    await Promise.all(terminals.map((terminal) => terminal.stop()));
    await browser?.close();
    await Promise.all([edge?.close(), llm?.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  function type(...args: string[]): Terminal {
    const terminal = new Terminal(folder, ...args);
    terminals.push(terminal);
    return terminal;
  }

  test('logs in, approves, adds a passkey, signs in with it, and chats', async () => {
    const agent = type('login', edge.url, '--name', 'Home', '--upstream', llm.url);
    await expect.poll(() => agent.stderr, { timeout: 20_000 }).toMatch(/Host fingerprint: /);
    const link = /http:\S+\/_direct\/approve#\S+/.exec(agent.stderr)?.[0] ?? '';
    const fingerprint = /Host fingerprint: ([0-9a-f ]{39})/.exec(agent.stderr)?.[1];

    await page.goto(link);
    await page.getByTestId('access-token').fill(OWNER_TOKEN);
    await page.getByTestId('access-connect').click();
    await page.getByTestId('approve').waitFor();
    expect(await page.locator('main').textContent()).toContain('Home');
    expect(fingerprint).toBeDefined();
    expect((await page.locator('main').textContent())?.replace(/\s/g, '')).toContain(fingerprint?.replace(/\s/g, ''));
    expect(await page.locator('main').textContent()).toContain('fake');
    await page.getByTestId('approve').click();
    await page.getByTestId('open-chat').waitFor();
    await expect.poll(() => agent.stdout, { timeout: 20_000 }).toMatch(/#host=home&key=[\w-]{43}\n$/);
    await expect.poll(() => agent.stderr).toContain('connected to the edge');
    const { token } = JSON.parse(readFileSync(join(folder, 'credentials.json'), 'utf8')) as { token: string };
    secrets.set('host credential', token);

    await page.goto(`${edge.url}/_direct/`);
    await page.getByTestId('passkey-hint').getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByTestId('passkey-name').fill('This laptop');
    await page.getByRole('button', { name: 'Continue' }).click();
    await expect.poll(() => page.getByTestId('passkey-hint').count()).toBe(0);
    await page.getByTestId('menu').click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByTestId('use-passkey').click();
    await page.getByTestId('panel-hosts').waitFor();
    await expect.poll(() => page.getByTestId('presence').textContent()).toContain('Online');

    await page.goto(agent.stdout.trim().split('\n').at(-1) ?? '');
    await expect.poll(() => page.getByTestId('path').textContent(), { timeout: 20_000 }).toContain('⚡ direct');
    await page.getByTestId('model').selectOption('fake');
    await page.getByTestId('prompt').fill(PROMPT);
    await page.getByTestId('prompt').press('Enter');
    await expect
      .poll(() => page.getByTestId('message-assistant').last().textContent())
      .toContain(`This is the fake answer to: ${PROMPT}`);
    for (const { name, value } of await page.context().cookies()) secrets.set(`cookie ${name}`, value);
    expect([...secrets.keys()].some((name) => name.startsWith('cookie'))).toBe(true);
  });

  test('asks for the state of things, and sees the fingerprint of the page', async () => {
    const status = type('status');
    expect(await status.ended()).toBe(0);
    expect(status.printed).toMatch(/[0-9a-f]{4}( [0-9a-f]{4}){7}/);
    await page.goto(`${edge.url}/_direct/`);
    await page.getByTestId('panel-hosts').waitFor();
    const shown = /[0-9a-f]{4}( [0-9a-f]{4}){7}/.exec(status.printed)?.[0].replaceAll(' ', '');
    await expect.poll(async () => (await page.getByTestId('host').textContent())?.replace(/\s/g, '')).toContain(shown);
    expect(status.printed).toContain('Home');
  });

  test('gives a program a key for one model, and takes it back', async () => {
    const made = type('key', 'create', '--name', 'editor', '--model', 'fake');
    expect(await made.ended()).toBe(0);
    const key = made.stdout.trim();
    expect(key).toMatch(/^dak_[\w-]{43}$/);
    secrets.set('API key', key);
    const openai = new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: key, maxRetries: 0 });
    const ask = (model: string) =>
      openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }] });
    expect((await ask('fake')).choices[0]?.message.content).toContain('fake answer');
    await expect(ask('slow-10')).rejects.toMatchObject({ status: 403, code: 'E_FORBIDDEN' });
    expect(await type('key', 'revoke', 'editor').ended()).toBe(0);
    await expect(ask('fake')).rejects.toMatchObject({ status: 401, code: 'E_UNAUTHORIZED' });
  });

  test('pairs the browser by a link', async () => {
    const pair = type('pair', '--no-wait');
    expect(await pair.ended()).toBe(0);
    secrets.set('pairing secret', /&pair=([\w-]{43})$/.exec(pair.stdout.trim())?.[1] ?? '');
    await page.goto(pair.stdout.trim());
    await expect.poll(() => page.getByTestId('path').textContent(), { timeout: 20_000 }).toContain('⚡ direct');
    const devices = type('device', 'list');
    expect(await devices.ended()).toBe(0);
    expect(devices.printed).toContain('Chrome');
  });

  test('invites somebody, who is connected directly', async () => {
    const response = await fetch(`${edge.url}/_direct/api/invitations`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OWNER_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'Ann', hosts: ['home'], expires_at: Date.now() + 3_600_000 }),
    });
    const { secret } = (await response.json()) as { secret: string };
    secrets.set('invitation', secret);
    const context = await browser.newContext();
    traffic.watch(context);
    const guest = await context.newPage();
    await guest.goto(`${edge.url}/_direct/invite#invite=${secret}`);
    await guest.getByTestId('accept').click();
    // Nothing but this page has told this browser the host's key.
    await guest.getByTestId('confirm-host-key').getByRole('button', { name: /same/i }).click();
    await expect.poll(() => guest.getByTestId('path').textContent(), { timeout: 20_000 }).toContain('⚡ direct');
    for (const { name, value } of await context.cookies()) secrets.set(`guest’s cookie ${name}`, value);
    await context.close();
  });

  test('finds all files of the agent closed to others', () => {
    const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
    expect(names).toEqual(expect.arrayContaining(['credentials.json', 'host-key.json']));
    for (const name of names) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o077).toBe(0);
  });

  test('is told by the first agent why it stops when a second one takes over, and by logout', async () => {
    const [first] = terminals;
    const second = type('up', '--upstream', llm.url);
    expect(await first?.ended()).toBe(69);
    expect(first?.stderr).toMatch(/took over/);
    await expect.poll(() => second.stderr).toContain('connected to the edge');
    expect(await type('logout').ended()).toBe(0);
    expect(await second.ended()).not.toBe(0);
    expect(second.stderr).toMatch(/direct-agent login/);
    expect(readdirSync(folder)).not.toContain('credentials.json');
  });

  test('has no secret in any log, address or error', async () => {
    const errors = await traffic.errors();
    for (const [name, secret] of secrets) {
      expect(secret.length, name).toBeGreaterThan(16);
      for (const terminal of terminals) {
        // Printed once, where it was made: alone, or at the end of a link's fragment.
        const text = terminal.stdout.trim().endsWith(secret) ? terminal.stderr : terminal.printed;
        expect(text, `${name} in the terminal`).not.toContain(secret);
      }
      expect(edge.printed, `${name} in the edge’s log`).not.toContain(secret);
      expect(traffic.urls.join('\n'), `${name} in an address`).not.toContain(encodeURIComponent(secret));
      expect(errors, `${name} in an error`).not.toContain(secret);
    }
  });
});
