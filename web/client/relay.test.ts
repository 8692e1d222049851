import { describe, expect, test } from 'vitest';
import {
  AGENT_PING_INTERVAL_MS,
  LIVENESS_PROBE_MS,
  LIVENESS_TIMEOUT_MS,
  RELAY_RETRY_DELAYS_MS,
} from '../../shared/limits.ts';
import { type Client, type ConnectOptions, connect } from './connect.ts';
import { TestEdge } from './test-edge.ts';
import { failure, ORIGIN, reply } from './test-host.ts';

const SECOND = 1_000;

/** A request whose answer is ready half a second after this. */
async function lateAnswer(edge: TestEdge, client: Client): Promise<{ text: Promise<string> }> {
  edge.answer = async (exchange) => {
    await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    await new Promise<void>((resolve) => edge.clock.timer(500, resolve));
    await exchange.sendData(new TextEncoder().encode('late'));
    exchange.finish();
  };
  const response = client.fetch('/v1/x', { method: 'POST' });
  await edge.clock.advance(0);
  return { text: (await response).text() };
}

/** A client that stays on the relay. */
function connected(edge: TestEdge, options: Partial<ConnectOptions> = {}): Client {
  return connect({
    url: ORIGIN,
    host: 'home',
    token: 'owner',
    webrtc: false,
    environment: edge.environment,
    ...options,
  });
}

async function onRelay(edge = new TestEdge()): Promise<{ edge: TestEdge; client: Client }> {
  const client = connected(edge);
  await edge.clock.advance(0);
  expect(client.path).toBe('relay');
  return { edge, client };
}

