/** The agent's table: which path belongs to which session, who is refused, and who makes room. */
import { describe, expect, test, vi } from 'vitest';
import { type DirectError, ERRORS, type ErrorCode } from './errors.ts';
import { decodeFrames, encodeFrames, type Frame } from './frame.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_SESSIONS, SESSION_SURVIVAL_MS } from './limits.ts';
import { type SessionGrant, Sessions, type SessionsOptions } from './sessions.ts';
import type { Stream } from './stream.ts';
import { Pair, SIGNALING } from './test-pair.ts';
import { Wire, World } from './test-world.ts';

/** A table, and clients that say what the test scripts. */
function table(options: Partial<SessionsOptions> = {}) {
  const world = new World();
  const streams: Stream[] = [];
  const sessions = new Sessions({ environment: world, stream: (stream) => streams.push(stream), ...options });
  const dial = (grant?: SessionGrant) => {
    const wire = new Wire(world);
    const heard: Frame[] = [];
    wire.client.start({ message: (m) => heard.push(...decodeFrames(m)), drained: () => {}, closed: () => {} });
    const opened = vi.fn<() => void>();
    const ended = vi.fn<(error: DirectError) => void>();
    const accepted = sessions.accept(wire.agent, { sessionId: SIGNALING, kind: 'relay', grant }, { opened, ended });
    const say = async (...frames: Frame[]) => {
      wire.client.send(encodeFrames(frames));
      await world.advance(0);
    };
    const hello = (members: Record<string, unknown> = {}) =>
      say({ type: 'HELLO', json: JSON.stringify({ ...HELLO, ...members }) });
    /** The code of the refusal. */
    const refused = () => heard.find((frame) => frame.type === 'CONNECTION_CLOSE')?.code;
    return { wire, heard, opened, ended, accepted, say, hello, refused };
  };
  return { world, sessions, streams, dial };
}

const HELLO = { protocol_version: 1, session_id: SIGNALING, session: 'one' };

describe('HELLO', () => {
  const wrong: [what: string, members: Record<string, unknown>, code: ErrorCode][] = [
    ['another version', { protocol_version: 2 }, 'E_VERSION'],
    ['no version', { protocol_version: undefined }, 'E_VERSION'],
    ['another signaling session', { session_id: 'other' }, 'E_SESSION_UNKNOWN'],
    ['no session', { session: undefined }, 'E_PROTOCOL'],
    ['a session that is no id', { session: 'a/b' }, 'E_PROTOCOL'],
    ['a session that is too long', { session: 'a'.repeat(65) }, 'E_PROTOCOL'],
    ['survival_ms that is no number', { survival_ms: '60' }, 'E_PROTOCOL'],
    ['survival_ms below 0', { survival_ms: -1 }, 'E_PROTOCOL'],
    ['a session to resume that nobody knows', { resumed: true }, 'E_HOST_RESTARTED'],
  ];
  test.each(wrong)('with %s is refused', async (_what, members, code) => {
    const { dial, sessions, world } = table();
    const client = dial();
    await client.hello(members);
    expect(client.refused()).toBe(ERRORS[code].close);
    expect(client.ended.mock.calls.map(([error]) => error.code)).toEqual([code]);
    expect([client.opened.mock.calls.length, sessions.size, world.pending]).toEqual([0, 0, 0]);
  });

  test('begins a session, and the same one on another path joins it', async () => {
    const { dial, sessions } = table();
    const [first, second, other] = [dial(), dial(), dial()];
    await first.hello();
    await second.hello({ resumed: true });
    await other.hello({ session: 'two' });
    expect(sessions.size).toBe(2);
    for (const { heard, opened, accepted } of [first, second, other]) {
      expect(heard[0]).toEqual({ type: 'HELLO', json: JSON.stringify({ protocol_version: 1, session_id: SIGNALING }) });
      expect([opened.mock.calls.length, accepted.isOpen]).toEqual([1, true]);
    }
  });

  test('that does not come in time is refused, and one that came is not', async () => {
    const { dial, world, sessions } = table();
    const [late, inTime] = [dial(), dial()];
    await world.advance(HANDSHAKE_TIMEOUT_MS - 1);
    await inTime.hello();
    await world.advance(1);
    expect(late.refused()).toBe(ERRORS.E_HANDSHAKE_TIMEOUT.close);
    expect(late.ended).toHaveBeenCalledOnce();
    await late.hello();
    expect([inTime.refused(), sessions.size]).toEqual([undefined, 1]);
  });

  test('is the first thing an agent says, however long the client took', async () => {
    const pair = new Pair();
    const wire = new Wire(pair.world);
    pair.sessions.accept(wire.agent, { sessionId: SIGNALING, kind: 'direct' });
    await pair.world.advance(HANDSHAKE_TIMEOUT_MS - 1000);
    pair.client.attach(wire.client, { sessionId: SIGNALING, kind: 'direct' });
    await pair.world.advance(100);
    expect([pair.client.error, pair.client.links[0]?.isOpen]).toEqual([undefined, true]);
  });
});

