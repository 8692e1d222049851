import { describe, expect, test } from 'vitest';
import type { CandidateSignal } from '../../shared/signal.ts';
import { connect } from './connect.ts';
import { SOCKET_PATIENCE_MS } from './signal-socket.ts';
import { TestEdge } from './test-edge.ts';
import { ORIGIN } from './test-host.ts';

function signaling(configure: (edge: TestEdge) => void) {
  const edge = new TestEdge();
  configure(edge);
  const log: string[] = [];
  const client = connect({
    url: ORIGIN,
    host: 'home',
    token: 'owner',
    environment: edge.environment,
    diagnostics: (line) => log.push(line.replace(/^\[webrtc\] \+\d+ms /, '')),
  });
  return { edge, client, log };
}

const posts = (edge: TestEdge) => edge.requests.filter(({ path }) => path === '/_direct/h/home/signal');
const polls = (edge: TestEdge) => edge.requests.filter(({ path }) => path.includes('/signal?'));

function candidate(session_id: string, line: string): CandidateSignal {
  const candidate = { candidate: line, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null };
  return { session_id, type: 'candidate', candidate };
}

describe('signaling', () => {
  test('goes on by long poll when the WebSocket is refused', async () => {
    const { edge, client } = signaling((edge) => {
      edge.socketFate = 'refused';
    });
    await edge.clock.advance(1_000);
    expect(client.path).toBe('direct');
    expect(polls(edge)[0]).toMatchObject({
      method: 'GET',
      path: '/_direct/h/home/signal?session_id=session-1-of-these-tests&batch=1',
      authorization: 'Bearer owner',
    });
    expect(posts(edge).map(({ method, body }) => [method, JSON.parse(body).length])).toEqual([['POST', 1]]);
  });

  test('goes on by long poll when the WebSocket is swallowed', async () => {
    const { edge, client } = signaling((edge) => {
      edge.socketFate = 'silent';
    });
    await edge.clock.advance(SOCKET_PATIENCE_MS - 1);
    expect(polls(edge)).toEqual([]);
    await edge.clock.advance(1_000);
    expect(client.path).toBe('direct');
    expect(edge.sockets[0]?.sent).toEqual([]);
  });

  test('polls where WebSocket does not exist, or may not be made', async () => {
    for (const WebSocket of [undefined, ThrowingSocket]) {
      const edge = new TestEdge();
      const environment = { ...edge.environment, WebSocket: WebSocket as never };
      const client = connect({ url: ORIGIN, host: 'home', environment });
      await edge.clock.advance(1_000);
      expect(client.path).toBe('direct');
      expect(polls(edge).length).toBeGreaterThan(0);
    }
  });

  test('says what was found before the WebSocket opened in one message: each is a request that the owner pays', async () => {
    const { edge } = signaling((edge) => {
      edge.socketFate = 'silent';
      edge.outcome = 'silence';
    });
    await edge.clock.advance(0);
    edge.connection.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: null }));
    edge.sockets[0]?.open();
    const messages = edge.sockets[0]?.sent.map((text) => JSON.parse(text) as CandidateSignal[]) ?? [];
    expect(messages.map((signals) => signals.map(({ candidate }) => candidate?.candidate))).toEqual([
      ['candidate:1 1 udp 1 a.local 9 typ host', ''],
    ]);
  });

  test('sends everything again when the WebSocket breaks', async () => {
    const { edge } = signaling((edge) => {
      edge.outcome = 'silence';
    });
    await edge.clock.advance(0);
    expect(edge.sockets[0]?.sent).toHaveLength(1);
    edge.sockets[0]?.end(1006);
    await edge.clock.advance(100);
    expect(posts(edge).flatMap(({ body }) => JSON.parse(body))).toEqual([JSON.parse(edge.sockets[0]?.sent[0] ?? '')]);
  });

  test.each([
    [4408, 'E_SESSION_UNKNOWN'],
    [4409, 'E_REPLACED'],
    [4999, 'E_INTERNAL'],
  ])('ends with the code behind close %i', async (close, code) => {
    const { edge, client } = signaling((edge) => {
      edge.outcome = 'silence';
    });
    await edge.clock.advance(0);
    edge.sockets[0]?.end(close);
    await edge.clock.advance(0);
    // It may have overtaken its session, and is opened once more.
    if (code === 'E_SESSION_UNKNOWN') edge.sockets[1]?.end(close);
    await edge.clock.advance(0);
    expect(client.error?.code).toBe(code);
    expect([edge.sockets.length, polls(edge)]).toEqual([code === 'E_SESSION_UNKNOWN' ? 2 : 1, []]);
  });

  test('opens its WebSocket together with the session, and once more if it came too early', async () => {
    const answered = Promise.withResolvers<void>();
    const { edge, client } = signaling((edge) => {
      const { fetch } = edge.environment;
      Object.assign(edge.environment, {
        fetch: async (request: Request) => {
          await answered.promise;
          return fetch(request);
        },
      });
    });
    await edge.clock.advance(0);
    expect([edge.requests.length, edge.sockets.length]).toEqual([0, 1]);
    edge.sockets[0]?.end(4408);
    await edge.clock.advance(0);
    expect([client.error, edge.sockets.length]).toEqual([undefined, 1]);
    answered.resolve();
    await edge.clock.advance(1_000);
    expect([client.path, edge.sockets.length, polls(edge)]).toEqual(['direct', 2, []]);
    expect(edge.sockets[1]?.sent).toHaveLength(1);
  });

  test('polls only when there is a session, if its WebSocket breaks before', async () => {
    const answered = Promise.withResolvers<void>();
    const { edge, client } = signaling((edge) => {
      const { fetch } = edge.environment;
      edge.socketFate = 'refused';
      Object.assign(edge.environment, {
        fetch: async (request: Request) => {
          await answered.promise;
          return fetch(request);
        },
      });
    });
    await edge.clock.advance(100);
    answered.resolve();
    await edge.clock.advance(1_000);
    expect(edge.requests[0]?.path).toBe('/_direct/h/home/session');
    expect([client.path, polls(edge).length > 0]).toEqual(['direct', true]);
  });

  test.each([
    ['no JSON', 'nonsense'],
    ['no message', { session_id: 'session-1-of-these-tests', type: 'surprise' }],
    ['too long a message', { session_id: 'session-1-of-these-tests', type: 'answer', sdp: `v=0${'x'.repeat(70_000)}` }],
  ])('ends with an error when the edge sends %s', async (_, message) => {
    const { edge, client } = signaling((edge) => {
      edge.outcome = 'silence';
    });
    await edge.clock.advance(0);
    edge.sockets[0]?.receive(message);
    await edge.clock.advance(0);
    expect(client.error?.code).toMatch(/E_BAD_REQUEST|E_TOO_LARGE/);
  });

  test('ignores messages of another session, and more candidates than a session has', async () => {
    const { edge } = signaling((edge) => {
      edge.outcome = 'silence';
    });
    await edge.clock.advance(0);
    edge.signal(await edge.signedAnswer('session-1-of-these-tests'));
    await edge.clock.advance(0);
    edge.signal(candidate('other', 'foreign'));
    for (let i = 0; i < 200; i++) edge.signal(candidate('session-1-of-these-tests', `c${i}`));
    const added = edge.connection.calls.filter((call) => call.startsWith('addIceCandidate'));
    expect(added).not.toContain('addIceCandidate foreign');
    expect(added).toHaveLength(64);
  });

  test('polls again after an empty answer, a broken one and a busy edge, but not in a hurry', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.socketFate = 'refused';
    const answers = [
      () => new Response(null, { status: 204 }),
      () => new Response(null, { status: 408 }),
      () => Promise.reject(new TypeError('Failed to fetch')),
      () => Response.json({ error: { code: 'E_RATE_LIMITED' } }, { status: 429 }),
      () =>
        Response.json([
          { session_id: 'session-1-of-these-tests', type: 'error', code: 'E_HOST_BUSY', message: 'full' },
        ]),
    ];
    const at: number[] = [];
    const { fetch } = edge.environment;
    const environment = {
      ...edge.environment,
      fetch: async (request: Request) => {
        if (!request.url.includes('session_id=')) return fetch(request);
        at.push(edge.clock.now());
        return (answers.shift() ?? (() => fetch(request)))();
      },
    };
    const client = connect({ url: ORIGIN, host: 'home', environment });
    await edge.clock.advance(2_100);
    expect(client.error).toMatchObject({ code: 'E_HOST_BUSY' });
    expect(at.slice(0, 5)).toEqual([0, 500, 1_000, 1_500, 2_000]);
  });

  test('posts again what could not be posted', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.socketFate = 'refused';
    let failures = 2;
    const bodies: string[] = [];
    const { fetch } = edge.environment;
    const environment = {
      ...edge.environment,
      fetch: async (request: Request) => {
        if (!request.url.endsWith('/signal')) return fetch(request);
        if (failures-- > 0) throw new TypeError('Failed to fetch');
        bodies.push(await request.clone().text());
        return fetch(request);
      },
    };
    connect({ url: ORIGIN, host: 'home', environment });
    await edge.clock.advance(3_000);
    expect(bodies.map((body) => JSON.parse(body).length)).toEqual([1]);
  });
});

