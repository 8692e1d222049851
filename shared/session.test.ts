import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { DirectError, ERRORS, type ErrorCode } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import {
  INITIAL_SESSION_CREDIT,
  INITIAL_STREAM_CREDIT,
  LIVENESS_IDLE_MS,
  LIVENESS_TIMEOUT_MS,
  MAX_CONCURRENT_STREAMS,
  MAX_QUEUED_ACKNOWLEDGEMENTS,
  PROTOCOL_VERSION,
} from './limits.ts';
import { type MemoryPathOptions, memoryPaths } from './memory-path.ts';
import type { Path } from './path.ts';
import type { Session, SessionEvents } from './session.ts';
import type { Stream } from './stream.ts';
import { TestClock } from './test-clock.ts';
import { arbitraryFrame } from './test-frames.ts';
import { agentSession, clientSession, SESSION } from './test-sessions.ts';

/** The signaling session of all tests. */
const ID = 'k3Jx0dQ2pA8';

/** One turn of the event loop. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Pair {
  world: TestClock;
  client: Session;
  agent: Session;
  accepted: Stream[];
}

function pair(options: MemoryPathOptions = {}, events: SessionEvents = {}): Pair {
  const world = new TestClock(settle);
  const [left, right] = memoryPaths(options);
  const accepted: Stream[] = [];
  const agent = agentSession({
    sessionId: ID,
    path: right,
    environment: world,
    events: { stream: (stream) => accepted.push(stream), ...events },
  });
  const client = clientSession({ sessionId: ID, path: left, environment: world });
  return { world, client, agent, accepted };
}

/** A peer that says what the test scripts, and records what it hears. */
function scripted(role: 'client' | 'agent') {
  const world = new TestClock(settle);
  const [left, right] = memoryPaths();
  const heard: Frame[] = [];
  const streams: Stream[] = [];
  const closed = vi.fn<(error: DirectError) => void>();
  right.start({
    message: (message) => heard.push(...decodeFrames(message)),
    drained: () => {},
    closed: () => {},
  });
  const session = (role === 'client' ? clientSession : agentSession)({
    sessionId: ID,
    path: left,
    environment: world,
    events: { stream: (stream) => streams.push(stream), closed },
  });
  const say = async (...frames: Frame[]) => {
    right.send(encodeFrames(frames));
    await settle();
  };
  /** From now on nothing that the session sends gets away. */
  const block = () => vi.spyOn(left, 'capacity').mockReturnValue(0);
  const raw = (bytes: Uint8Array) => right.send(bytes);
  return { world, session, heard, streams, say, raw, block, closed, path: right };
}

const HELLO: Frame = {
  type: 'HELLO',
  json: JSON.stringify({ protocol_version: PROTOCOL_VERSION, session_id: ID, session: SESSION }),
};
const data = (id: number, offset: number, bytes: Uint8Array | string, fin = false): Frame => ({
  type: 'STREAM',
  id,
  offset,
  data: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes,
  fin,
});

async function readAll(stream: Stream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let part = await stream.read(); part !== null; part = await stream.read()) parts.push(part);
  return Buffer.concat(parts);
}

const codeOf = (error: unknown): ErrorCode | undefined => (error instanceof DirectError ? error.code : undefined);