describe('the relay', () => {
  test('asks for a session without an offer, and attaches with its id without waiting for the answer', async () => {
    const edge = new TestEdge();
    const opened: number[] = [];
    const { fetch } = edge.environment;
    const environment = {
      ...edge.environment,
      fetch: (request: Request) => {
        opened.push(edge.relays.length);
        return fetch(request);
      },
    };
    connected(edge, { environment });
    await edge.clock.advance(0);
    expect(opened).toEqual([1]);
    expect(edge.requests).toEqual([
      {
        method: 'POST',
        path: '/_direct/h/home/session',
        body: '{"session_id":"session-1-of-these-tests"}',
        authorization: 'Bearer owner',
      },
    ]);
    expect(edge.relays.map(({ url }) => url)).toEqual([
      'wss://edge.example/_direct/h/home/relay?session_id=session-1-of-these-tests',
    ]);
  });

  test('costs nothing while it rests: pings that wake nobody, and no other message', async () => {
    const { edge, client } = await onRelay();
    await (await client.fetch('/v1/x')).text();
    await edge.clock.advance(60 * SECOND);
    const before = edge.relay.messages.length;
    await edge.clock.advance(600 * SECOND);
    expect([edge.relay.messages.length - before, new Set(edge.relay.sent)]).toEqual([0, new Set(['ping'])]);
    expect(edge.relay.sent).toHaveLength(Math.floor((660 * SECOND) / AGENT_PING_INTERVAL_MS));
    expect([client.path, edge.relays.length]).toEqual(['relay', 1]);
  });

  test('without pongs is dead, though nobody says so', async () => {
    const { edge, client } = await onRelay();
    edge.relay.cut();
    await edge.clock.advance(AGENT_PING_INTERVAL_MS + LIVENESS_TIMEOUT_MS - 1);
    expect(edge.relays).toHaveLength(1);
    await edge.clock.advance(SECOND);
    expect([client.path, edge.relays.length]).toEqual(['relay', 2]);
  });

  test('that closes comes back after pauses with jitter, which begin again once it was stable', async () => {
    const edge = new TestEdge();
    const jitters = [0, 0.5, 1];
    const environment = { ...edge.environment, random: () => jitters.shift() ?? 1 };
    connected(edge, { environment });
    await edge.clock.advance(20 * SECOND);
    edge.hostOnline = false;
    edge.relay.end(1006);
    const lost = edge.clock.now();
    await edge.clock.advance(120 * SECOND);
    const [, ...retries] = edge.relayAttempts;
    const pauses = retries.map((at, i) => at - (retries[i - 1] ?? lost));
    expect(pauses.slice(0, 8)).toEqual(RELAY_RETRY_DELAYS_MS.slice(0, 8).map((ms, i) => ms * ([0.5, 0.75][i] ?? 1)));
    edge.hostOnline = true;
    await edge.clock.advance(60 * SECOND);
    edge.relay.end(1006);
    const again = edge.clock.now();
    await edge.clock.advance(SECOND);
    expect(edge.relayAttempts.at(-1)).toBe(again + (RELAY_RETRY_DELAYS_MS[0] ?? 0));
  });

  test('that is lost as soon as it is there does not become a loop', async () => {
    const { edge } = await onRelay();
    for (let second = 0; second < 300; second++) {
      edge.relay.end(1006);
      await edge.clock.advance(SECOND);
    }
    expect(edge.relays.length).toBeLessThan(16);
  });

  test('that fails again and again is tried often enough that a session whose requests run does not end for it', async () => {
    const { edge, client } = await onRelay();
    edge.answer = async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await new Promise<void>((resolve) => edge.clock.timer(300 * SECOND, resolve));
      await exchange.sendData(new TextEncoder().encode('whole'));
      exchange.finish();
    };
    const response = client.fetch('/v1/x', { method: 'POST' });
    await edge.clock.advance(SECOND);
    const text = (await response).text();
    // Each socket works for a second, and the network is gone for most of the time between.
    for (let minute = 0; minute < 6; minute++) {
      edge.relayFate = 'refused';
      edge.relay.end(1006);
      await edge.clock.advance(50 * SECOND);
      edge.relayFate = 'open';
      await edge.clock.advance(6 * SECOND);
      expect([minute, client.path]).toEqual([minute, 'relay']);
    }
    expect([await text, edge.agent.heads.length]).toEqual(['whole', 1]);
  });

  test('that the edge refuses for good is not tried again', async () => {
    for (const code of ['E_UNAUTHORIZED', 'E_NOT_FOUND'] as const) {
      const edge = new TestEdge();
      edge.relayFate = code;
      const client = connected(edge);
      await edge.clock.advance(300 * SECOND);
      edge.wake();
      await edge.clock.advance(300 * SECOND);
      expect([edge.relays.length, client.error?.code, client.path]).toEqual([1, code, 'tunnel']);
    }
  });

  test.each([
    ['the edge', (edge: TestEdge) => edge.relay.end(4401, 'revoked')],
    ['the agent', (edge: TestEdge) => edge.agent.session?.close('E_UNAUTHORIZED')],
  ])('that %s ends because the credential was revoked is not tried again', async (_who, revoke) => {
    const { edge, client } = await onRelay();
    await edge.clock.advance(20 * SECOND);
    const asked = edge.requests.length;
    revoke(edge);
    await edge.clock.advance(100 * SECOND);
    edge.wake();
    await edge.clock.advance(100 * SECOND);
    expect([edge.relays.length, edge.requests.length - asked]).toEqual([1, 0]);
    expect([client.error?.code, client.path]).toEqual(['E_UNAUTHORIZED', 'tunnel']);
  });

  test('whose edge refuses the session is asked for again, unless only a person can help', async () => {
    for (const [code, attempts] of [
      ['E_UNAUTHORIZED', 1],
      ['E_RATE_LIMITED', 9],
    ] as const) {
      const edge = new TestEdge();
      edge.refuses = code;
      const client = connected(edge);
      await edge.clock.advance(110 * SECOND);
      expect([edge.relayAttempts.length, client.error?.code]).toEqual([attempts, code]);
    }
  });

  test('is not used with a host whose keys have expired', async () => {
    const edge = new TestEdge();
    const environment = { ...edge.environment, wallClock: () => Date.now() + 24 * 3_600 * SECOND };
    const client = connected(edge, { environment });
    await edge.clock.advance(0);
    expect([edge.relays.map(({ readyState }) => readyState), client.error?.code]).toEqual([[3], 'E_HOST_KEY']);
    expect(edge.relay.messages).toEqual([]);
  });

  test('that never answers is given up, and tried again', async () => {
    const edge = new TestEdge();
    edge.relayFate = 'silent';
    const client = connected(edge);
    await edge.clock.advance(16 * SECOND);
    expect([client.error?.code, edge.relays.map(({ readyState }) => readyState)]).toEqual([
      'E_HANDSHAKE_TIMEOUT',
      [3, 0],
    ]);
  });

  test('whose agent never answers HELLO is given up', async () => {
    const edge = new TestEdge();
    edge.agent.kill();
    const client = connected(edge);
    await edge.clock.advance(11 * SECOND);
    expect([client.error?.code, edge.relays[0]?.readyState]).toEqual(['E_PATH_LOST', 3]);
  });

  test('that ends in the turn in which the agent answers HELLO is not taken for open', async () => {
    const edge = new TestEdge();
    edge.delays.relay = 40;
    const client = connected(edge);
    await edge.clock.advance(1);
    const first = edge.relay;
    first.addEventListener('message', () => first.end(1006));
    await edge.clock.advance(80);
    expect([first.readyState, client.path]).toEqual([3, 'tunnel']);
    await edge.clock.advance(SECOND);
    expect([client.path, edge.relays.length]).toEqual(['relay', 2]);
  });

  test('carries large bodies both ways', async () => {
    const { edge, client } = await onRelay();
    const body = new Uint8Array(3_000_000).map((_, i) => (i * 31) % 251);
    edge.answer = async (exchange) => {
      const parts: Uint8Array[] = [];
      for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
      await reply(exchange, 200, [], new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
    };
    const response = client.fetch('/v1/x', { method: 'POST', body }).then((r) => r.bytes());
    await edge.clock.advance(SECOND);
    expect(Buffer.from(await response).equals(body)).toBe(true);
  });
});

