import { expect, test } from 'vitest';
import { memoryPaths } from '../shared/memory-path.ts';
import type { PathKind } from '../shared/path.ts';
import { type SessionGrant, Sessions } from '../shared/sessions.ts';
import { settle, TestClock } from '../shared/test-clock.ts';
import { clientSession } from '../shared/test-sessions.ts';
import { Meter } from './meter.ts';
import { hostReportOf, measure, reportOf } from './reporting.ts';

const config = { signalingUrl: 'https://edge.example/_direct/h/attic', hostId: 'attic' };

function rig() {
  const clock = new TestClock();
  const meter = new Meter({ now: clock.now, wallClock: () => 1_000_000 + clock.now() });
  const sessions = new Sessions({
    environment: clock,
    stream: (_stream, _grant, session) => void meter.request(session),
  });
  const connect = async (sessionId: string, kind: PathKind, grant: SessionGrant) => {
    const [ours, theirs] = memoryPaths();
    sessions.accept(ours, { sessionId, kind, grant, from: '203.0.113.9' });
    const client = clientSession({ sessionId, path: theirs, environment: clock, survivalMs: 60_000 });
    await clock.advance(0);
    return client;
  };
  const report = () =>
    reportOf({
      engine: { name: 'werift', why: 'it is the test’s' },
      config,
      meter,
      sessions: sessions.all,
      upstreams: [],
    });
  return { clock, meter, sessions, connect, report };
}

test('a report has each session by its beginning, and nothing that gives power or tells who it is', async () => {
  const { clock, connect, report, sessions } = rig();
  const direct = await connect('a-signaling-session', 'direct', { subject: 'key:secret-key-id', browser: 'b0' });
  await connect('another-session', 'relay', { subject: 'session:secret' });
  await connect('of-the-edge', 'relay', 'in-heads');
  await connect('of-nobody', 'turn', undefined);
  await clock.advance(5_000);
  void direct.openStream().write(new Uint8Array(5));
  await clock.advance(0);
  const found = report();
  expect(found.sessions.map(({ id, client, path, streams, since }) => [id, client, path, streams, since])).toEqual([
    ['a-signal', 'key', 'direct', 1, 1_000_000],
    ['another-', 'session', 'relay', 0, 1_000_000],
    ['of-the-e', 'tunnel', 'tunnel', 0, 1_000_000],
    ['of-nobod', 'unknown', 'turn', 0, 1_000_000],
  ]);
  expect(found.requests.running).toBe(1);
  const text = JSON.stringify(found);
  for (const { session } of sessions.all) expect(text).not.toContain(session.id);
  for (const word of ['secret', 'b0', '203.0.113.9', 'a-signaling-session']) expect(text).not.toContain(word);
  expect(hostReportOf(found)).toEqual({
    version: found.version,
    started_at: 1_000_000,
    sessions: { direct: 1, turn: 1, relay: 1, tunnel: 1, none: 0 },
    requests: { running: 1, finished: 0, failed: 0 },
    tokens_per_second: 0,
    upstreams: [],
  });
});

test('a session that has lost its path waits for another one', async () => {
  const { connect, report, sessions } = rig();
  await connect('lost', 'direct', { subject: 'owner' });
  for (const { session } of sessions.all) session.links[0]?.path.close();
  await settle();
  expect(report().sessions).toMatchObject([{ path: null, rtt_ms: null, client: 'owner' }]);
  expect(hostReportOf(report()).sessions).toMatchObject({ direct: 0, none: 1 });
});

test('round-trip times are asked for where that costs nothing', async () => {
  const { clock, connect, report, sessions } = rig();
  await connect('direct', 'direct', { subject: 'owner' });
  const relay = await connect('relay', 'relay', { subject: 'owner' });
  await connect('edge', 'relay', 'in-heads');
  const times = () => report().sessions.map(({ rtt_ms }) => rtt_ms !== null);
  expect(times()).toEqual([false, false, false]);
  expect(measure(sessions.all)).toBe(true);
  await clock.advance(1);
  expect(times()).toEqual([true, false, false]);
  expect(measure(sessions.all)).toBe(false);
  void relay.openStream().write(new Uint8Array(1));
  await clock.advance(1);
  expect(measure(sessions.all)).toBe(true);
  await clock.advance(1);
  expect(times()).toEqual([true, true, false]);
});