describe('streams', () => {
  test('carry bytes both ways and are forgotten when both directions have ended', async () => {
    const { client, agent, accepted } = pair();
    const stream = client.openStream();
    await stream.write(Buffer.from('ping'));
    stream.finish();
    await settle();
    const [other] = accepted;
    expect((await readAll(other as Stream)).toString()).toBe('ping');
    await other?.write(Buffer.from('pong'));
    other?.finish();
    expect((await readAll(stream)).toString()).toBe('pong');
    await settle();
    expect([client.streamCount, agent.streamCount]).toEqual([0, 0]);
    expect([client.heldBytes, agent.heldBytes]).toEqual([0, 0]);
  });

  test('small writes of one turn leave as one message', async () => {
    const { session, heard, path } = scripted('client');
    await settle();
    expect(heard.map((frame) => frame.type)).toEqual(['HELLO', 'PING']);
    let messages = 0;
    const deliver = vi.spyOn(path as unknown as { deliver(m: Uint8Array): void }, 'deliver').mockImplementation(() => {
      messages++;
    });
    const streams = [session.openStream(), session.openStream()];
    for (let i = 0; i < 100; i++) for (const stream of streams) void stream.write(Buffer.from('token '));
    await settle();
    deliver.mockRestore();
    expect(messages).toBe(1);
  });

  test('any split, any interleaving and any slow reader leave the bytes as they were', async () => {
    const payload = fc.uint8Array({ minLength: 0, maxLength: 5000 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(payload, { maxLength: 6 }), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 128, max: 2000 }),
        fc.integer({ min: 1, max: 4000 }),
        fc.infiniteStream(fc.nat(3)),
        async (writes, maxMessageBytes, queueBytes, pauses) => {
          const carried: (() => void)[] = [];
          const { client, accepted } = pair({ maxMessageBytes, queueBytes, carry: (deliver) => carried.push(deliver) });
          const echo = async (stream: Stream) => {
            for (let part = await stream.read(); part !== null; part = await stream.read()) {
              for (let n = pauses.next().value; n > 0; n--) await settle();
              await stream.write(part);
            }
            stream.finish();
          };
          const results = writes.map(async (parts) => {
            const stream = client.openStream();
            const reading = readAll(stream);
            for (const part of parts) {
              await stream.write(part);
              for (let n = pauses.next().value; n > 0; n--) await settle();
            }
            stream.finish();
            return reading;
          });
          let done = false;
          const all = Promise.all(results).finally(() => {
            done = true;
          });
          const echoed = new Set<Stream>();
          for (let turns = 0; !done; turns++) {
            expect(turns).toBeLessThan(20_000);
            carried.shift()?.();
            await Promise.resolve();
            if (carried.length === 0) await settle();
            for (const stream of accepted.filter((stream) => !echoed.has(stream))) {
              echoed.add(stream);
              void echo(stream);
            }
          }
          const got = await all;
          for (const [i, parts] of writes.entries()) expect(got[i]?.equals(Buffer.concat(parts))).toBe(true);
          for (let i = 0; i < 50; i++) {
            carried.shift()?.();
            await Promise.resolve();
          }
          expect(client.heldBytes).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a slow reader stops its own stream only, and memory stays under the credit', async () => {
    const { client, agent, accepted } = pair();
    const slow = client.openStream();
    const fast = client.openStream();
    await Promise.all([slow.write(Buffer.from('a')), fast.write(Buffer.from('a'))]);
    await settle();
    const [slowOther, fastOther] = accepted as [Stream, Stream];
    let written = 0;
    const flood = (async () => {
      for (;;) {
        await slowOther.write(new Uint8Array(32 * 1024));
        written += 32 * 1024;
      }
    })();
    flood.catch(() => {});
    for (let i = 0; i < 20; i++) await settle();
    expect(written).toBeGreaterThan(INITIAL_STREAM_CREDIT / 2);
    expect(written).toBeLessThanOrEqual(INITIAL_STREAM_CREDIT + 128 * 1024);
    // The first byte of both requests is not acknowledged yet.
    expect(client.heldBytes).toBeLessThanOrEqual(INITIAL_STREAM_CREDIT + 2);
    expect(agent.heldBytes).toBeLessThanOrEqual(INITIAL_STREAM_CREDIT + 128 * 1024);
    // 8 MiB through the stream beside it.
    const reading = readAll(fast);
    for (let i = 0; i < 128; i++) await fastOther.write(new Uint8Array(64 * 1024));
    fastOther.finish();
    expect((await reading).length).toBe(8 * 1024 * 1024);
    // The slow one goes on as soon as its reader does.
    const before = written;
    for (let i = 0; i < 40; i++) await slow.read();
    await settle();
    expect(written).toBeGreaterThan(before);
    slow.abort('E_CANCELLED');
    await expect(flood).rejects.toThrow(DirectError);
  });

  test('the session’s credit bounds all streams together', async () => {
    const { client, agent, accepted } = pair();
    for (let i = 0; i < 16; i++) {
      const stream = client.openStream();
      for (let n = 0; n < 64; n++) void stream.write(new Uint8Array(32 * 1024)).catch(() => {});
    }
    for (let i = 0; i < 30; i++) await settle();
    expect(agent.heldBytes).toBe(INITIAL_SESSION_CREDIT);
    // Reading one stream to its end lets the others move: nobody starves.
    const totals = accepted.map(() => 0);
    await Promise.all(
      accepted.map(async (stream, i) => {
        while ((totals[i] ?? 0) < 2 * 1024 * 1024) totals[i] = (totals[i] ?? 0) + ((await stream.read())?.length ?? 0);
      }),
    );
    expect(totals).toEqual(Array(16).fill(2 * 1024 * 1024));
  });

  test('a bulk stream lets a small one through within one turn of each', async () => {
    const delivered: number[] = [];
    const carried: (() => void)[] = [];
    const { client, accepted } = pair({ queueBytes: 64 * 1024, carry: (deliver) => carried.push(deliver) });
    const bulk = client.openStream();
    const small = client.openStream();
    void bulk.write(new Uint8Array(900 * 1024));
    await settle();
    void small.write(Buffer.from('token'));
    await settle();
    while (carried.length > 0) {
      carried.shift()?.();
      await settle();
      delivered.push(accepted.length);
    }
    // HELLO with bulk data was queued before; the small stream is in the message after it.
    expect(delivered.indexOf(2)).toBeLessThanOrEqual(3);
    expect(delivered.length).toBeGreaterThan(10);
  });

  test('over the limit of streams, new ones wait for old ones to end', async () => {
    const { client, accepted, agent } = pair();
    const streams = Array.from({ length: MAX_CONCURRENT_STREAMS + 5 }, () => client.openStream());
    for (const stream of streams) {
      void stream.write(Buffer.from(`${stream.id}`));
      stream.finish();
    }
    await settle();
    expect(accepted.length).toBe(MAX_CONCURRENT_STREAMS);
    for (const stream of accepted.slice(0, 40)) {
      await readAll(stream);
      await stream.finish();
    }
    await settle();
    expect(accepted.length).toBe(MAX_CONCURRENT_STREAMS + 5);
    expect(agent.error).toBeUndefined();
    for (const stream of accepted.slice(40)) {
      await readAll(stream);
      await stream.finish();
    }
    await Promise.all(streams.map(readAll));
    await settle();
    expect([client.streamCount, agent.streamCount]).toEqual([0, 0]);
  });

  test('thousands of streams one after the other leave nothing behind', async () => {
    const { client, agent, accepted } = pair();
    for (let i = 0; i < 2000; i++) {
      const stream = client.openStream();
      void stream.write(Buffer.from('x'));
      stream.finish();
      await Promise.resolve();
      await settle();
      const other = accepted.pop() as Stream;
      await readAll(other);
      other.finish();
      await readAll(stream);
    }
    await settle();
    expect([client.streamCount, agent.streamCount, client.heldBytes, agent.heldBytes]).toEqual([0, 0, 0, 0]);
  });
});

describe('giving up', () => {
  test('reset fails the reader with the code, and the credit comes back', async () => {
    const { client, agent, accepted } = pair();
    for (let i = 0; i < 12; i++) {
      const stream = client.openStream();
      for (let n = 0; n < 30; n++) void stream.write(new Uint8Array(32 * 1024)).catch(() => {});
      for (let n = 0; n < 5; n++) await settle();
      stream.abort('E_CANCELLED');
      await settle();
      const other = accepted.at(-1) as Stream;
      const failure = await readAll(other).catch(codeOf);
      expect(failure).toBe('E_CANCELLED');
      other.abort('E_CANCELLED');
      await settle();
    }
    // 12 times 960 kB is far over the session's credit: it moved only because resets were counted as consumed.
    expect([client.streamCount, agent.streamCount, agent.error]).toEqual([0, 0, undefined]);
  });

  test('stop tells the writer, whose end learns it through onabort and a failing write', async () => {
    const { client, accepted } = pair();
    const stream = client.openStream();
    void stream.write(Buffer.from('q'));
    await settle();
    const other = accepted[0] as Stream;
    const aborted = vi.fn<(error: DirectError) => void>();
    other.onabort = aborted;
    stream.stop('E_CANCELLED');
    await settle();
    expect(aborted).toHaveBeenCalledOnce();
    expect(codeOf(aborted.mock.calls[0]?.[0])).toBe('E_CANCELLED');
    expect(codeOf(await other.write(Buffer.from('late')).catch((error: unknown) => error))).toBe('E_CANCELLED');
    expect(codeOf(await stream.read().catch((error: unknown) => error))).toBe('E_CANCELLED');
  });

  test('an agent that stops an upload still answers', async () => {
    const { client, agent, accepted } = pair();
    const stream = client.openStream();
    void stream.write(new Uint8Array(500_000)).catch(() => {});
    await settle();
    const other = accepted[0] as Stream;
    other.stop('E_BODY_TOO_LARGE');
    void other.write(Buffer.from('413'));
    other.finish();
    expect((await readAll(stream)).toString()).toBe('413');
    expect(codeOf(await stream.write(Buffer.from('more')).catch((error: unknown) => error))).toBe('E_BODY_TOO_LARGE');
    await settle();
    expect([client.streamCount, agent.streamCount]).toEqual([0, 0]);
  });

  test('closing a session fails every stream at both ends with its code', async () => {
    const closed = vi.fn<(error: DirectError) => void>();
    const { client, accepted, agent } = pair({}, { closed });
    const stream = client.openStream();
    void stream.write(Buffer.from('q'));
    await settle();
    const other = accepted[0] as Stream;
    const failing = [readAll(stream), readAll(other).then(() => readAll(other))].map((p) => p.catch(codeOf));
    client.close('E_GOING_AWAY', 'the page closes');
    expect(await Promise.all(failing)).toEqual(['E_GOING_AWAY', 'E_GOING_AWAY']);
    expect(() => client.openStream()).toThrow(DirectError);
    expect(agent.error?.detail).toBe('the page closes');
  });

  test('a lost path fails streams with E_PATH_LOST', async () => {
    const { client, world } = pair({ carry: () => {} });
    const stream = client.openStream();
    const reading = readAll(stream).catch(codeOf);
    await world.advance(LIVENESS_IDLE_MS + LIVENESS_TIMEOUT_MS + 1);
    expect(await reading).toBe('E_PATH_LOST');
  });
});

describe('liveness', () => {
  test('an idle session stays up for hours and measures its round trip', async () => {
    const rtt = vi.fn();
    const { world, client, agent } = pair({}, { rtt });
    await world.advance(4 * 3600_000);
    expect([client.error, agent.error]).toEqual([undefined, undefined]);
    client.active?.probe(2000);
    await settle();
    await world.advance(2001);
    expect(client.error).toBeUndefined();
  });

  test('a silent response of ten minutes is healthy while the path answers', async () => {
    const { world, client, accepted } = pair();
    const stream = client.openStream();
    void stream.write(Buffer.from('think'));
    stream.finish();
    const reading = readAll(stream);
    await world.advance(600_000);
    void accepted[0]?.write(Buffer.from('thought'));
    accepted[0]?.finish();
    expect((await reading).toString()).toBe('thought');
  });

  test('a probe finds a dead path in its own time', async () => {
    let dead = false;
    const { world, client } = pair({ carry: (deliver) => (dead ? undefined : deliver()) });
    await settle();
    dead = true;
    client.active?.probe(2000);
    await world.advance(1999);
    expect(client.error).toBeUndefined();
    await world.advance(2);
    expect(client.error?.code).toBe('E_PATH_LOST');
  });
});

describe('hostile peers', () => {
  const violations: [name: string, code: ErrorCode, frames: Frame[]][] = [
    ['no HELLO first', 'E_PROTOCOL', [data(0, 0, 'x')]],
    ['two HELLOs', 'E_PROTOCOL', [HELLO, HELLO]],
    ['another version', 'E_VERSION', [{ type: 'HELLO', json: '{"protocol_version":99}' }]],
    [
      'HELLO for another session',
      'E_SESSION_UNKNOWN',
      [{ type: 'HELLO', json: '{"protocol_version":1,"session_id":"x"}' }],
    ],
    ['HELLO without a session', 'E_SESSION_UNKNOWN', [{ type: 'HELLO', json: '{"protocol_version":1}' }]],
    ['HELLO without JSON', 'E_PROTOCOL', [{ type: 'HELLO', json: 'hello' }]],
    ['HELLO with null', 'E_VERSION', [{ type: 'HELLO', json: 'null' }]],
    ['a gap', 'E_PROTOCOL', [HELLO, data(0, 1, 'x')]],
    ['data after FIN', 'E_PROTOCOL', [HELLO, data(0, 0, 'x', true), data(0, 1, 'y')]],
    ['a second final size', 'E_PROTOCOL', [HELLO, data(0, 0, 'xyz', true), data(0, 0, 'x', true)]],
    ['FIN before the data', 'E_PROTOCOL', [HELLO, data(0, 0, 'xyz'), data(0, 0, 'x', true)]],
    [
      'a reset that takes data back',
      'E_PROTOCOL',
      [HELLO, data(0, 0, 'xyz'), { type: 'RESET_STREAM', id: 0, code: 4014, finalSize: 1 }],
    ],
    [
      'a reset over the credit',
      'E_FLOW_CONTROL',
      [HELLO, { type: 'RESET_STREAM', id: 0, code: 4014, finalSize: INITIAL_STREAM_CREDIT + 1 }],
    ],
    [
      'acknowledging what was not sent',
      'E_PROTOCOL',
      [HELLO, data(0, 0, 'x'), { type: 'MAX_STREAM_DATA', id: 0, received: 1, max: 9 }],
    ],
    [
      'an acknowledgement for an unknown stream',
      'E_PROTOCOL',
      [HELLO, { type: 'MAX_STREAM_DATA', id: 7, received: 1, max: 9 }],
    ],
    ['a stream flood', 'E_STREAM_LIMIT', [HELLO, data(MAX_CONCURRENT_STREAMS, 0, 'x')]],
    ['MAX_STREAMS to an agent', 'E_PROTOCOL', [HELLO, { type: 'MAX_STREAMS', max: 1 }]],
    ['an unknown close code', 'E_INTERNAL', [{ type: 'CONNECTION_CLOSE', code: 1, reason: '' }]],
  ];
  test.each(violations)('%s', async (_name, code, frames) => {
    const { heard, say, closed, session } = scripted('agent');
    await say(...frames);
    expect(session.error?.code).toBe(code);
    expect(closed).toHaveBeenCalledOnce();
    if (code === 'E_INTERNAL') return;
    expect(heard.at(-1)).toMatchObject({ type: 'CONNECTION_CLOSE', code: ERRORS[code].close });
  });

  test('more data than the stream’s credit', async () => {
    const { say, session } = scripted('agent');
    await say(HELLO);
    const part = new Uint8Array(65_000);
    for (let at = 0; at <= INITIAL_STREAM_CREDIT && session.error === undefined; at += part.length) {
      await say(data(0, at, part));
    }
    expect(session.error?.code).toBe('E_FLOW_CONTROL');
    expect(session.heldBytes).toBe(0);
  });

  test('more data than the session’s credit over several streams', async () => {
    const { say, session } = scripted('agent');
    await say(HELLO);
    const part = new Uint8Array(65_000);
    for (let id = 0; id < 12 && session.error === undefined; id++) {
      for (let n = 0; n < 16 && session.error === undefined; n++) await say(data(id, n * part.length, part));
    }
    expect(session.error?.code).toBe('E_FLOW_CONTROL');
  });

  test('a repeated part of a stream is dropped, a part that overlaps is cut', async () => {
    const { say, streams, session } = scripted('agent');
    await say(HELLO, data(0, 0, 'abcd'), data(0, 0, 'abcd'), data(0, 2, 'cdef'), data(0, 6, '', true));
    expect((await readAll(streams[0] as Stream)).toString()).toBe('abcdef');
    expect(session.error).toBeUndefined();
  });

  test('frames of an ended stream are acknowledged again', async () => {
    const { say, streams, heard } = scripted('agent');
    await say(HELLO, data(0, 0, 'ab', true));
    await readAll(streams[0] as Stream);
    streams[0]?.finish();
    await settle();
    await say({ type: 'MAX_STREAM_DATA', id: 0, received: 1, max: 10 });
    heard.length = 0;
    await say(data(0, 0, 'ab', true));
    expect(heard).toEqual([{ type: 'MAX_STREAM_DATA', id: 0, received: 3, max: 0 }]);
  });

  test('frames of ended streams on a blocked path end the session before they pile up', async () => {
    const { say, streams, session, block } = scripted('agent');
    await say(HELLO);
    for (let id = 0; id < MAX_QUEUED_ACKNOWLEDGEMENTS + 10; id++) {
      await say(data(id, 0, '', true));
      await readAll(streams[id] as Stream);
      streams[id]?.finish();
      await settle();
      await say({ type: 'MAX_STREAM_DATA', id, received: 1, max: 0 });
    }
    expect([session.streamCount, session.error]).toEqual([0, undefined]);
    block();
    for (let id = 0; id < MAX_QUEUED_ACKNOWLEDGEMENTS + 10; id++) await say(data(id, 0, '', true));
    expect(session.error?.code).toBe('E_PROTOCOL');
  });

  test('a flood of PINGs on a blocked path queues one PONG', async () => {
    const world = new TestClock(settle);
    const sent: Frame[] = [];
    let capacity = 0;
    let events: Parameters<Path['start']>[0] | undefined;
    const path: Path = {
      maxMessageBytes: 65_536,
      capacity: () => capacity,
      send: (message) => sent.push(...decodeFrames(message)),
      close: () => {},
      start: (given) => {
        events = given;
      },
    };
    agentSession({ sessionId: ID, path, environment: world });
    events?.message(encodeFrames([HELLO]));
    for (let nonce = 0; nonce < 10_000; nonce++) events?.message(encodeFrames([{ type: 'PING', nonce }]));
    await settle();
    expect(sent).toEqual([]);
    capacity = 1000;
    events?.drained();
    expect(sent.map(({ type }) => type)).toEqual(['HELLO', 'PONG']);
    expect(sent[1]).toEqual({ type: 'PONG', nonce: 9_999 });
  });

  test('any list of frames ends in a code or in nothing, never in an exception', async () => {
    const frame = arbitraryFrame(fc.nat(5), 5);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('client' as const, 'agent' as const),
        fc.array(frame, { maxLength: 30 }),
        async (role, frames) => {
          const { session, streams, say } = scripted(role);
          if (role === 'client') streams.push(session.openStream(), session.openStream());
          await say(HELLO);
          for (const frame of frames) {
            await say(frame);
            for (const stream of streams) void stream.write(Buffer.from('x')).catch(() => {});
          }
          if (session.error !== undefined) expect(Object.keys(ERRORS)).toContain(session.error.code);
          // A small number is no code of ours, so the peer's own CONNECTION_CLOSE reads as E_INTERNAL.
          const closedByPeer = frames.some(({ type }) => type === 'CONNECTION_CLOSE');
          if (!closedByPeer) expect(session.error?.code).not.toBe('E_INTERNAL');
        },
      ),
      { numRuns: 300 },
    );
  });

  test('random bytes end the session with E_PROTOCOL', async () => {
    const { raw, session } = scripted('agent');
    raw(new Uint8Array([0xff, 0x00, 0x13]));
    await settle();
    expect(session.error?.code).toBe('E_PROTOCOL');
  });
});