describe('a grant', () => {
  const mine: SessionGrant = { subject: 'key:mine', models: ['one'] };
  const theirs: SessionGrant = { subject: 'key:theirs' };
  const request = (id: number): Frame => ({ type: 'STREAM', id, offset: 0, data: Buffer.from('x'), fin: false });

  test('goes with each stream: what the edge said with the latest path', async () => {
    const grants: SessionGrant[] = [];
    const { dial } = table({ stream: (_stream, grant) => void grants.push(grant) });
    const [first, tunnel, old] = [dial(mine), dial('in-heads'), dial()];
    await first.hello();
    await first.say(request(0));
    const second = dial({ subject: 'key:mine' });
    await second.hello({ resumed: true });
    await first.say(request(1));
    await tunnel.hello({ session: 'two' });
    await tunnel.say(request(0));
    await old.hello({ session: 'three' });
    await old.say(request(0));
    expect(grants).toEqual([mine, { subject: 'key:mine' }, 'in-heads', undefined]);
  });

  const others: [what: string, first: SessionGrant, second: SessionGrant][] = [
    ['another subject', mine, theirs],
    ['the edge', mine, 'in-heads'],
    ['a client that the edge says nothing of', mine, undefined],
    ['a client', 'in-heads', mine],
    ['a client of an edge that says nothing', 'in-heads', undefined],
  ];
  test.each(others)('keeps %s out of the session, which goes on', async (_what, first, second) => {
    const { dial, sessions } = table();
    const [opener, intruder] = [dial(first), dial(second)];
    await opener.hello();
    await intruder.hello({ resumed: true });
    expect(intruder.refused()).toBe(ERRORS.E_UNAUTHORIZED.close);
    expect([intruder.opened.mock.calls.length, opener.refused(), sessions.size]).toEqual([0, undefined, 1]);
    await opener.say(request(0));
    expect(opener.refused()).toBeUndefined();
  });

  test('that is revoked ends all sessions of its subject, and paths that are none yet, and nothing else', async () => {
    const { dial, sessions, streams, world } = table();
    const [one, again, two, pending] = [dial(mine), dial(mine), dial(mine), dial(mine)];
    const [other, tunnel] = [dial(theirs), dial('in-heads')];
    await one.hello();
    await again.hello({ resumed: true });
    await two.hello({ session: 'two' });
    await other.hello({ session: 'three' });
    await tunnel.hello({ session: 'four' });
    await one.say(request(0));
    const aborted = vi.fn<(error: DirectError) => void>();
    const [stream] = streams;
    if (stream !== undefined) stream.onabort = aborted;
    sessions.revoke('key:mine');
    await world.advance(0);
    const close = ERRORS.E_UNAUTHORIZED.close;
    expect([one, again, two, pending].map((client) => client.refused())).toEqual([close, close, close, close]);
    expect([one, pending].map(({ ended }) => ended.mock.calls[0]?.[0].code)).toEqual([
      'E_UNAUTHORIZED',
      'E_UNAUTHORIZED',
    ]);
    expect(aborted.mock.calls[0]?.[0].code).toBe('E_UNAUTHORIZED');
    expect([other.refused(), tunnel.refused(), sessions.size]).toEqual([undefined, undefined, 2]);
    await pending.hello({ session: 'five' });
    expect(sessions.size).toBe(2);
  });
});