class ThrowingSocket {
  constructor(url: string) {
    throw new DOMException(`the policy forbids ${url}`, 'SecurityError');
  }
}

describe('the log', () => {
  test('shows the life of a connection, and neither the token nor the whole session id', async () => {
    const { edge, client, log } = signaling(() => {});
    await edge.clock.advance(1_000);
    await (await client.fetch('/v1/x?secret', { method: 'POST', body: 'a prompt' })).text();
    edge.connection.become('failed');
    await edge.clock.advance(0);
    edge.relayFate = 'refused';
    edge.relay.end(1006);
    await edge.clock.advance(1_000);
    client.close();
    await edge.clock.advance(0);
    const text = log.join('\n');
    for (const line of [
      'attempt 1',
      'session created: sessio…',
      'offer sent',
      'signaling by WebSocket',
      'local candidate: candidate:1 1 udp 1 a.local 9 typ host',
      'answer received',
      'data channel open',
      'session uses the relay path',
      'requests go by relay: there is a path',
      'session open on the relay path',
      'path: relay',
      'session open on the direct path',
      'path: direct',
      '→ POST /v1/x (8b)',
      '← 200 13b POST /v1/x',
      'connection failed',
      'session uses the relay path',
      'relay lost: E_PATH_LOST',
      'session uses no path',
      'no relay: E_PATH_LOST no WebSocket (1006)',
      'session closed: E_CANCELLED',
    ]) {
      expect(text).toContain(line);
    }
    expect(text).not.toMatch(/owner|session-\d|secret|prompt/);
  });

  test('does not repeat what a browser says about a socket that it forbids: the URL has the session’s id', async () => {
    const log: string[] = [];
    const edge = new TestEdge();
    const environment = { ...edge.environment, WebSocket: ThrowingSocket as never };
    connect({ url: ORIGIN, host: 'home', token: 'owner', environment, diagnostics: (line) => log.push(line) });
    await edge.clock.advance(10_000);
    const text = log.join('\n');
    expect(text.match(/no WebSocket: SecurityError/g)?.length).toBeGreaterThan(1);
    expect(text).not.toMatch(/owner|session-\d/);
  });
});
