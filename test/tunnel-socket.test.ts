/** WebSockets through the tunnel from end to end: a plain WebSocket client, the real edge, agent and upstream. */
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { testBytes } from './fake-llm.ts';
import { AGENT_TOKEN, OWNER_TOKEN, Stack } from './stack.ts';

const OWNER = { authorization: `Bearer ${OWNER_TOKEN}` };
/** No file of the page, and not among the addresses for which the Worker always comes first. */
const ELSEWHERE = '/ws/chat';

let stack: Stack;
beforeAll(async () => {
  const variables = { ALLOWED_ORIGINS: 'https://page.example' };
  stack = await Stack.start({ flags: { allowedPrefixes: ['/ws'] }, variables });
});
afterAll(() => stack?.close());

interface Options {
  headers?: Record<string, string>;
  protocols?: string[];
}

class Client {
  readonly received: (string | Buffer)[] = [];
  readonly closed: Promise<[code: number, reason: string]>;
  readonly socket: WebSocket;

  constructor(path: string, { headers = OWNER, protocols = [] }: Options) {
    this.socket = new WebSocket(stack.edge.url.replace('http', 'ws') + path, protocols, { headers });
    this.socket.on('message', (data, isBinary) => {
      this.received.push(isBinary ? (data as Buffer) : data.toString());
    });
    this.closed = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => resolve([code, reason.toString()]));
    });
    this.socket.on('error', () => {});
  }

  static async open(path: string, options: Options = {}): Promise<Client> {
    const client = new Client(path, options);
    await once(client.socket, 'open');
    return client;
  }

  /** The text after the last one, or the first. */
  async next(): Promise<string | Buffer | undefined> {
    await expect.poll(() => this.received.length).toBeGreaterThan(0);
    return this.received.shift();
  }
}

/** The response with which an upgrade was refused. */
async function refused(path: string, options: Options = {}) {
  const { socket } = new Client(path, options);
  const [, response] = (await once(socket, 'unexpected-response')) as [ClientRequest, IncomingMessage];
  const body = Buffer.concat((await response.toArray()) as Buffer[]);
  return { status: response.statusCode, json: JSON.parse(body.toString()) as unknown };
}
const seen = (path: string) => stack.fake.sockets.filter(({ url }) => url === path);

