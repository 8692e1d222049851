import { describe, expect, test } from 'vitest';
import type { AgentExchange } from '../../shared/exchange.ts';
import { MAX_PATH_PROOF_MS, RELAY_RETRY_DELAYS_MS } from '../../shared/limits.ts';
import { type Client, type ConnectOptions, connect } from './connect.ts';
import { TestEdge, WEBRTC_MS } from './test-edge.ts';
import { failure, ORIGIN, reply } from './test-host.ts';

const SECOND = 1_000;

interface Observed {
  edge: TestEdge;
  client: Client;
  /** Every path that the client told of, in order. */
  paths: string[];
}

function connected(edge = new TestEdge(), options: Partial<ConnectOptions> = {}): Observed {
  const client = connect({ url: ORIGIN, host: 'home', token: 'owner', environment: edge.environment, ...options });
  const paths: string[] = [];
  client.on('path', (path) => paths.push(path));
  return { edge, client, paths };
}

/** A client that has moved to the direct path, with the relay beside it. */
async function direct(edge = new TestEdge()): Promise<Observed> {
  const observed = connected(edge);
  await edge.clock.advance(500);
  expect(observed.paths.splice(0)).toEqual(['relay', 'direct']);
  return observed;
}

/** From now on the agent answers with numbered lines, one every 100 ms; returns what must arrive. */
function lines(edge: TestEdge, count: number): string {
  edge.answer = async (exchange: AgentExchange) => {
    await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    for (let n = 0; n < count; n++) {
      await exchange.sendData(new TextEncoder().encode(`line ${n}\n`));
      await new Promise<void>((resolve) => edge.clock.timer(100, resolve));
    }
    exchange.finish();
  };
  return Array.from({ length: count }, (_, n) => `line ${n}\n`).join('');
}

/** Asks for `lines`, and reads them as they come. */
async function reading(edge: TestEdge, client: Client): Promise<{ text: Promise<string> }> {
  const response = client.fetch('/v1/x', { method: 'POST', body: 'prompt' });
  await edge.clock.advance(200);
  return { text: (await response).text() };
}

describe('the paths of a session', () => {
  test('are the relay first and then the direct one, each with its round-trip time', async () => {
    const edge = new TestEdge();
    edge.delays.relay = 40;
    edge.delays.direct = 5;
    const { client, paths } = connected(edge);
    const times: [string, number][] = [];
    client.on('rtt', (ms) => times.push([client.path, ms]));
    await edge.clock.advance(WEBRTC_MS - 1);
    expect([paths, client.rtt]).toEqual([['relay'], 80]);
    await edge.clock.advance(30);
    expect([paths, client.rtt]).toEqual([['relay', 'direct'], 10]);
    expect(times.slice(0, 2)).toEqual([
      ['relay', 80],
      ['direct', 10],
    ]);
    edge.connection.become('failed');
    await edge.clock.advance(0);
    expect([paths.at(-1), client.rtt]).toEqual(['relay', 80]);
  });

  test('that die together cost one doubt: a relay that rested is asked, and replaced, as soon as it is used', async () => {
    const { edge, client } = await direct();
    const whole = lines(edge, 60);
    const { text } = await reading(edge, client);
    edge.connection.channel.cut();
    edge.relay.cut();
    // Silence, PING and no answer, half a second for the relay.
    await edge.clock.advance(3 * SECOND + 600);
    expect([client.path, edge.relays.length, edge.relays[0]?.readyState]).toEqual(['relay', 2, 2]);
    await edge.clock.advance(5 * SECOND);
    expect([await text, edge.agent.heads.length]).toEqual([whole, 1]);
  });

  test('are of one session, whose first signaling session serves both', async () => {
    const { edge } = await direct();
    expect([edge.agent.accepted, edge.agent.sessions.length]).toEqual([{ direct: 1, turn: 0, relay: 1 }, 1]);
    expect(edge.requests.filter(({ path }) => path.endsWith('/session'))).toHaveLength(1);
  });

  test('change under a stream, which goes on byte by byte', async () => {
    const edge = new TestEdge();
    const expected = lines(edge, 50);
    const { client, paths } = connected(edge);
    const { text } = await reading(edge, client);
    await edge.clock.advance(10 * SECOND);
    expect(await text).toBe(expected);
    expect([paths, edge.agent.heads.length]).toEqual([['relay', 'direct'], 1]);
  });
});

