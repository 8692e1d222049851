import { describe, expect, test, vi } from 'vitest';
import { HANDSHAKE_TIMEOUT_MS } from '../shared/limits.ts';
import { memoryPaths } from '../shared/memory-path.ts';
import type { Path } from '../shared/path.ts';
import { Sessions } from '../shared/sessions.ts';
import type { Candidate, OfferSignal, SessionSignal } from '../shared/signal.ts';
import { directBinding } from '../shared/signed-answer.ts';
import type { Stream } from '../shared/stream.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { Connections } from './connections.ts';
import type { PeerEvents } from './peer.ts';
import { nodeEnvironment } from './runtime.ts';

/** The answering end without WebRTC: its path leads to the test. */
class FakePeer {
  readonly path: Path;
  readonly other: Path;
  readonly candidates: Candidate[] = [];
  readonly events: PeerEvents;
  readonly #sdp: string | Error;
  closedWith: string | undefined;

  constructor(events: PeerEvents, sdp: string | Error) {
    [this.path, this.other] = memoryPaths();
    this.events = events;
    this.#sdp = sdp;
  }
  async answer(): Promise<string> {
    if (this.#sdp instanceof Error) throw this.#sdp;
    return this.#sdp;
  }
  addCandidate(candidate: Candidate): void {
    this.candidates.push(candidate);
  }
  close(reason: string): void {
    if (this.closedWith !== undefined) return;
    this.closedWith = reason;
    this.events.closed(reason);
  }
}

const SIGNED = { host_key: 'the host’s', signature: 'of the host' };

interface RigOptions {
  maxConnections?: number;
  handshakeTimeoutMs?: number;
  sdp?: string | Error;
  prepare?: () => Promise<void>;
  /** Offers of these sessions are more than WebRTC can take. */
  broken?: string[];
}

function rig(options: RigOptions = {}) {
  const peers: FakePeer[] = [];
  const sent: SessionSignal[] = [];
  const log: string[] = [];
  const streams: Stream[] = [];
  const signed: unknown[] = [];
  const grants: unknown[] = [];
  const opened: [string, number][] = [];
  const failed: string[] = [];
  const clock = { time: 1_000 };
  const sessions = new Sessions({
    environment: nodeEnvironment,
    stream: (stream, grant) => {
      streams.push(stream);
      grants.push(grant);
    },
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
  });
  const connections = new Connections({
    maxConnections: options.maxConnections ?? 10,
    ...(options.prepare === undefined ? {} : { prepare: options.prepare }),
    makePeer: (offer, events) => {
      if (options.broken?.includes(offer.session_id)) throw new Error('not like this');
      const peer = new FakePeer(events, options.sdp ?? 'v=0 answer');
      peers.push(peer);
      return peer;
    },
    sessions,
    sign: async (answered) => {
      signed.push(answered);
      return SIGNED;
    },
    send: (signal) => void sent.push(signal),
    log: (line) => void log.push(line),
    opened: (path, ms) => void opened.push([path, ms]),
    failed: (code) => void failed.push(code),
    now: () => clock.time,
  });
  const offer = (session_id: string, more: Partial<OfferSignal> = {}) =>
    connections.handle({ session_id, type: 'offer', sdp: 'v=0 offer', ...more });
  return { connections, sessions, peers, sent, signed, log, streams, grants, offer, opened, failed, clock };
}

const connectTo = (peer: FakePeer, sessionId: string) =>
  clientSession({ sessionId, path: peer.other, environment: nodeEnvironment });

/** For what must not happen. */
const settle = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('what is counted', () => {
  test('is how long a path took to open, and which it was', async () => {
    const { peers, sessions, opened, failed, offer, clock } = rig();
    offer('one');
    clock.time += 120;
    peers[0]?.events.kind?.('turn');
    connectTo(peers[0] as FakePeer, 'one');
    await vi.waitFor(() => expect(opened).toEqual([['turn', 120]]), PATIENCE);
    expect(sessions.all.map(({ session }) => session.active?.kind)).toEqual(['turn']);
    // ICE finds a better pair later.
    peers[0]?.events.kind?.('direct');
    expect(sessions.all.map(({ session }) => session.active?.kind)).toEqual(['direct']);
    expect([opened.length, failed]).toEqual([1, []]);
  });

  test('is an offer that came to nothing, unless its client has left', async () => {
    const { connections, opened, failed, offer } = rig({ maxConnections: 2, handshakeTimeoutMs: 30 });
    offer('one');
    // In its place.
    offer('one');
    offer('two');
    offer('three');
    expect(failed).toEqual(['E_HOST_BUSY']);
    await vi.waitFor(() => expect(connections.size).toBe(0), PATIENCE);
    expect([failed, opened]).toEqual([['E_HOST_BUSY', 'E_HANDSHAKE_TIMEOUT', 'E_HANDSHAKE_TIMEOUT'], []]);
  });
});

describe('what the first peer needs', () => {
  const candidate = { candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null };

  test('is prepared once, and what comes meanwhile is taken in its order', async () => {
    const ready = Promise.withResolvers<void>();
    const prepare = vi.fn(() => ready.promise);
    const { connections, peers, sent, offer } = rig({ prepare });
    connections.handle({ session_id: 'before', type: 'candidate', candidate });
    expect(prepare).not.toHaveBeenCalled();
    offer('one');
    connections.handle({ session_id: 'one', type: 'candidate', candidate });
    offer('two');
    await settle();
    expect([peers.length, connections.size]).toEqual([0, 0]);
    ready.resolve();
    // Each is signed in its own time.
    await vi.waitFor(() => expect(sent.map(({ session_id }) => session_id).sort()).toEqual(['one', 'two']), PATIENCE);
    expect(peers[0]?.candidates).toEqual([candidate]);
    offer('three');
    expect(connections.size).toBe(3);
    expect(prepare).toHaveBeenCalledTimes(1);
  });

  test('may fail: clients are told, and the next offer makes another attempt', async () => {
    const prepare = vi.fn(async () => {
      if (prepare.mock.calls.length === 1) throw new Error('not today');
    });
    const { connections, sent, offer, log } = rig({ prepare });
    offer('one');
    await vi.waitFor(
      () => expect(sent).toMatchObject([{ session_id: 'one', type: 'error', code: 'E_INTERNAL' }]),
      PATIENCE,
    );
    expect(log.join()).toContain('not today');
    offer('two');
    await vi.waitFor(() => expect(sent.at(-1)).toMatchObject({ session_id: 'two', type: 'answer' }), PATIENCE);
    expect(connections.size).toBe(1);
  });

  test('is of use to all who wait, also behind an offer that cannot be taken', async () => {
    const { sent, offer, log } = rig({ prepare: async () => {}, broken: ['one'] });
    offer('one');
    offer('two');
    await vi.waitFor(() => expect(sent).toMatchObject([{ session_id: 'two', type: 'answer' }]), PATIENCE);
    expect(log.join()).toContain('not like this');
  });

  test('is awaited by nobody whose grant was revoked meanwhile, and by nobody once all is closed', async () => {
    const ready = Promise.withResolvers<void>();
    const { connections, sent, offer } = rig({ prepare: () => ready.promise });
    offer('one', { grant: { subject: 'key:k1' } });
    offer('two', { grant: { subject: 'owner' } });
    connections.revoke('key:k1');
    ready.resolve();
    await vi.waitFor(() => expect(sent.map(({ session_id }) => session_id)).toEqual(['two']), PATIENCE);
    const later = Promise.withResolvers<void>();
    const closing = rig({ prepare: () => later.promise });
    closing.offer('three');
    closing.connections.close('E_GOING_AWAY');
    later.resolve();
    await settle();
    expect([closing.peers.length, closing.sent.length]).toEqual([0, 0]);
  });
});

describe('offers', () => {
  test('are answered, and the session serves streams', async () => {
    const { connections, peers, sent, signed, streams, offer, log } = rig();
    offer('abcdefghijk');
    await vi.waitFor(() => {
      expect(sent).toEqual([{ session_id: 'abcdefghijk', type: 'answer', sdp: 'v=0 answer', ...SIGNED }]);
    }, PATIENCE);
    expect(signed).toEqual([{ sessionId: 'abcdefghijk', offer: 'v=0 offer', answer: 'v=0 answer' }]);
    const client = connectTo(peers[0] as FakePeer, 'abcdefghijk');
    void client.openStream().write(Buffer.from('x'));
    await vi.waitFor(() => expect(streams.length).toBe(1), PATIENCE);
    client.close('E_GOING_AWAY', 'the page closes');
    await vi.waitFor(() => expect(connections.size).toBe(0), PATIENCE);
    expect(log.at(-1)).toBe('webrtc: closed: E_GOING_AWAY: the page closes for session abcdefgh…');
    expect(log.join('\n')).not.toContain('abcdefghi');
  });

  test('give their grant to the session, and the connection ends when that is revoked', async () => {
    const { connections, sessions, peers, grants, offer } = rig();
    const grant = { subject: 'key:k1', models: ['one'] };
    offer('one', { grant });
    offer('two', { grant });
    offer('three', { grant: { subject: 'owner' } });
    const client = connectTo(peers[0] as FakePeer, 'one');
    void client.openStream().write(Buffer.from('x'));
    await vi.waitFor(() => expect(grants).toEqual([grant]), PATIENCE);
    sessions.revoke('key:k1');
    await vi.waitFor(() => expect([client.error?.code, connections.size]).toEqual(['E_UNAUTHORIZED', 1]), PATIENCE);
    expect(peers.map(({ closedWith }) => closedWith)).toEqual(['E_UNAUTHORIZED', 'E_UNAUTHORIZED', undefined]);
  });

  test('over the limit are refused at once with a clear error, and a free slot is used again', async () => {
    const { connections, peers, sent, offer } = rig({ maxConnections: 2 });
    offer('one');
    offer('two');
    offer('three');
    expect(connections.size).toBe(2);
    expect(sent.find(({ session_id }) => session_id === 'three')).toMatchObject({ type: 'error', code: 'E_HOST_BUSY' });
    peers[0]?.close('gone');
    offer('four');
    await vi.waitFor(() => {
      expect(sent.find(({ session_id }) => session_id === 'four')).toMatchObject({ type: 'answer' });
    }, PATIENCE);
  });

  test('that cannot be answered get an error and free their slot', async () => {
    const { connections, sent, offer } = rig({ sdp: new Error('no ICE credentials') });
    offer('bad');
    await vi.waitFor(() => {
      expect(sent).toMatchObject([{ session_id: 'bad', type: 'error', code: 'E_BAD_REQUEST' }]);
    }, PATIENCE);
    expect(connections.size).toBe(0);
  });

  test('that are repeated replace the attempt before', async () => {
    const { connections, peers, offer, sent } = rig();
    offer('again');
    offer('again');
    await vi.waitFor(() => expect(sent).toHaveLength(1), PATIENCE);
    expect([connections.size, peers[0]?.closedWith !== undefined, peers[1]?.closedWith]).toEqual([1, true, undefined]);
  });

  test('that are repeated are answered once: the first answer would pass for one to the second offer', async () => {
    const { connections, signed, sent } = rig();
    for (const sdp of ['v=0 one', 'v=0 two']) connections.handle({ session_id: 'again', type: 'offer', sdp });
    await vi.waitFor(() => expect(sent.length).toBeGreaterThan(0), PATIENCE);
    await settle();
    expect(signed).toMatchObject([{ offer: 'v=0 one' }, { offer: 'v=0 two' }]);
    expect(sent.filter(({ type }) => type === 'answer')).toHaveLength(1);
    connections.close('E_GOING_AWAY');
  });

  test('and their answers name the path that comes of them', async () => {
    const { peers, sent, sessions, offer } = rig();
    const accept = vi.spyOn(sessions, 'accept');
    offer('bound');
    await vi.waitFor(() => expect(sent).toHaveLength(1), PATIENCE);
    expect(accept.mock.calls[0]?.[1].binding?.()).toEqual(await directBinding('v=0 offer', 'v=0 answer'));
    (peers[0] as FakePeer).close('done');
  });
});

describe('an abandoned handshake', () => {
  test('frees its slot after the time-out and says so', async () => {
    const { connections, sent, offer } = rig({ handshakeTimeoutMs: 20 });
    offer('silent');
    await vi.waitFor(() => expect(connections.size).toBe(0), PATIENCE);
    expect(sent.at(-1)).toMatchObject({ type: 'error', code: 'E_HANDSHAKE_TIMEOUT' });
  });

  test('takes 15 s in earnest', () => {
    expect(HANDSHAKE_TIMEOUT_MS).toBeLessThanOrEqual(15_000);
  });

  test('that speaks something else frees its slot at once', async () => {
    const { connections, peers, offer, log } = rig();
    offer('garbage');
    const other = (peers[0] as FakePeer).other;
    other.start({ message: () => {}, drained: () => {}, closed: () => {} });
    other.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await vi.waitFor(() => expect(connections.size).toBe(0), PATIENCE);
    expect(log.at(-1)).toContain('E_PROTOCOL');
  });

  test('by a stranger who does not know the session is refused', async () => {
    const { connections, peers, offer, log } = rig();
    offer('expected');
    connectTo(peers[0] as FakePeer, 'guessed');
    await vi.waitFor(() => expect(connections.size).toBe(0), PATIENCE);
    expect(log.at(-1)).toContain('E_SESSION_UNKNOWN');
  });

  test('is not what a connection in use becomes', async () => {
    const { connections, peers, offer } = rig({ handshakeTimeoutMs: 500 });
    offer('used');
    connectTo(peers[0] as FakePeer, 'used');
    await settle(700);
    expect(connections.size).toBe(1);
    connections.handle({ session_id: 'used', type: 'error', code: 'E_SESSION_UNKNOWN', message: 'expired' });
    expect(connections.size).toBe(1);
    connections.close('E_GOING_AWAY');
    expect(connections.size).toBe(0);
  });
});

test('candidates go to their session only', () => {
  const { connections, peers, offer } = rig();
  offer('a');
  offer('b');
  const candidate: Candidate = { candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null };
  connections.handle({ session_id: 'b', type: 'candidate', candidate });
  connections.handle({ session_id: 'unknown', type: 'candidate', candidate });
  expect(peers.map((peer) => peer.candidates.length)).toEqual([0, 1]);
  connections.close('E_GOING_AWAY');
});