describe('messages', () => {
  test('text and binary are echoed, from nothing to 1 MB', async () => {
    const client = await Client.open('/v1/realtime?echo');
    const large = testBytes(1024 * 1024);
    for (const message of ['hi', '', 'ü→😀', Buffer.of(0), Buffer.alloc(0), large]) {
      client.socket.send(message);
      const echoed = await client.next();
      expect(typeof echoed).toBe(typeof message);
      expect(Buffer.compare(Buffer.from(echoed ?? 'nothing'), Buffer.from(message))).toBe(0);
    }
    client.socket.close();
    expect(await client.closed).toEqual([1005, '']);
  });

  test('1,000 small ones arrive in order, both ways', async () => {
    const client = await Client.open('/v1/realtime?order');
    const sent = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
    for (const text of sent) client.socket.send(text);
    await expect.poll(() => client.received.length).toBe(1000);
    expect(client.received.splice(0)).toEqual(sent);
    client.socket.send('count 1000');
    await expect.poll(() => client.received.length).toBe(1000);
    expect(client.received).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`));
    client.socket.close();
  });

  test('20 sockets and requests beside them do not mix', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => Client.open(`/v1/realtime?mix=${i}`)));
    const answer = fetch(`${stack.edge.url}/v1/test/bytes?n=3000000`, { headers: OWNER });
    for (const [i, { socket }] of clients.entries()) for (let k = 0; k < 20; k++) socket.send(`${i}.${k}`);
    for (const [i, client] of clients.entries()) {
      await expect.poll(() => client.received.length).toBe(20);
      expect(client.received).toEqual(Array.from({ length: 20 }, (_, k) => `${i}.${k}`));
      client.socket.close();
    }
    expect((await (await answer).arrayBuffer()).byteLength).toBe(3_000_000);
  });

  test('the edge answers the client’s pings', async () => {
    const { socket } = await Client.open('/v1/realtime?ping');
    socket.ping('still there?');
    expect(String((await once(socket, 'pong'))[0])).toBe('still there?');
    socket.close();
  });
});

describe('the handshake', () => {
  test.each(['/v1/realtime?head', ELSEWHERE])('reaches the upstream as its own at %s', async (path) => {
    const { socket } = await Client.open(path, {
      headers: {
        ...OWNER,
        origin: 'https://page.example',
        'direct-host': 'home',
        'upstream-authorization': 'Bearer local',
        'x-own': 'kept',
      },
    });
    const [{ headers } = { headers: undefined }] = seen(path);
    expect(headers).toMatchObject({ authorization: 'Bearer local', 'x-own': 'kept', origin: stack.fake.url });
    const foreign = /^(direct-host|upstream-authorization|cf-|x-forwarded|x-real-ip|via|sec-websocket-extensions)/;
    expect(Object.keys(headers ?? {}).filter((name) => foreign.test(name))).toEqual([]);
    socket.close();
  });

  test('the client’s first choice of subprotocols is not always the upstream’s', async () => {
    const { socket } = await Client.open('/v1/realtime?protocol=b', { protocols: ['a', 'b'] });
    expect(socket.protocol).toBe('b');
    expect(seen('/v1/realtime?protocol=b')[0]?.headers['sec-websocket-protocol']?.replaceAll(' ', '')).toBe('a,b');
    socket.close();
    const none = await Client.open('/v1/realtime?none');
    expect(none.socket.protocol).toBe('');
    none.socket.close();
  });

  test('an upgrade that the upstream refuses is its HTTP response', async () => {
    expect(await refused('/v1/realtime?status=401')).toEqual({
      status: 401,
      json: { error: { message: 'no WebSocket for you' } },
    });
  });

  test.each([
    ['no key', {}, 401, 'E_UNAUTHORIZED'],
    ['a wrong key', { authorization: 'Bearer wrong' }, 401, 'E_UNAUTHORIZED'],
    ['the agent’s key', { authorization: `Bearer ${AGENT_TOKEN}` }, 403, 'E_FORBIDDEN'],
    ['a foreign page', { ...OWNER, origin: 'https://evil.example' }, 403, 'E_ORIGIN'],
  ])('%s is refused, and the upstream hears nothing', async (_name, headers, status, code) => {
    const path = '/v1/realtime?refused';
    expect(await refused(path, { headers: headers as Record<string, string> })).toMatchObject({
      status,
      json: { error: { code } },
    });
    expect(seen(path)).toEqual([]);
  });

  test('the agent’s policy holds', async () => {
    expect(await refused('/not-allowed')).toMatchObject({
      status: 403,
      json: { error: { code: 'E_FORBIDDEN_TARGET' } },
    });
  });

  test('a host that is not there is 503', async () => {
    const offline = { status: 503, json: { error: { code: 'E_HOST_OFFLINE' } } };
    expect(await refused('/v1/realtime', { headers: { ...OWNER, 'direct-host': 'other' } })).toMatchObject(offline);
  });
});

describe('the end', () => {
  test('by the client: the upstream sees code and reason', async () => {
    const path = '/v1/realtime?bye';
    const client = await Client.open(path);
    client.socket.close(4001, 'bye');
    expect(await client.closed).toEqual([4001, 'bye']);
    await expect.poll(() => seen(path)[0]?.closed).toEqual({ code: 4001, reason: 'bye' });
  });

  test('by the upstream: the client sees code and reason', async () => {
    const client = await Client.open('/v1/realtime?enough');
    client.socket.send('close 4002 enough');
    expect(await client.closed).toEqual([4002, 'enough']);
  });

  test('the upstream crashes: 1011, and not a normal end', async () => {
    const client = await Client.open('/v1/realtime?kill');
    client.socket.send('kill');
    expect(await client.closed).toEqual([1011, expect.stringContaining('E_UPSTREAM_FAILED')]);
  });

  test('the client is lost: so is the upstream’s client', async () => {
    const path = '/v1/realtime?lost';
    const { socket } = await Client.open(path);
    socket.terminate();
    await expect.poll(() => seen(path)[0]?.closed).toEqual({ code: 1006, reason: '' });
  });

  describe('because the agent stops', () => {
    afterEach(() => stack.startAgent());

    test('1012 for the client, the end for the upstream, 503 for the next', async () => {
      const path = '/v1/realtime?stop';
      const client = await Client.open(path);
      await stack.stopAgent();
      expect(await client.closed).toEqual([1012, expect.stringMatching(/^E_(PATH_LOST|GOING_AWAY)/)]);
      await expect.poll(() => seen(path)[0]?.closed?.code).toBe(1006);
      expect(await refused(path)).toMatchObject({ status: 503, json: { error: { code: 'E_HOST_OFFLINE' } } });
    });
  });
});
