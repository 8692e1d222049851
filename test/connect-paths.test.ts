/** What programs get from `direct-agent connect` by each path, by pairing, and from several hosts behind one port. */
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket as WsClient } from 'ws';
import { connect as connectCommand } from '../agent/commands/connect.ts';
import { FakeProcess } from '../agent/commands/test-fake-edge.ts';
import type { Terminal } from '../agent/connect/terminal.ts';
import { pairLink } from '../agent/edge-address.ts';
import { createPairing } from '../agent/pairing.ts';
import { type Client, type ConnectOptions, connect } from '../web/client/node.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const PATIENCE = { timeout: 40_000 };

const nobody: Terminal = {
  interactive: false,
  ask: () => Promise.reject(new Error('nobody is asked')),
  askSecret: () => Promise.reject(new Error('nobody is asked')),
  readLine: () => Promise.reject(new Error('nothing is read')),
};

let stack: Stack;
let other: Stack;
beforeAll(async () => {
  [stack, other] = await Promise.all([Stack.start(), Stack.start()]);
});
afterAll(async () => {
  await stack?.close();
  await other?.close();
});

const running: { process: FakeProcess; exit: Promise<unknown> }[] = [];
afterEach(async () => {
  for (const { process, exit } of running.splice(0)) {
    process.interrupt.abort();
    await exit;
  }
});

const linkOf = ({ edge, hostKey }: Stack) => `${edge.url}/_direct/chat#host=${HOST_ID}&key=${hostKey}`;

interface Laptop {
  base: string;
  process: FakeProcess;
  clients: Client[];
  /** Methods and paths that went to the edge by plain HTTPS. */
  asked: string[];
}

/** The command in this process, with a key; `environment` is what its clients lack or have. */
async function start(
  targets: readonly string[],
  flags: Record<string, unknown> = {},
  environment: ConnectOptions['environment'] = {},
  process = new FakeProcess(),
): Promise<Laptop> {
  const clients: Client[] = [];
  const asked: string[] = [];
  const openClient = (options: ConnectOptions) => {
    const counted = (request: Request) => {
      asked.push(`${request.method} ${new URL(request.url).pathname}`);
      return (options.environment?.fetch ?? fetch)(request);
    };
    const client = connect({ ...options, environment: { ...options.environment, fetch: counted, ...environment } });
    clients.push(client);
    return client;
  };
  const context = { ...process.context, env: { ...process.context.env, DIRECT_KEY: OWNER_TOKEN } };
  const run = connectCommand(context, targets, { port: '0', ...flags }, { terminal: nobody, openClient });
  const exit = process.run(run);
  running.push({ process, exit });
  await vi.waitUntil(() => process.stdout.length > 0, PATIENCE);
  return { base: process.stdout[0] ?? '', process, clients, asked };
}

const WITHOUT_PATHS = { RTCPeerConnection: undefined, WebSocket: undefined };

/** The relay does not open; other WebSockets do. */
class WithoutRelay extends WebSocket {
  constructor(url: string, protocols?: string[]) {
    super(url.includes('/_direct/') ? 'ws://127.0.0.1:1/' : url, protocols);
  }
}
const ways: [string, ConnectOptions['environment']][] = [
  ['direct', {}],
  ['relay', { RTCPeerConnection: undefined }],
  ['tunnel', { RTCPeerConnection: undefined, WebSocket: WithoutRelay }],
];

