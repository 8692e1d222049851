import { describe, expect, test } from 'vitest';
import type { AgentExchange } from '../../shared/exchange.ts';
import { generateHostKeys } from '../../shared/host-identity.ts';
import { HANDSHAKE_TIMEOUT_MS, LIVENESS_DOUBT_MS, RETRY_DELAYS_MS } from '../../shared/limits.ts';
import { signAnswer } from '../../shared/signed-answer.ts';
import { type Client, connect } from './connect.ts';
import { OFFER, TestEdge, WEBRTC_MS } from './test-edge.ts';
import { ORIGIN } from './test-host.ts';
import { TURN_STATS } from './test-webrtc.ts';

const SECOND = 1_000;

interface Observed {
  edge: TestEdge;
  client: Client;
  /** Every path and state that the client told of, in order. */
  told: string[];
}

/** A client with a direct path, or one through TURN. */
async function connected(edge = new TestEdge()): Promise<Observed> {
  const client = connect({ url: ORIGIN, host: 'home', token: 'owner', environment: edge.environment });
  const told: string[] = [];
  client.on('path', (path) => told.push(path));
  client.on('state', (state) => told.push(state));
  await edge.clock.advance(SECOND / 2);
  expect([client.path, client.state]).toEqual([edge.stats === TURN_STATS ? 'turn' : 'direct', 'connected']);
  told.length = 0;
  return { edge, client, told };
}

function throughTurn(credentialsMs: number): TestEdge {
  const edge = new TestEdge();
  edge.stats = TURN_STATS;
  edge.credentialsMs = credentialsMs;
  return edge;
}

/** Numbered lines, one every 100 ms, are asked for and read; returns what must arrive, and what does. */
async function reading(
  { edge, client }: Observed,
  count: number,
): Promise<{ expected: string; text: Promise<string> }> {
  edge.answer = async (exchange: AgentExchange) => {
    await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    for (let n = 0; n < count; n++) {
      await exchange.sendData(new TextEncoder().encode(`line ${n}\n`));
      await new Promise<void>((resolve) => edge.clock.timer(100, resolve));
    }
    exchange.finish();
  };
  const response = client.fetch('/v1/x', { method: 'POST', body: 'prompt' });
  await edge.clock.advance(100);
  const expected = Array.from({ length: count }, (_, n) => `line ${n}\n`).join('');
  return { expected, text: (await response).text() };
}

const closed = (edge: TestEdge) => edge.connections.map(({ connectionState }) => connectionState === 'closed');

