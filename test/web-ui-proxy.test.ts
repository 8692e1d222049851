/** Web UIs behind the agent alone, over a session in memory: what a client gets to see of them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { UpstreamProxy } from '../agent/proxy.ts';
import { nodeEnvironment } from '../agent/runtime.ts';
import { oneUpstream } from '../agent/test-upstreams.ts';
import { WebUi } from '../agent/web-ui.ts';
import { ClientExchange } from '../shared/exchange.ts';
import type { HeaderList, RequestHead, ResponseHead } from '../shared/head.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import { agentSession, clientSession } from '../shared/test-sessions.ts';
import { testBytes } from './fake-llm.ts';
import { type FakeWebUi, FILE_BYTES, startFakeWebUi, USER } from './fake-web-ui.ts';
import { type RealWebUi, startNodeRed, startTiddlyWiki } from './real-web-uis.ts';

interface Got {
  head: ResponseHead;
  body: Buffer;
  exchange: ClientExchange;
}

/** What a browser would send from the UI's own page. */
const FROM_ITS_PAGE: HeaderList = [
  ['x-forwarded-host', 'edge.example'],
  ['x-forwarded-proto', 'https'],
  ['origin', 'https://edge.example'],
  ['referer', 'https://edge.example/'],
];

/** A client whose browser keeps the cookies that it gets to see. */
function browse(base: string) {
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(undefined),
    policy: { allowedPrefixes: [], allowManagement: false },
    webUi: new WebUi({ base, httpsPaths: [], log: () => {} }),
    maxBodyBytes: 5_000_000,
    log: () => {},
  });
  const [left, right] = memoryPaths();
  const common = { sessionId: 'test', environment: nodeEnvironment };
  const events = {
    stream: (stream: ConstructorParameters<typeof ClientExchange>[0]) =>
      void proxy.serve(stream, { subject: 'session:mine', web_ui: true }),
  };
  const agent = agentSession({ ...common, path: right, events });
  const client = clientSession({ ...common, path: left });
  const cookies = new Map<string, string>();
  /** Everything that came, for what must not be in it. */
  const seen: string[] = [];
  const begin = async (path: string, asked: Partial<RequestHead>, body?: string | Uint8Array) => {
    const exchange = new ClientExchange(client.openStream());
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers: HeaderList = [
      ...FROM_ITS_PAGE,
      ...(asked.headers ?? []),
      ...(cookie && [['cookie', cookie]]),
    ] as HeaderList;
    await exchange.sendHead({ method: 'GET', path, service: 'web_ui', ...asked, headers });
    if (body !== undefined) void exchange.sendData(Buffer.from(body)).catch(() => {});
    if (asked.protocol === undefined) exchange.finish();
    const head = await exchange.readHead();
    seen.push(JSON.stringify(head));
    for (const [name, value] of head.headers) {
      const [, key = '', text = ''] = /^([^=]*)=([^;]*)/.exec(value) ?? [];
      if (name === 'set-cookie') cookies.set(key, text);
    }
    return { exchange, head };
  };
  return {
    cookies,
    seen,
    begin,
    async ask(path: string, asked: Partial<RequestHead> = {}, body?: string | Uint8Array): Promise<Got> {
      const { exchange, head } = await begin(path, asked, body);
      const parts: Uint8Array[] = [];
      for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
      seen.push(Buffer.concat(parts).toString('latin1'));
      return { head, body: Buffer.concat(parts), exchange };
    },
    async socket(path: string) {
      const { exchange, head } = await begin(path, { protocol: 'websocket' });
      return { status: head.status, socket: exchange.socket() };
    },
    close() {
      client.close('E_GOING_AWAY');
      agent.close('E_GOING_AWAY');
      return proxy.close();
    },
  };
}

const fieldOf = ({ head }: Pick<Got, 'head'>, wanted: string) => head.headers.find(([name]) => name === wanted)?.[1];
const form: Partial<RequestHead> = { method: 'POST', headers: [['content-type', 'application/x-www-form-urlencoded']] };