describe('a direct path that dies', () => {
  test.each([
    ['closes', (edge: TestEdge) => edge.connection.channel.close()],
    ['fails', (edge: TestEdge) => edge.connection.become('failed')],
    ['falls silent', (edge: TestEdge) => edge.connection.channel.cut()],
  ])('because it %s leaves its streams to the relay, and comes back by itself', async (_, kill) => {
    const { edge, client, paths } = await direct();
    const expected = lines(edge, 200);
    const { text } = await reading(edge, client);
    kill(edge);
    await edge.clock.advance(4 * SECOND);
    expect(paths[0]).toBe('relay');
    await edge.clock.advance(40 * SECOND);
    expect(await text).toBe(expected);
    expect([paths, edge.agent.heads.length, edge.agent.sessions.length]).toEqual([['relay', 'direct'], 1, 1]);
  });

  test('while the relay has a long pause between attempts ends that pause for what runs', async () => {
    const { edge, client, paths } = await direct();
    edge.relayFate = 'refused';
    edge.relay.end(1006);
    // Until the pauses are the longest.
    await edge.clock.advance(300 * SECOND);
    const expected = lines(edge, 100);
    const { text } = await reading(edge, client);
    edge.relayFate = 'open';
    edge.connection.channel.close();
    await edge.clock.advance(SECOND);
    expect(paths.at(-1)).toBe('relay');
    await edge.clock.advance(30 * SECOND);
    expect([await text, edge.agent.heads.length]).toEqual([expected, 1]);
  });

  test('while a request has no answer yet costs that request nothing', async () => {
    const { edge, client } = await direct();
    const answer = Promise.withResolvers<void>();
    edge.answer = async (exchange) => {
      await answer.promise;
      await reply(exchange, 200, [], 'after all');
    };
    const response = client.fetch('/v1/x', { method: 'POST', body: 'prompt' });
    await edge.clock.advance(0);
    edge.connection.become('failed');
    await edge.clock.advance(0);
    answer.resolve();
    await edge.clock.advance(0);
    expect(await (await response).text()).toBe('after all');
    expect(edge.agent.heads).toHaveLength(1);
  });

  test('again and again is used ever later, and requests never fail', async () => {
    const { edge, client, paths } = await direct();
    const used: number[] = [];
    client.on('path', (path) => {
      if (path === 'direct') used.push(edge.clock.now());
    });
    for (let second = 0; second < 400; second++) {
      await edge.clock.advance(SECOND);
      if (client.path === 'direct' && second % 2 === 0) edge.connection.become('failed');
      const response = client.fetch('/v1/x', { method: 'POST' });
      await edge.clock.advance(0);
      expect(await (await response).text()).toBe('over the path');
    }
    const pauses = used.slice(1).map((at, i) => at - (used[i] ?? 0));
    expect(used.length).toBeLessThan(10);
    expect(pauses.at(-1)).toBeGreaterThan(MAX_PATH_PROOF_MS / 2);
    expect(new Set(paths)).toEqual(new Set(['relay', 'direct']));
  });
});

describe('a relay that dies beside the direct path', () => {
  test.each([
    ['closes', (edge: TestEdge) => edge.relay.end(1006)],
    ['falls silent', (edge: TestEdge) => edge.relay.cut()],
    ['is ended by the edge', (edge: TestEdge) => edge.relay.refuse('E_PATH_LOST')],
  ])('because it %s is not seen, and is there again when it is needed', async (_, kill) => {
    const { edge, client, paths } = await direct();
    const states: string[] = [];
    client.on('state', (state) => states.push(state));
    const expected = lines(edge, 600);
    const { text } = await reading(edge, client);
    kill(edge);
    await edge.clock.advance(40 * SECOND);
    expect([paths, states, edge.relays.length, client.error]).toEqual([[], [], 2, undefined]);
    edge.connection.become('failed');
    await edge.clock.advance(SECOND);
    expect(paths).toEqual(['relay']);
    await edge.clock.advance(30 * SECOND);
    expect(await text).toBe(expected);
  });

  test('and whose edge is away comes back with it', async () => {
    const { edge, paths } = await direct();
    edge.relayFate = 'refused';
    edge.relay.end(1006);
    await edge.clock.advance(100 * SECOND);
    expect(edge.relays.length).toBeLessThan(11);
    edge.relayFate = 'open';
    await edge.clock.advance(60 * SECOND);
    edge.connection.become('failed');
    await edge.clock.advance(0);
    expect(paths).toEqual(['relay']);
  });
});

