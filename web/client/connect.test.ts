import { describe, expect, test } from 'vitest';
import { DIRECT_DEADLINE_MS, HANDSHAKE_TIMEOUT_MS, RETRY_DELAYS_MS } from '../../shared/limits.ts';
import { type Client, type ConnectOptions, connect } from './connect.ts';
import { SOCKET_PATIENCE_MS } from './signal-socket.ts';
import { TestEdge, WEBRTC_MS } from './test-edge.ts';
import { failure, ORIGIN } from './test-host.ts';
import { TURN_STATS } from './test-webrtc.ts';

const [SECOND, SHORT] = [1_000, 500];

function connected(edge: TestEdge, options: Partial<ConnectOptions> = {}): Client {
  return connect({ url: `${ORIGIN}/_direct/h/home`, token: 'owner', environment: edge.environment, ...options });
}

/** A client with a direct path. */
async function direct(edge = new TestEdge()): Promise<{ edge: TestEdge; client: Client }> {
  const client = connected(edge);
  await edge.clock.advance(SHORT);
  expect(client.path).toBe('direct');
  return { edge, client };
}

/** What a page's policy makes of `new WebSocket`; the words name the URL, as those of browsers do. */
class Forbidden {
  constructor(url: string) {
    throw new DOMException(`refused to connect to ${url}`, 'SecurityError');
  }
}

describe('a connection', () => {
  test('sends the offer with the first request, then gathers with the edge’s servers', async () => {
    const { edge, client } = await direct();
    expect(edge.requests).toEqual([
      {
        method: 'POST',
        path: '/_direct/h/home/session',
        body: '{"offer":"v=0 offer","session_id":"session-1-of-these-tests"}',
        authorization: 'Bearer owner',
      },
    ]);
    expect(edge.connection.calls).toEqual([
      'createDataChannel direct-agent {"negotiated":true,"id":0,"ordered":true}',
      'createOffer',
      'setConfiguration',
      'setLocalDescription',
      'setRemoteDescription v=0 answer',
    ]);
    expect(edge.connection.configuration.iceServers).toEqual([
      { urls: 'stun:a.example', username: 'u', credential: 'c' },
      { urls: 'turn:b.example', username: 'u', credential: 'c' },
    ]);
    expect(edge.sockets.map(({ url }) => url)).toEqual([
      'wss://edge.example/_direct/h/home/signal?session_id=session-1-of-these-tests',
    ]);
    expect(edge.sockets[0]?.sent.map((text) => JSON.parse(text).candidate.candidate)).toEqual([
      'candidate:1 1 udp 1 a.local 9 typ host',
    ]);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over the path');
    expect(client.rtt).toBeGreaterThanOrEqual(0);
  });

  test('through TURN is “turn”', async () => {
    const edge = new TestEdge();
    edge.stats = TURN_STATS;
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    expect(client.path).toBe('turn');
  });

  test('whose candidate comes after its checks becomes “turn” when it says that it is relayed', async () => {
    const edge = new TestEdge();
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    expect(client.path).toBe('direct');
    edge.connection.stats = TURN_STATS;
    const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ relay', sdpMid: '0', sdpMLineIndex: 0 };
    edge.sockets[0]?.receive({ session_id: 'session-1-of-these-tests', type: 'candidate', candidate });
    await edge.clock.advance(100);
    expect(client.path).toBe('turn');
  });

  test('that ICE moves away from TURN becomes “direct”', async () => {
    const edge = new TestEdge();
    edge.stats = TURN_STATS;
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    const paths: string[] = [];
    client.on('path', (path) => paths.push(path));
    edge.connection.sctp.transport.iceTransport.dispatchEvent(new Event('selectedcandidatepairchange'));
    // Chromium's statistics are 50 ms old at most.
    await edge.clock.advance(50);
    edge.connection.stats = [];
    await edge.clock.advance(50);
    expect(paths).toEqual(['direct']);
  });

  test('can be made through TURN only', async () => {
    const edge = new TestEdge();
    connected(edge, { iceTransportPolicy: 'relay' });
    expect(edge.connection.configuration.iceTransportPolicy).toBe('relay');
    await edge.clock.advance(SHORT);
    expect(edge.connection.configuration.iceTransportPolicy).toBe('relay');
  });

  test('keeps signaling for a while for late candidates, then closes it', async () => {
    const { edge } = await direct();
    edge.signal({
      session_id: 'session-1-of-these-tests',
      type: 'candidate',
      candidate: { candidate: 'late', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null },
    });
    expect(edge.connection.calls).toContain('addIceCandidate late');
    await edge.clock.advance(5 * SECOND);
    expect(edge.sockets[0]?.readyState).toBe(3);
  });

  test('holds candidates back until the answer is applied', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    connected(edge);
    await edge.clock.advance(SHORT);
    const session_id = 'session-1-of-these-tests';
    const early = { candidate: 'early', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null };
    edge.signal({ session_id, type: 'candidate', candidate: early });
    await edge.clock.advance(0);
    expect(edge.connection.calls).not.toContain('addIceCandidate early');
    edge.signal(await edge.signedAnswer(session_id));
    await edge.clock.advance(0);
    expect(edge.connection.calls.slice(-2)).toEqual(['setRemoteDescription v=0 answer', 'addIceCandidate early']);
  });

  test('tries private addresses of an agent behind another NAT a moment after the others', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.candidate = 'candidate:1 1 udp 1 198.51.100.1 9 typ srflx raddr 0.0.0.0 rport 0';
    connected(edge);
    await edge.clock.advance(SHORT);
    const seen = 'a=candidate:2 1 udp 1 203.0.113.9 9 typ srflx raddr 192.168.2.2 rport 9\r\n';
    const host = 'candidate:3 1 udp 2 192.168.2.2 9 typ host';
    edge.signal(await edge.signedAnswer('session-1-of-these-tests', `v=0\r\na=${host}\r\n${seen}`));
    await edge.clock.advance(0);
    expect(edge.connection.calls.at(-1)).toBe(`setRemoteDescription v=0\r\n${seen}`);
    await edge.clock.advance(100);
    expect(edge.connection.calls.at(-1)).toBe(`addIceCandidate ${host}`);
  });

  test.each([
    ['an edge with a host', { url: 'https://edge.example', host: 'home' }, 'https://edge.example/_direct/h/home'],
    ['a base', { url: 'https://edge.example/_direct/h/home/' }, 'https://edge.example/_direct/h/home'],
    [
      'a link with a token',
      { url: 'https://edge.example/?a#token=x', host: 'a/b' },
      'https://edge.example/_direct/h/a%2Fb',
    ],
  ])('finds the edge from %s', async (_, options, base) => {
    const edge = new TestEdge();
    connected(edge, options);
    await edge.clock.advance(0);
    expect(`${ORIGIN}${edge.requests[0]?.path}`).toBe(`${base}/session`);
  });

  test.each([['ftp://edge.example'], ['not a url'], ['https://edge.example/']])('refuses %s', (url) => {
    expect(() => connected(new TestEdge(), { url })).toThrow(TypeError);
  });
});

