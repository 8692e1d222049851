import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { HOST_OFFLINE_AFTER_MS, MAX_MESSAGE_BYTES, MAX_RELAYS, SIGNALING_SESSION_TTL_MS } from '../shared/limits.ts';
import { asOwner, loggedIn } from './test-account.ts';
import { echoPath, TestAgent } from './test-agent.ts';
import {
  agentPoll,
  base,
  type Call,
  call,
  codeOf,
  hostStub,
  newHost,
  newSession,
  OWNER,
  openSocket,
  post,
} from './test-edge.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

/** A client's end of a relay. */
class RelayClient {
  readonly received: (Uint8Array | string)[] = [];
  pongs = 0;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener('message', ({ data }) => {
      if (data === 'pong') this.pongs += 1;
      else this.received.push(typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer));
    });
    socket.binaryType = 'arraybuffer';
    socket.accept();
  }

  static async attach(host: string, session: string, options: Call = {}): Promise<RelayClient> {
    const path = `${base(host)}/relay?session_id=${session}`;
    const { status, webSocket } = await call(path, { headers: { Upgrade: 'websocket' }, ...options });
    if (webSocket === null) throw new Error(`no WebSocket: ${status}`);
    return new RelayClient(webSocket);
  }

  send(message: Uint8Array | string): void {
    this.socket.send(message);
  }
}

const evict = (host: string) => evictDurableObject(hostStub(host));
const setClock = (host: string, ms: number) =>
  runInDurableObject(hostStub(host), (object) => {
    object.now = () => Date.now() + ms;
  });

const stopClock = (host: string, at: number) =>
  runInDurableObject(hostStub(host), (object) => {
    object.now = () => at;
  });

/** A host with its agent, and a client on a relay whose channel the agent has seen. */
async function relayed() {
  const host = newHost();
  const agent = await TestAgent.connect(host);
  const { client, channel, session } = await another(host, agent);
  return { host, agent, client, channel, session };
}

async function another(host: string, agent: TestAgent) {
  const { session_id: session } = await newSession(host);
  const before = agent.opened.length;
  const client = await RelayClient.attach(host, session);
  await expect.poll(() => agent.opened.length).toBe(before + 1);
  return { client, session, channel: agent.opened.at(-1) ?? 0 };
}

/** Messages pass both ways. */
async function expectAlive({ agent, client, channel }: { agent: TestAgent; client: RelayClient; channel: number }) {
  const [there, back] = [agent.received.length, client.received.length];
  client.send(bytes(1, 2, 3));
  await expect.poll(() => agent.received.length).toBe(there + 1);
  expect(agent.received.at(-1)).toEqual({ channel, message: bytes(1, 2, 3) });
  agent.send(channel, bytes(4, 5));
  await expect.poll(() => client.received.length).toBe(back + 1);
  expect(client.received.at(-1)).toEqual(bytes(4, 5));
}

describe('a relay', () => {
  it('opens a channel that says so, and carries bytes as they are, in order, both ways', async () => {
    const { agent, client, channel, session } = await relayed();
    const who = { grant: { subject: 'owner' }, from: expect.stringMatching(/^[A-Za-z0-9_-]{16}$/) };
    expect(agent.opens).toEqual([{ type: 'channel_open', channel, session_id: session, relay: true, ...who }]);
    for (let n = 0; n < 100; n++) {
      client.send(bytes(n, 255));
      agent.send(channel, bytes(n, 0));
    }
    await expect.poll(() => [agent.received.length, client.received.length]).toEqual([100, 100]);
    expect(agent.received.map(({ message }) => message)).toEqual(Array.from({ length: 100 }, (_, n) => bytes(n, 255)));
    expect(client.received).toEqual(Array.from({ length: 100 }, (_, n) => bytes(n, 0)));
  });

  it('has its first message at the agent after its channel, though nobody waits', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const { session_id } = await newSession(host);
    (await RelayClient.attach(host, session_id)).send(bytes(7));
    await expect.poll(() => agent.received).toEqual([{ channel: agent.opened[0], message: bytes(7) }]);
  });

  it('carries the longest message both ways', async () => {
    const { agent, client, channel } = await relayed();
    const longest = crypto.getRandomValues(new Uint8Array(MAX_MESSAGE_BYTES));
    client.send(longest);
    await expect.poll(() => agent.received).toEqual([{ channel, message: longest }]);
    agent.send(channel, longest);
    await expect.poll(() => client.received).toEqual([longest]);
  });

  it('is one of several, which get their own messages only', async () => {
    const first = await relayed();
    const second = { ...first, ...(await another(first.host, first.agent)) };
    await expectAlive(first);
    await expectAlive(second);
    expect([first.client.received, second.client.received]).toEqual([[bytes(4, 5)], [bytes(4, 5)]]);
    first.client.socket.close(1000);
    await expect.poll(() => first.agent.closed).toContain(first.channel);
    await expectAlive(second);
  });

  it('works beside the tunnel', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echoPath);
    const { channel } = await another(host, agent);
    const response = await call('/v1/x', { token: OWNER, headers: { 'Direct-Host': host } });
    expect(await response.text()).toBe('/v1/x');
    const tunnelled = agent.opens.find((opened) => opened.relay !== true);
    // Which tells them apart after an eviction.
    expect([channel % 2, (tunnelled?.channel ?? 1) % 2]).toEqual([1, 0]);
  });

  it('writes nothing to storage for a message', async () => {
    const { host, agent, client, channel } = await relayed();
    const rows = () => runInDurableObject(hostStub(host), (_object, { storage }) => storage.sql.databaseSize);
    const written = () =>
      runInDurableObject(hostStub(host), (_object, { storage }) =>
        storage.sql.exec<{ n: number }>('SELECT total_changes() AS n').one(),
      );
    const before = [await rows(), await written()];
    for (let n = 0; n < 50; n++) {
      client.send(bytes(n));
      agent.send(channel, bytes(n));
    }
    await expect.poll(() => [agent.received.length, client.received.length]).toEqual([50, 50]);
    expect([await rows(), await written()]).toEqual(before);
  });
});

