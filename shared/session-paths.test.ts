/** A session over several paths: what moves, what is repeated, and what is lost with a path. */
import { describe, expect, test, vi } from 'vitest';
import { DirectError, type ErrorCode } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import { agentHello } from './hello.ts';
import {
  INITIAL_SESSION_CREDIT,
  INITIAL_STREAM_CREDIT,
  LIVENESS_DOUBT_MS,
  LIVENESS_IDLE_MS,
  LIVENESS_TIMEOUT_MS,
  MAX_CONCURRENT_STREAMS,
  MAX_PATHS,
  MAX_UNACKNOWLEDGED_SESSION_BYTES,
  MAX_UNACKNOWLEDGED_STREAM_BYTES,
  RESTING_DIRECT_IDLE_MS,
  SESSION_SURVIVAL_MS,
  UNANSWERED_SURVIVAL_MS,
} from './limits.ts';
import type { PathKind } from './path.ts';
import type { PathLink } from './path-link.ts';
import { Session } from './session.ts';
import type { Stream } from './stream.ts';
import { Pair, type PairOptions, SIGNALING } from './test-pair.ts';
import { Wire, World } from './test-world.ts';

const codeOf = (error: unknown): ErrorCode | undefined => (error instanceof DirectError ? error.code : undefined);
const bytes = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);

/** A pair with its first path open. */
async function opened(kind: PathKind = 'relay', options: PairOptions = {}) {
  const pair = new Pair(options);
  const first = pair.connect(kind);
  await pair.world.advance(100);
  expect(first.link.isOpen).toBe(true);
  return { pair, first, ...pair };
}

/** A stream that both ends have, with a byte each way. */
async function openedStream(pair: Pair): Promise<[Stream, Stream]> {
  const stream = pair.client.openStream();
  await stream.write(Buffer.from('?'));
  await pair.world.advance(100);
  const other = pair.streams.at(-1) as Stream;
  await other.read();
  await other.write(Buffer.from('!'));
  await pair.world.advance(100);
  await stream.read();
  return [stream, other];
}