describe('a wake', () => {
  test.each(['online', 'visibilitychange'])(
    'by %s probes the socket, and replaces one that is silent',
    async (reason) => {
      const { edge, client } = await onRelay();
      edge.wake(reason);
      await edge.clock.advance(0);
      expect(edge.relay.sent).toEqual(['ping']);
      await edge.clock.advance(5 * SECOND);
      expect(edge.relays).toHaveLength(1);
      edge.relay.cut();
      edge.wake(reason);
      await edge.clock.advance(LIVENESS_PROBE_MS - 1);
      expect(edge.relays).toHaveLength(1);
      await edge.clock.advance(SECOND);
      expect([client.path, edge.relays.length]).toEqual(['relay', 2]);
    },
  );

  test('while a request runs does not wait for a dead socket to be given up: another one opens beside it', async () => {
    const { edge, client } = await onRelay();
    const { text } = await lateAnswer(edge, client);
    edge.relay.cut();
    for (let burst = 0; burst < 4; burst++) {
      edge.wake();
      await edge.clock.advance(100);
    }
    await edge.clock.advance(99);
    expect(edge.relays).toHaveLength(1);
    await edge.clock.advance(101);
    expect([await text, edge.relays.length, edge.agent.heads.length]).toEqual(['late', 2, 1]);
  });

  test('while a request runs keeps a socket that answers', async () => {
    const { edge, client } = await onRelay();
    const { text } = await lateAnswer(edge, client);
    edge.wake();
    await edge.clock.advance(SECOND);
    expect([await text, edge.relays.length]).toEqual(['late', 1]);
  });

  test('soon after another does not give a dead socket more time', async () => {
    const { edge } = await onRelay();
    edge.relay.cut();
    for (let i = 0; i < 22; i++) {
      edge.wake('visibilitychange');
      await edge.clock.advance(100);
    }
    expect([edge.relays.length, edge.relays[0]?.sent.length]).toEqual([2, 1]);
  });

  test('connects at once when the relay waits, and only once for a burst', async () => {
    const edge = new TestEdge();
    edge.hostOnline = false;
    const client = connected(edge);
    await edge.clock.advance(60 * SECOND);
    const before = edge.relayAttempts.length;
    for (let i = 0; i < 20; i++) {
      edge.wake('visibilitychange');
      await edge.clock.advance(100);
    }
    expect(edge.relayAttempts.length - before).toBeLessThanOrEqual(3);
    edge.hostOnline = true;
    await edge.clock.advance(SECOND);
    edge.wake();
    await edge.clock.advance(0);
    expect(client.path).toBe('relay');
  });

  test('waits for a network', async () => {
    const { edge, client } = await onRelay();
    edge.online = false;
    edge.relay.end(1006);
    const before = edge.requests.length;
    await edge.clock.advance(300 * SECOND);
    expect([client.path, edge.requests.length]).toEqual(['offline', before]);
    edge.online = true;
    edge.wake();
    await edge.clock.advance(0);
    expect(client.path).toBe('relay');
  });

  test('after an hour as a frozen page finds the host again at once', async () => {
    const edge = new TestEdge();
    let asleep = 0;
    const environment = { ...edge.environment, now: () => edge.clock.now() + asleep };
    const client = connected(edge, { environment });
    await edge.clock.advance(AGENT_PING_INTERVAL_MS + SECOND);
    // The edge gave it up long ago; the page hears nothing of that, and its timers stand still.
    edge.relay.cut();
    asleep = 3_600 * SECOND;
    edge.wake('pageshow');
    await edge.clock.advance(LIVENESS_PROBE_MS + SECOND);
    expect([client.path, edge.relays.length, edge.relayAttempts.length]).toEqual(['relay', 2, 2]);
    const response = client.fetch('/v1/x');
    await edge.clock.advance(0);
    expect(await (await response).text()).toBe('over the path');
  });
});