describe('requests', () => {
  test('go by the relay while WebRTC is still connecting, in one message with HELLO', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.delays.relay = 40;
    const client = connected(edge);
    const response = client.fetch('/v1/x', { method: 'POST', body: 'a prompt' });
    await edge.clock.advance(40);
    expect([edge.relay.messages.length, edge.agent.heads.length]).toEqual([1, 1]);
    await edge.clock.advance(40);
    expect(await (await response).text()).toBe('over the path');
    expect([client.path, client.state, await client.ready]).toEqual(['relay', 'connecting', 'relay']);
    expect(edge.requests.map(({ path }) => path)).toEqual(['/_direct/h/home/session']);
  });

  test.each<[string, (edge: TestEdge) => Partial<ConnectOptions> | undefined]>([
    ['the runtime has no WebSocket', (edge) => ({ environment: { ...edge.environment, WebSocket: undefined } })],
    ['WebSockets are forbidden', (edge) => ({ environment: { ...edge.environment, WebSocket: Forbidden as never } })],
    ['WebSockets are refused', (edge) => void Object.assign(edge, { socketFate: 'refused' })],
    ['the host announces no keys', (edge) => void Object.assign(edge, { announces: false })],
    ['the edge refuses the relay', (edge) => void Object.assign(edge, { relayFate: 'E_HOST_BUSY' })],
  ])('go over HTTPS at once when %s, and directly as soon as that works', async (_, configure) => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    const client = connected(edge, configure(edge));
    const response = client.fetch('/v1/x', { method: 'POST', body: 'a prompt' });
    await edge.clock.advance(0);
    expect(await (await response).text()).toBe('over https');
    expect([client.state, client.path, await client.ready]).toEqual(['connecting', 'tunnel', 'tunnel']);
    void edge.openChannel();
    await edge.clock.advance(0);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over the path');
    expect(client.path).toBe('direct');
  });

  test.each(['silent', 'slow'] as const)('go over HTTPS after a while when the relay is %s', async (fate) => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.relayFate = fate;
    const client = connected(edge);
    let text: string | undefined;
    const response = client.fetch('/v1/x').then(async (r) => {
      text = await r.text();
    });
    await edge.clock.advance(SOCKET_PATIENCE_MS - 1);
    expect(text).toBeUndefined();
    await edge.clock.advance(1);
    await response;
    expect([text, await client.ready]).toEqual(['over https', 'tunnel']);
    // Later ones do not wait at all, and use the relay when it comes after all.
    expect(await (await client.fetch('/v1/x')).text()).toBe('over https');
    await edge.clock.advance(2 * SECOND);
    expect(client.path).toBe(fate === 'slow' ? 'relay' : 'tunnel');
  });

  test.each<[string, Partial<ConnectOptions>]>([
    ['of a paired device', { device: 'auto', pairing: 'A'.repeat(43) }],
    ['of who wants no tunnel', { tunnel: false }],
  ])('%s wait for a slow relay, since no HTTPS takes its place', async (_, options) => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    edge.relayFate = 'slow';
    const client = connected(edge, { ...options, webrtc: false });
    const response = client.fetch('/v1/x');
    await edge.clock.advance(SOCKET_PATIENCE_MS + 2 * SECOND);
    expect([await (await response).text(), client.path]).toEqual(['over the path', 'relay']);
  });

  test('of a paired device fail when the relay does, and not sooner', async () => {
    const edge = new TestEdge();
    edge.relayFate = 'silent';
    const client = connected(edge, { device: 'auto', pairing: 'A'.repeat(43), webrtc: false });
    let code: string | undefined;
    client.fetch('/v1/x').catch((error: Error) => {
      code = (error.cause as { code: string }).code;
    });
    await edge.clock.advance(HANDSHAKE_TIMEOUT_MS - 1);
    expect(code).toBeUndefined();
    await edge.clock.advance(1);
    expect([code, client.path]).toEqual(['E_PATH_LOST', 'offline']);
  });

  test('without a token wait for the direct path, which alone may work', async () => {
    const edge = new TestEdge();
    const client = connect({ url: `${ORIGIN}/_direct/h/home`, environment: edge.environment });
    const response = client.fetch('/v1/x');
    await edge.clock.advance(SHORT);
    expect(await (await response).text()).toBe('over the path');
    expect([edge.relays.length, await client.ready]).toEqual([0, 'direct']);
  });

  test('of who is signed in take the relay as those with a token do, and the cookie goes to the edge', async () => {
    const edge = new TestEdge();
    const { fetch } = edge.environment;
    const sent: [string, RequestCredentials, string | null][] = [];
    const environment = {
      ...edge.environment,
      fetch: (request: Request) => {
        sent.push([new URL(request.url).pathname, request.credentials, request.headers.get('authorization')]);
        return fetch(request);
      },
    };
    const client = connect({ url: ORIGIN, host: 'home', webrtc: false, credentials: 'cookie', environment });
    const response = client.fetch('/v1/x');
    await edge.clock.advance(SHORT);
    expect(await (await response).text()).toBe('over the path');
    expect([client.path, sent]).toEqual(['relay', [['/_direct/h/home/session', 'same-origin', null]]]);
    client.close();
    // Over HTTPS the edge has to know who asks, even if the upstream must not.
    await client.fetch('/v1/x', { credentials: 'omit' });
    expect(sent.at(-1)).toEqual(['/v1/x', 'same-origin', null]);
  });

  test.each([{}, { token: 'owner' }, { token: 'owner', credentials: 'cookie' as const }])(
    'send no cookie to the signaling with %o',
    async (options) => {
      const edge = new TestEdge();
      const { fetch } = edge.environment;
      const sent: RequestCredentials[] = [];
      const environment = {
        ...edge.environment,
        fetch: (request: Request) => {
          sent.push(request.credentials);
          return fetch(request);
        },
      };
      const client = connect({ url: ORIGIN, host: 'home', environment, ...options });
      await edge.clock.advance(SHORT);
      expect(sent).toEqual(['omit']);
      client.close();
    },
  );

  test('without a token go over HTTPS after the deadline, while the attempt goes on', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    const client = connect({ url: `${ORIGIN}/_direct/h/home`, environment: edge.environment });
    let status: number | undefined;
    const response = client.fetch('/v1/x').then((r) => {
      status = r.status;
      return r.text();
    });
    await edge.clock.advance(DIRECT_DEADLINE_MS - 1);
    expect(status).toBeUndefined();
    await edge.clock.advance(1);
    expect(await response).toBe('over https');
    expect([client.state, client.path, await client.ready]).toEqual(['connecting', 'tunnel', 'tunnel']);
    // Later ones do not wait at all, and use the path when it comes after all.
    expect(await (await client.fetch('/v1/x')).text()).toBe('over https');
    void edge.openChannel();
    await edge.clock.advance(SHORT);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over the path');
  });

  test('go over HTTPS at once when the first attempt has failed', async () => {
    const edge = new TestEdge();
    edge.hostOnline = false;
    const client = connected(edge);
    const response = client.fetch('/v1/x');
    await edge.clock.advance(0);
    expect(await (await response).text()).toBe('over https');
    expect([client.path, client.error?.code]).toEqual(['offline', 'E_HOST_OFFLINE']);
    // The edge is not asked a second time for the relay.
    expect([edge.attempts.length, edge.relayAttempts.length]).toEqual([1, 0]);
  });

  test('wait for the direct path where the tunnel is not wanted, and fail where there is none', async () => {
    for (const webrtc of [true, false]) {
      const edge = new TestEdge();
      const { fetch } = edge.environment;
      const asked: string[] = [];
      const environment = {
        ...edge.environment,
        WebSocket: Forbidden as unknown as typeof WebSocket,
        fetch: (request: Request) => {
          asked.push(new URL(request.url).pathname);
          return fetch(request);
        },
      };
      const client = connected(edge, { tunnel: false, webrtc, environment });
      const response = client.fetch('/v1/x').then(
        (r) => r.text(),
        (error: Error) => error.cause,
      );
      const later = client.fetch('/v1/x', { keepalive: true }).catch((error: Error) => error.cause);
      await edge.clock.advance(SHORT);
      expect(await response).toEqual(webrtc ? 'over the path' : expect.objectContaining({ code: 'E_PATH_LOST' }));
      // What only the platform can do would have to go by the tunnel.
      expect(await later).toMatchObject({ code: 'E_PATH_LOST' });
      expect(client.path).toBe(webrtc ? 'direct' : 'offline');
      expect(asked.filter((path) => !path.startsWith('/_direct/'))).toEqual([]);
      client.close();
    }
  });

  test('can be aborted while they wait', async () => {
    const edge = new TestEdge();
    edge.relayFate = 'silent';
    const controller = new AbortController();
    const response = connected(edge).fetch('/v1/x', { signal: controller.signal });
    await edge.clock.advance(0);
    controller.abort('enough');
    await expect(response).rejects.toBe('enough');
  });

  test('are answered after ten minutes of thinking', async () => {
    const { edge, client } = await direct();
    const answer = Promise.withResolvers<void>();
    edge.answer = async (exchange) => {
      await answer.promise;
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      exchange.finish();
    };
    const response = client.fetch('/v1/x', { method: 'POST' });
    await edge.clock.advance(600 * SECOND);
    answer.resolve();
    expect((await response).status).toBe(200);
    expect(edge.attempts).toHaveLength(1);
  });
});