describe('moving', () => {
  test('in mid-stream and mid-flight both directions go on, byte for byte', async () => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    const up = bytes(300_000, 1);
    const down = bytes(700_000, 2);
    const reading = [pair.readAll(other), pair.readAll(stream)];
    void stream.write(up);
    void other.write(down);
    stream.finish();
    other.finish();
    await pair.world.advance(5);
    const second = pair.connect('direct');
    await pair.world.advance(25);
    first.wire.cut({ up: 0.5, down: 0.5 });
    await pair.world.advance(1000);
    expect((await Promise.all(reading)).map((got, i) => got.equals(i === 0 ? up : down))).toEqual([true, true]);
    expect(pair.client.active).toBe(second.link);
    expect(pair.client.streamCount).toBe(0);
    expect(pair.streams.length).toBe(1);
  });

  test('the better path is used by both ends while both live, and the old one delivers late', async () => {
    const pair = new Pair();
    const slow = pair.connect('relay', { delayMs: 400 });
    const [stream] = await (async () => {
      const stream = pair.client.openStream();
      void stream.write(bytes(200_000));
      await pair.world.advance(1000);
      return [stream];
    })();
    const other = pair.streams[0] as Stream;
    const reading = pair.readAll(other);
    await pair.world.settle();
    void stream.write(bytes(100_000, 3));
    await pair.world.advance(1);
    const fast = pair.connect('direct', { delayMs: 5 });
    await pair.world.advance(100);
    expect(pair.client.active).toBe(fast.link);
    void stream.write(bytes(100_000, 4));
    stream.finish();
    void other.write(bytes(50_000, 5));
    other.finish();
    await pair.world.advance(100);
    const sent = slow.wire.agent.messages;
    expect((await pair.readAll(stream)).equals(bytes(50_000, 5))).toBe(true);
    await pair.world.advance(2000);
    expect((await reading).equals(Buffer.concat([bytes(200_000), bytes(100_000, 3), bytes(100_000, 4)]))).toBe(true);
    // The agent has moved as well: the slow path carries nothing any more.
    expect(slow.wire.agent.messages).toBe(sent);
    expect([pair.client.links.length, pair.client.streamCount, pair.client.error]).toEqual([2, 0, undefined]);
  });

  test('a stream that was opened and has sent nothing survives a move, and opens later', async () => {
    const { pair, first } = await opened();
    const quiet = pair.client.openStream();
    const second = pair.connect('direct');
    await pair.world.advance(100);
    first.wire.cut();
    await pair.world.advance(100);
    expect([pair.client.error, pair.client.active]).toEqual([undefined, second.link]);
    expect([quiet.sentAny, pair.streams.length]).toEqual([false, 0]);
    await quiet.write(Buffer.from('now'));
    await pair.world.advance(100);
    expect(pair.streams.length).toBe(1);
  });

  test.each(['FIN', 'nothing, and FIN'])('a path lost with %s in flight loses neither', async (what) => {
    const { pair, first } = await opened();
    const stream = pair.client.openStream();
    if (what === 'FIN') await stream.write(Buffer.from('x'));
    await pair.world.advance(0);
    await pair.world.advance(what === 'FIN' ? 100 : 0);
    stream.finish();
    await pair.world.advance(0);
    first.wire.cut();
    await pair.world.advance(50);
    pair.connect('direct');
    await pair.world.advance(100);
    const other = pair.streams[0] as Stream;
    expect((await pair.readAll(other)).toString()).toBe(what === 'FIN' ? 'x' : '');
    expect(pair.streams.length).toBe(1);
  });

  test('a path lost with the last acknowledgement in flight leaves no stream behind, at either end', async () => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    stream.finish();
    await pair.world.advance(100);
    expect(await other.read()).toBe(null);
    other.finish();
    await pair.world.advance(10);
    expect(await stream.read()).toBe(null);
    await pair.world.advance(0);
    // The client has forgotten the stream, and the agent will not hear of it.
    expect(pair.client.streamCount).toBe(0);
    first.wire.cut({ seenBy: 'both' });
    await pair.world.advance(50);
    const second = pair.connect('direct');
    await pair.world.advance(100);
    const idle = second.wire.client.messages;
    // Whoever waits for an acknowledgement is busy and asks; who does not is silent.
    await pair.world.advance(RESTING_DIRECT_IDLE_MS - 500);
    expect(second.wire.client.messages).toBe(idle);
    pair.client.close('E_GOING_AWAY');
    await pair.world.advance(100);
    expect([pair.sessions.size, pair.world.pending]).toEqual([0, 0]);
  });

  test('a late repetition does not take the last acknowledgement back', async () => {
    const world = new World();
    const { say, heard, session, link, capacity } = scriptedAgent(world);
    const stream = session.openStream();
    stream.finish();
    await world.settle();
    await say({ type: 'MAX_STREAM_DATA', id: 0, received: 1, max: 0 }, data(0, 0, 'abc'));
    expect(Buffer.from((await stream.read()) as Uint8Array).toString()).toBe('abc');
    capacity(0);
    await say(data(0, 3, 'def', true));
    await stream.read();
    expect(await stream.read()).toBe(null);
    expect(session.streamCount).toBe(0);
    // From a slow path, before the acknowledgement has left.
    await say(data(0, 0, 'abc'));
    heard.length = 0;
    capacity(100_000);
    session.flush(link);
    await world.settle();
    await world.advance(1);
    expect(heard).toEqual([{ type: 'MAX_STREAM_DATA', id: 0, received: 7, max: 0 }]);
  });

  test.each(['reset', 'stop'] as const)('%s that is lost with its path is said again', async (way) => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    const aborted = vi.fn<(error: DirectError) => void>();
    other.onabort = aborted;
    stream[way]('E_CANCELLED');
    await pair.world.advance(0);
    first.wire.cut();
    await pair.world.advance(50);
    expect(aborted).not.toHaveBeenCalled();
    pair.connect('turn');
    await pair.world.advance(100);
    expect(aborted).toHaveBeenCalledOnce();
    stream.abort('E_CANCELLED');
    other.abort('E_CANCELLED');
    await pair.world.advance(100);
    expect([pair.client.streamCount, pair.client.heldBytes]).toEqual([0, 0]);
  });

  test('MAX_DATA that is lost with its path is said again', async () => {
    const { pair, first } = await opened();
    const total = INITIAL_SESSION_CREDIT;
    const streams = Array.from({ length: 10 }, () => pair.client.openStream());
    for (const stream of streams) {
      for (let at = 0; at < 1024 * 1024; at += 64 * 1024) void stream.write(bytes(64 * 1024));
      stream.finish();
    }
    await pair.world.advance(5000);
    const held = pair.streams.length;
    expect(held).toBeGreaterThan(7);
    // The agent reads everything, and each grant that follows is lost.
    first.wire.agent.silence(0);
    const reading = pair.streams.map(pair.readAll);
    await pair.world.advance(100);
    first.wire.cut();
    await pair.world.advance(100);
    pair.connect('direct');
    await pair.world.advance(5000);
    const more = pair.streams.slice(held).map(pair.readAll);
    await pair.world.advance(1000);
    const sizes = (await Promise.all([...reading, ...more])).map(({ length }) => length);
    expect(sizes).toEqual(Array(10).fill(1024 * 1024));
    expect(sizes.length * 1024 * 1024).toBeGreaterThan(total);
    for (const stream of pair.streams) stream.finish();
    for (const stream of streams) void pair.readAll(stream);
    await pair.world.advance(100);
    expect(pair.client.streamCount).toBe(0);
  });

  test('MAX_STREAMS that is lost is said again: streams that wait for it start on the next path', async () => {
    const { pair, first } = await opened();
    const streams = Array.from({ length: MAX_CONCURRENT_STREAMS + 8 }, () => pair.client.openStream());
    for (const stream of streams) stream.finish();
    await pair.world.advance(100);
    expect(pair.streams.length).toBe(MAX_CONCURRENT_STREAMS);
    for (const other of pair.streams) other.finish();
    // The acknowledgements of their ends have arrived, and the grant that they cause has not.
    await pair.world.advance(25);
    first.wire.cut();
    await pair.world.advance(100);
    pair.connect('direct');
    await pair.world.advance(200);
    expect(pair.streams.length).toBe(MAX_CONCURRENT_STREAMS + 8);
  });

  test('what is repeated is not counted twice against the session’s credit', async () => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    first.wire.cut();
    void stream.write(bytes(500_000));
    stream.finish();
    let sent = 0;
    while (sent < 2 * INITIAL_SESSION_CREDIT) {
      const { wire } = pair.connect('direct', { delayMs: 10, queueBytes: 1_000_000 });
      // The answer to HELLO, and a part of the way back.
      await pair.world.advance(25);
      sent += wire.client.bytes;
      wire.cut();
      await pair.world.advance(100);
    }
    const reading = pair.readAll(other);
    pair.connect('relay');
    await pair.world.advance(1000);
    expect((await reading).equals(bytes(500_000))).toBe(true);
    expect(pair.client.error).toBeUndefined();
  });

  test('a stream that ended on one side only goes on on the other', async () => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    stream.finish();
    await pair.world.advance(100);
    expect(await other.read()).toBe(null);
    first.wire.cut();
    await pair.world.advance(1000);
    pair.connect('relay');
    await pair.world.advance(100);
    await other.write(bytes(1000));
    other.finish();
    await pair.world.advance(100);
    expect((await pair.readAll(stream)).equals(bytes(1000))).toBe(true);
    expect(pair.client.streamCount).toBe(0);
  });
});