describe('a relay that comes into doubt', () => {
  test('is replaced by a second socket, without a lost byte', async () => {
    const { edge, client } = await onRelay();
    const more = Promise.withResolvers<void>();
    edge.answer = async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await exchange.sendData(new TextEncoder().encode('one '));
      await more.promise;
      await exchange.sendData(new TextEncoder().encode('two'));
      exchange.finish();
    };
    const response = client.fetch('/v1/x', { method: 'POST' });
    await edge.clock.advance(0);
    const text = (await response).text();
    const paths: string[] = [];
    client.on('path', (path) => paths.push(path));
    edge.relay.cut();
    more.resolve();
    // Silence, PING, and no answer to it.
    await edge.clock.advance(5 * SECOND);
    expect([await text, edge.relays.length, edge.agent.heads.length]).toEqual(['one two', 2, 1]);
    expect([paths, edge.relays[0]?.readyState]).toEqual([[], 2]);
  });

  test('stays when no second socket is to be had, and is used again when it is heard', async () => {
    const { edge, client } = await onRelay();
    edge.answer = async (exchange) => {
      await new Promise<void>((resolve) => edge.clock.timer(4_900, resolve));
      await reply(exchange, 200, [], 'late');
    };
    const response = client.fetch('/v1/x', { method: 'POST' });
    await edge.clock.advance(0);
    edge.relayFate = 'refused';
    edge.delays.relay = 2_000;
    await edge.clock.advance(12 * SECOND);
    expect(await (await response).text()).toBe('late');
    expect([client.path, edge.relays[0]?.readyState]).toEqual(['relay', 1]);
  });
});

describe('close', () => {
  test.each(['open', 'silent', 'slow', 'refused', 'E_HOST_BUSY'] as const)(
    'of a relay that is %s leaves nothing',
    async (fate) => {
      const edge = new TestEdge();
      edge.relayFate = fate;
      const client = connected(edge);
      const response = client.fetch('/v1/x').catch((error: Error) => (error.cause as { code: string }).code);
      await edge.clock.advance(1);
      client.close();
      await edge.clock.advance(fate === 'slow' ? 5 * SECOND : 0);
      await response;
      expect(edge.relays.map(({ readyState }) => readyState)).toEqual([3]);
      expect([edge.watched, edge.clock.pending, edge.relayAttempts.length]).toEqual([false, 0, 1]);
    },
  );

  test('while the edge is asked, or keys are checked, opens nothing any more', async () => {
    for (let turns = 0; turns < 6; turns++) {
      const edge = new TestEdge();
      const client = connected(edge);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      client.close();
      await edge.clock.advance(20 * SECOND);
      expect(edge.relays.filter(({ readyState }) => readyState !== 3)).toEqual([]);
      expect([client.state, edge.clock.pending]).toEqual(['closed', 0]);
    }
  });

  test('fails what runs, and tells the agent', async () => {
    const { edge, client } = await onRelay();
    edge.answer = () => new Promise(() => {});
    const running = failure(client.fetch('/v1/x', { method: 'POST' }));
    await edge.clock.advance(0);
    client.close();
    expect((await running).code).toBe('E_CANCELLED');
    await edge.clock.advance(0);
    expect([edge.agent.ended, edge.relay.readyState]).toEqual(['E_CANCELLED', 3]);
  });

  test('by a page that goes away tells the agent', async () => {
    const { edge, client } = await onRelay();
    edge.leave();
    await edge.clock.advance(0);
    expect(edge.agent.ended).toBe('E_GOING_AWAY');
    edge.wake('pageshow');
    await edge.clock.advance(2 * SECOND);
    expect([client.path, edge.agent.sessions.length]).toEqual(['relay', 2]);
  });
});
