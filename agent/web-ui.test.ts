/** The service “web_ui”, request by request, with a real server behind the agent. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { ErrorBody } from '../shared/errors.ts';
import { ClientExchange } from '../shared/exchange.ts';
import { encodeGrant, type Grant } from '../shared/grant.ts';
import type { HeaderList, RequestHead, ResponseHead } from '../shared/head.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { SessionGrant } from '../shared/sessions.ts';
import { agentSession, clientSession } from '../shared/test-sessions.ts';
import { UpstreamProxy } from './proxy.ts';
import { nodeEnvironment } from './runtime.ts';
import { oneUpstream } from './test-upstreams.ts';
import { WebUi } from './web-ui.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Asked extends Partial<Omit<RequestHead, 'service'>> {
  /** False: of the models. */
  ofUi?: boolean;
  body?: string | Uint8Array;
}

interface Got {
  head: ResponseHead;
  body: string;
  exchange: ClientExchange;
}

const PUBLIC: HeaderList = [
  ['x-forwarded-host', 'edge.example'],
  ['x-forwarded-proto', 'https'],
];
const OWNER: Grant = { subject: 'session:mine', web_ui: true };

async function rig(handler: Handler, { base = '', configured = true, maxBodyBytes = 1_000_000 } = {}) {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const log: string[] = [];
  const line = (text: string) => void log.push(text);
  const proxy = new UpstreamProxy({
    upstreams: oneUpstream(origin, { authorization: 'Bearer of the model' }),
    policy: { allowedPrefixes: [], allowManagement: false },
    webUi: configured ? new WebUi({ base: origin + base, httpsPaths: ['/static'], log: line }) : undefined,
    maxBodyBytes,
    log: line,
  });
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
    return proxy.close();
  });
  const open = (grant: SessionGrant) => {
    const [left, right] = memoryPaths();
    const common = { sessionId: 'test', environment: nodeEnvironment };
    const events = {
      stream: (stream: ConstructorParameters<typeof ClientExchange>[0]) => void proxy.serve(stream, grant),
    };
    const agent = agentSession({ ...common, path: right, events });
    const client = clientSession({ ...common, path: left });
    cleanups.push(() => {
      client.close('E_GOING_AWAY');
      agent.close('E_GOING_AWAY');
    });
    return client;
  };
  const sessions = new Map<SessionGrant, ReturnType<typeof open>>();
  const ask = async (path: string, asked: Asked = {}, grant: SessionGrant = OWNER): Promise<Got> => {
    const session = sessions.get(grant) ?? open(grant);
    sessions.set(grant, session);
    const exchange = new ClientExchange(session.openStream());
    const { body, ofUi = true, ...head } = asked;
    await exchange.sendHead({ method: 'GET', path, headers: [], ...(ofUi && { service: 'web_ui' as const }), ...head });
    if (body !== undefined) void exchange.sendData(Buffer.from(body)).catch(() => {});
    if (head.protocol === undefined) exchange.finish();
    const answer = await exchange.readHead();
    const parts: Uint8Array[] = [];
    if (answer.status !== 101) {
      for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
    }
    return { head: answer, body: Buffer.concat(parts).toString(), exchange };
  };
  return { ask, seen, log, origin, server, proxy };
}

const valuesOf = ({ head }: Got, wanted: string) =>
  head.headers.filter(([name]) => name === wanted).map(([, value]) => value);
const codeOf = ({ body }: Got) => (JSON.parse(body) as ErrorBody).error.code;
const fine: Handler = (_request, response) => void response.end('fine');