describe('the agent’s path', () => {
  test('is the client’s choice, whatever order USE_PATH arrives in', async () => {
    const world = new World();
    const { wires, say, heard, agent } = await rawClient(world, 3);
    await say(1, { type: 'USE_PATH', sequence: 3 });
    await say(2, { type: 'USE_PATH', sequence: 2 });
    await say(0, data(0, 0, '', true));
    await world.settle();
    expect(agent().active?.path).toBe((wires[1] as Wire).agent);
    expect(heard[1]?.at(-1)).toMatchObject({ type: 'MAX_STREAM_DATA', id: 0, received: 1 });
  });

  test('is what the client chose before when its choice dies, and the newest if it chose none', async () => {
    const world = new World();
    const { wires, say, agent } = await rawClient(world, 4);
    await say(1, { type: 'USE_PATH', sequence: 2 });
    await say(2, { type: 'USE_PATH', sequence: 3 });
    (wires[2] as Wire).agent.end('cut');
    expect(agent().active?.path).toBe((wires[1] as Wire).agent);
    (wires[1] as Wire).agent.end('cut');
    expect(agent().active?.path).toBe((wires[3] as Wire).agent);
  });

  test('answers go on by another path when only the agent sees the end', async () => {
    const { pair, first } = await opened('relay');
    const second = pair.connect('direct');
    await pair.world.advance(100);
    const [stream, other] = await openedStream(pair);
    void other.write(bytes(400_000));
    other.finish();
    await pair.world.advance(0);
    second.wire.cut({ seenBy: 'agent' });
    await pair.world.advance(500);
    expect((await pair.readAll(stream)).equals(bytes(400_000))).toBe(true);
    expect(first.wire.agent.bytes).toBeGreaterThan(400_000);
    // The client finds out by itself, and what it says gets through then.
    stream.finish();
    await pair.world.advance(LIVENESS_IDLE_MS + LIVENESS_TIMEOUT_MS);
    expect(await other.read()).toBe(null);
    expect([pair.client.streamCount, pair.client.active]).toEqual([0, first.link]);
  });

  test('tells an idle client that its relay is dead when only the agent has seen it end', async () => {
    const { pair, first } = await opened('relay');
    const second = pair.connect('relay');
    await pair.world.advance(100);
    expect(pair.client.active).toBe(first.link);
    first.wire.cut({ seenBy: 'agent' });
    await pair.world.advance(LIVENESS_DOUBT_MS + 100);
    expect(pair.client.active).toBe(second.link);
  });

  test('is asked with the message that says so: an idle relay may have died long ago', async () => {
    const { pair, first } = await opened('relay');
    const direct = pair.connect('direct');
    await pair.world.advance(60_000);
    const said: string[] = [];
    const send = vi.spyOn(first.wire.client, 'send');
    direct.wire.cut();
    await pair.world.advance(0);
    for (const [message] of send.mock.calls) said.push(...decodeFrames(message).map(({ type }) => type));
    expect(said.slice(0, 2)).toEqual(['USE_PATH', 'PING']);
    expect(send).toHaveBeenCalledOnce();
  });

  test('a path in doubt is left, and used again when it answers', async () => {
    const { pair, first } = await opened('relay');
    const direct = pair.connect('direct', { delayMs: 10, jitterMs: () => stall });
    let stall = 0;
    await pair.world.advance(100);
    await openedStream(pair);
    expect(pair.client.active).toBe(direct.link);
    stall = 6000;
    await pair.world.advance(2 * LIVENESS_DOUBT_MS + 100);
    expect([direct.link.doubtful, pair.client.active]).toEqual([true, first.link]);
    stall = 0;
    await pair.world.advance(12_000);
    expect([direct.link.doubtful, pair.client.active]).toEqual([false, direct.link]);
    expect(pair.client.links.length).toBe(2);
  });

  test('a stream that ends by another path than the chosen one is acknowledged there', async () => {
    const { pair, first } = await opened();
    const [stream, other] = await openedStream(pair);
    let later = 0;
    const chosen = pair.connect('relay', { delayMs: 10, jitterMs: () => later });
    await pair.world.advance(100);
    const spare = pair.connect('relay', { delayMs: 10 });
    await pair.world.advance(100);
    later = 40;
    const reading = [pair.readAll(stream), pair.readAll(other)];
    stream.finish();
    first.wire.cut();
    // USE_PATH and PING arrive after 50 ms, and PONG is on its way.
    await pair.world.advance(55);
    expect(pair.client.active).toBe(chosen.link);
    other.finish();
    await pair.world.advance(5);
    chosen.wire.cut({ down: 1, seenBy: 'agent' });
    // The end comes by the other relay, and PONG, which says nothing any more, by the chosen one.
    await pair.world.advance(60);
    await Promise.all(reading);
    expect([chosen.link, spare.link].map((link) => link === pair.client.active)).toEqual([true, false]);
    expect([pair.client.streamCount, pair.sessions.all[0]?.session.streamCount]).toEqual([0, 0]);
  });
});

