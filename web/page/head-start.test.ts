import { describe, expect, test } from 'vitest';
import { type Client, connect } from '../client/index.ts';
import { TestEdge, WEBRTC_MS } from '../client/test-edge.ts';
import { ORIGIN } from '../client/test-host.ts';
import { TestConnection } from '../client/test-webrtc.ts';
import type { PeerConfiguration } from '../client/webrtc.ts';
import { type HeadStart, headStart, type KnownServers, type Platform } from './head-start.ts';

/** Those of TestEdge; they have credentials. */
const NAMED = [{ urls: ['stun:a.example', 'turn:b.example'], username: 'u', credential: 'c' }];

function started(edge: TestEdge, known?: RTCIceServer[], describe?: () => Promise<void>) {
  let bytes = 0;
  const { RTCPeerConnection: Connection = TestConnection, WebSocket, fetch } = edge.environment;
  /** Its `setLocalDescription` waits for `describe`. */
  function RTCPeerConnection(configuration: PeerConfiguration) {
    const connection = new Connection(configuration);
    const own = connection.setLocalDescription.bind(connection);
    const later = async (description: { type: 'offer'; sdp: string }) => {
      await describe?.();
      await own(description);
    };
    return Object.assign(connection, { setLocalDescription: later });
  }
  const kept: { servers: RTCIceServer[] | undefined } = { servers: known };
  const servers: KnownServers = {
    get: () => kept.servers,
    set: (servers) => {
      kept.servers = servers;
    },
  };
  const platform = {
    RTCPeerConnection,
    WebSocket,
    fetch,
    randomBytes: (count: number) => new Uint8Array(count).fill(bytes++),
  } as unknown as Platform;
  return { begun: headStart(ORIGIN, 'home', servers, platform), kept };
}

function goOn(edge: TestEdge, { environment }: HeadStart): Client {
  return connect({
    url: ORIGIN,
    host: 'home',
    credentials: 'cookie',
    environment: { ...edge.environment, ...environment },
  });
}

const sessions = (edge: TestEdge) => edge.requests.filter(({ path }) => path.endsWith('/session'));

describe('a head start', () => {
  test('asks for what the client would ask for, and the client asks for nothing again', async () => {
    const [alone, edge] = [new TestEdge(), new TestEdge()];
    connect({ url: ORIGIN, host: 'home', credentials: 'cookie', environment: alone.environment });
    await alone.clock.advance(500);
    const { begun } = started(edge);
    await edge.clock.advance(0);
    const client = goOn(edge, begun);
    await edge.clock.advance(500);
    expect(client.path).toBe('direct');
    const asked = (made: TestEdge) => ({
      requests: made.requests.map(({ body, ...rest }) => ({ ...rest, fields: Object.keys(JSON.parse(body)) })),
      calls: made.connections.map(({ calls }) => calls.filter((call) => !call.startsWith('addIce'))),
      configurations: made.connections.map(({ configuration }) => configuration.iceTransportPolicy),
      sockets: [...made.sockets, ...made.relays].map(({ url }) => url.replace(/session_id=.*/, '')),
    });
    expect(asked(edge)).toEqual(asked(alone));
    expect([edge.agent.accepted.direct, edge.agent.accepted.relay]).toEqual([1, 1]);
  });

  test('goes on without a loss when the client comes late', async () => {
    const edge = new TestEdge();
    const { begun } = started(edge);
    // The answer has come, and the channel is open.
    await edge.clock.advance(2 * WEBRTC_MS);
    const client = goOn(edge, begun);
    await edge.clock.advance(0);
    expect(edge.connection.calls).toContain('setRemoteDescription v=0 answer');
    expect(edge.sockets[0]?.sent.map((text) => JSON.parse(text).candidate.candidate)).toEqual([
      'candidate:1 1 udp 1 a.local 9 typ host',
    ]);
    expect(await (await client.fetch('/v1/x')).text()).toBe('over the path');
  });

  test('serves one attempt: the next ones are the client’s own', async () => {
    const edge = new TestEdge();
    const { begun } = started(edge);
    const client = goOn(edge, begun);
    await edge.clock.advance(500);
    edge.connection.become('failed');
    await edge.clock.advance(5_000);
    expect([client.path, edge.connections.length]).toEqual(['direct', 2]);
    const ids = sessions(edge).map(({ body }) => JSON.parse(body).session_id);
    expect([ids.length, new Set(ids).size]).toEqual([2, 2]);
    for (const id of ids) expect(id).toMatch(/^[\w-]{24}$/);
  });

  test('believes no answer that the host has not signed', async () => {
    const edge = new TestEdge();
    edge.tampers.answer = ({ session_id, sdp }) => ({ session_id, type: 'answer', sdp });
    const client = goOn(edge, started(edge).begun);
    await edge.clock.advance(500);
    expect([client.path, client.error?.code]).toEqual(['offline', 'E_HOST_KEY']);
    expect(edge.connection.calls.filter((call) => call.startsWith('setRemote'))).toEqual([]);
    expect(edge.connection.connectionState).toBe('closed');
  });

  test('of somebody whom the edge refuses fails as any attempt does', async () => {
    const edge = new TestEdge();
    edge.refuses = 'E_UNAUTHORIZED';
    const client = goOn(edge, started(edge).begun);
    await edge.clock.advance(500);
    expect([client.state, client.error?.code, edge.attempts.length]).toEqual(['failed', 'E_UNAUTHORIZED', 1]);
  });

  test('that nobody goes on with leaves nothing behind', async () => {
    const edge = new TestEdge();
    const { begun } = started(edge);
    await edge.clock.advance(0);
    begun.drop();
    await edge.clock.advance(500);
    expect(edge.connections.map(({ calls }) => calls.at(-1))).toEqual(['close']);
    expect([...edge.sockets, ...edge.relays].map(({ readyState }) => readyState)).toEqual([3, 3]);
  });
});