describe('a relay in reserve', () => {
  test('rests while the direct path carries a long answer: its messages cost', async () => {
    const { edge, client } = await direct();
    const expected = lines(edge, 600);
    const { text } = await reading(edge, client);
    const before = edge.relay.messages.length;
    await edge.clock.advance(70 * SECOND);
    expect(await text).toBe(expected);
    expect(edge.relay.messages.length - before).toBe(0);
  });
});

describe('when no path works', () => {
  test('for five seconds, streams go on', async () => {
    const { edge, client } = await direct();
    const expected = lines(edge, 300);
    const { text } = await reading(edge, client);
    edge.cutAll();
    await edge.clock.advance(5 * SECOND);
    edge.repair();
    await edge.clock.advance(60 * SECOND);
    expect(await text).toBe(expected);
    expect([edge.agent.heads.length, edge.agent.sessions.length]).toEqual([1, 1]);
  });

  test('for some seconds, a request that is made meanwhile waits for the next path', async () => {
    const { edge, client } = await direct();
    edge.answer = (exchange) => reply(exchange, 200, [], 'over the path');
    edge.cutAll();
    edge.relayFate = 'refused';
    // Both ends are told, as by a network that is reset.
    edge.connection.channel.close();
    for (const relay of edge.relays) relay.end(1006);
    await edge.clock.advance(5 * SECOND);
    const response = client.fetch('/v1/x', { method: 'POST', body: 'prompt' });
    await edge.clock.advance(2 * SECOND);
    expect(edge.agent.heads).toEqual([]);
    edge.repair();
    await edge.clock.advance(20 * SECOND);
    expect(await (await response).text()).toBe('over the path');
    expect(edge.agent.heads.map(({ path }) => path)).toEqual(['/v1/x']);
    expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
  });

  test('for longer than a session lives, each stream fails once, and the next request finds a way', async () => {
    const { edge, client } = await direct();
    lines(edge, 10_000);
    const failed = failure((await reading(edge, client)).text);
    edge.cutAll();
    let settled = false;
    void failed.then(() => {
      settled = true;
    });
    await edge.clock.advance(50 * SECOND);
    expect(settled).toBe(false);
    await edge.clock.advance(30 * SECOND);
    expect((await failed).code).toBe('E_PATH_LOST');
    expect(await (await client.fetch('/v1/y')).text()).toBe('over https');
    edge.repair();
    edge.answer = (exchange) => reply(exchange, 200, [], 'over the path');
    edge.wake();
    await edge.clock.advance(2 * SECOND);
    const response = client.fetch('/v1/y');
    await edge.clock.advance(0);
    expect(await (await response).text()).toBe('over the path');
    expect(edge.agent.heads.filter(({ path }) => path === '/v1/x')).toHaveLength(1);
  });
});