describe('many paths', () => {
  test('three are up, and each takes over from the one before', async () => {
    const { pair, first } = await opened('relay');
    const turn = pair.connect('turn');
    const direct = pair.connect('direct');
    await pair.world.advance(100);
    const [stream, other] = await openedStream(pair);
    const reading = pair.readAll(stream);
    const used: (PathLink | undefined)[] = [];
    for (const { wire } of [direct, turn, first]) {
      used.push(pair.client.active);
      void other.write(bytes(100_000, used.length));
      await pair.world.advance(5);
      wire.cut({ down: 0.3 });
      await pair.world.advance(100);
    }
    expect(used).toEqual([direct.link, turn.link, first.link]);
    expect(pair.client.active).toBeUndefined();
    pair.connect('relay');
    other.finish();
    await pair.world.advance(500);
    expect((await reading).equals(Buffer.concat([1, 2, 3].map((seed) => bytes(100_000, seed))))).toBe(true);
  });

  test('over MAX_PATHS the one that was silent for longest makes room, so that dead ones lock nobody out', async () => {
    const { pair, first } = await opened('relay');
    const dead = Array.from({ length: MAX_PATHS - 1 }, () => pair.connect('relay'));
    await pair.world.advance(1000);
    for (const { wire } of dead.slice(1)) wire.cut({ seenBy: 'client' });
    first.wire.cut({ seenBy: 'client' });
    (dead[0] as (typeof dead)[0]).link.probe(2000);
    await pair.world.advance(1000);
    const fresh = pair.connect('direct');
    await pair.world.advance(1000);
    expect(fresh.link.isOpen).toBe(true);
    expect(dead[0]?.link.hasEnded).toBe(false);
    expect(pair.client.active).toBe(fresh.link);
    expect(first.wire.agent.isClosed).toBe(true);
  });

  test('a path that waits to say HELLO says nothing before it', async () => {
    const pair = new Pair();
    const stream = pair.client.openStream();
    void stream.write(Buffer.from('q'));
    const first = pair.connect('relay', { delayMs: 4000 });
    const second = pair.connect('direct');
    await pair.world.advance(8100);
    expect([first.link.isOpen, second.link.isOpen, pair.client.error]).toEqual([true, true, undefined]);
    expect(pair.streams.length).toBe(1);
  });

  test('a first path that never answers gives way to the second, which resumes nothing', async () => {
    const pair = new Pair();
    const first = pair.connect('relay');
    first.wire.cut({ seenBy: 'agent' });
    const second = pair.connect('direct');
    await pair.world.advance(LIVENESS_TIMEOUT_MS + 100);
    expect([first.link.hasEnded, second.link.isOpen]).toEqual([true, true]);
    expect(pair.client.error).toBeUndefined();
  });

  test.each(['finish', 'abort'] as const)(
    '%s alone is something to resume: the next agent must not run it',
    async (how) => {
      const pair = new Pair();
      const first = pair.connect('relay');
      const stream = pair.client.openStream();
      if (how === 'finish') stream.finish();
      else stream.abort('E_CANCELLED');
      await pair.world.advance(10);
      expect(stream.sentAny).toBe(true);
      expect(pair.streams.length).toBe(1);
      first.wire.cut();
      pair.restart();
      await pair.world.advance(10);
      pair.connect('relay');
      await pair.world.advance(100);
      expect(pair.client.error?.code).toBe('E_HOST_RESTARTED');
      expect(pair.streams.length).toBe(1);
    },
  );
});