describe('a refused path', () => {
  test('does not end the client’s session, which goes on by another one', async () => {
    const pair = new Pair();
    const refused = pair.connect('direct');
    refused.accepted.close('E_HOST_BUSY');
    await pair.world.advance(100);
    expect([refused.link.hasEnded, pair.client.error]).toEqual([true, undefined]);
    const next = pair.connect('relay');
    await pair.world.advance(100);
    expect(pair.client.active).toBe(next.link);
    const again = pair.connect('direct');
    again.accepted.close('E_HOST_BUSY');
    await pair.world.advance(100);
    expect([again.link.hasEnded, pair.client.active, pair.client.error]).toEqual([true, next.link, undefined]);
  });

  test('that was open ends alone: its session goes on', async () => {
    const pair = new Pair();
    const [first, second] = [pair.connect('relay'), pair.connect('direct')];
    await pair.world.advance(100);
    second.accepted.close('E_HOST_BUSY');
    await pair.world.advance(100);
    expect([pair.client.active, pair.client.error, pair.sessions.size]).toEqual([first.link, undefined, 1]);
  });

  test('of a host that has forgotten the session ends it, at once and with its own code', async () => {
    const closed = vi.fn<(error: DirectError) => void>();
    const pair = new Pair({ events: { closed } });
    const first = pair.connect('relay');
    const stream = pair.client.openStream();
    void stream.write(Buffer.from('q'));
    await pair.world.advance(100);
    first.wire.cut();
    pair.restart();
    await pair.world.advance(1000);
    pair.connect('relay');
    await pair.world.advance(100);
    expect(closed.mock.calls.map(([error]) => error.code)).toEqual(['E_HOST_RESTARTED']);
    await expect(stream.read()).rejects.toMatchObject({ code: 'E_HOST_RESTARTED' });
    expect(pair.streams.length).toBe(1);
  });

  test.each([
    ['whose first message never arrived is begun there, and its request runs once', true, true, undefined],
    ['of whose first message nobody can tell is not begun anew', true, false, 'E_HOST_RESTARTED'],
    ['that was not sealed at first is not begun anew', false, true, 'E_HOST_RESTARTED'],
  ])('a session %s', async (_, isSealed, isUnopened, code) => {
    const preface = isSealed ? Uint8Array.of(1, 2, 3) : undefined;
    const neverBegan = vi.fn((_preface: Uint8Array) => isUnopened);
    const pair = new Pair({ agent: { neverBegan } });
    const first = pair.connect('relay', { delayMs: 10 }, {}, preface);
    const stream = pair.client.openStream();
    await stream.write(Buffer.from('a prompt'));
    stream.finish();
    await pair.world.advance(5);
    first.wire.cut();
    await pair.world.advance(1000);
    expect([stream.sentAny, pair.sessions.size]).toEqual([true, 0]);
    pair.connect('direct');
    await pair.world.advance(100);
    expect(pair.client.error?.code).toBe(code);
    expect(neverBegan.mock.calls).toEqual(isSealed ? [[preface]] : []);
    expect(pair.streams.length).toBe(code === undefined ? 1 : 0);
    if (pair.streams[0] !== undefined) expect(`${await pair.readAll(pair.streams[0])}`).toBe('a prompt');
  });

  test('a session that the agent has answered names no first message: that has arrived', async () => {
    const neverBegan = vi.fn(() => true);
    const pair = new Pair({ agent: { neverBegan } });
    const first = pair.connect('relay', { delayMs: 10 }, {}, Uint8Array.of(1, 2, 3));
    await pair.client.openStream().write(Buffer.from('a prompt'));
    await pair.world.advance(100);
    first.wire.cut();
    pair.restart();
    await pair.world.advance(1000);
    pair.connect('direct');
    await pair.world.advance(100);
    expect([pair.client.error?.code, neverBegan.mock.calls.length]).toEqual(['E_HOST_RESTARTED', 0]);
  });

  test('a stream that began while the agent was restarted was not sent to it', async () => {
    const pair = new Pair();
    const { wire } = pair.connect('relay');
    const stream = pair.client.openStream();
    await stream.write(Buffer.from('x'));
    await pair.world.advance(100);
    wire.cut();
    pair.restart();
    await pair.world.advance(1000);
    const unsent = pair.client.openStream();
    await unsent.write(Buffer.from('not yet'));
    unsent.finish();
    pair.connect('relay');
    await pair.world.advance(100);
    expect([pair.client.error?.code, stream.sentAny, unsent.sentAny]).toEqual(['E_HOST_RESTARTED', true, false]);
  });

  test('a stream that began between two paths is sent when the agent has answered', async () => {
    const pair = new Pair();
    const { wire } = pair.connect('relay');
    await pair.client.openStream().write(Buffer.from('x'));
    await pair.world.advance(100);
    wire.cut();
    await pair.world.advance(1000);
    const unsent = pair.client.openStream();
    await unsent.write(Buffer.from('now'));
    pair.connect('relay');
    await pair.world.advance(100);
    expect(pair.streams.length).toBe(2);
    expect(Buffer.from((await pair.streams[1]?.read()) ?? []).toString()).toBe('now');
  });

  test('with anything before HELLO is none of the session’s business', async () => {
    const { dial, sessions, world } = table();
    const client = dial();
    await client.say({ type: 'PING', nonce: 1 });
    expect([client.refused(), sessions.size, world.pending]).toEqual([ERRORS.E_PROTOCOL.close, 0, 0]);
  });
});