describe('an idle relay', () => {
  it('lets the object be evicted, and both sockets go on', async () => {
    const idle = await relayed();
    for (let n = 0; n < 3; n++) {
      await setClock(idle.host, 5000 + n);
      await evict(idle.host);
      // The clock was a field of the object that is gone.
      expect(await runInDurableObject(hostStub(idle.host), (object) => object.now === Date.now)).toBe(true);
      await evict(idle.host);
      await expectAlive(idle);
    }
    expect([idle.agent.opened.length, idle.agent.closed]).toEqual([1, []]);
  });

  it('is evicted by the runtime itself, pings included, and goes on', async () => {
    const idle = await relayed();
    await expectAlive(idle);
    const ended = Date.now() + 13_000;
    while (Date.now() < ended) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      idle.client.send('ping');
      idle.agent.socket.send('ping');
    }
    // Evicting an object that does not run fails.
    await expect(evict(idle.host)).rejects.toThrow();
    await expectAlive(idle);
    expect(idle.client.pongs).toBeGreaterThan(10);
  }, 30_000);

  it.each(['client', 'agent'] as const)('whose %s leaves after an eviction ends at the other end', async (side) => {
    const { host, agent, client, channel } = await relayed();
    await evict(host);
    if (side === 'client') {
      client.socket.close(1000);
      await expect.poll(() => agent.closed).toContain(channel);
      expect((await client.closed).code).toBe(1000);
    } else {
      agent.close(channel);
      expect((await client.closed).code).toBe(4015);
    }
  });
});