describe('a path that resumes', () => {
  test('carries nothing of the session before the agent has answered: what it refuses was never sent', async () => {
    const { pair, first } = await opened();
    const [running] = await openedStream(pair);
    first.wire.cut();
    await pair.world.advance(50);
    const made = pair.client.openStream();
    await made.write(Buffer.from('a prompt'));
    pair.restart();
    const { wire } = pair.connect('relay');
    const later = pair.client.openStream();
    await later.write(Buffer.from('another'));
    await pair.world.advance(100);
    expect(pair.client.error?.code).toBe('E_HOST_RESTARTED');
    expect([running.sentAny, made.sentAny, later.sentAny]).toEqual([true, false, false]);
    expect(wire.client.messages).toBe(1);
  });
});

describe('without a path', () => {
  test('streams are accepted, and leave together with HELLO when one comes', async () => {
    const pair = new Pair();
    const stream = pair.client.openStream();
    await stream.write(Buffer.from('early'));
    stream.finish();
    await pair.world.advance(5000);
    expect(stream.sentAny).toBe(false);
    const { wire } = pair.connect('direct');
    await pair.world.advance(10);
    expect(wire.client.messages).toBe(1);
    expect((await pair.readAll(pair.streams[0] as Stream)).toString()).toBe('early');
  });

  test('between two paths as well', async () => {
    const { pair, first } = await opened();
    first.wire.cut();
    await pair.world.advance(1000);
    const stream = pair.client.openStream();
    await stream.write(Buffer.from('between'));
    stream.finish();
    await pair.world.advance(SESSION_SURVIVAL_MS - 2000);
    pair.connect('relay');
    await pair.world.advance(100);
    expect((await pair.readAll(pair.streams[0] as Stream)).toString()).toBe('between');
  });

  test('the session lives for its time, then fails everything once, at both ends', async () => {
    const closed = vi.fn<(error: DirectError) => void>();
    const { pair, first } = await opened('relay', { events: { closed } });
    const [stream, other] = await openedStream(pair);
    const failing = [stream.read(), other.read(), pair.readAll(pair.client.openStream())].map((p) => p.catch(codeOf));
    const aborted = vi.fn();
    stream.onabort = aborted;
    first.wire.cut();
    await pair.world.advance(SESSION_SURVIVAL_MS - 10);
    expect([pair.client.error, pair.sessions.size]).toEqual([undefined, 1]);
    await pair.world.advance(100);
    expect(await Promise.all(failing)).toEqual(['E_PATH_LOST', 'E_PATH_LOST', 'E_PATH_LOST']);
    expect([closed.mock.calls.length, aborted.mock.calls.length]).toEqual([1, 1]);
    expect([pair.sessions.size, pair.world.pending, pair.client.heldBytes]).toEqual([0, 0, 0]);
    expect(() => pair.client.openStream()).toThrow(DirectError);
    await pair.world.advance(SESSION_SURVIVAL_MS);
    expect(closed).toHaveBeenCalledOnce();
  });

  test('a path that comes in time starts the survival anew', async () => {
    const { pair, first } = await opened();
    let last = first;
    for (let i = 0; i < 3; i++) {
      last.wire.cut();
      await pair.world.advance(SESSION_SURVIVAL_MS - 100);
      last = pair.connect('relay');
      await pair.world.advance(100);
    }
    expect([pair.client.error, pair.sessions.size]).toEqual([undefined, 1]);
  });

  test('attempts that nobody answers do not keep the session', async () => {
    const { pair, first } = await opened();
    const [stream] = await openedStream(pair);
    const failing = stream.read().catch(codeOf);
    first.wire.cut();
    for (let i = 0; i < 4; i++) {
      await pair.world.advance(12_000);
      pair.connect('relay').wire.cut();
    }
    await pair.world.advance(SESSION_SURVIVAL_MS - 48_000);
    expect(await failing).toBe('E_PATH_LOST');
    expect(pair.client.error?.code).toBe('E_PATH_LOST');
  });

  test('a session that no agent has answered is given up soon after its last attempt at a path', async () => {
    const pair = new Pair();
    const first = pair.connect('relay');
    const stream = pair.client.openStream();
    await stream.write(Buffer.from('a prompt'));
    const failing = stream.read().catch(codeOf);
    await pair.world.advance(5);
    first.wire.cut();
    first.link.end(new DirectError('E_HOST_OFFLINE'));
    await pair.world.advance(UNANSWERED_SURVIVAL_MS - 100);
    // Another attempt has its own time.
    const second = pair.connect('relay');
    second.wire.cut();
    await pair.world.advance(5_000);
    expect(pair.client.error).toBeUndefined();
    second.link.end(new DirectError('E_HOST_OFFLINE'));
    await pair.world.advance(UNANSWERED_SURVIVAL_MS);
    expect([await failing, pair.client.error?.code, pair.world.pending]).toEqual(['E_PATH_LOST', 'E_PATH_LOST', 0]);
  });

  test('close leaves nothing behind', async () => {
    const { pair, first } = await opened();
    const [stream] = await openedStream(pair);
    first.wire.cut();
    await pair.world.advance(1000);
    const failing = stream.read().catch(codeOf);
    pair.client.close('E_GOING_AWAY');
    expect(await failing).toBe('E_GOING_AWAY');
    expect(() => pair.connect()).toThrow(DirectError);
    await pair.world.advance(SESSION_SURVIVAL_MS);
    expect([pair.sessions.size, pair.client.heldBytes]).toEqual([0, 0]);
  });

  test('close in the turn of HELLO ends the client’s session and not only its path', async () => {
    const pair = new Pair();
    const opened = () => pair.sessions.close('E_GOING_AWAY');
    pair.connect('relay', { delayMs: 10 }, { opened });
    await pair.world.advance(100);
    expect(pair.client.error?.code).toBe('E_GOING_AWAY');
  });
});