describe('a web UI with a login', () => {
  let ui: FakeWebUi;
  let browser: ReturnType<typeof browse>;
  beforeEach(async () => {
    ui = await startFakeWebUi();
    browser = browse(ui.url);
  });
  afterEach(async () => {
    // Whatever was done: the cookie that says who somebody is has not left the host.
    for (const secret of ui.secrets) expect(browser.seen.join('\n')).not.toContain(secret);
    await browser.close();
    await ui.close();
  });

  async function signIn(): Promise<void> {
    await browser.ask('/');
    const got = await browser.ask('/login', form, `user=${USER}`);
    expect([got.head.status, fieldOf(got, 'location')]).toEqual([303, '/app']);
  }

  test('signs in by its form, and knows who asks from then on', async () => {
    expect(fieldOf(await browser.ask('/app'), 'location')).toBe('/');
    await signIn();
    expect([...browser.cookies.keys()]).toEqual(['csrf']);
    const page = await browser.ask('/app');
    expect([page.head.status, fieldOf(page, 'direct-web-ui')]).toEqual([200, '{"https_paths":[]}']);
    expect((await browser.ask('/me')).body.toString()).toBe(`{"by":"${USER}"}`);
    expect(fieldOf(await browser.ask('/moved'), 'location')).toBe('/me');
  });

  test('takes what its own page writes, and tells its listeners', async () => {
    await signIn();
    const { exchange } = await browser.begin('/events', {});
    expect(Buffer.from((await exchange.readData()) ?? []).toString()).toBe(`data: hello ${USER}\n\n`);
    const token: HeaderList = [['x-csrf-token', browser.cookies.get('csrf') ?? '']];
    expect((await browser.ask('/notes', { method: 'POST', headers: token }, 'a note')).head.status).toBe(201);
    expect(Buffer.from((await exchange.readData()) ?? []).toString()).toBe('data: a note\n\n');
    expect((await browser.ask('/notes', { method: 'POST' }, 'forged')).head.status).toBe(403);
    expect(ui.notes).toEqual([{ by: USER, text: 'a note' }]);
    exchange.abort('E_CANCELLED');
  });

  test('talks by WebSocket to who is signed in, and to nobody else', async () => {
    expect((await browser.begin('/socket', { protocol: 'websocket' })).head.status).toBe(401);
    await signIn();
    const { status, socket } = await browser.socket('/socket');
    expect([status, await socket.read()]).toEqual([101, { type: 'text', text: `{"hello":"${USER}"}` }]);
    void socket.send({ type: 'binary', bytes: testBytes(100_000) });
    const echo = await socket.read();
    expect(echo.type === 'binary' && Buffer.compare(echo.bytes, testBytes(100_000))).toBe(0);
    socket.close(1000);
  });

  test('signs out, also where it forgets to say HttpOnly', async () => {
    await signIn();
    expect((await browser.ask('/logout', { method: 'POST' })).head.status).toBe(200);
    expect((await browser.ask('/me')).head.status).toBe(401);
    expect(ui.requests.at(-1)?.headers.cookie).not.toContain('__Host-session=secret');
  });

  test('sends ranges of a file, and takes large ones', async () => {
    const part = await browser.ask('/file', { headers: [['range', 'bytes=1000-1999']] });
    expect([part.head.status, fieldOf(part, 'content-range')]).toEqual([206, `bytes 1000-1999/${FILE_BYTES}`]);
    expect(part.body.equals(testBytes(FILE_BYTES).subarray(1000, 2000))).toBe(true);
    const head = await browser.ask('/file', { method: 'HEAD' });
    expect([fieldOf(head, 'content-length'), head.body.length]).toEqual([`${FILE_BYTES}`, 0]);
    const bytes = testBytes(4_000_000);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const put = await browser.ask('/upload', { method: 'PUT' }, bytes);
    expect(JSON.parse(put.body.toString())).toEqual({ bytes: bytes.length, sha256 });
  });
});

describe('TiddlyWiki', () => {
  let ui: RealWebUi;
  let browser: ReturnType<typeof browse>;
  beforeAll(async () => {
    ui = await startTiddlyWiki();
    browser = browse(ui.url);
  });
  afterAll(async () => {
    await browser?.close();
    await ui?.close();
  });

  test('sends its page, and saves pages whose names have slashes in them', async () => {
    const page = await browser.ask('/');
    expect([page.head.status, fieldOf(page, 'direct-web-ui')]).toEqual([200, '{"https_paths":[]}']);
    expect(page.body.toString()).toContain('</html>');
    const headers: HeaderList = [
      ['content-type', 'application/json'],
      ['x-requested-with', 'TiddlyWiki'],
    ];
    for (const title of ['A page', '$:/StoryList', 'https://example.com/x', 'a\\b']) {
      const path = `/recipes/default/tiddlers/${encodeURIComponent(title)}`;
      const body = JSON.stringify({ title, text: `This is ${title}` });
      const put = await browser.ask(path, { method: 'PUT', headers }, body);
      expect([title, put.head.status, fieldOf(put, 'etag')]).toEqual([title, 204, expect.stringContaining('default/')]);
      expect(JSON.parse((await browser.ask(path)).body.toString())).toMatchObject({ title, text: `This is ${title}` });
    }
    await expect
      .poll(() => readFileSync(join(ui.folder, 'tiddlers', 'A page.tid'), 'utf8'))
      .toContain('This is A page');
  });
});

describe('Node-RED', () => {
  let ui: RealWebUi;
  let browser: ReturnType<typeof browse>;
  beforeAll(async () => {
    ui = await startNodeRed();
    browser = browse(ui.url);
  });
  afterAll(async () => {
    await browser?.close();
    await ui?.close();
  });

  test('sends its editor, takes a flow and reports by WebSocket what that does', async () => {
    expect((await browser.ask('/')).body.toString()).toContain('Node-RED');
    expect((await browser.ask('/red/red.min.js')).body.length).toBeGreaterThan(100_000);
    const { status, socket } = await browser.socket('/comms');
    expect(status).toBe(101);
    void socket.send({ type: 'text', text: '{"subscribe":"notification/#"}' });
    const flows = [
      { id: 'f1', type: 'tab', label: 'Made far away' },
      { id: 'n1', z: 'f1', type: 'comment', name: 'hello', x: 100, y: 100, wires: [] },
    ];
    const headers: HeaderList = [
      ['content-type', 'application/json'],
      ['node-red-deployment-type', 'full'],
    ];
    expect((await browser.ask('/flows', { method: 'POST', headers }, JSON.stringify(flows))).head.status).toBe(204);
    let said = '';
    while (!said.includes('runtime-deploy')) {
      const message = await socket.read();
      if (message.type === 'close') break;
      said += message.type === 'text' ? message.text : '';
    }
    expect(said).toContain('notification/runtime-deploy');
    socket.close(1000);
    expect(readFileSync(join(ui.folder, 'flows.json'), 'utf8')).toContain('Made far away');
  });
});