describe('attempts', () => {
  test('follow each other after the pauses, the last of which repeats', async () => {
    const edge = new TestEdge();
    edge.outcome = 'E_HOST_BUSY';
    const client = connected(edge);
    await edge.clock.advance(300 * SECOND);
    // Each is refused half-way.
    const pauses = edge.attempts.slice(1).map((at, i) => at - (edge.attempts[i] ?? 0) - WEBRTC_MS / 2);
    expect(pauses.slice(0, 7)).toEqual([...RETRY_DELAYS_MS, 60_000, 60_000]);
    expect(client.error?.code).toBe('E_HOST_BUSY');
  });

  test('end when nothing comes of them', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    const client = connected(edge);
    await edge.clock.advance(HANDSHAKE_TIMEOUT_MS);
    expect([client.state, client.error?.code]).toEqual(['waiting', 'E_HANDSHAKE_TIMEOUT']);
    expect(edge.connection.calls.at(-1)).toBe('close');
    expect(edge.sockets[0]?.readyState).toBe(3);
  });

  test('end at once when ICE fails', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    edge.connection.become('failed');
    await edge.clock.advance(0);
    expect([client.state, client.error?.code]).toEqual(['waiting', 'E_HANDSHAKE_TIMEOUT']);
  });

  test.each(['E_UNAUTHORIZED', 'E_NOT_CONFIGURED', 'E_NOT_FOUND'] as const)('stop for good after %s', async (code) => {
    const edge = new TestEdge();
    edge.refuses = code;
    const client = connected(edge);
    await edge.clock.advance(300 * SECOND);
    edge.wake();
    await edge.clock.advance(300 * SECOND);
    expect([client.state, client.error?.code, edge.attempts.length]).toEqual(['failed', code, 1]);
  });

  test('stop for good when the agent ends the session because the credential was revoked', async () => {
    const edge = new TestEdge();
    const client = connected(edge);
    await edge.clock.advance(20 * SECOND);
    expect(client.state).toBe('connected');
    edge.agent.session?.close('E_UNAUTHORIZED');
    await edge.clock.advance(300 * SECOND);
    edge.wake();
    await edge.clock.advance(300 * SECOND);
    expect([client.state, client.error?.code, edge.attempts.length]).toEqual(['failed', 'E_UNAUTHORIZED', 1]);
  });

  test('stop for good when the edge speaks another version', async () => {
    const edge = new TestEdge();
    edge.protocolVersion = 2;
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    expect([client.state, client.error?.code]).toEqual(['failed', 'E_VERSION']);
  });

  test('begin at once when the network or the page comes back', async () => {
    const edge = new TestEdge();
    edge.hostOnline = false;
    const client = connected(edge);
    await edge.clock.advance(120 * SECOND);
    const before = edge.attempts.length;
    edge.hostOnline = true;
    edge.wake();
    await edge.clock.advance(1);
    expect(edge.attempts.length).toBe(before + 1);
    await edge.clock.advance(SHORT);
    expect(client.path).toBe('direct');
  });

  test('do not become more because events come in bursts', async () => {
    const edge = new TestEdge();
    edge.hostOnline = false;
    connected(edge);
    await edge.clock.advance(120 * SECOND);
    const before = edge.attempts.length;
    for (let i = 0; i < 20; i++) {
      edge.wake('visibilitychange');
      await edge.clock.advance(100);
    }
    expect(edge.attempts.length - before).toBeLessThanOrEqual(3);
  });

  test('wait for a network, and say that the device has none', async () => {
    const edge = new TestEdge();
    edge.online = false;
    const client = connected(edge);
    const paths: string[] = [];
    client.on('path', (path) => paths.push(path));
    await edge.clock.advance(300 * SECOND);
    expect(client.path).toBe('offline');
    expect(edge.requests).toHaveLength(1);
    edge.online = true;
    edge.wake();
    await edge.clock.advance(2 * SECOND);
    expect([client.path, paths.at(-1)]).toEqual(['direct', 'direct']);
  });

  test.each(['switched off', 'missing'])('are not made when WebRTC is %s', async (why) => {
    const edge = new TestEdge();
    const client =
      why === 'missing'
        ? connected(edge, { environment: { ...edge.environment, RTCPeerConnection: undefined } })
        : connected(edge, { webrtc: false });
    await edge.clock.advance(SHORT);
    expect([await client.ready, client.state]).toEqual(['relay', 'off']);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over the path');
    await edge.clock.advance(300 * SECOND);
    expect([client.path, edge.connections, edge.attempts, edge.relayAttempts]).toEqual(['relay', [], [], [0]]);
  });
});

