import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { Client, ConnectOptions } from '#client';
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import { CommandError, EXIT } from '../command-error.ts';
import type { Terminal } from '../connect/terminal.ts';
import { connect, forgetConnection, listConnections } from './connect.ts';
import { FakeEdge, FakeProcess } from './test-fake-edge.ts';

const KEY = 'A'.repeat(43);
const OTHER_KEY = 'E'.repeat(43);
const API_KEY = 'dak_secret-secret-secret';
const LINK = `https://edge.example/_direct/chat#host=home&key=${KEY}`;
const PATIENCE = { timeout: 20_000 };

/** A client that says what a test wants it to. */
class FakeClient {
  readonly options: ConnectOptions;
  readonly origin = 'https://edge.example';
  path: Client['path'] = 'direct';
  state = 'connected';
  rtt: number | undefined = 12;
  error: DirectError | undefined;
  closed = false;
  ready: Promise<Client['path']> = Promise.resolve('direct');
  /** Those that came with the edge's first answer. */
  ice: object | undefined;
  readonly #listeners: [string, (value: never) => void][] = [];

  constructor(options: ConnectOptions) {
    this.options = options;
  }

  on(name: string, listener: (value: never) => void): () => void {
    this.#listeners.push([name, listener]);
    return () => {};
  }

  tell(name: string, value: unknown): void {
    for (const [heard, listener] of this.#listeners) if (heard === name) listener(value as never);
  }

  /** What a real one does when the host has no key that is known. */
  async ask(hostKey: string): Promise<void> {
    const { host = '', confirmHostKey } = this.options;
    const question = { host, hostKey, fingerprint: '3f2a 91bc' };
    if (await confirmHostKey?.(question).catch(() => false)) this.tell('hostKey', hostKey);
    else this.fail('E_HOST_KEY_UNCONFIRMED');
  }

  async report(): Promise<{ ice: object | undefined }> {
    return { ice: this.ice };
  }

  fail(code: ErrorCode, path: Client['path'] = 'offline'): void {
    this.path = path;
    this.error = new DirectError(code);
    this.tell('path', path);
  }

  async fetch(): Promise<Response> {
    return new Response(this.options.host);
  }

  close(): void {
    this.closed = true;
  }
}

interface Person {
  interactive?: boolean;
  answers?: string[];
}

function terminal({ interactive = false, answers = [] }: Person, asked: string[]): Terminal {
  const answer = async (question: string) => {
    asked.push(question);
    if (answers[0] === 'Ctrl+C') throw new CommandError(EXIT.interrupted, 'stopped.');
    return answers.shift() ?? '';
  };
  return { interactive, ask: answer, askSecret: answer, readLine: () => answer('stdin') };
}

const running: Laptop[] = [];
afterEach(async () => {
  for (const laptop of running.splice(0)) await laptop.stop();
});

interface LaptopOptions extends Person {
  folder?: string;
  env?: Record<string, string>;
  flags?: Record<string, unknown>;
  /** What becomes of each client, as soon as it is there. */
  made?: (client: FakeClient, index: number) => void;
}

class Laptop {
  readonly process = new FakeProcess();
  readonly clients: FakeClient[] = [];
  readonly asked: string[] = [];
  readonly exit: Promise<[number, string?]>;
  readonly folder: string;

  constructor(
    targets: readonly string[],
    { folder, env = { DIRECT_KEY: API_KEY }, flags, made, ...person }: LaptopOptions = {},
  ) {
    this.folder = folder ?? this.process.folder;
    const { context } = this.process;
    const openClient = (options: ConnectOptions) => {
      const client = new FakeClient(options);
      this.clients.push(client);
      made?.(client, this.clients.length - 1);
      return client as unknown as Client;
    };
    const command = connect(
      { ...context, env: { DIRECT_AGENT_FOLDER: this.folder, ...env } },
      targets,
      { port: '0', ...flags },
      { terminal: terminal(person, this.asked), openClient },
    );
    this.exit = this.process.run(command);
    running.push(this);
  }