describe('the ICE servers of the last visit', () => {
  test('are gathered from at once, and the agent hears of what was found before the socket is open', async () => {
    const edge = new TestEdge();
    edge.iceServers = [{ urls: ['stun:a.example'] }];
    edge.socketFate = 'silent';
    edge.candidate = 'candidate:2 1 udp 1 192.0.2.1 9 typ srflx raddr 0.0.0.0 rport 0';
    const { begun, kept } = started(edge, edge.iceServers);
    await edge.clock.advance(0);
    expect(edge.connection.calls).toContain('setLocalDescription');
    const posts = edge.requests.filter(({ path }) => path.endsWith('/signal'));
    expect(posts.map(({ body }) => JSON.parse(body))).toEqual([
      [
        expect.objectContaining({
          type: 'candidate',
          candidate: expect.objectContaining({ candidate: edge.candidate }),
        }),
      ],
    ]);
    expect(kept.servers).toEqual(edge.iceServers);
    begun.drop();
  });

  test('are kept only where they need no credentials', async () => {
    const edge = new TestEdge();
    const { begun, kept } = started(edge);
    await edge.clock.advance(0);
    expect(edge.connection.configuration.iceServers).toEqual(NAMED);
    expect(kept.servers).toBeUndefined();
    begun.drop();
  });

  test('are of use though the browser takes longer to gather than the edge to answer', async () => {
    const edge = new TestEdge();
    edge.iceServers = [{ urls: ['stun:a.example'] }];
    const described = Promise.withResolvers<void>();
    const { begun } = started(edge, edge.iceServers, () => described.promise);
    const client = goOn(edge, begun);
    await edge.clock.advance(10);
    described.resolve();
    await edge.clock.advance(500);
    expect([client.path, edge.connections.length]).toEqual(['direct', 1]);
  });

  test('that the browser does not take are forgotten', async () => {
    const edge = new TestEdge();
    edge.iceServers = [{ urls: ['stun:a.example'] }];
    const refuse = () => Promise.reject(new SyntaxError('not an ICE server'));
    const { begun, kept } = started(edge, [{ urls: ['stun:?'] }], refuse);
    await edge.clock.advance(0);
    expect(kept.servers).toEqual(edge.iceServers);
    begun.drop();
  });

  test('that are not the edge’s any more make the attempt begin anew, with the new ones', async () => {
    const edge = new TestEdge();
    const { begun, kept } = started(edge, [{ urls: ['stun:old.example'] }]);
    const client = goOn(edge, begun);
    await edge.clock.advance(10_000);
    expect([client.path, edge.connections.length, kept.servers]).toEqual(['direct', 2, undefined]);
    expect(edge.connection.configuration.iceServers).toHaveLength(2);
  });
});
