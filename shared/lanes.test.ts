/** Lanes of a path (PROTOCOL.md, section 3): which frames go where, and what holds up what. */
import { expect, test } from 'vitest';
import { decodeFrames, type Frame } from './frame.ts';
import { parseAgentHello } from './hello.ts';
import { MAX_LANES } from './limits.ts';
import type { Stream } from './stream.ts';
import { Pair, SIGNALING } from './test-pair.ts';
import type { Wire, WireOptions } from './test-world.ts';

interface Said {
  lane: number;
  frames: Frame[];
}

/** What an end of the wire has sent from now on. */
function listen(end: Wire['client']): Said[] {
  const said: Said[] = [];
  const { send } = end;
  end.send = (message, lane = 0) => {
    said.push({ lane, frames: decodeFrames(message) });
    send.call(end, message, lane);
  };
  return said;
}

/** The lanes in which frames of a stream were sent. */
const lanesOf = (said: readonly Said[], id: number) => [
  ...new Set(
    said
      .filter(({ frames }) => frames.some((frame) => 'id' in frame && frame.type !== 'LANE' && frame.id === id))
      .map(({ lane }) => lane),
  ),
];

const SLOW_LANE = 2;

async function opened(options: WireOptions = {}) {
  const pair = new Pair();
  const { wire, link } = pair.connect('direct', { delayMs: 10, lanes: MAX_LANES, ...options });
  await pair.world.advance(100);
  return { pair, link, up: listen(wire.client), down: listen(wire.agent) };
}

/** A stream with a byte each way. */
async function exchange(pair: Pair): Promise<[Stream, Stream]> {
  const stream = pair.client.openStream();
  await stream.write(Buffer.from('?'));
  await pair.world.advance(30);
  const other = pair.streams.at(-1) as Stream;
  await other.write(Buffer.from('!'));
  await pair.world.advance(30);
  return [stream, other];
}

async function end([stream, other]: [Stream, Stream], pair: Pair): Promise<void> {
  stream.finish();
  other.finish();
  const reading = Promise.all([pair.readAll(stream), pair.readAll(other)]);
  await pair.world.advance(100);
  await reading;
}

test('each stream has a lane of its own in both directions, and lane 0 is what belongs to none', async () => {
  const { pair, up, down } = await opened();
  await exchange(pair);
  await exchange(pair);
  await exchange(pair);
  expect([0, 1, 2].map((id) => lanesOf(up, id))).toEqual([[1], [2], [3]]);
  expect([0, 1, 2].map((id) => lanesOf(down, id))).toEqual([[1], [2], [3]]);
  await pair.world.advance(60_000);
  const apart = [...up, ...down].filter(({ lane }) => lane > 0).flatMap(({ frames }) => frames);
  expect(new Set(apart.map(({ type }) => type)).has('PING')).toBe(false);
  expect(apart.every((frame) => 'id' in frame)).toBe(true);
});

test('a lane is free again when its stream has ended', async () => {
  const { pair, up } = await opened();
  for (let id = 0; id < 5; id++) {
    await end(await exchange(pair), pair);
    expect(lanesOf(up, id)).toEqual([1]);
  }
});

test('with more streams than lanes they share them', async () => {
  const { pair, up, down } = await opened({ lanes: 3 });
  const streams = [];
  for (let id = 0; id < 6; id++) streams.push(await exchange(pair));
  expect([0, 1, 2, 3, 4, 5].flatMap((id) => lanesOf(up, id))).toEqual([1, 2, 1, 2, 1, 2]);
  expect([0, 1, 2, 3, 4, 5].flatMap((id) => lanesOf(down, id))).toEqual([1, 2, 1, 2, 1, 2]);
  for (const pairOfEnds of streams) await end(pairOfEnds, pair);
  expect(pair.client.streamCount).toBe(0);
});