describe('a relay that is lost before its first message has arrived', () => {
  test('takes no request with it: the direct path carries it, and it runs once', async () => {
    const edge = new TestEdge();
    edge.delays.relay = 40;
    edge.answer = (exchange) => reply(exchange, 200, [], 'over the path');
    const { client, paths } = connected(edge);
    const response = client.fetch('/v1/x', { method: 'POST', body: 'prompt' });
    while (edge.relays[0]?.messages.length !== 1) await edge.clock.advance(1);
    // The agent’s link is between two sockets just now.
    edge.relay.refuse('E_HOST_OFFLINE');
    edge.relayFate = 'E_HOST_OFFLINE';
    await edge.clock.advance(5 * SECOND);
    expect(await (await response).text()).toBe('over the path');
    expect(edge.agent.heads.map(({ path }) => path)).toEqual(['/v1/x']);
    expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
    expect(paths.at(-1)).toBe('direct');
  });

  test('of another agent takes it along, since that one may have run it', async () => {
    const edge = new TestEdge();
    edge.delays.relay = 40;
    const { client } = connected(edge);
    const response = failure(client.fetch('/v1/x', { method: 'POST', body: 'prompt' }));
    while (edge.relays[0]?.messages.length !== 1) await edge.clock.advance(1);
    edge.relayFate = 'E_HOST_OFFLINE';
    edge.restartAgent();
    await edge.clock.advance(5 * SECOND);
    expect((await response).code).toBe('E_HOST_RESTARTED');
    expect(edge.agent.heads).toEqual([]);
  });
});

describe('a relay that dies', () => {
  test('while the direct path has a long pause between attempts ends that pause for what runs', async () => {
    const edge = new TestEdge();
    edge.outcome = 'E_HOST_BUSY';
    const { client, paths } = connected(edge);
    await edge.clock.advance(300 * SECOND);
    const expected = lines(edge, 100);
    const { text } = await reading(edge, client);
    edge.outcome = 'open';
    edge.relayFate = 'refused';
    edge.relay.end(1006);
    await edge.clock.advance(SECOND);
    expect(paths.at(-1)).toBe('direct');
    await edge.clock.advance(30 * SECOND);
    expect([await text, edge.agent.heads.length]).toEqual([expected, 1]);
  });
});

describe('an agent that was restarted', () => {
  test.each([[true], [false]])('fails what ran with E_HOST_RESTARTED (relay: %s)', async (token) => {
    const edge = new TestEdge();
    const { client } = connected(edge, token ? {} : { token: undefined as never });
    await edge.clock.advance(500);
    lines(edge, 10_000);
    const body = failure((await reading(edge, client)).text);
    const post = failure(client.fetch('/v1/post', { method: 'POST', body: 'prompt' }).then((r) => r.text()));
    await edge.clock.advance(0);
    const { agent } = edge;
    edge.restartAgent();
    await edge.clock.advance(30 * SECOND);
    expect([(await body).code, (await post).code]).toEqual(['E_HOST_RESTARTED', 'E_HOST_RESTARTED']);
    expect([agent.heads.map(({ path }) => path), edge.agent.heads]).toEqual([['/v1/x', '/v1/post'], []]);
    expect(client.path).toBe('direct');
  });

  test('gets a GET again whose answer had not begun, and no POST', async () => {
    const { edge, client } = await direct();
    edge.answer = () => new Promise(() => {});
    const get = client.fetch('/v1/get');
    const post = failure(client.fetch('/v1/post', { method: 'POST', body: 'prompt' }));
    await edge.clock.advance(0);
    edge.answer = (exchange) => reply(exchange, 200, [], 'by the new one');
    edge.restartAgent();
    await edge.clock.advance(20 * SECOND);
    expect(await (await get).text()).toBe('by the new one');
    expect((await post).code).toBe('E_HOST_RESTARTED');
    expect(edge.agent.heads.map(({ path }) => path)).toEqual(['/v1/get']);
    expect(edge.requests.filter(({ path }) => path.startsWith('/v1/'))).toEqual([]);
  });

  test('gets what was never sent, a POST too', async () => {
    const { edge, client } = await direct();
    edge.answer = () => new Promise(() => {});
    // As many streams as the agent allows, so that the next one waits.
    const running = Array.from({ length: 128 }, (_, i) => failure(client.fetch(`/v1/${i}`, { method: 'POST' })));
    await edge.clock.advance(0);
    const queued = client.fetch('/v1/queued', { method: 'POST', body: 'prompt' });
    await edge.clock.advance(0);
    expect(edge.agent.heads).toHaveLength(128);
    edge.answer = (exchange) => reply(exchange, 200, [], 'by the new one');
    edge.restartAgent();
    await edge.clock.advance(20 * SECOND);
    expect(await (await queued).text()).toBe('by the new one');
    expect(new Set((await Promise.all(running)).map(({ code }) => code))).toEqual(new Set(['E_HOST_RESTARTED']));
    expect(edge.agent.heads.map(({ path }) => path)).toEqual(['/v1/queued']);
  });

  test('gets what was asked for while the client comes back, a POST too: it has not run', async () => {
    const edge = new TestEdge();
    edge.delays.relay = 40;
    const { client } = connected(edge, { webrtc: false });
    await edge.clock.advance(20 * SECOND);
    edge.answer = () => new Promise(() => {});
    const running = failure(client.fetch('/v1/running', { method: 'POST' }));
    await edge.clock.advance(100);
    edge.answer = (exchange) => reply(exchange, 200, [], 'by the new one');
    edge.restartAgent();
    // The next relay is open, and the agent has not answered on it.
    await edge.clock.advance((RELAY_RETRY_DELAYS_MS[0] ?? 0) + 10);
    expect(edge.relays).toHaveLength(2);
    const post = client.fetch('/v1/post', { method: 'POST', body: 'prompt' });
    await edge.clock.advance(SECOND);
    expect(await (await post).text()).toBe('by the new one');
    expect((await running).code).toBe('E_HOST_RESTARTED');
    expect(edge.agent.heads.map(({ path }) => path)).toEqual(['/v1/post']);
  });

  test('after a while away is found by both paths when it is back', async () => {
    const { edge, client, paths } = await direct();
    edge.hostOnline = false;
    edge.restartAgent();
    edge.connection.become('failed');
    await edge.clock.advance(200 * SECOND);
    expect(paths.at(-1)).toBe('offline');
    const { length } = edge.attempts;
    edge.hostOnline = true;
    await edge.clock.advance(61 * SECOND);
    expect(client.path).toBe('direct');
    // The relay that finds the host tells the direct path.
    expect(edge.attempts.length).toBe(length + 1);
  });

  test('that stops in order says so', async () => {
    const { edge, client } = await direct();
    lines(edge, 10_000);
    const body = failure((await reading(edge, client)).text);
    edge.agent.stop();
    await edge.clock.advance(0);
    expect((await body).error.cause).toMatchObject({ code: 'E_HOST_RESTARTED', cause: { code: 'E_GOING_AWAY' } });
  });
});

