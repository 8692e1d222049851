/** Whether a path is alive: who is asked, when it is in doubt, and when it is dead. */
import { describe, expect, test } from 'vitest';
import {
  BUSY_DIRECT_IDLE_MS,
  BUSY_RELAY_IDLE_MS,
  LIVENESS_DOUBT_MS,
  LIVENESS_IDLE_MS,
  LIVENESS_PROBE_MS,
  LIVENESS_TIMEOUT_MS,
  RESTING_DIRECT_IDLE_MS,
} from './limits.ts';
import { Liveness } from './liveness.ts';
import type { PathKind } from './path.ts';
import { Pair } from './test-pair.ts';
import { World } from './test-world.ts';

/** A path that is asked each `idleMs`, and what became of it. */
function watched(idleMs = 10_000) {
  const world = new World();
  const state = { idleMs, left: 0, pings: [] as number[], doubts: [] as string[], dead: [] as number[] };
  const live = new Liveness({
    now: world.now,
    timer: world.timer,
    idleMs: () => state.idleMs,
    left: () => state.left,
    ping: () => state.pings.push(world.now()),
    doubt: (doubtful) => state.doubts.push(`${world.now()} ${doubtful}`),
    dead: () => state.dead.push(world.now()),
  });
  return { world, live, state };
}

describe('a path', () => {
  test('says nothing before it is started', async () => {
    const { world, live, state } = watched();
    live.update();
    live.heard();
    await world.advance(100_000);
    expect([state.pings, world.pending]).toEqual([[], 0]);
  });

  test('is asked after silence, comes into doubt, and is dead after longer silence, once', async () => {
    const { world, live, state } = watched();
    live.start();
    await world.advance(100_000);
    expect(state).toMatchObject({
      pings: [10_000],
      doubts: [`${10_000 + LIVENESS_DOUBT_MS} true`],
      dead: [10_000 + LIVENESS_TIMEOUT_MS],
    });
    expect(world.pending).toBe(0);
  });

  test('is not asked while it is heard', async () => {
    const { world, live, state } = watched();
    live.start();
    for (let i = 0; i < 100; i++) {
      await world.advance(9000);
      live.heard();
    }
    expect(state.pings).toEqual([]);
  });

  test('recovers from doubt by anything that is heard, and is watched as closely as before', async () => {
    const { world, live, state } = watched(1500);
    live.start();
    await world.advance(1500 + LIVENESS_DOUBT_MS + 500);
    expect(live.doubtful).toBe(true);
    live.heard();
    expect([live.doubtful, state.doubts.length]).toEqual([false, 2]);
    const at = world.now();
    await world.advance(1500 + LIVENESS_DOUBT_MS);
    expect(state.pings.at(-1)).toBe(at + 1500);
    expect(live.doubtful).toBe(true);
  });

  test('answers with the nonce that it was asked, late as it may be', async () => {
    const { world, live, state } = watched();
    live.start();
    await world.advance(10_400);
    live.heard();
    expect(live.pong(7)).toBeUndefined();
    await world.advance(100);
    expect(live.pong(1)).toBe(500);
    expect(live.pong(1)).toBeUndefined();
    expect(state.doubts).toEqual([]);
  });

  test('that drains while it is being filled is slow: neither in doubt nor dead until that stops', async () => {
    const { world, live, state } = watched();
    live.start();
    await world.advance(10_000);
    for (let i = 0; i < 40; i++) {
      state.left += 1000;
      await world.advance(1000);
    }
    expect([state.doubts, state.dead]).toEqual([[], []]);
    const stopped = world.now();
    await world.advance(LIVENESS_TIMEOUT_MS + LIVENESS_DOUBT_MS);
    expect(state.doubts.length).toBe(1);
    expect(state.dead[0]).toBeGreaterThan(stopped + LIVENESS_TIMEOUT_MS - LIVENESS_DOUBT_MS);
  });

  test('a probe has its own time, and another one does not give it more', async () => {
    const { world, live, state } = watched();
    live.start();
    for (let i = 0; i < 10; i++) {
      live.probe(LIVENESS_PROBE_MS);
      await world.advance(500);
    }
    expect(state.dead).toEqual([LIVENESS_PROBE_MS]);
    expect(state.pings).toEqual([0]);
  });

  test('a probe shortens the time of a question that is out', async () => {
    const { world, live, state } = watched();
    live.start();
    await world.advance(11_000);
    live.probe(LIVENESS_PROBE_MS);
    await world.advance(10_000);
    expect(state.dead).toEqual([11_000 + LIVENESS_PROBE_MS]);
  });

  test('that is never asked by itself is asked again when something else than PONG came', async () => {
    const { world, live, state } = watched(Number.POSITIVE_INFINITY);
    live.start();
    live.probe(LIVENESS_TIMEOUT_MS);
    await world.advance(5);
    live.heard();
    await world.advance(60_000);
    expect(state.dead.length).toBe(1);
    const answered = watched(Number.POSITIVE_INFINITY);
    answered.live.start();
    answered.live.probe(LIVENESS_TIMEOUT_MS);
    await answered.world.advance(5);
    answered.live.heard();
    answered.live.pong(1);
    await answered.world.advance(3600_000);
    expect([answered.state.dead, answered.state.pings]).toEqual([[], [0]]);
  });

  test('counts silence anew when it is watched more closely', async () => {
    const { world, live, state } = watched(Number.POSITIVE_INFINITY);
    live.start();
    await world.advance(3600_000);
    state.idleMs = 3000;
    live.update();
    await world.advance(2999);
    expect(state.pings).toEqual([]);
    await world.advance(1);
    expect(state.pings).toEqual([3600_000 + 3000]);
  });

  test('stopped in the middle of a doubt sets no timer', async () => {
    const { world, live, state } = watched();
    state.doubts.push = () => {
      live.stop();
      return 0;
    };
    live.start();
    await world.advance(60_000);
    expect([state.dead, world.pending]).toEqual([[], 0]);
  });
});

