import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { encodeEnvelope } from '../shared/channel.ts';
import { MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, MAX_POLL_QUEUE_BYTES } from '../shared/limits.ts';
import { echoPath, PollingAgent, type Script, TestAgent } from './test-agent.ts';
import {
  AGENT,
  agentPoll,
  agentSocket,
  answer,
  base,
  type Call,
  call,
  clientPoll,
  codeOf,
  hostStub,
  newHost,
  newSession,
  OWNER,
  offer,
  SDP,
} from './test-edge.ts';

const ask = (host: string, path: string, options: Call = {}) =>
  call(path, { token: OWNER, ...options, headers: { 'Direct-Host': host, ...options.headers } });
const sessions = (host: string) => runInDurableObject(hostStub(host), (object) => object.tunnel.size);
const set = (host: string, values: { pollPresenceMs?: number; now?: () => number }) =>
  runInDurableObject(hostStub(host), (object) => void Object.assign(object, values));
const silent: Script = () => new Promise(() => {});
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A relay's client, whose messages and close code can be waited for. */
async function relayClient(host: string) {
  const { session_id } = await newSession(host);
  const path = `${base(host)}/relay?session_id=${session_id}`;
  const { webSocket } = await call(path, { headers: { Upgrade: 'websocket' } });
  if (webSocket === null) throw new Error('no WebSocket');
  const received: Uint8Array[] = [];
  webSocket.binaryType = 'arraybuffer';
  webSocket.addEventListener('message', ({ data }) => void received.push(new Uint8Array(data as ArrayBuffer)));
  const closed = new Promise<number>((resolve) => webSocket.addEventListener('close', ({ code }) => resolve(code)));
  webSocket.accept();
  return { socket: webSocket, received, closed };
}

describe('through an agent that polls, the tunnel', () => {
  it('answers requests, several at a time', async () => {
    const host = newHost();
    const agent = await PollingAgent.start(host, echoPath);
    const paths = Array.from({ length: 20 }, (_, n) => `/v1/${n}`);
    const answers = await Promise.all(paths.map(async (path) => (await ask(host, path)).text()));
    expect(answers).toEqual(paths);
    await expect.poll(() => agent.closed.length).toBe(agent.opened.length);
    expect(await sessions(host)).toBe(0);
    agent.stop();
  });

  it('streams tokens as they come', async () => {
    const host = newHost();
    const tokens = ['one', 'two', 'three'];
    const read = tokens.map(() => Promise.withResolvers<void>());
    const agent = await PollingAgent.start(host, async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      for (const [i, token] of tokens.entries()) {
        await exchange.sendData(new TextEncoder().encode(token));
        // The next one only after the client has this one.
        await read[i]?.promise;
      }
      exchange.finish();
    });
    const reader = (await ask(host, '/v1/x')).body?.getReader();
    for (const [i, token] of tokens.entries()) {
      expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(token);
      read[i]?.resolve();
    }
    expect((await reader?.read())?.done).toBe(true);
    agent.stop();
  });

  it('carries megabytes both ways', async () => {
    const host = newHost();
    const agent = await PollingAgent.start(host, async (exchange) => {
      const pieces: Uint8Array[] = [];
      for (let piece = await exchange.readData(); piece !== null; piece = await exchange.readData()) {
        pieces.push(piece.slice());
      }
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      for (const piece of pieces) await exchange.sendData(piece);
      exchange.finish();
    });
    const body = new Uint8Array(3_000_000);
    for (let at = 0; at < body.length; at += 65_536) crypto.getRandomValues(body.subarray(at, at + 65_536));
    const response = await ask(host, '/v1/x', { method: 'POST', body });
    const echoed = new Uint8Array(await response.arrayBuffer());
    expect(echoed.length).toBe(body.length);
    expect(await crypto.subtle.digest('SHA-256', echoed)).toEqual(await crypto.subtle.digest('SHA-256', body));
    expect(new Set([...agent.polls, ...agent.posts])).toEqual(new Set([200, 204]));
    agent.stop();
  });

  it('tells an agent at once that its polls are answered, and holds the next one', async () => {
    const host = newHost();
    const query = '?batch=1&channels=a&after=0';
    expect((await agentPoll(host, query, { env: { POLL_HOLD_MS: '9000' } })).status).toBe(204);
    const next = agentPoll(host, query, { env: { POLL_HOLD_MS: '300' } });
    await expect.poll(() => runInDurableObject(hostStub(host), (object) => object.poll.waiting)).toBe(true);
    expect((await next).status).toBe(204);
  });

  it('wakes a waiting poll at once, and one answer holds what one event causes', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    const waiting = call(`${base(host)}/signal?batch=1&channels=${agent.id}&after=0`, {
      token: AGENT,
      env: { POLL_HOLD_MS: '9000' },
    });
    await expect.poll(() => runInDurableObject(hostStub(host), (object) => object.poll.waiting)).toBe(true);
    const response = ask(host, '/v1/x');
    expect((await waiting).status).toBe(200);
    await agent.poll();
    // channel_open, then HELLO and the head.
    expect([agent.opened.length, agent.received.length]).toEqual([1, 1]);
    agent.close(agent.opened[0] ?? 0);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
  });

  it('polls as before for an agent that does not ask for channels', async () => {
    const host = newHost();
    await agentPoll(host);
    const response = await ask(host, '/v1/x');
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('it can only poll')]);
  });
});

