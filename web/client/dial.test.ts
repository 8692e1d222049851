import { expect, test } from 'vitest';
import { DirectError } from '../../shared/errors.ts';
import type { RequestHead } from '../../shared/head.ts';
import type { Session } from '../../shared/session.ts';
import { createDiagnostics } from './diagnostics.ts';
import { dial } from './dial.ts';
import { completeEnvironment } from './environment.ts';
import type { FetchOptions } from './fetch.ts';
import { socketClass } from './socket.ts';
import { type Answer, ORIGIN, realTime, testHost } from './test-host.ts';

/** A platform’s WebSocket that never opens, and what it was asked for. */
function platform() {
  const asked: unknown[][] = [];
  class Platform extends EventTarget {
    binaryType = 'blob';
    constructor(...given: unknown[]) {
      super();
      asked.push(given);
      queueMicrotask(() => this.dispatchEvent(Object.assign(new Event('close'), { code: 1006, reason: '' })));
    }
  }
  return { asked, Platform: Platform as unknown as typeof WebSocket };
}

function options(given: Partial<FetchOptions>, browser = true) {
  const { asked, Platform } = platform();
  const environment = completeEnvironment({
    ...realTime,
    browser,
    WebSocket: Platform,
    baseUrl: () => `${ORIGIN}/ui/`,
    cookies: { get: () => 'theme=dark', set: () => {} },
  });
  const all: FetchOptions = {
    origin: ORIGIN,
    edgeOrigin: ORIGIN,
    host: 'box',
    token: 'edge-token',
    cookie: false,
    environment,
    diagnostics: createDiagnostics(realTime.now, false),
    route: async () => undefined,
    ...given,
  };
  const Socket = socketClass({ dial: (request) => dial(all, request), baseUrl: () => environment.baseUrl() });
  return { asked, Socket, all };
}

const ended = (socket: WebSocket) =>
  new Promise<string[]>((resolve) => {
    const events: string[] = [];
    for (const type of ['open', 'message', 'error']) socket.addEventListener(type, () => events.push(type));
    socket.addEventListener('close', ({ code }) => resolve([...events, String(code)]));
  });

/** Accepts, says what it is asked by `first`, and closes. */
const accept: Answer = async (exchange) => {
  await exchange.sendHead({ status: 101, statusText: '', headers: [] });
  const socket = exchange.socket();
  await socket.send({ type: 'text', text: 'hello' });
  socket.close(4000);
};

test('over the session it is a request for the service, with the page’s cookies and subprotocols', async () => {
  const host = testHost(async (exchange, head) => {
    await exchange.sendHead({ status: 101, statusText: '', headers: [['sec-websocket-protocol', 'b']] });
    exchange.socket().close(4000, head.path);
  });
  const { Socket } = options({ route: async () => host.client, service: 'web_ui' });
  const socket = new Socket('live?x=1', ['a', 'b']);
  expect(await ended(socket)).toEqual(['open', '4000']);
  expect(socket.protocol).toBe('b');
  const { headers, ...head } = host.heads[0] as RequestHead;
  expect(head).toEqual({ method: 'GET', path: '/ui/live?x=1', protocol: 'websocket', service: 'web_ui' });
  expect(headers).toEqual(
    expect.arrayContaining([
      ['sec-websocket-protocol', 'a, b'],
      ['cookie', 'theme=dark'],
      ['origin', ORIGIN],
      ['x-forwarded-host', 'edge.example'],
      ['x-forwarded-proto', 'https'],
    ]),
  );
});

test('a session that was lost before the answer is followed by the next one', async () => {
  const lost = testHost(async () => lost.client.close('E_PATH_LOST'));
  const next = testHost(accept);
  const sessions: Session[] = [lost.client, next.client];
  const { asked, Socket } = options({ route: async () => sessions.shift() });
  expect(await ended(new Socket('/live'))).toEqual(['open', 'message', '4000']);
  expect(asked).toEqual([]);
});

test('a client that was closed opens nothing elsewhere', async () => {
  const host = testHost(async () => host.client.close('E_CANCELLED'));
  const { asked, Socket } = options({ route: async () => host.client });
  expect(await ended(new Socket('/live'))).toEqual(['error', '1006']);
  expect(asked).toEqual([]);
});

test('without a session it goes through the edge; fields go along where the platform takes them', async () => {
  const browser = options({});
  const socket = new browser.Socket('/live?a=1', ['a']);
  await ended(socket);
  expect(socket.url).toBe('wss://edge.example/live?a=1');
  expect(browser.asked).toEqual([['wss://edge.example/_direct/h/box/socket?path=%2Flive%3Fa%3D1', ['a']]]);
  const node = options({}, false);
  await ended(new node.Socket('/live', ['a']));
  const headers = { 'direct-host': 'box', authorization: 'Bearer edge-token' };
  expect(node.asked).toEqual([['wss://edge.example/live', { protocols: ['a'], headers }]]);
});

test('fields of a program go along, its authorization for the upstream and not for the edge', async () => {
  const fields: [string, string][] = [
    ['authorization', 'Bearer upstream'],
    ['openai-beta', 'realtime=v1'],
    ['direct-host', 'other'],
  ];
  const asking = {
    url: new URL('wss://edge.example/live'),
    protocols: [],
    headers: fields,
    signal: new AbortController().signal,
  };
  const host = testHost(accept);
  await dial(options({ route: async () => host.client }, false).all, asking);
  expect(host.heads[0]?.headers).toEqual(fields);
  const { asked, all } = options({}, false);
  await expect(dial(all, asking)).rejects.toThrow();
  const headers = {
    'upstream-authorization': 'Bearer upstream',
    'openai-beta': 'realtime=v1',
    'direct-host': 'box',
    authorization: 'Bearer edge-token',
  };
  expect(asked).toEqual([['wss://edge.example/live', { protocols: [], headers }]]);
});

test('what no tunnel may carry does not go through it', async () => {
  const { asked, Socket } = options({ noTunnel: async () => new DirectError('E_PATH_LOST') });
  expect(await ended(new Socket('/live'))).toEqual(['error', '1006']);
  expect(asked).toEqual([]);
});

test.each(['wss://elsewhere.example/live', 'wss://edge.example/_direct/h/box/relay'])(
  'what is not the host’s is the platform’s, without our fields: %s',
  async (url) => {
    const host = testHost(accept);
    const { asked, Socket } = options({ route: async () => host.client }, false);
    await ended(new Socket(url));
    expect(asked).toEqual([[url, []]]);
    expect(host.heads).toEqual([]);
  },
);