describe('a session asks', () => {
  /** Messages of both ends in a minute, after the first ten seconds. */
  async function minute(kind: PathKind, busy: boolean): Promise<{ client: number; agent: number }> {
    const pair = new Pair();
    const { wire } = pair.connect(kind);
    if (busy) void pair.client.openStream().write(Buffer.from('think'));
    await pair.world.advance(10_000);
    const before = [wire.client.messages, wire.agent.messages] as const;
    await pair.world.advance(60_000);
    expect(pair.client.error).toBeUndefined();
    return { client: wire.client.messages - before[0], agent: wire.agent.messages - before[1] };
  }

  test('never on an idle relay, where each message costs and wakes the HostObject', async () => {
    expect(await minute('relay', false)).toEqual({ client: 0, agent: 0 });
  });

  test('now and then on an idle direct path', async () => {
    const { client, agent } = await minute('direct', false);
    expect(client + agent).toBeGreaterThan(0);
    expect(client + agent).toBeLessThanOrEqual(2 * (60_000 / RESTING_DIRECT_IDLE_MS) * 2);
  });

  test.each([
    ['relay', BUSY_RELAY_IDLE_MS],
    ['direct', BUSY_DIRECT_IDLE_MS],
    ['turn', BUSY_DIRECT_IDLE_MS],
  ] as const)('often while a client waits on %s', async (kind, idleMs) => {
    const { client, agent } = await minute(kind, true);
    // One question and one answer each time, and never both ends at once.
    expect(client).toBeGreaterThanOrEqual(Math.floor(60_000 / (idleMs + 25)) - 1);
    expect(client).toBeLessThanOrEqual(60_000 / idleMs);
    expect(agent).toBe(client);
  });

  test('a busy relay that has fallen silent is found', async () => {
    const pair = new Pair();
    const { wire, link } = pair.connect('relay');
    void pair.client.openStream().write(Buffer.from('think'));
    await pair.world.advance(10_000);
    wire.cut({ seenBy: 'agent' });
    await pair.world.advance(BUSY_RELAY_IDLE_MS + LIVENESS_DOUBT_MS);
    expect([link.doubtful, link.hasEnded]).toEqual([true, false]);
    await pair.world.advance(LIVENESS_TIMEOUT_MS);
    expect(link.hasEnded).toBe(true);
  });

  test('never on a relay in reserve, while a client waits on the direct path', async () => {
    const pair = new Pair();
    const { wire } = pair.connect('relay');
    pair.connect('direct');
    void pair.client.openStream().write(Buffer.from('think'));
    await pair.world.advance(10_000);
    expect(pair.client.active?.kind).toBe('direct');
    const before = [wire.client.messages, wire.agent.messages];
    await pair.world.advance(60_000);
    expect([wire.client.messages, wire.agent.messages]).toEqual(before);
  });

  test('on a relay in reserve from when it is used, so that an agent finds a dead one', async () => {
    const pair = new Pair();
    const relay = pair.connect('relay');
    const direct = pair.connect('direct');
    void pair.client.openStream().write(Buffer.from('think'));
    await pair.world.advance(1000);
    relay.wire.cut({ seenBy: 'client' });
    await pair.world.advance(LIVENESS_IDLE_MS + LIVENESS_TIMEOUT_MS + 1000);
    expect(relay.wire.agent.isClosed).toBe(false);
    direct.wire.cut();
    await pair.world.advance(LIVENESS_IDLE_MS + LIVENESS_TIMEOUT_MS + 1000);
    expect(relay.wire.agent.isClosed).toBe(true);
  });
});