describe('a path that is lost', () => {
  test('is told, and comes back after the first pause', async () => {
    const { edge, client } = await direct();
    const events: string[] = [];
    client.on('path', (path) => events.push(path));
    client.on('state', (state) => events.push(state));
    await edge.clock.advance(60 * SECOND);
    edge.connection.become('failed');
    await edge.clock.advance(0);
    expect(events).toEqual(['relay', 'waiting']);
    expect([client.rtt, client.error?.code]).toEqual([0, 'E_PATH_LOST']);
    const lost = edge.clock.now();
    await edge.clock.advance(3 * SECOND);
    expect(edge.attempts.at(-1)).toBe(lost + (RETRY_DELAYS_MS[0] ?? 0));
    expect(events.slice(2)).toEqual(['connecting', 'connected']);
    // It has to prove itself first: it was lost before.
    await edge.clock.advance(SECOND);
    expect(events.slice(4)).toEqual(['direct']);
    expect(client.error).toBeUndefined();
  });

  test('soon after it was made does not become a loop', async () => {
    const edge = new TestEdge();
    connected(edge);
    for (let i = 0; i < 200; i++) {
      await edge.clock.advance(SECOND);
      if (edge.connection.channel.readyState === 'open') edge.connection.become('failed');
    }
    expect(edge.attempts.length).toBeLessThan(8);
  });

  test('is probed when the network changes, and given up when it is silent', async () => {
    const { edge, client } = await direct();
    edge.wake('network change');
    await edge.clock.advance(3 * SECOND);
    expect(client.path).toBe('direct');
    edge.outcome = 'silence';
    edge.connection.channel.peer = undefined;
    edge.wake('network change');
    await edge.clock.advance(3 * SECOND);
    expect(client.error?.code).toBe('E_PATH_LOST');
  });

  test('is probed when ICE hears nothing', async () => {
    const { edge, client } = await direct();
    edge.outcome = 'silence';
    edge.connection.channel.peer = undefined;
    edge.connection.become('disconnected');
    await edge.clock.advance(3 * SECOND);
    expect(client.error?.code).toBe('E_PATH_LOST');
  });

  test('by a page that goes away frees the agent’s slot', async () => {
    const { edge, client } = await direct();
    edge.leave();
    await edge.clock.advance(0);
    expect(edge.agent.ended).toBe('E_GOING_AWAY');
    edge.wake('pageshow');
    await edge.clock.advance(2 * SECOND);
    expect(client.path).toBe('direct');
  });
});