test.each(ways)('bytes and fields fit to each other: %s', async (path, environment) => {
  const { base, clients, asked } = await start([linkOf(stack)], {}, environment);
  await expect.poll(() => clients[0]?.path, PATIENCE).toBe(path);
  const said = 'the same again, '.repeat(1000);
  const query = new URLSearchParams({
    hex: gzipSync(said).toString('hex'),
    type: 'text/plain',
    field: 'content-encoding: gzip',
  });
  const coded = await fetch(`${base}/v1/test/say?${query}`);
  expect(await coded.text()).toBe(said);
  expect(coded.headers.get('content-encoding')).toBe(null);
  expect([null, String(said.length)]).toContain(coded.headers.get('content-length'));

  const plain = await fetch(`${base}/v1/test/bytes?n=70000`);
  expect(plain.headers.get('content-type')).toBe('application/octet-stream');
  expect((await plain.bytes()).length).toBe(70_000);

  const cookies = await fetch(`${base}/v1/test/set-cookie`);
  expect(cookies.headers.getSetCookie()).toEqual(['a=1; Path=/', 'b=2; Path=/; HttpOnly']);

  const moved = await fetch(`${base}/v1/test/redirect?to=/v1/models`, { redirect: 'manual' });
  expect([moved.status, moved.headers.get('location')]).toEqual([302, '/v1/models']);
  expect((await fetch(`${base}/v1/test/redirect?to=/v1/models`)).url).toBe(`${base}/v1/models`);

  const head = await fetch(`${base}/v1/test/bytes?n=70000`, { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
  expect((await fetch(`${base}/v1/test/status/204`)).status).toBe(204);

  const headers = {
    authorization: 'Bearer for-the-port',
    'upstream-authorization': 'Bearer for-the-server',
    'x-own': 'a',
  };
  const echo = await fetch(`${base}/v1/test/echo?x=1`, { method: 'POST', body: 'hello', headers });
  const heard = (await echo.json()) as { headers: [string, string][]; bodyLength: number; url: string };
  const fields = Object.fromEntries(heard.headers.map(([name, value]) => [name.toLowerCase(), value]));
  expect(heard).toMatchObject({ bodyLength: 5, url: '/v1/test/echo?x=1' });
  expect(fields).toMatchObject({ authorization: 'Bearer for-the-server', 'x-own': 'a', 'content-length': '5' });

  const address = `${base.replace('http', 'ws')}/v1/realtime?protocol=b&by=${path}`;
  const socket = new WsClient(address, ['a', 'b'], { headers: { ...headers, 'openai-beta': 'realtime=v1' } });
  const messages: unknown[] = [];
  socket.on('message', (data) => messages.push(String(data)));
  await once(socket, 'open');
  expect(socket.protocol).toBe('b');
  socket.send('text');
  socket.send(Buffer.from('bytes'));
  await expect.poll(() => messages, PATIENCE).toEqual(['text', 'bytes']);
  socket.close(4001, 'done');
  const opened = () => stack.fake.sockets.find(({ url }) => url.includes(`by=${path}`));
  await expect.poll(() => opened()?.closed, PATIENCE).toEqual({ code: 4001, reason: 'done' });
  expect(opened()?.headers).toMatchObject({ authorization: 'Bearer for-the-server', 'openai-beta': 'realtime=v1' });

  const broken = await fetch(`${base}/v1/test/say?text=half&breaks`);
  await expect(broken.text()).rejects.toThrow();
  const none = await fetch(`${base}/v1/../_direct/api/hosts`);
  expect(none.status).toBe(403);
  const byTunnel = asked.filter((line) => !line.includes(' /_direct/'));
  if (path === 'tunnel') expect(byTunnel.length).toBeGreaterThan(8);
  else expect(byTunnel).toEqual([]);
});

test('without the tunnel, a request without a path says so and may be sent again', async () => {
  const { process } = await start([linkOf(stack)], { tunnel: false });
  process.interrupt.abort();
  await running[0]?.exit;
  // It is remembered: this run, which says nothing of it, keeps to it.
  const again = new FakeProcess();
  const env = { ...process.context.env };
  const { base, asked } = await start(
    [],
    {},
    WITHOUT_PATHS,
    Object.assign(again, { context: { ...again.context, env } }),
  );
  const answer = await fetch(`${base}/v1/models`);
  expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([502, 'true']);
  expect(await answer.json()).toMatchObject({ error: { code: 'E_PATH_LOST', type: 'direct_agent_error' } });
  expect(await (await fetch(`${base}/api/tags`)).json()).toMatchObject({
    code: 'E_PATH_LOST',
    error: expect.any(String),
  });
  expect(asked.filter((line) => !line.includes(' /_direct/'))).toEqual([]);
});

test('a pairing link pairs this machine, which is let in from then on', async () => {
  await other.stopAgent();
  await other.startAgent({ access: 'paired' });
  const unpaired = new FakeProcess();
  const context = { ...unpaired.context, env: { ...unpaired.context.env, DIRECT_KEY: OWNER_TOKEN } };
  const refused = connectCommand(context, [linkOf(other)], { port: '0' }, { terminal: nobody, openClient: connect });
  expect(await unpaired.run(refused)).toEqual([69]);
  expect(unpaired.stderr.join('\n')).toContain('(E_DEVICE_UNKNOWN)\n  On the home machine run direct-agent pair');
  const { secret } = await createPairing(other.folder, Date.now());
  const process = new FakeProcess();
  const { base, clients } = await start([pairLink(other.edge.url, HOST_ID, other.hostKey, secret)], {}, {}, process);
  await expect.poll(() => clients[0]?.path, PATIENCE).toBe('direct');
  expect((await fetch(`${base}/v1/models`)).status).toBe(200);
  expect(process.stderr.join('\n')).toContain('other users of this machine can see it');
  expect(process.printed).not.toContain(secret);
  process.interrupt.abort();
  await Promise.all(running.splice(0).map(({ exit }) => exit));
  const env = { ...process.context.env };
  const again = new FakeProcess();
  const second = await start([], {}, {}, Object.assign(again, { context: { ...again.context, env } }));
  expect((await fetch(`${second.base}/v1/models`)).status).toBe(200);
  expect(second.clients[0]?.path).toMatch(/direct|relay/);
  await other.stopAgent();
  await other.startAgent();
});

test('several hosts: a port each, or one port where the model decides', async () => {
  const process = new FakeProcess();
  // One key for all would be shown to both edges.
  const links = [stack, other].map((one) => `${linkOf(one)}&token=${OWNER_TOKEN}`);
  const two = await start(links, {}, {}, process);
  await vi.waitUntil(() => process.stdout.length === 2, PATIENCE);
  const [first = '', second = ''] = process.stdout;
  expect(first).not.toBe(second);
  for (const [base, { fake }] of [
    [first, stack],
    [second, other],
  ] as const) {
    await fetch(`${base}/v1/test/echo?who=${fake.port}`);
    expect(fake.requests.some(({ url }) => url.includes(`who=${fake.port}`))).toBe(true);
  }
  expect(two.clients.length).toBe(2);
  process.interrupt.abort();
  await running.splice(0)[0]?.exit;

  const env = { ...process.context.env };
  const again = new FakeProcess();
  const merged = await start([], { merge: true }, {}, Object.assign(again, { context: { ...again.context, env } }));
  const list = (await (await fetch(`${merged.base}/v1/models`)).json()) as { data: { id: string }[] };
  const ids = list.data.map(({ id }) => id);
  expect(ids).toContain('fake');
  expect(ids).toContain('home-2/fake');
  const tags = (await (await fetch(`${merged.base}/api/tags`)).json()) as { models: { name: string; model: string }[] };
  expect(tags.models.find(({ name }) => name.startsWith('home-2/fake'))).toBeDefined();
  const chat = async (model: string, who: string) => {
    const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'x' }] });
    const answer = await fetch(`${merged.base}/v1/chat/completions?who=${who}`, { method: 'POST', body });
    return ((await answer.json()) as { model: string }).model;
  };
  expect(await chat('fake', 'plain')).toBe('fake');
  expect(await chat('home/fake', 'first')).toBe('fake');
  expect(await chat('home-2/fake', 'second')).toBe('fake');
  const asks = ({ fake }: Stack) =>
    ['plain', 'first', 'second'].filter((who) => fake.requests.some(({ url }) => url.includes(`who=${who}`)));
  expect([asks(stack), asks(other)]).toEqual([['plain', 'first'], ['second']]);
  const form = new FormData();
  form.set('file', new File(['sound'], 'a.webm'));
  form.set('model', 'home-2/fake');
  const heard = await fetch(`${merged.base}/v1/audio/transcriptions`, { method: 'POST', body: form });
  expect(await heard.json()).toMatchObject({ text: expect.stringMatching(/a\.webm: 5 bytes.*model fake$/) });
  const unknown = await fetch(`${merged.base}/v1/models/nothing`);
  expect(unknown.status).toBe(404);
});