describe('a peer that acknowledges nothing', () => {
  const huge = 2 ** 50;

  test('does not make a stream hold more than its cap, and wakes it up when it does', async () => {
    const world = new World();
    const { say, session } = scriptedAgent(world);
    const stream = session.openStream();
    void stream.write(Buffer.from('?'));
    await world.settle();
    await say({ type: 'MAX_DATA', max: huge }, { type: 'MAX_STREAM_DATA', id: 0, received: 0, max: huge });
    const written = flood(world, stream);
    await world.advance(1000);
    expect(stream.unacknowledged).toBe(MAX_UNACKNOWLEDGED_STREAM_BYTES);
    expect(session.heldBytes).toBeLessThanOrEqual(MAX_UNACKNOWLEDGED_STREAM_BYTES + 128 * 1024);
    const before = written();
    await say({ type: 'MAX_STREAM_DATA', id: 0, received: 500_000, max: huge });
    await world.advance(1000);
    expect(written()).toBeGreaterThan(before + 300_000);
    expect(stream.unacknowledged).toBe(MAX_UNACKNOWLEDGED_STREAM_BYTES);
    session.close('E_CANCELLED');
  });

  test('does not make a session hold more than its cap, and wakes the streams that wait', async () => {
    const world = new World();
    const { say, session } = scriptedAgent(world);
    const streams = Array.from({ length: 20 }, () => session.openStream());
    await say({ type: 'MAX_DATA', max: huge });
    const written = streams.map((stream) => flood(world, stream));
    await world.advance(1000);
    const unacknowledged = () => streams.reduce((sum, stream) => sum + stream.unacknowledged, 0);
    expect(unacknowledged()).toBe(MAX_UNACKNOWLEDGED_SESSION_BYTES);
    expect(session.heldBytes).toBeLessThanOrEqual(MAX_UNACKNOWLEDGED_SESSION_BYTES + 20 * 128 * 1024);
    const [first] = streams as [Stream];
    const sentByOthers = () => unacknowledged() - first.unacknowledged;
    const before = sentByOthers();
    // No new credit for anyone: only room.
    await say({ type: 'MAX_STREAM_DATA', id: 0, received: first.unacknowledged, max: 0 });
    await world.advance(1000);
    expect(sentByOthers()).toBeGreaterThan(before);
    expect(unacknowledged()).toBe(MAX_UNACKNOWLEDGED_SESSION_BYTES);
    expect(written.length).toBe(20);
    session.close('E_CANCELLED');
  });

  test('many streams below a quarter of their credit do not stop each other: the session acknowledges them all', async () => {
    const { pair } = await opened();
    const streams = Array.from({ length: 100 }, () => pair.client.openStream());
    for (const stream of streams) {
      void stream.write(bytes(INITIAL_STREAM_CREDIT / 4 - 1));
    }
    await pair.world.advance(100);
    let read = 0;
    for (let turn = 0; turn < 50; turn++) {
      for (const other of pair.streams.filter(({ heldBytes }) => heldBytes > 0)) {
        while (other.heldBytes > 0) read += ((await other.read()) as Uint8Array).length;
      }
      await pair.world.advance(100);
    }
    expect(read).toBe(100 * (INITIAL_STREAM_CREDIT / 4 - 1));
  });
});