describe('close', () => {
  test('ends the path, tells the agent, and leaves nothing behind', async () => {
    const { edge, client } = await direct();
    edge.answer = () => new Promise(() => {});
    const running = failure(client.fetch('/v1/x'));
    await edge.clock.advance(0);
    const heard: string[] = [];
    client.on('state', (state) => heard.push(state));
    client.on('path', (path) => heard.push(path));
    client.close();
    expect((await running).code).toBe('E_CANCELLED');
    await edge.clock.advance(0);
    expect([heard, edge.agent.ended]).toEqual([['tunnel', 'closed'], 'E_CANCELLED']);
    await edge.clock.advance(SECOND);
    expect([edge.connection.calls.at(-1), edge.relay.readyState]).toEqual(['close', 3]);
    expect([client.state, edge.watched]).toEqual(['closed', false]);
    await edge.clock.advance(300 * SECOND);
    expect([edge.attempts.length, edge.relayAttempts.length, edge.clock.pending]).toEqual([1, 0, 0]);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over https');
  });

  test('ends an attempt', async () => {
    const edge = new TestEdge();
    edge.outcome = 'silence';
    const client = connected(edge);
    await edge.clock.advance(SHORT);
    client.close();
    await edge.clock.advance(0);
    expect([client.state, edge.connection.calls.at(-1), edge.sockets[0]?.readyState]).toEqual(['closed', 'close', 3]);
    expect([edge.relay.readyState, edge.clock.pending]).toEqual([3, 0]);
  });

  test('a listener that was taken back hears nothing', async () => {
    const { client } = await direct();
    const heard: string[] = [];
    const off = client.on('state', (state) => heard.push(state));
    off();
    client.close();
    expect(heard).toEqual([]);
  });
});