describe('attaching', () => {
  const outcome = async (host: string, session: string, options: Call = {}) =>
    (await (await RelayClient.attach(host, session, options)).closed).code;

  it('needs a session that this host admitted less than 60 s ago', async () => {
    const { host, agent, session } = await relayed();
    const stranger = newHost();
    await TestAgent.connect(stranger);
    const before = agent.opened.length;
    expect(await outcome(host, 'unknown')).toBe(4408);
    expect(await outcome(host, '')).toBe(4408);
    expect(await outcome(host, 'a.b')).toBe(4408);
    expect(await outcome(stranger, session)).toBe(4408);
    await setClock(host, SIGNALING_SESSION_TTL_MS + 1000);
    expect(await outcome(host, session)).toBe(4408);
    expect(agent.opened.length).toBe(before);
  });

  it('may come before its session, which it waits for', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const session_id = `chosen-by-the-client-${host}`.slice(0, 64);
    const attaching = RelayClient.attach(host, session_id);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(agent.opened).toEqual([]);
    expect((await newSession(host, { session_id })).session_id).toBe(session_id);
    const client = await attaching;
    await expect.poll(() => agent.opened.length).toBe(1);
    client.socket.close(1000);
  });

  it('finds the session after an eviction, and keeps no id in storage', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const { session_id } = await newSession(host);
    await evict(host);
    const kept = await runInDurableObject(hostStub(host), (_object, { storage }) =>
      JSON.stringify([...storage.kv.list()]),
    );
    expect(kept).toContain('sessionKey');
    expect(kept).not.toContain(session_id);
    await RelayClient.attach(host, session_id);
    await expect.poll(() => agent.opened.length).toBe(1);
  });

  it('says whose it is, and from where without saying the address', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const opens = [];
    for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2']) {
      const { session_id } = await newSession(host, undefined, {
        token: OWNER,
        headers: { 'CF-Connecting-IP': address },
      });
      await RelayClient.attach(host, session_id);
      await expect.poll(() => agent.opens.length).toBe(opens.length + 1);
      opens.push(agent.opens.at(-1));
    }
    const [first, again, other] = opens;
    expect(first).toMatchObject({
      grant: { subject: 'owner' },
      from: expect.stringMatching(/^[A-Za-z0-9_-]{16}$/),
    });
    expect([again?.from === first?.from, other?.from === first?.from]).toEqual([true, false]);
  });

  it('is for sessions with a credential only, also where anybody may signal', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const env = { OPEN_HOSTS: host };
    const theirs = await newSession(host, undefined, { env });
    expect(await outcome(host, theirs.session_id, { env, headers: { Upgrade: 'websocket' } })).toBe(4401);
    const mine = await newSession(host, undefined, { env, token: OWNER });
    const client = await RelayClient.attach(host, mine.session_id);
    await expect.poll(() => agent.opened.length).toBe(1);
    await expectAlive({ agent, client, channel: agent.opened[0] ?? 0 });
  });

  it('fails while the host is offline', async () => {
    const { host, agent, session } = await relayed();
    agent.socket.close(1001);
    await agent.lost;
    expect(await outcome(host, session)).toBe(4004);
  });

  it('needs an upgrade, and GET', async () => {
    const { host, session } = await relayed();
    const plain = await call(`${base(host)}/relay?session_id=${session}`);
    expect([plain.status, await codeOf(plain)]).toEqual([400, 'E_BAD_REQUEST']);
    const posted = await call(`${base(host)}/relay?session_id=${session}`, { method: 'POST' });
    expect([posted.status, await codeOf(posted)]).toEqual([405, 'E_METHOD']);
  });

  it('counts wrong ids against the coarse limit, and right ones not', async () => {
    const { host, session } = await relayed();
    const limited = {
      env: { COARSE_LIMIT: { limit: () => Promise.resolve({ success: false }) } },
      headers: { Upgrade: 'websocket' },
    };
    const guessed = await call(`${base(host)}/relay?session_id=guess`, limited);
    expect([guessed.status, await codeOf(guessed)]).toEqual([429, 'E_RATE_LIMITED']);
    expect((await call(`${base(host)}/relay?session_id=${session}`, limited)).status).toBe(101);
  });

  it('a second time replaces the first one, asleep or not', async () => {
    const { host, agent, client, channel, session } = await relayed();
    await evict(host);
    const again = await RelayClient.attach(host, session);
    expect((await client.closed).code).toBe(4409);
    await expect.poll(() => agent.closed).toContain(channel);
    await expect.poll(() => agent.opened.length).toBe(2);
    await expectAlive({ agent, client: again, channel: agent.opened[1] ?? 0 });
  });

  it('stops at the limit, and begins again when one leaves', async () => {
    const { host, agent, client, channel } = await relayed();
    for (let n = 1; n < MAX_RELAYS; n++) await another(host, agent);
    const { session_id } = await newSession(host);
    const refused = await (await RelayClient.attach(host, session_id)).closed;
    expect(refused).toEqual({ code: 4005, reason: expect.stringContaining(`${MAX_RELAYS} relays`) });
    expect(agent.opened.length).toBe(MAX_RELAYS);
    client.socket.close(1000);
    await expect.poll(() => agent.closed).toContain(channel);
    const late = await RelayClient.attach(host, session_id);
    await expect.poll(() => agent.opened.length).toBe(MAX_RELAYS + 1);
    await expectAlive({ agent, client: late, channel: agent.opened.at(-1) ?? 0 });
  });

  it('at the limit, takes the places of clients that vanished: they do not ping', async () => {
    const { host, agent, client, channel } = await relayed();
    const dead = await Promise.all(Array.from({ length: MAX_RELAYS - 1 }, () => newSession(host)));
    const clients = await Promise.all(dead.map(({ session_id }) => RelayClient.attach(host, session_id)));
    await expect.poll(() => agent.opened.length).toBe(MAX_RELAYS);
    const attachedAt = Date.now();
    await expect.poll(() => Date.now() - attachedAt).toBeGreaterThan(700);
    client.send('ping');
    agent.socket.send('ping');
    await expect.poll(() => [client.pongs, agent.pongs]).toEqual([1, 1]);
    // It stands still: the pings were at least 700 ms after that, however long all this takes.
    await stopClock(host, attachedAt + HOST_OFFLINE_AFTER_MS + 300);
    const { session_id } = await newSession(host);
    await RelayClient.attach(host, session_id);
    await setClock(host, 0);
    expect(new Set(await Promise.all(clients.map(async ({ closed }) => (await closed).code)))).toEqual(new Set([4015]));
    await expect.poll(() => agent.closed.length).toBeGreaterThanOrEqual(MAX_RELAYS - 1);
    expect(agent.closed).not.toContain(channel);
    await expectAlive({ agent, client, channel });
  });
});