describe('a path through TURN whose credentials end', () => {
  test('is replaced before, without a token lost or a state told', async () => {
    const observed = await connected(throughTurn(30 * SECOND));
    const { edge, client, told } = observed;
    const { expected, text } = await reading(observed, 600);
    await edge.clock.advance(75 * SECOND);
    expect(await text).toBe(expected);
    // A third of the time is left each time.
    expect(edge.attempts.map((at) => Math.round(at / SECOND))).toEqual([0, 20, 40, 60]);
    expect([told, client.path, client.error]).toEqual([[], 'turn', undefined]);
    expect(closed(edge)).toEqual([true, true, true, false]);
    expect([edge.agent.sessions.length, edge.agent.heads.length]).toEqual([1, 1]);
  });

  test('is replaced though paths were lost before, without a while on the relay', async () => {
    const edge = throughTurn(90 * SECOND);
    const { told } = await connected(edge);
    edge.connection.become('failed');
    await edge.clock.advance(10 * SECOND);
    expect(told.at(-1)).toBe('turn');
    told.length = 0;
    await edge.clock.advance(70 * SECOND);
    expect([edge.attempts.length, told]).toEqual([3, []]);
  });

  test('stays in use while its successor fails, and is tried again after the usual pauses', async () => {
    const edge = throughTurn(30 * SECOND);
    const { client, told } = await connected(edge);
    edge.outcome = 'E_HOST_BUSY';
    await edge.clock.advance(50 * SECOND);
    const times = edge.attempts.map((at) => at - 20 * SECOND).slice(1);
    const [first = 0, second = 0] = RETRY_DELAYS_MS;
    // Each is refused half-way.
    const half = WEBRTC_MS / 2;
    expect(times.slice(0, 3)).toEqual([0, half + first, 2 * half + first + second]);
    expect([client.path, client.error, told]).toEqual(['turn', undefined, []]);
    edge.outcome = 'open';
    await edge.clock.advance(31 * SECOND);
    expect([client.path, told, closed(edge).filter((isClosed) => !isClosed).length]).toEqual(['turn', [], 1]);
  });

  test('is left to the relay when the edge refuses others and TURN ends it', async () => {
    const edge = throughTurn(30 * SECOND);
    const { client, told } = await connected(edge);
    edge.refuses = 'E_UNAUTHORIZED';
    await edge.clock.advance(60 * SECOND);
    expect([edge.attempts.length, client.path, told]).toEqual([2, 'turn', []]);
    edge.connection.become('failed');
    edge.connections[0]?.become('failed');
    await edge.clock.advance(10 * SECOND);
    expect([client.path, client.error?.code]).toEqual(['relay', 'E_UNAUTHORIZED']);
  });

  test('is not replaced if it went another way by then, but when ICE moves to TURN again', async () => {
    const edge = throughTurn(30 * SECOND);
    const { told } = await connected(edge);
    const { connection } = edge;
    const move = (stats: typeof TURN_STATS) => {
      connection.stats = stats;
      connection.sctp.transport.iceTransport.dispatchEvent(new Event('selectedcandidatepairchange'));
    };
    move([]);
    await edge.clock.advance(120 * SECOND);
    expect([edge.attempts.length, told]).toEqual([1, ['direct']]);
    move(TURN_STATS);
    await edge.clock.advance(SECOND);
    expect([edge.attempts.length, told]).toEqual([2, ['direct', 'turn']]);
  });

  test.each([SECOND, 0, -SECOND, 2 ** 32 * SECOND])(
    'in %i ms, whatever is asked for, does not get the edge asked again and again',
    async (credentialsMs) => {
      const edge = throughTurn(credentialsMs);
      await connected(edge);
      await edge.clock.advance(60 * SECOND);
      expect(edge.attempts).toHaveLength(1);
    },
  );

  test('of which nothing is said is not replaced', async () => {
    const edge = new TestEdge();
    edge.stats = TURN_STATS;
    await connected(edge);
    await edge.clock.advance(3_600 * SECOND);
    expect(edge.attempts).toHaveLength(1);
  });
});

describe('a direct path that dies', () => {
  test.each([
    ['idle', 5 * SECOND],
    ['busy', 3 * SECOND + 100],
  ])('%s is left within %i ms, while the next one begins', async (what, withinMs) => {
    const observed = await connected();
    const { edge, client, told } = observed;
    const read = what === 'busy' ? await reading(observed, 100) : undefined;
    edge.connection.channel.cut();
    const at = edge.clock.now();
    while (client.path === 'direct' && edge.clock.now() < at + 60 * SECOND) await edge.clock.advance(50);
    expect(edge.clock.now() - at).toBeLessThanOrEqual(withinMs);
    expect([client.path, edge.attempts.length]).toEqual(['relay', 2]);
    // It has to prove itself for a second.
    await edge.clock.advance(WEBRTC_MS + SECOND + 100);
    expect([told, closed(edge)[0], client.error]).toEqual([['relay', 'direct'], true, undefined]);
    await edge.clock.advance(20 * SECOND);
    expect(await read?.text).toBe(read?.expected);
  });

  test('while its successor is on the way costs no further attempt', async () => {
    const { edge, client, told } = await connected();
    edge.connection.channel.cut();
    edge.outcome = 'silence';
    edge.wake('visibilitychange');
    await edge.clock.advance(LIVENESS_DOUBT_MS);
    expect([edge.attempts.length, client.state]).toEqual([2, 'connected']);
    await edge.clock.advance(SECOND);
    expect([client.state, client.error?.code]).toEqual(['connecting', 'E_PATH_LOST']);
    edge.outcome = 'open';
    void edge.openChannel();
    await edge.clock.advance(2 * SECOND);
    expect([edge.attempts.length, client.path, told]).toEqual([
      2,
      'direct',
      ['relay', 'connecting', 'connected', 'direct'],
    ]);
  });

  test('that answers again before another one works is kept', async () => {
    const { edge, client, told } = await connected();
    edge.outcome = 'silence';
    const { channel } = edge.connection;
    const { peer } = channel;
    channel.peer = undefined;
    await edge.clock.advance(5 * SECOND);
    expect([edge.attempts.length, client.path]).toEqual([2, 'relay']);
    channel.peer = peer;
    // The PING that was lost is asked no more; anything that arrives will do.
    edge.agent.session?.links.find(({ kind }) => kind === 'direct')?.probe(10 * SECOND);
    await edge.clock.advance(2 * SECOND);
    expect([client.path, closed(edge)]).toEqual(['direct', [false, true]]);
    await edge.clock.advance(60 * SECOND);
    expect([edge.attempts.length, told]).toEqual([2, ['relay', 'direct']]);
  });
});