// ---- scripted peers ---------------------------------------------------------------------------

function data(id: number, offset: number, text: string, fin = false): Frame {
  return { type: 'STREAM', id, offset, data: Buffer.from(text), fin };
}

/** Writes for as long as the backpressure lets it; returns how many bytes were taken. */
function flood(world: World, stream: Stream): () => number {
  let written = 0;
  const run = async () => {
    for (;;) {
      await stream.write(new Uint8Array(64 * 1024));
      world.step();
      written += 64 * 1024;
    }
  };
  run().catch(() => {});
  return () => written;
}

/** A client whose agent says what the test scripts, and acknowledges nothing by itself. */
function scriptedAgent(world: World) {
  const wire = new Wire(world, { queueBytes: Number.POSITIVE_INFINITY });
  const heard: Frame[] = [];
  wire.agent.start({ message: (m) => heard.push(...decodeFrames(m)), drained: () => {}, closed: () => {} });
  const session = new Session({ role: 'client', id: 'a-session', environment: world });
  const link = session.attach(wire.client, { sessionId: SIGNALING, kind: 'direct' });
  const say = async (...frames: Frame[]) => {
    wire.agent.send(encodeFrames(frames));
    await world.advance(1);
  };
  wire.agent.send(encodeFrames([agentHello(SIGNALING)]));
  const capacity = (value: number) => vi.spyOn(wire.client, 'capacity').mockReturnValue(value);
  return { wire, heard, session, link, say, capacity };
}

/** An agent's session with `count` paths, whose client says what the test scripts. */
async function rawClient(world: World, count: number) {
  const pair = new Pair({ world });
  const wires: Wire[] = [];
  const heard: Frame[][] = [];
  const sessions: Session[] = [];
  const moved = (session: Session) => sessions.push(session);
  const table = new Pair({ world, agent: { moved } }).sessions;
  const say = async (path: number, ...frames: Frame[]) => {
    (wires[path] as Wire).client.send(encodeFrames(frames));
    await world.advance(1);
  };
  for (let i = 0; i < count; i++) {
    const wire = new Wire(world);
    const list: Frame[] = [];
    wires.push(wire);
    heard.push(list);
    wire.client.start({ message: (m) => list.push(...decodeFrames(m)), drained: () => {}, closed: () => {} });
    table.accept(wire.agent, { sessionId: SIGNALING, kind: 'relay' });
    const json = JSON.stringify({ protocol_version: 1, session_id: SIGNALING, session: 'raw', resumed: i > 0 });
    await say(i, { type: 'HELLO', json });
  }
  pair.client.close('E_CANCELLED');
  return { wires, heard, say, agent: () => sessions[0] as Session };
}