describe('an agent', () => {
  it.each([
    ['is lost', (agent: TestAgent) => agent.socket.close(1001)],
    ['breaks the protocol', (agent: TestAgent) => agent.socket.send(bytes(0))],
  ])('that %s ends all relays', async (_name, end) => {
    const { host, agent, client } = await relayed();
    const other = await another(host, agent);
    await evict(host);
    end(agent);
    expect([(await client.closed).code, (await other.client.closed).code]).toEqual([4004, 4004]);
  });

  it('that is replaced ends its relays, and not those of the next one', async () => {
    const { host, agent, client, session } = await relayed();
    await evict(host);
    const next = await TestAgent.connect(host);
    expect((await client.closed).code).toBe(4004);
    const again = await RelayClient.attach(host, session);
    await expect.poll(() => next.opened.length).toBe(1);
    expect(await agent.lost).toBe(4409);
    await expectAlive({ agent: next, client: again, channel: next.opened[0] ?? 0 });
  });

  it('that went silent is found out by the next message', async () => {
    const { host, agent, client } = await relayed();
    await setClock(host, HOST_OFFLINE_AFTER_MS + 5000);
    client.send(bytes(1));
    expect([(await client.closed).code, await agent.lost]).toEqual([4004, 4015]);
    expect(agent.received).toEqual([]);
  });

  it('is told of a channel that is over, by an object that was evicted too', async () => {
    const { host, agent, client, channel } = await relayed();
    client.socket.close(1000);
    await client.closed;
    await evict(host);
    const before = agent.closed.length;
    agent.send(channel, bytes(1));
    await expect.poll(() => agent.closed.length).toBe(before + 1);
    agent.close(channel);
    expect((await agentPoll(host)).status).toBe(204);
  });
});

describe('a hostile client', () => {
  it.each([
    ['text', 'hello'],
    ['JSON', '{"type":"channel_close","channel":1}'],
    ['an empty message', new Uint8Array()],
    ['a message over the limit', new Uint8Array(MAX_MESSAGE_BYTES + 1)],
  ])('loses its socket for %s, and nobody else anything', async (_name, message) => {
    const { host, agent, client, channel } = await relayed();
    const other = await another(host, agent);
    client.send(message);
    expect((await client.closed).code).toBe(4000);
    await expect.poll(() => agent.closed).toContain(channel);
    expect(agent.received).toEqual([]);
    await expectAlive({ agent, ...other });
  });

  it('sends nothing after that', async () => {
    const { agent, client, channel } = await relayed();
    client.send('hello');
    for (let n = 0; n < 20; n++) client.send(bytes(n));
    expect((await client.closed).code).toBe(4000);
    await expect.poll(() => agent.closed).toContain(channel);
    expect(agent.received).toEqual([]);
  });

  it('that floods has all of it delivered, or is cut, and the object lives', async () => {
    const { host, agent, client, channel } = await relayed();
    const other = await another(host, agent);
    for (let n = 0; n < 16; n++) client.send(new Uint8Array(MAX_MESSAGE_BYTES).fill(n));
    await expect.poll(() => agent.received.length).toBe(16);
    expect(agent.received.map(({ message }) => message[0])).toEqual(Array.from({ length: 16 }, (_, n) => n));
    client.send(new Uint8Array(1024 * 1024));
    expect((await client.closed).code).toBe(4000);
    await expect.poll(() => agent.closed).toContain(channel);
    await expectAlive({ agent, ...other });
  });
});

it('keeps relays and sessions for the owner, however many a key takes', async () => {
  const { host_id: host, access_token } = await loggedIn('Shared');
  await openSocket(`${base(host)}/signal`, { token: access_token });
  const made = await asOwner('/keys', { method: 'POST', body: { name: 'x', hosts: [host] } });
  const { key } = await made.json<{ key: string }>();
  const begin = (token: string) => post(`${base(host)}/session`, {}, { token });
  const attach = async (token: string) => {
    const { session_id } = await (await begin(token)).json<{ session_id: string }>();
    return openSocket(`${base(host)}/relay?session_id=${session_id}`);
  };
  for (let n = 0; n < 6; n++) await attach(key);
  expect(await (await attach(key)).closed).toMatchObject({ code: 4005 });
  for (let n = 7; n < 90; n++) await begin(key);
  expect(await codeOf(await begin(key))).toBe('E_RATE_LIMITED');
  const own = await attach(OWNER);
  const first = await Promise.race([own.closed, new Promise((resolve) => setTimeout(resolve, 100, 'open'))]);
  expect(first).toBe('open');
});