describe('the log', () => {
  test('of all that holds no token, no whole id, no query and no body', async () => {
    const log: string[] = [];
    const edge = new TestEdge();
    const { client } = connected(edge, { diagnostics: (line) => log.push(line) });
    const ask = async () => {
      const response = client.fetch('/v1/x?key=secret', { method: 'POST', body: 'a prompt' }).catch(() => undefined);
      await edge.clock.advance(0);
      await (await response)?.text();
    };
    await ask();
    await edge.clock.advance(SECOND);
    await ask();
    edge.connection.become('failed');
    edge.relay.end(4017, 'going away');
    await edge.clock.advance(20 * SECOND);
    edge.restartAgent();
    await edge.clock.advance(20 * SECOND);
    edge.cutAll();
    await edge.clock.advance(100 * SECOND);
    edge.refuses = 'E_UNAUTHORIZED';
    await edge.clock.advance(100 * SECOND);
    await ask();
    client.close();
    const text = log.join('\n');
    for (const line of [
      'path: relay',
      'path: direct',
      'relay lost: E_GOING_AWAY',
      'E_HOST_RESTARTED',
      'E_UNAUTHORIZED',
    ]) {
      expect(text).toContain(line);
    }
    expect(text).not.toMatch(/owner|session-\d|secret|prompt/);
    // The same in another form.
    const report = await client.report();
    expect(report.paths.map(({ path }) => path)).toEqual(expect.arrayContaining(['relay', 'direct', 'offline']));
    expect(report.requests.map(({ way, status }) => [way, status])).toContainEqual(['direct', 200]);
    const failures = report.timeline.flatMap(({ fact }) => (fact?.type === 'failed' ? [fact.code] : []));
    expect(failures).toEqual(expect.arrayContaining(['E_GOING_AWAY', 'E_HOST_RESTARTED', 'E_UNAUTHORIZED']));
    expect(JSON.stringify(report)).not.toMatch(/owner|session-\d|secret|prompt/);
  });
});