describe('a change of the network', () => {
  test('brings another path beside the one that there is', async () => {
    const observed = await connected();
    const { edge, client, told } = observed;
    const { expected, text } = await reading(observed, 50);
    await edge.clock.advance(2 * SECOND);
    edge.wake('online');
    await edge.clock.advance(WEBRTC_MS + SECOND);
    expect([edge.attempts.length, closed(edge)[0]]).toEqual([2, true]);
    await edge.clock.advance(10 * SECOND);
    expect([await text, told, client.path]).toEqual([expected, [], 'direct']);
  });

  test('whose path is worse than the old one, which works, leaves that in use', async () => {
    const { edge, client, told } = await connected();
    await edge.clock.advance(2 * SECOND);
    edge.stats = TURN_STATS;
    edge.wake('online');
    await edge.clock.advance(2 * SECOND);
    expect([client.path, told, closed(edge)]).toEqual(['direct', [], [false, true]]);
    await edge.clock.advance(60 * SECOND);
    expect(edge.attempts).toHaveLength(2);
  });

  test.each(['visibilitychange', 'network change', 'pageshow'])(
    'that may be none (%s) costs an answered PING',
    async (reason) => {
      const { edge } = await connected();
      await edge.clock.advance(2 * SECOND);
      edge.wake(reason);
      await edge.clock.advance(60 * SECOND);
      expect(edge.attempts).toHaveLength(1);
    },
  );

  test('in bursts brings an attempt a second at most', async () => {
    const { edge } = await connected();
    edge.outcome = 'E_HOST_BUSY';
    for (let i = 0; i < 50; i++) {
      edge.wake('online');
      await edge.clock.advance(100);
    }
    expect(edge.attempts.length).toBeGreaterThan(2);
    expect(edge.attempts.length).toBeLessThanOrEqual(7);
  });

  test('while an attempt runs that fails, which was made on the network before, brings another one', async () => {
    const { edge, client } = await connected();
    edge.outcome = 'silence';
    edge.wake('online');
    await edge.clock.advance(3 * SECOND);
    edge.wake('online');
    await edge.clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect([edge.attempts.length, client.path]).toEqual([3, 'direct']);
    await edge.clock.advance(60 * SECOND);
    expect(edge.attempts).toHaveLength(3);
  });

  test('without a network waits for one', async () => {
    const { edge, client } = await connected();
    edge.online = false;
    edge.connection.channel.cut();
    await edge.clock.advance(9 * SECOND);
    expect(edge.attempts).toHaveLength(1);
    edge.online = true;
    edge.wake('online');
    await edge.clock.advance(3 * SECOND);
    expect([edge.attempts.length, client.path]).toEqual([2, 'direct']);
  });
});

test('a successor that proves another key ends all, the path that there is as well', async () => {
  const edge = throughTurn(30 * SECOND);
  const { client } = await connected(edge);
  const theirs = await generateHostKeys();
  edge.tampers.answer = async ({ session_id, sdp }) => {
    const answered = { hostId: 'home', sessionId: session_id, offer: OFFER, answer: sdp };
    return { session_id, type: 'answer', sdp, ...(await signAnswer(theirs, answered)) };
  };
  await edge.clock.advance(25 * SECOND);
  expect([client.path, client.error?.code, closed(edge)]).toEqual(['offline', 'E_HOST_KEY_CHANGED', [true, true]]);
  expect(edge.connection.calls.filter((call) => call.startsWith('setRemote'))).toEqual([]);
});

test('closing a client ends the attempt beside its path', async () => {
  const { edge, client } = await connected();
  edge.outcome = 'silence';
  edge.wake('online');
  await edge.clock.advance(2 * SECOND);
  expect(edge.connections).toHaveLength(2);
  client.close();
  await edge.clock.advance(SECOND);
  expect([closed(edge), edge.clock.pending]).toEqual([[true, true], 0]);
});