test('a lane that stands still holds up no other, not even with all its bytes', async () => {
  let slowMs = 0;
  const { pair } = await opened({ queueBytes: 1_000_000, jitterMs: (lane) => (lane === SLOW_LANE ? slowMs : 0) });
  await exchange(pair);
  const [, slow] = await exchange(pair);
  const [stream, other] = await exchange(pair);
  slowMs = 1_000;
  void slow.write(Buffer.alloc(500_000));
  await pair.world.advance(20);
  await other.write(Buffer.from('token'));
  await pair.world.advance(20);
  // With a byte of before in each direction.
  expect(stream.heldBytes).toBe(7);
});

test('a message has no more data than its lane sends in a moment', async () => {
  const { pair, up } = await opened({ chunkBytes: 5_000 });
  const stream = pair.client.openStream();
  await stream.write(new Uint8Array(40_000));
  await pair.world.advance(100);
  const data = (frames: readonly Frame[]) =>
    frames.reduce((sum, frame) => sum + (frame.type === 'STREAM' ? frame.data.length : 0), 0);
  const sizes = up.map(({ frames }) => data(frames)).filter((size) => size > 0);
  expect(sizes).toEqual(Array(8).fill(5_000));
});

test('what left before the agent said that it takes lanes stays in lane 0, and what comes later does not', async () => {
  const pair = new Pair();
  const { wire } = pair.connect('direct', { delayMs: 10, lanes: MAX_LANES });
  const [up, down] = [listen(wire.client), listen(wire.agent)];
  const early = pair.client.openStream();
  void early.write(Buffer.from('?'));
  await pair.world.advance(100);
  await pair.streams[0]?.write(Buffer.from('!'));
  await early.write(Buffer.from('?'));
  await exchange(pair);
  expect([0, 1].map((id) => lanesOf(up, id))).toEqual([[0], [1]]);
  expect([0, 1].map((id) => lanesOf(down, id))).toEqual([[0], [1]]);
});

test('an end without lanes hears lane 0 alone', async () => {
  const { pair, up, down } = await opened({ lanes: 1 });
  await exchange(pair);
  expect([...lanesOf(up, 0), ...lanesOf(down, 0)]).toEqual([0, 0]);
});

test('streams that move have their lanes on the new path at once', async () => {
  const pair = new Pair();
  pair.connect('relay', { delayMs: 20 });
  await pair.world.advance(100);
  const streams = [await exchange(pair), await exchange(pair)];
  const { wire } = pair.connect('direct', { delayMs: 5, lanes: MAX_LANES });
  const [up, down] = [listen(wire.client), listen(wire.agent)];
  await pair.world.advance(100);
  for (const [, other] of streams) await other.write(Buffer.from('more'));
  await pair.world.advance(100);
  expect([0, 1].map((id) => lanesOf(up, id))).toEqual([[1], [2]]);
  expect([0, 1].map((id) => lanesOf(down, id))).toEqual([[1], [2]]);
  // The agent may hear any of them first.
  for (const lane of [0, 1, 2])
    expect(up.find((said) => said.lane === lane && said.frames[0]?.type !== 'HELLO')?.frames[0]?.type).toBe('USE_PATH');
});

test('a path that cannot open a lane ends, and the session goes on by the one that it has', async () => {
  const pair = new Pair();
  pair.connect('relay', { delayMs: 20 });
  await pair.world.advance(100);
  const [stream, other] = await exchange(pair);
  const { wire } = pair.connect('direct', { delayMs: 5, lanes: MAX_LANES });
  wire.client.openLane = () => wire.client.end('no data channel');
  await pair.world.advance(100);
  expect(pair.client.active?.kind).toBe('relay');
  await other.write(Buffer.from('more'));
  await end([stream, other], pair);
  expect(wire.client.isClosed).toBe(true);
});

test.each(['0', '-1', '1.5', '"8"', 'null'])('lanes of %s are refused', (lanes) => {
  const json = `{"protocol_version":1,"session_id":"${SIGNALING}","lanes":${lanes}}`;
  expect(() => parseAgentHello(json, SIGNALING)).toThrow('lanes');
});

test('more lanes than there may be are as many as there may be', () => {
  const json = `{"protocol_version":1,"session_id":"${SIGNALING}","lanes":65535}`;
  expect(parseAgentHello(json, SIGNALING)).toBe(MAX_LANES);
});
