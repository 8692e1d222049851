import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { BATCH_TYPE, decodeBatch, encodePart, type LinkMessage } from '../shared/channel.ts';
import { DirectError, errorBody } from '../shared/errors.ts';
import { MAX_ENVELOPE_BYTES } from '../shared/limits.ts';
import type { SessionSignal } from '../shared/signal.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import type { LinkSocket } from './channels.ts';
import { Link, type LinkOptions, type Transport } from './link.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An edge that can block WebSockets, hold polls, and vanish. */
class FakeEdge {
  readonly server: Server;
  readonly sockets: WebSocket[] = [];
  readonly polls: { query: URLSearchParams; response: ServerResponse }[] = [];
  readonly posted: string[] = [];
  /** Messages of POSTs to /channels. */
  readonly batches: LinkMessage[][] = [];
  readonly received: string[] = [];
  upgrades = 0;
  allowSockets = true;
  allowPolls = true;
  status = 401;
  /** With which an upgrade is refused; a proxy in between says something else. */
  body = JSON.stringify(errorBody(new DirectError('E_UNAUTHORIZED')));
  answersPings = true;
  postStatus = 204;
  url = '';
  readonly #wss = new WebSocketServer({ noServer: true });

  constructor() {
    this.server = createServer((request, response) => this.#answer(request, response));
    this.server.on('upgrade', (request, socket, head) => {
      this.upgrades++;
      // A link that ends may reset what it was refused on.
      socket.on('error', () => {});
      if (request.headers.authorization !== 'Bearer secret' || !this.allowSockets) {
        socket.end(`HTTP/1.1 ${this.status} No\r\ncontent-length: ${this.body.length}\r\n\r\n${this.body}`);
        return;
      }
      this.#wss.handleUpgrade(request, socket, head, (ws) => this.#accept(ws));
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/_direct/h/home`;
    cleanups.push(() => {
      for (const socket of this.sockets) socket.terminate();
      this.server.closeAllConnections();
      this.server.close();
    });
    return this;
  }

  #accept(ws: WebSocket): void {
    this.sockets.push(ws);
    ws.send(JSON.stringify({ type: 'ready', protocol_version: 1, host: 'home' }));
    ws.on('message', (data) => {
      const text = data.toString();
      this.received.push(text);
      if (text === 'ping' && this.answersPings) ws.send('pong');
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams: query } = new URL(request.url ?? '', this.url);
    if (request.headers.authorization !== 'Bearer secret') {
      response.writeHead(401).end(this.body);
    } else if (request.method === 'POST') {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => void parts.push(part));
      request.on('end', () => {
        const body = Buffer.concat(parts);
        if (pathname.endsWith('/channels')) this.batches.push(decodeBatch(body));
        else this.posted.push(body.toString());
        response.writeHead(this.postStatus).end();
      });
    } else if (this.allowPolls) {
      this.polls.push({ query, response });
    } else {
      response.writeHead(503).end();
    }
  }
}

function makeLink(edge: FakeEdge, options: Partial<LinkOptions> = {}) {
  const ups: Transport[] = [];
  const downs: number[] = [];
  const signals: SessionSignal[] = [];
  const refused: DirectError[] = [];
  /** What channels heard, and where they could answer. */
  const seen: unknown[] = [];
  const sockets: LinkSocket[] = [];
  const link = new Link({
    url: edge.url,
    token: 'secret',
    signal: (signal) => void signals.push(signal),
    revoked: (subject) => void seen.push({ revoked: subject }),
    channels: {
      control: (control, socket) => {
        seen.push(control);
        sockets.push(socket);
      },
      message: (bytes) => void seen.push([...bytes]),
      lost: (reason) => void seen.push(reason),
    },
    up: (transport) => void ups.push(transport),
    down: (_reason, retryMs) => void downs.push(retryMs),
    refused: (error) => void refused.push(error),
    random: () => 0.5,
    ...options,
    timing: {
      backoffMs: 10,
      maxBackoffMs: 80,
      pingMs: 1000,
      pongTimeoutMs: 50,
      webSocketRetryMs: 60,
      pollRetryMs: 1,
      postIntervalMs: 1,
      ...options.timing,
    },
  });
  cleanups.push(() => link.close());
  link.start();
  return { link, ups, downs, signals, refused, seen, sockets };
}

const until = (condition: () => boolean) => vi.waitUntil(condition, { ...PATIENCE, interval: 2 });

const offer = (session_id: string) => JSON.stringify({ session_id, type: 'offer', sdp: 'v=0' });
const answer = (session_id: string): SessionSignal => ({ session_id, type: 'answer', sdp: 'v=0' });

describe('by WebSocket', () => {
  test('messages go both ways, and those of one turn leave together', async () => {
    const edge = await new FakeEdge().listen();
    const { link, ups, signals } = makeLink(edge);
    await until(() => ups.length === 1);
    expect(ups).toEqual(['websocket']);
    edge.sockets[0]?.send(offer('a'));
    edge.sockets[0]?.send(`[${offer('b')},${offer('c')}]`);
    await until(() => signals.length === 3);
    link.send(answer('a'));
    link.send(answer('b'));
    await until(() => edge.received.length === 1);
    expect(JSON.parse(edge.received[0] ?? '')).toEqual([answer('a'), answer('b')]);
  });

  test('a socket that is cut is opened again', async () => {
    const edge = await new FakeEdge().listen();
    const { ups, downs } = makeLink(edge);
    await until(() => ups.length === 1);
    edge.sockets[0]?.terminate();
    await until(() => ups.length === 2);
    expect(ups).toEqual(['websocket', 'websocket']);
    expect(downs).toEqual([5]);
  });

  test('a socket that answers no ping is given up and opened again', async () => {
    const edge = await new FakeEdge().listen();
    edge.answersPings = false;
    const { ups } = makeLink(edge, { timing: { pingMs: 20 } });
    await until(() => ups.length === 2);
  });

  test('a socket that answers pings is kept', async () => {
    const edge = await new FakeEdge().listen();
    const { ups } = makeLink(edge, { timing: { pingMs: 10 } });
    await until(() => edge.received.filter((text) => text === 'ping').length >= 5);
    expect(ups).toEqual(['websocket']);
  });

  test('garbage from the edge is ignored', async () => {
    const edge = await new FakeEdge().listen();
    const { ups, signals } = makeLink(edge);
    await until(() => ups.length === 1);
    for (const text of ['{', '[]', 'null', '{"type":"offer"}', '{"session_id":"../x","type":"offer","sdp":"v=0"}']) {
      edge.sockets[0]?.send(text);
    }
    edge.sockets[0]?.send(Buffer.from([1, 2, 3]));
    edge.sockets[0]?.send(offer('fine'));
    await until(() => signals.length === 1);
    expect(ups).toEqual(['websocket']);
  });

  test('a revoked subject is told, also in the order of channels', async () => {
    const edge = await new FakeEdge().listen();
    const { seen, signals } = makeLink(edge);
    await until(() => edge.sockets.length === 1);
    edge.sockets[0]?.send('{"type":"revoked","subject":"nobody"}');
    edge.sockets[0]?.send('{"type":"revoked","subject":"key:k1"}');
    edge.sockets[0]?.send(Buffer.from([1]));
    await until(() => seen.length === 2);
    expect([seen, signals]).toEqual([[{ revoked: 'key:k1' }, [1]], []]);
  });

  test('channels get binary and control messages, in order, and hear of the end', async () => {
    const edge = await new FakeEdge().listen();
    const { seen, signals } = makeLink(edge);
    await until(() => edge.sockets.length === 1);
    const open = { type: 'channel_open', channel: 1, session_id: 'a' };
    edge.sockets[0]?.send(JSON.stringify(open));
    edge.sockets[0]?.send(Buffer.from([1, 2, 3]));
    // Malformed: of no use to anyone.
    edge.sockets[0]?.send('{"type":"channel_open","channel":-1}');
    // The longest that may come; one more byte would end the socket.
    edge.sockets[0]?.send(Buffer.alloc(MAX_ENVELOPE_BYTES));
    await until(() => seen.length === 3);
    edge.sockets[0]?.terminate();
    await until(() => seen.length === 4);
    expect(seen.slice(0, 2)).toEqual([open, [1, 2, 3]]);
    expect(seen[2]).toHaveLength(MAX_ENVELOPE_BYTES);
    expect(seen[3]).toContain('lost');
    expect(signals).toEqual([]);
  });

  test('an edge that is away is tried again with growing pauses, drawn at random up to a limit', async () => {
    const edge = await new FakeEdge().listen();
    edge.allowSockets = false;
    edge.allowPolls = false;
    edge.status = 503;
    edge.body = 'Service Unavailable';
    const { downs, ups } = makeLink(edge);
    await until(() => downs.length >= 6);
    expect(downs.slice(0, 6)).toEqual([10, 20, 40, 40, 40, 40]);
    edge.allowSockets = true;
    await until(() => ups.length === 1);
  });
});

describe('what the edge shows of the host', () => {
  test('is told on each WebSocket, and again when it changes', async () => {
    const edge = await new FakeEdge().listen();
    const infos = ['first', 'second'];
    const { link } = makeLink(edge, { info: () => infos[0] ?? '' });
    await until(() => edge.received.length === 1);
    infos.shift();
    link.inform();
    await until(() => edge.received.length === 2);
    edge.sockets[0]?.terminate();
    await until(() => edge.received.length === 3);
    expect(edge.received).toEqual(['first', 'second', 'second']);
  });

  test('is posted by an agent that polls, and again when the edge could not take it', async () => {
    const edge = await new FakeEdge().listen();
    Object.assign(edge, { allowSockets: false, status: 403, body: 'no', postStatus: 503 });
    makeLink(edge, { info: () => 'info' });
    await until(() => edge.polls.length === 1);
    edge.polls[0]?.response.writeHead(204).end();
    await until(() => edge.posted.length === 1);
    edge.postStatus = 204;
    await until(() => edge.polls.length === 2);
    edge.polls[1]?.response.writeHead(204).end();
    await until(() => edge.posted.length === 2);
    await until(() => edge.polls.length === 3);
    edge.polls[2]?.response.writeHead(204).end();
    await until(() => edge.polls.length === 4);
    expect(edge.posted).toEqual(['info', 'info']);
  });

  test('may lead its owner to remove a device', async () => {
    const edge = await new FakeEdge().listen();
    const forgotten: string[] = [];
    const { ups } = makeLink(edge, { forgetDevice: (id) => void forgotten.push(id) });
    await until(() => ups.length === 1);
    for (const id of ['../x', 1, 'abcdefghijklmnop']) {
      edge.sockets[0]?.send(JSON.stringify({ type: 'forget_device', id }));
    }
    await until(() => forgotten.length > 0);
    expect(forgotten).toEqual(['abcdefghijklmnop']);
  });
});

describe('how the host is just now', () => {
  test('is told when the edge asks, and not before', async () => {
    const edge = await new FakeEdge().listen();
    let looks = 0;
    const { ups } = makeLink(edge, { report: () => `report ${++looks}` });
    await until(() => ups.length === 1);
    const heard: string[] = [];
    edge.sockets[0]?.on('message', (data) => void heard.push(data.toString()));
    edge.sockets[0]?.send(JSON.stringify({ type: 'ask_report' }));
    await until(() => heard.includes('report 1'));
    edge.sockets[0]?.send(JSON.stringify({ type: 'ask_report' }));
    await until(() => heard.includes('report 2'));
    expect(looks).toBe(2);
  });
});

describe('the keys', () => {
  const announcement = { host_key: 'h', relay_key: 'r', signature: 's', expires_at: 1 };
  const announce = JSON.stringify({ type: 'announce', announcement });

  test('are announced on each WebSocket, and again when they change', async () => {
    const edge = await new FakeEdge().listen();
    const announcements = [announcement, { ...announcement, relay_key: 'next' }, undefined];
    const { link, ups } = makeLink(edge, { announcement: () => announcements[0] });
    await until(() => edge.received.length === 1);
    expect(edge.received).toEqual([announce]);
    announcements.shift();
    link.announce();
    await until(() => edge.received.length === 2);
    edge.sockets[0]?.terminate();
    await until(() => edge.received.length === 3);
    expect(edge.received.slice(1)).toEqual([announce.replace('"r"', '"next"'), announce.replace('"r"', '"next"')]);
    // Nothing to announce, so that nothing is.
    announcements.shift();
    link.announce();
    edge.sockets[1]?.terminate();
    await until(() => ups.length === 3);
    expect(edge.received.length).toBe(3);
  });

  test('are posted by an agent that polls, and again when the edge could not take them', async () => {
    const edge = await new FakeEdge().listen();
    edge.allowSockets = false;
    edge.status = 403;
    edge.body = 'no';
    edge.postStatus = 503;
    const { link, ups } = makeLink(edge, { announcement: () => announcement });
    // Not connected: this waits.
    link.announce();
    await until(() => edge.polls.length === 1);
    expect(edge.posted).toEqual([]);
    edge.polls[0]?.response.writeHead(204).end();
    await until(() => edge.posted.length === 1);
    edge.postStatus = 204;
    let answered = 1;
    const answerPolls = (end: () => boolean) =>
      until(() => {
        if (edge.polls.length > answered) edge.polls[answered++]?.response.writeHead(204).end();
        return end();
      });
    await answerPolls(() => edge.posted.length === 2);
    expect([ups, edge.posted]).toEqual([['polling'], [announce, announce]]);
    const before = answered;
    await answerPolls(() => answered > before + 5);
    expect(edge.posted.length).toBe(2);
  });
});

describe('by polling', () => {
  test('is used where WebSockets are blocked, and left when they work again', async () => {
    const edge = await new FakeEdge().listen();
    edge.allowSockets = false;
    edge.status = 403;
    edge.body = '<html>Forbidden by policy</html>';
    const { link, ups, signals } = makeLink(edge);
    await until(() => edge.polls.length === 1);
    edge.polls[0]?.response.writeHead(200).end(`[${offer('a')},${offer('b')}]`);
    await until(() => signals.length === 2);
    expect(ups).toEqual(['polling']);
    link.send(answer('a'));
    await until(() => edge.posted.length === 1);
    expect(JSON.parse(edge.posted[0] ?? '')).toEqual(answer('a'));
    await until(() => edge.polls.length === 2);
    edge.polls[1]?.response.writeHead(204).end();
    await until(() => edge.polls.length === 3);
    const attempts = edge.upgrades;
    edge.allowSockets = true;
    await until(() => ups.includes('websocket'));
    expect(edge.upgrades).toBeGreaterThan(attempts);
    // The poll that was under way is the last one.
    edge.polls.at(-1)?.response.writeHead(204).end();
    const count = edge.polls.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(edge.polls.length).toBe(count);
  });
});

describe('channels by polling', () => {
  const open = JSON.stringify({ type: 'channel_open', channel: 1, session_id: 'a' });
  const answerWith = (poll: { response: ServerResponse } | undefined, ...messages: LinkMessage[]) =>
    poll?.response.writeHead(200, { 'content-type': BATCH_TYPE }).end(Buffer.concat(messages.map(encodePart)));
  async function polling(options: Partial<LinkOptions> = {}) {
    const edge = await new FakeEdge().listen();
    edge.allowSockets = false;
    edge.status = 403;
    edge.body = 'no';
    const made = makeLink(edge, options);
    await until(() => edge.polls.length === 1);
    return { edge, ...made };
  }

  test('come with signals in one answer, and answer in POSTs', async () => {
    const { edge, seen, sockets, signals } = await polling();
    answerWith(edge.polls[0], `[${offer('s')}]`, open, new Uint8Array([1, 2, 3]));
    await until(() => seen.length === 2);
    expect(seen).toEqual([JSON.parse(open), [1, 2, 3]]);
    expect(signals.map(({ session_id }) => session_id)).toEqual(['s']);
    const left = new Promise<void>((resolve) => sockets[0]?.send(new Uint8Array([4, 5]), resolve));
    await until(() => edge.batches.length === 1);
    expect(edge.batches).toEqual([[new Uint8Array([4, 5])]]);
    await left;
    await until(() => edge.polls.length === 2);
    expect(edge.polls.map(({ query }) => query.get('after'))).toEqual(['0', '1']);
  });

  test('survive a poll that fails, and not four of them', async () => {
    const { edge, seen, ups } = await polling({ timing: { webSocketRetryMs: 60_000 } });
    answerWith(edge.polls[0], open);
    await until(() => edge.polls.length === 2);
    edge.polls[1]?.response.writeHead(502).end('<html>');
    await until(() => edge.polls.length === 3);
    answerWith(edge.polls[2], new Uint8Array([7]));
    await until(() => edge.polls.length === 4);
    expect(seen).toEqual([JSON.parse(open), [7]]);
    for (let n = 3; n < 7; n++) {
      await until(() => edge.polls.length === n + 1);
      edge.polls[n]?.response.destroy();
    }
    await until(() => seen.length === 3);
    expect([seen[2], ups, edge.polls.length]).toEqual(['polls are not answered', ['polling'], 7]);
  });

  test('begin anew, under another name, when the edge has lost them', async () => {
    const { edge, seen } = await polling();
    answerWith(edge.polls[0], open);
    await until(() => edge.polls.length === 2);
    edge.polls[1]?.response.writeHead(404).end(JSON.stringify(errorBody(new DirectError('E_SESSION_UNKNOWN'))));
    await until(() => edge.polls.length === 3);
    expect(seen).toEqual([JSON.parse(open), 'the edge has lost the connection']);
    const [first, , third] = edge.polls.map(({ query }) => query.get('channels'));
    expect(third).not.toBe(first);
    expect(edge.polls[2]?.query.get('after')).toBe('0');
    answerWith(edge.polls[2], open);
    await until(() => seen.length === 3);
  });

  test('end when a WebSocket opens; what a late answer still brings of them is dropped, its signals are not', async () => {
    const { edge, seen, sockets, signals, ups } = await polling();
    answerWith(edge.polls[0], open);
    await until(() => edge.polls.length === 2);
    edge.allowSockets = true;
    await until(() => ups.includes('websocket'));
    expect(seen).toEqual([JSON.parse(open), 'the link has a WebSocket again']);
    answerWith(edge.polls[1], offer('late'), open.replace('1', '2'), new Uint8Array([9]));
    await until(() => signals.length === 1);
    edge.sockets[0]?.send(open.replace('1', '3'));
    await until(() => seen.length === 3);
    expect(seen[2]).toMatchObject({ channel: 3 });
    // Not lost with the end of the polls.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen.length).toBe(3);
    sockets[0]?.send('nobody hears this', () => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(edge.batches).toEqual([]);
  });

  test('say goodbye when the link closes', async () => {
    const { edge, link, sockets } = await polling({ timing: { postIntervalMs: 60_000 } });
    answerWith(edge.polls[0], open);
    await until(() => sockets.length === 1);
    sockets[0]?.send('first', () => {});
    await until(() => edge.batches.length === 1);
    sockets[0]?.send('goodbye', () => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    await link.close();
    expect(edge.batches).toEqual([['first'], ['goodbye']]);
  });
});

describe('refused for good', () => {
  test('a wrong token ends the link and says so once', async () => {
    const edge = await new FakeEdge().listen();
    const { refused, ups } = makeLink(edge, { token: 'wrong' });
    await until(() => refused.length === 1);
    expect([refused[0]?.code, ups]).toEqual(['E_UNAUTHORIZED', []]);
    const attempts = edge.upgrades;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(edge.upgrades).toBe(attempts);
  });

  test('another agent that took over by polling ends the link', async () => {
    const edge = await new FakeEdge().listen();
    edge.allowSockets = false;
    edge.status = 403;
    edge.body = 'no';
    const { refused } = makeLink(edge);
    await until(() => edge.polls.length === 1);
    edge.polls[0]?.response.writeHead(409).end(JSON.stringify(errorBody(new DirectError('E_REPLACED'))));
    await until(() => refused.length === 1);
    expect(refused[0]?.code).toBe('E_REPLACED');
  });

  test('another agent that took over ends the link', async () => {
    const edge = await new FakeEdge().listen();
    const { refused, ups } = makeLink(edge);
    await until(() => ups.length === 1);
    edge.sockets[0]?.close(4409);
    await until(() => refused.length === 1);
    expect(refused[0]?.code).toBe('E_REPLACED');
  });
});