describe('through an agent that polls, the relay', () => {
  it('carries bytes both ways, and ends with either side', async () => {
    const host = newHost();
    const agent = await PollingAgent.start(host);
    const client = await relayClient(host);
    await expect.poll(() => agent.opens).toMatchObject([{ relay: true }]);
    const [channel = 0] = agent.opened;
    const longest = new Uint8Array(MAX_MESSAGE_BYTES).fill(7);
    client.socket.send(longest);
    await expect.poll(() => agent.received).toEqual([{ channel, message: longest }]);
    agent.send(channel, longest);
    await expect.poll(() => client.received).toEqual([longest]);
    agent.close(channel);
    expect(await client.closed).toBe(4015);
    const next = await relayClient(host);
    await expect.poll(() => agent.opened.length).toBe(2);
    next.socket.close(1000);
    await expect.poll(() => agent.closed).toContain(agent.opened[1]);
    agent.stop();
  });
});

describe('signals', () => {
  it('come in the same answers, and go in the same POSTs', async () => {
    const host = newHost();
    const agent = await PollingAgent.start(host);
    const { session_id } = await newSession(host, { offer: SDP });
    await expect.poll(() => agent.signals).toMatchObject([[offer(session_id)]]);
    agent.transmit(JSON.stringify(answer(session_id)));
    await expect.poll(async () => (await clientPoll(host, session_id)).body).toEqual(answer(session_id));
    agent.stop();
  });
});