  get told(): string {
    return this.process.stderr.join('\n');
  }

  async urls(count = 1): Promise<string[]> {
    await vi.waitUntil(() => this.process.stdout.length === count, PATIENCE);
    return this.process.stdout;
  }

  saved(): Record<string, unknown>[] {
    const file = join(this.folder, 'laptop.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).connections : [];
  }

  async stop(): Promise<[number, string?]> {
    this.process.interrupt.abort();
    return this.exit;
  }
}

test('a link with its key: the client gets both, what works is remembered, and Ctrl+C ends with 0', async () => {
  const laptop = new Laptop([LINK]);
  const [url = ''] = await laptop.urls();
  expect(laptop.clients[0]?.options).toMatchObject({
    url: 'https://edge.example',
    host: 'home',
    token: API_KEY,
    hostKey: KEY,
    deviceName: 'attic.lan',
  });
  expect(await (await fetch(`${url}/v1/models`)).text()).toBe('home');
  expect(laptop.process.stderr).toEqual([
    'home: direct, 12 ms',
    'home: set programs to one of these',
    `  OPENAI_BASE_URL=${url}/v1   (any OPENAI_API_KEY)`,
    `  OLLAMA_HOST=${url}`,
  ]);
  expect(laptop.saved()).toEqual([
    { name: 'home', edge: 'https://edge.example', host_id: 'home', key: API_KEY, host_key: KEY },
  ]);
  expect(await laptop.stop()).toEqual([0]);
  expect(laptop.clients[0]?.closed).toBe(true);
  expect(laptop.process.printed).not.toContain(API_KEY);
});

test('nothing known and nothing given: where to find what is missing', async () => {
  const [code, message] = await new Laptop([]).exit;
  expect([code, message]).toEqual([78, expect.stringContaining('direct-agent status')]);
});

test.each([
  ['http://edge.example', /not HTTPS/],
  [LINK.replace(KEY, 'short'), /“key=” after its # is wrong/],
  [`${LINK}&pair=short`, /“pair=” after its # is wrong/],
  ['https://edge.example', /names no host/],
  ['nowhere', /No host “nowhere” is remembered on this machine. There is none yet./],
])('a wrong link says what is wrong with it: %s', async (link, message) => {
  expect(await new Laptop([link], { env: {} }).exit).toEqual([64, expect.stringMatching(message)]);
});

test('the owner’s key tells which host it is when there is one', async () => {
  const edge = (await FakeEdge.start()).on('GET /_direct/api/hosts', {
    json: { hosts: [{ id: 'attic', name: 'Attic' }] },
  });
  const laptop = new Laptop([edge.url], { made: (client) => void client.ask(KEY), flags: { trustFirst: true } });
  await laptop.urls();
  expect(laptop.saved()).toMatchObject([{ name: 'attic', host_id: 'attic', host_key: KEY }]);
  edge.on('GET /_direct/api/hosts', {
    json: {
      hosts: [
        { id: 'a', name: 'A' },
        { id: 'b', name: 'B' },
      ],
    },
  });
  expect(await new Laptop([edge.url]).exit).toEqual([64, expect.stringContaining('There are: a, b.')]);
  edge.on('GET /_direct/api/hosts', 'E_FORBIDDEN');
  expect(await new Laptop([edge.url]).exit).toEqual([64, expect.stringContaining('add --host <id>')]);
});

test('without a key in the link a person compares the fingerprint, once', async () => {
  const unknown = 'https://edge.example/_direct/h/home';
  const made = (client: FakeClient) => {
    if (client.options.hostKey === undefined) client.ready = client.ask(KEY).then(() => 'direct');
  };
  const yes = new Laptop([unknown], { made, interactive: true, answers: ['y'] });
  await yes.urls();
  expect(yes.told).toContain('  3f2a 91bc');
  expect(yes.asked).toEqual(['Is it the one that direct-agent status shows on the home machine? [y/N] ']);
  expect(yes.saved()).toMatchObject([{ host_key: KEY }]);
  await yes.stop();
  const again = new Laptop([], { folder: yes.folder, env: {}, made, interactive: true });
  await again.urls();
  expect([again.asked, again.clients[0]?.options.hostKey]).toEqual([[], KEY]);

  const no = new Laptop([unknown], { made, interactive: true, answers: [''] });
  expect(await no.exit).toEqual([69]);
  const interrupted = new Laptop([unknown], { made, interactive: true, answers: ['Ctrl+C'] });
  expect(await interrupted.exit).toEqual([130, 'stopped.']);
  const nobody = new Laptop([unknown], { made });
  expect(await nobody.exit).toEqual([69]);
  expect(nobody.told).toContain('--trust-first');
  expect([no.saved(), nobody.saved(), no.process.stdout]).toEqual([[], [], []]);
  const trusting = new Laptop([unknown], { made, flags: { trustFirst: true } });
  await trusting.urls();
  expect(trusting.saved()).toMatchObject([{ host_key: KEY }]);
});

test('a changed key stops everything, other hosts as well, with a warning', async () => {
  const second = LINK.replace('home', 'attic');
  const laptop = new Laptop([LINK, second]);
  await laptop.urls(2);
  laptop.clients[1]?.fail('E_HOST_KEY_CHANGED');
  expect(await laptop.exit).toEqual([69]);
  expect(laptop.told).toContain('WARNING: “attic” does not have the key that this machine knows. (E_HOST_KEY_CHANGED)');
  expect(laptop.clients.map(({ closed }) => closed)).toEqual([true, true]);
});

test('a link says which key is right, also in place of another one', async () => {
  const first = new Laptop([LINK]);
  await first.urls();
  await first.stop();
  const second = new Laptop([LINK.replace(KEY, OTHER_KEY)], { folder: first.folder, env: {} });
  await second.urls();
  expect(second.told).toContain('home has another key than before, and the link says that it is right.');
  // The API key of before is still good.
  expect(second.saved()).toMatchObject([{ name: 'home', host_key: OTHER_KEY, key: API_KEY }]);
});

test('a key comes from a file, the environment or a person; a token in the link is warned about', async () => {
  const file = join(new FakeProcess().folder, 'key');
  writeFileSync(file, `${API_KEY}\n`, { mode: 0o644 });
  const byFile = new Laptop([LINK], { env: { DIRECT_KEY: 'other' }, flags: { keyFile: file } });
  await byFile.urls();
  expect(byFile.clients[0]?.options.token).toBe(API_KEY);
  expect(byFile.told).toContain(`chmod 600 ${file}`);

  const asked = new Laptop([LINK], { env: {}, interactive: true, answers: [API_KEY] });
  await asked.urls();
  expect([asked.asked, asked.clients[0]?.options.token]).toEqual([['API key (is not shown): '], API_KEY]);

  const inLink = new Laptop([`${LINK}&token=${API_KEY}`], { env: {} });
  await inLink.urls();
  expect(inLink.told).toContain('The token in the link stood on the command line');
  expect(inLink.clients[0]?.options.token).toBe(API_KEY);
  const byStdin = new Laptop(['-'], { env: {}, answers: [`${LINK}&token=${API_KEY}`] });
  await byStdin.urls();
  expect(byStdin.told).not.toContain('command line');

  const wrong = await new Laptop([LINK], { env: { DIRECT_KEY: 'two words' } }).exit;
  expect(wrong).toEqual([64, 'DIRECT_KEY: the key is empty or contains spaces. Copy the whole key, nothing else.']);
  const missing = await new Laptop([LINK], { flags: { keyFile: '/nowhere' } }).exit;
  expect(missing).toEqual([78, '--key-file /nowhere cannot be read (ENOENT).']);
});

test('the key of one edge does not go to another one’s hosts, nor is it remembered for them', async () => {
  const first = new Laptop([LINK], { env: {} });
  await first.urls();
  await first.stop();
  const { folder } = first;
  const other = LINK.replace('edge.example', 'friend.example').replace('host=home', 'host=theirs');
  expect(other).not.toBe(LINK);
  const second = new Laptop([other], { folder, env: {} });
  await second.urls();
  await second.stop();
  const both = new Laptop([], { folder });
  await both.urls(2);
  expect(both.clients.map(({ options }) => options.token)).toEqual([undefined, undefined]);
  expect(both.told).toContain('of several edges');
  expect(both.told).not.toContain(API_KEY);
  await both.stop();
  expect(both.saved().map(({ key }) => key)).toEqual([undefined, undefined]);
  const links = new Laptop([LINK, other]);
  await links.urls(2);
  expect(links.clients.map(({ options }) => options.token)).toEqual([undefined, undefined]);
  const named = new Laptop(['home'], { folder });
  await named.urls();
  expect(named.clients.map(({ options }) => options.token)).toEqual([API_KEY]);
});

test('what is refused is not remembered; of several hosts the others go on', async () => {
  const wrong = new Laptop([LINK], { made: (client) => client.fail('E_UNAUTHORIZED', 'tunnel') });
  expect(await wrong.exit).toEqual([69]);
  expect(wrong.told).toContain('(E_UNAUTHORIZED)\n  Make a key on the home machine');
  expect([wrong.saved(), wrong.process.stdout]).toEqual([[], []]);
  const made = (client: FakeClient, index: number) => index === 1 && client.fail('E_UNAUTHORIZED', 'tunnel');
  const two = new Laptop([LINK, LINK.replace('home', 'attic')], { made });
  await two.urls();
  expect(two.told).not.toContain('attic: set programs');
  expect(two.saved()).toMatchObject([{ name: 'home' }]);
  expect(await two.stop()).toEqual([0]);
});

test('a host that is offline is kept; an edge that was never reached may be mistyped', async () => {
  const offline = new Laptop([LINK], { made: (client) => client.fail('E_HOST_OFFLINE') });
  await offline.urls();
  expect(offline.told).toContain('home: offline. The host is not connected to the edge.');
  expect(offline.told).toContain('Start the agent on the home machine: direct-agent up It is tried again by itself.');
  expect(offline.saved()).toMatchObject([{ name: 'home' }]);
  const unreached = new Laptop([LINK], { made: (client) => client.fail('E_PATH_LOST', 'tunnel') });
  await unreached.urls();
  expect(unreached.told).toContain('home is remembered when it is reached for the first time.');
  expect(unreached.saved()).toEqual([]);
  const [client] = unreached.clients;
  if (client !== undefined) client.path = 'relay';
  client?.tell('path', 'relay');
  await expect.poll(() => unreached.saved(), PATIENCE).toMatchObject([{ name: 'home' }]);
  expect(unreached.told).toContain('home: relay, 12 ms');
});

test('while an edge is slow to answer nothing is printed or remembered, then what came of it', async () => {
  const made = (client: FakeClient) => {
    client.path = 'tunnel';
    client.state = 'connecting';
  };
  const [laptop, wrong] = [new Laptop([LINK], { made }), new Laptop([LINK], { made })];
  for (const { clients } of [laptop, wrong]) {
    await vi.waitUntil(() => clients.length === 1, PATIENCE);
    clients[0]?.tell('report', undefined);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect([laptop.process.stdout, laptop.saved(), wrong.process.stdout, wrong.saved()]).toEqual([[], [], [], []]);
  // It lets this machine in, and no better path than the tunnel comes of it.
  Object.assign(laptop.clients[0] as FakeClient, { ice: {} }).tell('report', undefined);
  await laptop.urls();
  expect(laptop.told).toContain('home: tunnel');
  expect(laptop.saved()).toMatchObject([{ name: 'home' }]);
  wrong.clients[0]?.fail('E_UNAUTHORIZED', 'tunnel');
  expect(await wrong.exit).toEqual([69]);
  expect([wrong.process.stdout, wrong.saved()]).toEqual([[], []]);
});

test('paths are told once they have lasted, each once', async () => {
  const laptop = new Laptop([LINK]);
  await laptop.urls();
  const [client] = laptop.clients;
  for (const path of ['relay', 'direct', 'relay', 'direct'] as const) {
    if (client !== undefined) client.path = path;
    client?.tell('path', path);
  }
  if (client !== undefined) client.path = 'turn';
  client?.tell('path', 'turn');
  await expect.poll(() => laptop.told, PATIENCE).toContain('home: turn, 12 ms');
  expect(laptop.process.stderr.filter((line) => /^home: (direct|relay|turn),/.test(line))).toEqual([
    'home: direct, 12 ms',
    'home: turn, 12 ms',
  ]);
});

test('--json: lines for programs on stdout, and no others', async () => {
  const laptop = new Laptop([LINK], { flags: { json: true } });
  await laptop.urls(2);
  const [path, listening] = laptop.process.stdout.map((line) => JSON.parse(line));
  expect(path).toEqual({ event: 'path', name: 'home', path: 'direct', rtt_ms: 12 });
  expect(listening).toEqual({
    event: 'listening',
    names: ['home'],
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  });
  laptop.clients[0]?.fail('E_HOST_KEY_CHANGED');
  await laptop.exit;
  expect(JSON.parse(laptop.process.stdout[2] ?? '')).toMatchObject({ event: 'refused', code: 'E_HOST_KEY_CHANGED' });
});

async function takenPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

test('a port that was asked for and is in use is an error; a remembered one gives way and stays remembered', async () => {
  const port = await takenPort();
  const [code, message] = await new Laptop([LINK], { flags: { port: String(port) } }).exit;
  expect([code, message]).toEqual([75, expect.stringContaining(`Port ${port} of 127.0.0.1 is in use`)]);
  const first = new Laptop([LINK]);
  await first.urls();
  await first.stop();
  const file = join(first.folder, 'laptop.json');
  const { connections } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ connections: [{ ...connections[0], port }] }), { mode: 0o600 });
  const second = new Laptop([], { folder: first.folder, flags: { port: undefined } });
  const [url = ''] = await second.urls();
  expect(Number(new URL(url).port)).toBeGreaterThan(port);
  expect(second.told).toContain(`Port ${port} is in use by another program: home is at port ${new URL(url).port}.`);
  expect(second.saved()).toMatchObject([{ port }]);
});

test.each([
  [{ port: '99999' }, '--port 99999 is no port'],
  [{ listen: '0.0.0.0' }, 'without a key. If that is what you want, add --allow-remote'],
  [{ listen: 'attic' }, '--listen attic is no address'],
  [{ listen: '203.0.113.7', allowRemote: true }, 'This machine has no address 203.0.113.7'],
  [{ allowOrigin: ['https://app.example/path'] }, '--allow-origin https://app.example/path is no origin'],
  [{ name: 'a/b' }, '--name takes letters'],
])('flags are checked: %o', async (flags, message) => {
  expect(await new Laptop([LINK], { flags }).exit).toEqual([64, expect.stringContaining(message)]);
});

test('other machines may use it where that is allowed, and it says so', async () => {
  const laptop = new Laptop([LINK], { flags: { listen: '0.0.0.0', allowRemote: true } });
  const [url = ''] = await laptop.urls();
  expect(laptop.told).toMatch(/Every machine that reaches 0\.0\.0\.0:\d+ can use home, without a key\./);
  const named = await fetch(url, { headers: { host: 'attic.lan' } });
  expect(named.status).toBe(200);
});

test('names: of the link’s host, as one likes, and none twice', async () => {
  const first = new Laptop([LINK], { flags: { name: 'box' } });
  await first.urls();
  await first.stop();
  expect(first.saved()).toMatchObject([{ name: 'box', host_id: 'home' }]);
  const elsewhere = 'https://other.example/_direct/chat#host=box';
  const { folder } = first;
  const second = new Laptop([`${elsewhere}&key=${KEY}`], { folder });
  await second.urls();
  await second.stop();
  expect(second.saved()).toMatchObject([{ name: 'box' }, { name: 'box-2' }]);
  const taken = new Laptop(['https://third.example/_direct/h/x'], { folder, flags: { name: 'box' } });
  expect(await taken.exit).toEqual([64, expect.stringContaining('Another host is called box')]);
  const byName = new Laptop(['box-2'], { folder });
  await byName.urls();
  expect(byName.clients.map(({ options }) => options.url)).toEqual(['https://other.example']);
  expect(await new Laptop(['box', 'box'], { folder }).exit).toEqual([64, 'One host is named twice.']);
});

test('list shows no secrets; forget says what stays to be done', async () => {
  const laptop = new Laptop([LINK]);
  await laptop.urls();
  await laptop.stop();
  const { process } = laptop;
  process.stdout.splice(0);
  expect(listConnections(process.context, {})).toBe(0);
  expect(process.stdout).toEqual(['NAME  HOST  PORT  EDGE', 'home  home        https://edge.example']);
  process.stdout.splice(0);
  listConnections(process.context, { json: true });
  expect(JSON.parse(process.stdout.join('\n'))).toEqual({
    connections: [
      {
        name: 'home',
        edge: 'https://edge.example',
        host_id: 'home',
        host_key: KEY,
        has_key: true,
        is_paired: false,
        port: null,
      },
    ],
  });
  expect(await process.run(forgetConnection(process.context, 'nobody', {}))).toEqual([
    64,
    'No host “nobody” is remembered on this machine. There are: home.',
  ]);
  expect(await process.run(forgetConnection(process.context, 'home', {}))).toEqual([0]);
  expect(process.stderr.join('\n')).toContain(
    'Its key is still good; end it on the home machine: direct-agent key revoke',
  );
  expect(laptop.saved()).toEqual([]);
  expect(process.printed).not.toContain(API_KEY);
});

test('a damaged file is not read as empty, and its text is not shown', async () => {
  const { folder } = new FakeProcess();
  writeFileSync(join(folder, 'laptop.json'), `{"connections": [{"key": "${API_KEY}"`);
  const [code, message] = await new Laptop([LINK], { folder }).exit;
  expect([code, message]).toEqual([78, expect.stringContaining('laptop.json is damaged')]);
  expect(message).not.toContain(API_KEY);
});

test('a pairing link makes a key for this machine, kept before the host learns of it, and not if it was in vain', async () => {
  const pairing = `${LINK}&pair=${'I'.repeat(43)}`;
  const made = new Laptop([pairing]);
  await made.urls();
  expect(made.clients[0]?.options).toMatchObject({
    pairing: 'I'.repeat(43),
    device: { privateKey: expect.anything() },
  });
  expect(made.saved()).toMatchObject([{ device: { private_key: expect.any(String), public_key: expect.any(String) } }]);
  await made.stop();
  const again = new Laptop([], { folder: made.folder });
  await again.urls();
  expect(again.clients[0]?.options).toMatchObject({ device: { privateKey: expect.anything() } });
  expect(again.clients[0]?.options.pairing).toBe(undefined);
  for (const code of ['E_PAIRING', 'E_UNAUTHORIZED'] as const) {
    const vain = new Laptop([pairing], { made: (client) => client.fail(code) });
    expect([await vain.exit, vain.saved()]).toEqual([[69], []]);
  }
  // It was paired, and is removed later: its key is not forgotten without being asked.
  const removed = new Laptop([pairing]);
  await removed.urls();
  removed.clients[0]?.fail('E_DEVICE_UNKNOWN');
  expect(await removed.exit).toEqual([69]);
  expect(removed.saved()).toMatchObject([{ name: 'home' }]);
});