describe('a session without a path', () => {
  test.each([
    [0, 0],
    [5000, 5000],
    [SESSION_SURVIVAL_MS * 100, SESSION_SURVIVAL_MS],
    [undefined, SESSION_SURVIVAL_MS],
  ])('that asked for %s ms lives %s ms', async (asked, lives) => {
    const { dial, sessions, world } = table();
    const client = dial();
    await client.hello({ survival_ms: asked });
    client.wire.agent.end('cut');
    if (lives > 0) {
      await world.advance(lives - 1);
      expect(sessions.size).toBe(1);
      await world.advance(1);
    }
    expect([sessions.size, world.pending]).toEqual([0, 0]);
  });

  test('makes room for a new one: the one that has been alone for longest', async () => {
    const { dial, sessions, world } = table({ maxSessions: 3 });
    const clients = [dial(), dial(), dial()];
    for (const [i, client] of clients.entries()) await client.hello({ session: `s${i}` });
    clients[1]?.wire.agent.end('cut');
    await world.advance(10);
    clients[0]?.wire.agent.end('cut');
    await world.advance(10);
    const fresh = dial();
    await fresh.hello({ session: 'fresh' });
    expect([fresh.refused(), sessions.size]).toEqual([undefined, 3]);
    const [back, gone] = [dial(), dial()];
    await back.hello({ session: 's0', resumed: true });
    await gone.hello({ session: 's1', resumed: true });
    expect([back.refused(), gone.refused()]).toEqual([undefined, ERRORS.E_HOST_RESTARTED.close]);
  });

  test('is the only one that makes room: a host whose sessions all have paths is busy', async () => {
    const { dial, sessions } = table();
    for (let i = 0; i < MAX_SESSIONS; i++) await dial().hello({ session: `s${i}` });
    const client = dial();
    await client.hello({ session: 'more' });
    expect([client.refused(), sessions.size]).toEqual([ERRORS.E_HOST_BUSY.close, MAX_SESSIONS]);
  });
});

test('closing the table tells every client, and leaves nothing', async () => {
  const { dial, sessions, world } = table();
  const clients = [dial(), dial()];
  for (const [i, client] of clients.entries()) await client.hello({ session: `s${i}` });
  sessions.close('E_GOING_AWAY');
  await world.advance(0);
  expect(clients.map(({ refused }) => refused())).toEqual(Array(2).fill(ERRORS.E_GOING_AWAY.close));
  expect([sessions.size, world.pending]).toEqual([0, 0]);
  const late = dial();
  await late.hello({ session: 'late' });
  expect([late.refused(), sessions.size, world.pending]).toEqual([ERRORS.E_GOING_AWAY.close, 0, 0]);
});

test('frames of ended streams that pile up end the session, and never throw into the application', async () => {
  const { dial, sessions, world, streams } = table();
  const client = dial();
  await client.hello();
  vi.spyOn(client.wire.agent, 'capacity').mockReturnValue(0);
  const errors: unknown[] = [];
  for (let id = 0; id < 1100 && sessions.size > 0; id++) {
    await client.say(
      { type: 'STREAM', id, offset: 0, data: Buffer.from('x'), fin: true },
      { type: 'STOP_SENDING', id, code: ERRORS.E_CANCELLED.close },
      { type: 'MAX_STREAM_DATA', id, received: 1, max: 0 },
    );
    try {
      streams[id]?.stop('E_CANCELLED');
    } catch (error) {
      errors.push(error);
    }
    await world.settle();
  }
  expect([errors, sessions.size]).toEqual([[], 0]);
});

test('a client that has sent nothing yet begins anew, whatever agent is there', async () => {
  const pair = new Pair();
  const first = pair.connect('relay');
  await pair.world.advance(5);
  first.wire.cut();
  pair.restart();
  await pair.world.advance(100);
  const second = pair.connect('relay');
  await pair.world.advance(100);
  expect([second.link.isOpen, pair.client.error]).toEqual([true, undefined]);
});