describe('a connection by polls', () => {
  it('repeats an answer that was lost, and takes a repeated POST once', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    const client = await relayClient(host);
    client.socket.send(new Uint8Array([1]));
    const first = await agent.poll();
    const again = await agent.poll(0);
    expect(new Uint8Array(await again.arrayBuffer())).toEqual(new Uint8Array(await first.arrayBuffer()));
    const message = encodeEnvelope(agent.opened[0] ?? 0, new Uint8Array([2]));
    expect((await agent.post([message], 1)).status).toBe(204);
    expect((await agent.post([message], 1)).status).toBe(204);
    expect((await agent.post([message], 2)).status).toBe(204);
    await expect.poll(() => client.received.length).toBe(2);
  });

  it.each([
    ['an answer', (agent: PollingAgent) => agent.poll(7)],
    ['a POST', (agent: PollingAgent) => agent.post([], 3)],
  ])('is over when %s is missing', async (_name, skip) => {
    const host = newHost();
    const agent = await PollingAgent.start(host, silent);
    const client = await relayClient(host);
    await expect.poll(() => agent.opened.length).toBe(1);
    agent.stop();
    const response = await skip(agent);
    expect([response.status, await codeOf(response)]).toEqual([404, 'E_SESSION_UNKNOWN']);
    expect(await client.closed).toBe(4004);
    expect((await agent.poll()).status).toBe(404);
  });

  it('is over when the polls stop', async () => {
    const host = newHost();
    const agent = await PollingAgent.start(host, silent);
    await set(host, { pollPresenceMs: 300 });
    const other = new PollingAgent(host, silent);
    agent.stop();
    await other.poll();
    const client = await relayClient(host);
    const response = ask(host, '/v1/x');
    // The relay and the tunnel, which need not come together.
    while (other.opened.length < 2) await other.poll();
    expect(await client.closed).toBe(4004);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
    expect((await other.poll()).status).toBe(404);
    expect((await other.post([])).status).toBe(404);
  });

  it('is over when another begins, and with it what it carried: its agent is told so, and stops', async () => {
    const host = newHost();
    const first = await PollingAgent.start(host, silent);
    const response = ask(host, '/v1/x');
    await expect.poll(() => first.opened.length).toBe(1);
    const waiting = () => runInDurableObject(hostStub(host), (object) => object.poll.waiting);
    await expect.poll(waiting).toBe(true);
    const second = await PollingAgent.start(host, echoPath);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
    await expect.poll(() => first.polls.at(-1)).toBe(409);
    expect(await (await ask(host, '/v1/y')).text()).toBe('/v1/y');
    second.stop();
  });

  it('is over when the agent comes back by WebSocket, which gets the next request', async () => {
    const host = newHost();
    const polling = await PollingAgent.start(host, silent);
    const client = await relayClient(host);
    const response = ask(host, '/v1/x');
    await expect.poll(() => polling.opened.length).toBe(2);
    const agent = await TestAgent.connect(host, echoPath);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
    expect(await client.closed).toBe(4004);
    expect(await (await ask(host, '/v1/y')).text()).toBe('/v1/y');
    await expect.poll(() => polling.polls.at(-1)).toBe(404);
    expect(agent.opened.length).toBe(1);
  });

  it('is over when the object has lost its memory, as by a deploy, and begins anew', async () => {
    const host = newHost();
    const agent = new PollingAgent(host, silent);
    await agent.poll();
    const client = await relayClient(host);
    await agent.poll();
    expect(agent.opened.length).toBe(1);
    await runInDurableObject(hostStub(host), (_object, ctx) => ctx.abort('as by a deploy')).catch(() => {});
    await client.closed;
    expect((await agent.post([])).status).toBe(404);
    expect((await agent.poll()).status).toBe(404);
    const next = await PollingAgent.start(host, echoPath);
    expect(await (await ask(host, '/v1/x')).text()).toBe('/v1/x');
    next.stop();
  });

  it('does not begin with a poll that a WebSocket has just overtaken, and does with a later one', async () => {
    const host = newHost();
    await TestAgent.connect(host, echoPath);
    const polling = new PollingAgent(host, silent);
    expect((await polling.poll()).status).toBe(204);
    expect(await (await ask(host, '/v1/x')).text()).toBe('/v1/x');
    await later(200);
    await polling.poll();
    const response = ask(host, '/v1/y');
    await polling.poll();
    await expect.poll(() => polling.opened.length).toBe(1);
    polling.close(polling.opened[0] ?? 0);
    expect((await response).status).toBe(502);
  });

  it('ends when too much waits for the next poll, and the object lives', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    const client = await relayClient(host);
    const piece = new Uint8Array(MAX_MESSAGE_BYTES);
    for (let sent = 0; sent <= MAX_POLL_QUEUE_BYTES; sent += piece.length) client.socket.send(piece);
    expect(await client.closed).toBe(4004);
    const next = await PollingAgent.start(host);
    (await relayClient(host)).socket.send(piece);
    await expect.poll(() => next.received.length).toBe(1);
    next.stop();
  });

  it('does not end a poll early for what an earlier one has taken', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    await newSession(host, { offer: SDP });
    await relayClient(host);
    expect((await agent.poll()).status).toBe(200);
    const started = Date.now();
    expect((await agent.poll()).status).toBe(204);
    // The whole hold of these tests, less what clocks differ.
    expect(Date.now() - started).toBeGreaterThan(100);
  });
});

describe('POST /channels', () => {
  const post = (host: string, query: string, options: Call = {}) =>
    call(`${base(host)}/channels${query}`, { method: 'POST', token: AGENT, ...options });

  it.each([
    ['without a connection', '?number=1', 400],
    ['without a number', '?channels=a', 400],
    ['with a number that is none', '?channels=a&number=1e3', 400],
    ['for a connection that is not there', '?channels=a&number=1', 404],
  ])('is refused %s', async (_name, query, status) => {
    expect((await post(newHost(), query)).status).toBe(status);
  });

  it('is for the agent only', async () => {
    for (const [token, code] of [
      [OWNER, 'E_FORBIDDEN'],
      ['wrong', 'E_UNAUTHORIZED'],
    ] as const) {
      expect(await codeOf(await post(newHost(), '?channels=a&number=1', { token }))).toBe(code);
    }
    expect((await call(`${base('home')}/channels`, { token: AGENT })).status).toBe(405);
  });

  it('is refused with too much, and ends the connection with garbage', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    const client = await relayClient(host);
    const query = `?channels=${agent.id}&number=1`;
    expect((await post(host, query, { body: new Uint8Array(MAX_BATCH_BYTES + 1) })).status).toBe(413);
    const garbage = await post(host, query, { body: new Uint8Array([9, 9, 9]) });
    expect([garbage.status, await codeOf(garbage)]).toEqual([400, 'E_PROTOCOL']);
    expect(await client.closed).toBe(4004);
  });

  it('and a poll with a count that is none, are refused', async () => {
    const response = await call(`${base(newHost())}/signal?channels=a&after=x`, { token: AGENT });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('does not disturb an agent with a WebSocket', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    expect((await post(host, '?channels=a&number=1')).status).toBe(404);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id });
  });
});