describe('who and what', () => {
  test('every path and method reaches the UI, without what is meant for the models’ server', async () => {
    const { ask, seen, log } = await rig((request, response) => void request.pipe(response));
    for (const path of ['/', '/api/pull', '/api/userdata/flows%2Fa.json?x=/../', '/a//b', '/ws', '/v1/models']) {
      expect((await ask(path, { method: 'PUT', body: 'text' })).body).toBe('text');
      expect(seen.at(-1)).toMatchObject({ method: 'PUT', url: path });
    }
    for (const method of ['DELETE', 'OPTIONS', 'PROPFIND', 'HEAD']) await ask('/x', { method });
    expect(seen.slice(-4).map(({ method }) => method)).toEqual(['DELETE', 'OPTIONS', 'PROPFIND', 'HEAD']);
    expect(seen.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    expect(log[0]).toBe('web_ui: PUT / 200');
  });

  test.each([
    ['/x/../y', 'GET', 'E_BAD_TARGET'],
    ['/x%2f..%2fy', 'GET', 'E_BAD_TARGET'],
    ['//evil.example/x', 'GET', 'E_BAD_TARGET'],
    ['/x', 'CONNECT', 'E_FORBIDDEN_TARGET'],
    ['/x', 'TRACE', 'E_FORBIDDEN_TARGET'],
    ['/x', 'trace', 'E_FORBIDDEN_TARGET'],
  ])('%s by %s is not', async (path, method, code) => {
    const { ask, seen } = await rig(fine);
    expect([codeOf(await ask(path, { method })), seen]).toEqual([code, []]);
  });

  test.each<[string, Grant]>([
    ['certain paths', { subject: 'key:a', prefixes: ['/'], web_ui: true }],
    ['certain models', { subject: 'key:a', models: ['llama3'], web_ui: true }],
    ['nobody in particular', { subject: 'anonymous', web_ui: true }],
    ['the models alone', { subject: 'session:mine' }],
  ])('a grant for %s is refused', async (_name, grant) => {
    const { ask, seen } = await rig(fine);
    const got = await ask('/', {}, grant);
    expect([got.head.status, codeOf(got), seen]).toEqual([403, 'E_FORBIDDEN', []]);
  });

  test('a rate is kept, and the edge says in heads who asks', async () => {
    const { ask, log } = await rig(fine);
    const headers: HeaderList = [
      ['direct-grant', encodeGrant({ subject: 'key:a', requests_per_minute: 1, web_ui: true })],
    ];
    expect((await ask('/', { headers }, 'in-heads')).head.status).toBe(200);
    expect((await ask('/', { headers }, 'in-heads')).head.status).toBe(429);
    expect((await ask('/', {}, 'in-heads')).head.status).toBe(403);
    expect(log[0]).toBe('web_ui by the tunnel: GET / 200');
  });

  test('without a web UI there is none, and the models’ server is not asked in its place', async () => {
    const { ask, seen } = await rig(fine, { configured: false });
    const got = await ask('/v1/models');
    expect([got.head.status, codeOf(got), seen]).toEqual([503, 'E_NO_UPSTREAM', []]);
    expect(got.body).toContain('web_ui');
  });

  test('uploads have the limit that they have everywhere', async () => {
    const { ask } = await rig((request, response) => void request.resume().on('end', () => response.end('all of it')), {
      maxBodyBytes: 1000,
    });
    expect((await ask('/upload', { method: 'POST', body: new Uint8Array(1000) })).body).toBe('all of it');
    expect((await ask('/upload', { method: 'POST', body: new Uint8Array(1001) })).head.status).toBe(413);
  });
});

describe('the address', () => {
  test('is the UI’s own, and it learns at which one people see it', async () => {
    const { ask, seen, origin } = await rig(fine);
    await ask('/x', {
      headers: [
        ...PUBLIC,
        ['host', 'edge.example'],
        ['origin', 'https://edge.example'],
        ['referer', 'https://edge.example/page?a=b'],
        ['sec-fetch-site', 'same-origin'],
        ['x-forwarded-for', '1.2.3.4'],
        ['forwarded', 'for=1.2.3.4'],
        ['authorization', 'Bearer of the UI'],
        ['range', 'bytes=0-1'],
      ],
    });
    const { headers } = seen[0] as IncomingMessage;
    expect(headers).toMatchObject({
      host: origin.slice('http://'.length),
      origin,
      referer: `${origin}/page?a=b`,
      'x-forwarded-host': 'edge.example',
      'x-forwarded-proto': 'https',
      authorization: 'Bearer of the UI',
      range: 'bytes=0-1',
    });
    for (const name of ['x-forwarded-for', 'forwarded', 'sec-fetch-site']) expect(headers).not.toHaveProperty(name);
  });

  test('of a foreign page stays foreign, so that the UI can refuse it', async () => {
    const { ask, seen } = await rig(fine);
    for (const origin of ['https://evil.example', 'http://edge.example', 'null']) {
      await ask('/x', { headers: [...PUBLIC, ['origin', origin], ['referer', `${origin}/secret`]] });
      expect(seen.at(-1)?.headers.origin).toBe(origin);
      expect(seen.at(-1)?.headers).not.toHaveProperty('referer');
    }
  });

  test.each<[string, HeaderList]>([
    [
      'a path',
      [
        ['x-forwarded-host', 'edge.example/x'],
        ['x-forwarded-proto', 'https'],
      ],
    ],
    [
      'a user',
      [
        ['x-forwarded-host', 'a@edge.example'],
        ['x-forwarded-proto', 'https'],
      ],
    ],
    [
      'another scheme',
      [
        ['x-forwarded-host', 'edge.example'],
        ['x-forwarded-proto', 'javascript'],
      ],
    ],
    ['two hosts', [...PUBLIC, ['x-forwarded-host', 'evil.example']]],
    ['no scheme', [['x-forwarded-host', 'edge.example']]],
  ])('with %s is none', async (_name, headers) => {
    const { ask, seen } = await rig(fine);
    await ask('/x', { headers });
    expect(seen[0]?.headers).not.toHaveProperty('x-forwarded-host');
    expect(seen[0]?.headers).not.toHaveProperty('x-forwarded-proto');
  });

  test.each([
    ['/login?next=/', '/login?next=/'],
    ['login', 'login'],
    ['../up', '../up'],
    ['{own}/login', '/login'],
    ['//{ownHost}/login', '/login'],
    ['https://edge.example/login#x', '/login#x'],
    ['http://edge.example/login', '/login'],
    ['https://else.example/login', 'https://else.example/login'],
    ['{own}//else.example/login', '/.//else.example/login'],
    ['https://edge.example//else.example/login', '/.//else.example/login'],
    ['https://edge.example:444/login', 'https://edge.example:444/login'],
  ])('in a redirect to %s', async (location, expected) => {
    const { ask, origin } = await rig((_request, response) => {
      const own = location.replace('{ownHost}', origin.slice(7)).replace('{own}', origin);
      response.writeHead(302, { location: own }).end();
    });
    expect(valuesOf(await ask('/deep/page', { headers: PUBLIC }), 'location')).toEqual([expected]);
  });

  test('of a UI below a path hides that path', async () => {
    const { ask, seen, origin } = await rig(
      (request, response) => {
        response.setHeader('set-cookie', [
          'a=1; Path=/ui',
          'b=2; path=/ui/deep; Secure',
          'c=3; Path=/',
          'd=4; Path=/uix',
        ]);
        response.writeHead(302, { location: `https://${request.headers['x-forwarded-host']}/ui/next` }).end();
      },
      { base: '/ui' },
    );
    const got = await ask('/page', { headers: [...PUBLIC, ['referer', 'https://edge.example/from']] });
    expect(seen[0]).toMatchObject({ url: '/ui/page', headers: { referer: `${origin}/ui/from` } });
    expect(valuesOf(got, 'location')).toEqual(['/next']);
    expect(valuesOf(got, 'set-cookie')).toEqual([
      'a=1; Path=/',
      'b=2; Path=/deep; Secure',
      'c=3; Path=/',
      'd=4; Path=/uix',
    ]);
  });
});

describe('responses', () => {
  test('pages say which paths are not for the client, and nothing else does', async () => {
    const { ask } = await rig((request, response) => {
      const type = decodeURIComponent(request.url?.slice(1) ?? '');
      const body = gzipSync('<p>');
      response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip', 'direct-web-ui': 'own' }).end(body);
    });
    const field = async (type: string) => valuesOf(await ask(`/${encodeURIComponent(type)}`), 'direct-web-ui');
    const expected = ['{"https_paths":["/static"]}'];
    expect(await field('text/html')).toEqual(expected);
    expect(await field('Text/HTML; charset=utf-8')).toEqual(expected);
    expect((await ask('/text%2Fhtml')).body).toBe('<p>');
    for (const type of ['text/plain', 'application/json', 'text/html-not']) expect(await field(type)).toEqual([]);
  });

  test('ranges, trailers and lengths are the UI’s', async () => {
    const { ask } = await rig((request, response) => {
      if (request.url === '/trailers') {
        response.writeHead(200, { trailer: 'x-sum, set-cookie' });
        response.write('body');
        response.addTrailers([
          ['x-sum', 'abc'],
          ['set-cookie', 's=secret; HttpOnly'],
        ]);
        response.end();
      } else response.writeHead(206, { 'content-range': 'bytes 0-1/10', 'content-length': '2' }).end('ab');
    });
    const part = await ask('/video', { headers: [['range', 'bytes=0-1']] });
    expect([part.head.status, part.body, valuesOf(part, 'content-range')]).toEqual([206, 'ab', ['bytes 0-1/10']]);
    const head = await ask('/video', { method: 'HEAD' });
    expect([head.body, valuesOf(head, 'content-length')]).toEqual(['', ['2']]);
    expect((await ask('/trailers')).exchange.trailers).toEqual([['x-sum', 'abc']]);
  });
});

describe('cookies', () => {
  const login: Handler = (request, response) => {
    if (request.url === '/login') {
      response.setHeader('set-cookie', [
        'session=secret; HttpOnly; Secure; Path=/; SameSite=Lax; Domain=ui.lan',
        'csrf=readable; Path=/; Domain=ui.lan; Secure; SameSite=Strict',
        'odd=1; httponly ; Path=/odd',
        'odder=1; Path=/; HttpOnly=false',
      ]);
      response.writeHead(303, { location: '/me' }).end();
    } else response.end(request.headers.cookie ?? 'none');
  };

  test('that are HttpOnly stay on the host; the others are the browser’s, without Domain', async () => {
    const { ask } = await rig(login);
    const got = await ask('/login', { method: 'POST' });
    expect(valuesOf(got, 'set-cookie')).toEqual(['csrf=readable; Path=/; Secure; SameSite=Strict']);
    expect((await ask('/me')).body).toBe('session=secret; odder=1');
    expect((await ask('/odd')).body).toBe('odd=1; session=secret; odder=1');
    const headers: HeaderList = [
      ['cookie', 'csrf=readable; theme=dark'],
      ['cookie', 'lang=en'],
    ];
    expect((await ask('/me', { headers })).body).toBe('session=secret; odder=1; csrf=readable; theme=dark; lang=en');
  });

  test('that are HttpOnly cannot be overwritten by the client', async () => {
    const { ask } = await rig(login);
    await ask('/login');
    const headers: HeaderList = [['cookie', 'session=mine;  session =also; sessions=other; =session; odd=2']];
    expect((await ask('/me', { headers })).body).toBe('session=secret; odder=1; sessions=other; =session; odd=2');
  });

  test('that are HttpOnly end the browser’s own of that name, so that people can log out', async () => {
    const { ask } = await rig((_request, response) => {
      const expired = 'Path=/; HttpOnly; Secure; Expires=Thu, 01 Jan 1970 00:00:00 GMT';
      response
        .setHeader('set-cookie', [`token=; ${expired}`, `other=; ${expired}`, 'id=secret; HttpOnly; Path=/'])
        .end();
    });
    const headers: HeaderList = [['cookie', 'token=readable; id=old']];
    const fields = valuesOf(await ask('/logout', { headers }), 'set-cookie');
    expect(fields).toEqual(['token=; Path=/; Secure; Max-Age=0', 'id=; Path=/; Max-Age=0']);
  });

  test('are neither sent nor kept for a request that wants none', async () => {
    const { ask, seen } = await rig(login);
    await ask('/login');
    const headers: HeaderList = [
      ['direct-credentials', 'omit'],
      ['cookie', 'theme=dark'],
    ];
    expect((await ask('/me', { headers })).body).toBe('none');
    expect(seen.at(-1)?.headers).not.toHaveProperty('direct-credentials');
    const other: Grant = { subject: 'session:other', web_ui: true };
    expect(valuesOf(await ask('/login', { headers }, other), 'set-cookie')).toEqual([]);
    expect((await ask('/me', {}, other)).body).toBe('none');
  });

  test('are the same on all paths of a subject, and of that subject only', async () => {
    const { ask } = await rig(login);
    await ask('/login');
    const heads: HeaderList = [['direct-grant', encodeGrant(OWNER)]];
    expect((await ask('/me', { headers: heads }, 'in-heads')).body).toBe('session=secret; odder=1');
    expect((await ask('/me', {}, { subject: 'session:other', web_ui: true })).body).toBe('none');
  });

  test('end with the subject, also for a login that is under way', async () => {
    let answer = () => {};
    const arrived = Promise.withResolvers<void>();
    const { ask, proxy } = await rig((request, response) => {
      if (request.url !== '/slow') return login(request, response);
      answer = () => void response.setHeader('set-cookie', 'session=late; HttpOnly').end();
      arrived.resolve();
    });
    await ask('/login');
    const slow = ask('/slow');
    await arrived.promise;
    proxy.revoke('session:mine');
    answer();
    await slow;
    expect((await ask('/me')).body).toBe('none');
  });

  test.each(['"cache", "cookies"', '"*"'])('end when the UI clears them by %s', async (value) => {
    const { ask } = await rig((request, response) => {
      if (request.url !== '/logout') return login(request, response);
      response.writeHead(200, { 'clear-site-data': value, 'set-cookie': 'bye=1; HttpOnly; Path=/' }).end();
    });
    await ask('/login');
    await ask('/logout');
    expect((await ask('/me')).body).toBe('bye=1');
  });

  test('are nothing of the models’ service', async () => {
    const { ask } = await rig(login);
    await ask('/login');
    expect((await ask('/v1/models', { ofUi: false })).body).toBe('none');
  });

  test('are sent with WebSockets, and set by them', async () => {
    const { ask, server, origin } = await rig(login);
    const sockets = new WebSocketServer({ server });
    cleanups.push(() => sockets.close());
    let seen: IncomingMessage | undefined;
    sockets.on('headers', (headers) => headers.push('Set-Cookie: hidden=1; HttpOnly', 'Set-Cookie: open=1'));
    sockets.on('connection', (socket, request) => {
      seen = request;
      socket.on('message', (data) => socket.send(String(data)));
    });
    await ask('/login');
    const headers: HeaderList = [
      ...PUBLIC,
      ['origin', 'https://edge.example'],
      ['cookie', 'csrf=readable; session=no'],
    ];
    const got = await ask('/comms', { protocol: 'websocket', headers });
    expect([got.head.status, valuesOf(got, 'set-cookie')]).toEqual([101, ['open=1']]);
    expect(seen?.headers).toMatchObject({
      origin,
      cookie: 'session=secret; odder=1; csrf=readable',
      'x-forwarded-proto': 'https',
    });
    const socket = got.exchange.socket();
    void socket.send({ type: 'text', text: 'hello' });
    expect(await socket.read()).toEqual({ type: 'text', text: 'hello' });
    socket.close(1000);
    expect((await ask('/me')).body).toBe('session=secret; odder=1; hidden=1');
  });

  test('of a refused WebSocket are kept as well', async () => {
    const { ask, server } = await rig(login);
    server.on('upgrade', (_request, socket) => {
      socket.end('HTTP/1.1 401 Unauthorized\r\nSet-Cookie: hidden=1; HttpOnly; Path=/\r\nContent-Length: 0\r\n\r\n');
    });
    const got = await ask('/comms', { protocol: 'websocket' });
    expect([got.head.status, valuesOf(got, 'set-cookie')]).toEqual([401, []]);
    expect((await ask('/me')).body).toBe('hidden=1');
  });
});
