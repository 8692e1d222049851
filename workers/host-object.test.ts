import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { HOST_OFFLINE_AFTER_MS, MAX_QUEUED_SIGNALS, MAX_SIGNAL_BYTES } from '../shared/limits.ts';
import { parseSignals } from '../shared/signal.ts';
import {
  AGENT,
  agentPoll,
  agentSocket,
  answer,
  base,
  type Call,
  call,
  candidate,
  clientPoll,
  clientSocket,
  hostStub,
  newHost,
  newSession,
  OWNER,
  offer,
  openSocket,
  post,
  SDP,
} from './test-edge.ts';

const SLOW = { env: { POLL_HOLD_MS: '9000' } };

const setClock = (host: string, ms: number) =>
  runInDurableObject(hostStub(host), (object) => {
    object.now = () => Date.now() + ms;
  });
const online = async (host: string) =>
  (await (await call(base(host), { token: OWNER })).json<{ online: boolean }>()).online;
const openSession = async (host: string, body?: unknown, options: Call = {}) =>
  newSession(host, body, { ...options, env: { OPEN_HOSTS: host } });
const queued = (host: string) =>
  runInDurableObject(hostStub(host), (_object, { storage }) =>
    storage.sql.exec<{ session: string; type: string }>('SELECT session, type FROM waiting ORDER BY id').toArray(),
  );
/** A poll of the agent, once it really waits in the object. */
async function waitingPoll(host: string, query?: string, options: Call = SLOW) {
  const answer = agentPoll(host, query, options);
  await expect.poll(() => runInDurableObject(hostStub(host), (object) => object.poll.waiting)).toBe(true);
  return { answer };
}

describe('the agent’s WebSocket', () => {
  it('begins with ready', async () => {
    const host = newHost();
    const socket = await openSocket(`${base(host)}/signal`, { token: AGENT });
    expect(await socket.next()).toEqual({ type: 'ready', protocol_version: 1, host });
  });

  it('gets what waited for it', async () => {
    const host = newHost();
    const { session_id } = await openSession(host, { offer: SDP });
    await post(`${base(host)}/signal`, candidate(session_id));
    const agent = await agentSocket(host);
    expect(await agent.next()).toMatchObject([offer(session_id), candidate(session_id)]);
    expect(await queued(host)).toEqual([]);
  });

  it('closes the first one when a second one comes', async () => {
    const host = newHost();
    const first = await agentSocket(host);
    const second = await agentSocket(host);
    expect((await first.closed).code).toBe(4409);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await second.next()).toMatchObject({ session_id });
    // The end of the first one must not count as the host's.
    expect(await online(host)).toBe(true);
  });

  it('closes the first one even if it was asleep', async () => {
    const host = newHost();
    const first = await agentSocket(host);
    await evictDurableObject(hostStub(host));
    await agentSocket(host);
    expect((await first.closed).code).toBe(4409);
  });

  it.each([
    ['no JSON', '{', 4018],
    ['a wrong message', '{"type":"hello"}', 4018],
    ['an empty list', '[]', 4018],
    ['too much', JSON.stringify({ pad: 'x'.repeat(MAX_SIGNAL_BYTES) }), 4019],
    ['bytes that are no channel’s', new Uint8Array([0]), 4000],
    ['a channel that only the edge may open', '{"type":"channel_open","channel":1,"session_id":"x"}', 4000],
    ['a channel without a number', '{"type":"channel_close"}', 4000],
  ])('closes for %s, and the next one works', async (_name, message, code) => {
    const host = newHost();
    const agent = await agentSocket(host);
    agent.send(message);
    expect((await agent.closed).code).toBe(code);
    await expect.poll(() => online(host)).toBe(false);
    const again = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await again.next()).toMatchObject({ session_id });
  });

  it('hears of a bad session, while the others go on', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    await agent.next();
    agent.send([answer('nothing'), answer(session_id)]);
    expect(await agent.next()).toMatchObject({ session_id: 'nothing', type: 'error', code: 'E_SESSION_UNKNOWN' });
    expect((await clientPoll(host, session_id)).body).toEqual(answer(session_id));
    agent.send(answer(session_id));
    expect(await agent.next()).toMatchObject({ session_id, type: 'error', code: 'E_BAD_REQUEST' });
    agent.send(offer(session_id));
    expect(await agent.next()).toMatchObject({ session_id, type: 'error', code: 'E_BAD_REQUEST' });
    expect(await online(host)).toBe(true);
  });

  it('cannot answer for another host', async () => {
    const [host, other] = [newHost(), newHost()];
    const agent = await agentSocket(host);
    const stranger = await agentSocket(other);
    const { session_id } = await newSession(host, { offer: SDP });
    const client = await clientSocket(host, session_id);
    stranger.send(answer(session_id, 'v=0 forged'));
    expect(await stranger.next()).toMatchObject({ type: 'error', code: 'E_SESSION_UNKNOWN' });
    agent.send(answer(session_id));
    expect(await client.next()).toEqual(answer(session_id));
  });

  it('carries an error to the client', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    const busy = { session_id, type: 'error', code: 'E_HOST_BUSY', message: 'ten connections already' };
    agent.send(busy);
    expect(await clientPoll(host, session_id, '', SLOW)).toEqual({ status: 200, body: busy });
  });

  it.each([
    [undefined, 1000],
    [1000, 1000],
    [4017, 4017],
  ])('returns the close %s', async (code, expected) => {
    const host = newHost();
    const agent = await agentSocket(host);
    agent.close(code);
    expect((await agent.closed).code).toBe(expected);
    await expect.poll(() => online(host)).toBe(false);
  });

  it('is not woken by pings, and the pong comes', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    await evictDurableObject(hostStub(host));
    agent.send('ping');
    expect(await agent.next()).toBe('pong');
    // Evicting an object that does not run fails: so the ping did not start it.
    await expect(evictDurableObject(hostStub(host))).rejects.toThrow();
  });
});

describe('presence', () => {
  it('ends when the pings do', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    await setClock(host, HOST_OFFLINE_AFTER_MS - 5000);
    expect(await online(host)).toBe(true);
    await setClock(host, HOST_OFFLINE_AFTER_MS + 5000);
    expect(await online(host)).toBe(false);
    // A machine that was asleep learns that it must connect again.
    expect((await agent.closed).code).toBe(4015);
  });

  it('goes on with each ping', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const connectedAt = Date.now();
    await expect.poll(() => Date.now() - connectedAt).toBeGreaterThan(300);
    agent.send('ping');
    await agent.next();
    await evictDurableObject(hostStub(host));
    // Now the connection is too old, and the ping is not.
    await setClock(host, HOST_OFFLINE_AFTER_MS - 100);
    expect(await online(host)).toBe(true);
  });

  it('refuses sessions for a socket that went silent', async () => {
    const host = newHost();
    await agentSocket(host);
    await setClock(host, HOST_OFFLINE_AFTER_MS + 5000);
    const response = await post(`${base(host)}/session`, { offer: SDP }, { token: OWNER });
    expect(response.status).toBe(503);
  });

  it('survives eviction, and ends with the socket', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    await evictDurableObject(hostStub(host));
    expect(await online(host)).toBe(true);
    await evictDurableObject(hostStub(host));
    agent.close(1000);
    await agent.closed;
    await expect.poll(() => online(host)).toBe(false);
  });

  it('lasts while a poll waits, and 30 s more, even if the object is evicted', async () => {
    const host = newHost();
    const poll = await waitingPoll(host, '?batch=1', { env: { POLL_HOLD_MS: '1000' } });
    // Long after the last one that has ended.
    await setClock(host, 100_000);
    expect(await online(host)).toBe(true);
    await setClock(host, 0);
    expect((await poll.answer).status).toBe(204);
    expect(await online(host)).toBe(true);
    await evictDurableObject(hostStub(host));
    expect(await online(host)).toBe(true);
    await setClock(host, 31_000);
    expect(await online(host)).toBe(false);
  });
});

describe('the agent’s poll', () => {
  it('ends as soon as an offer comes', async () => {
    const host = newHost();
    const poll = await waitingPoll(host);
    const { session_id, host: presence } = await newSession(host, { offer: SDP });
    expect(presence.online).toBe(true);
    expect((await poll.answer).body).toMatchObject([offer(session_id)]);
  });

  it('gives way to a newer one, and to a WebSocket', async () => {
    const host = newHost();
    const older = await waitingPoll(host);
    const newer = agentPoll(host, '?batch=1', SLOW);
    expect((await older.answer).status).toBe(204);
    const agent = await agentSocket(host);
    expect((await newer).status).toBe(204);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id });
  });

  it('is asked before a socket: an agent that polls has found its socket dead', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const poll = await waitingPoll(host);
    const first = await newSession(host, { offer: SDP });
    expect((await poll.answer).body).toMatchObject([offer(first.session_id)]);
    const second = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id: second.session_id });
  });

  it('takes nothing with it when its agent goes away', async () => {
    const host = newHost();
    const controller = new AbortController();
    const gone = await waitingPoll(host, '?batch=1', { ...SLOW, signal: controller.signal });
    controller.abort();
    expect((await gone.answer).status).toBe(499);
    const { session_id } = await newSession(host, { offer: SDP });
    expect((await agentPoll(host)).body).toMatchObject([offer(session_id)]);
  });

  it('takes nothing that came while its agent was going away', async () => {
    const host = newHost();
    const { session_id } = await openSession(host, { offer: SDP });
    const { status } = await runInDurableObject(hostStub(host), (object) =>
      object.fetch(new Request(`https://object/?host=${host}&hold=50`, { signal: AbortSignal.abort() })),
    );
    expect(status).toBe(204);
    expect((await agentPoll(host)).body).toMatchObject([offer(session_id)]);
  });

  it('gives only offers to an agent that takes one message at a time', async () => {
    const host = newHost();
    const { session_id } = await openSession(host, { offer: SDP });
    await post(`${base(host)}/signal`, [candidate(session_id), candidate(session_id)]);
    const next = await openSession(host, { offer: SDP });
    expect((await agentPoll(host, '')).body).toMatchObject(offer(session_id));
    expect((await agentPoll(host, '')).body).toMatchObject(offer(next.session_id));
    expect((await agentPoll(host, '')).status).toBe(204);
    // A candidate does not end its poll early: it would pause 2 s for nothing.
    const poll = await waitingPoll(host, '');
    await post(`${base(host)}/signal`, candidate(session_id));
    const third = await openSession(host, { offer: SDP });
    expect((await poll.answer).body).toMatchObject(offer(third.session_id));
  });

  it('gets lists that its parser takes', async () => {
    const host = newHost();
    const long = `v=0${'x'.repeat(30_000)}`;
    for (let n = 0; n < 5; n++) await openSession(host, { offer: long });
    let count = 0;
    for (let poll = await agentPoll(host); poll.status === 200; poll = await agentPoll(host)) {
      const text = JSON.stringify(poll.body);
      expect(text.length).toBeLessThanOrEqual(MAX_SIGNAL_BYTES);
      count += parseSignals(text).length;
    }
    expect(count).toBe(5);
  });
});

describe('the queue', () => {
  it('drops the oldest session as a whole when it is full', async () => {
    const host = newHost();
    const first = await openSession(host, { offer: SDP });
    await post(`${base(host)}/signal`, Array(64).fill(candidate(first.session_id)));
    const second = await openSession(host, { offer: SDP });
    await post(`${base(host)}/signal`, Array(62).fill(candidate(second.session_id)));
    expect(await queued(host)).toHaveLength(MAX_QUEUED_SIGNALS);
    const third = await openSession(host, { offer: SDP });
    const left = await queued(host);
    expect(left).toHaveLength(64);
    expect(new Set(left.map((row) => row.session))).toEqual(new Set([second.session_id, third.session_id]));
  });

  it('replaces what waits of a session with its new offer', async () => {
    const host = newHost();
    const { session_id } = await openSession(host, { offer: SDP });
    await post(`${base(host)}/signal`, candidate(session_id));
    await post(`${base(host)}/signal`, offer(session_id, 'v=0 restart'));
    expect((await agentPoll(host)).body).toMatchObject([offer(session_id, 'v=0 restart')]);
  });

  it('delivers no dead offer, by poll or by WebSocket', async () => {
    const host = newHost();
    await openSession(host, { offer: SDP });
    await setClock(host, 10_001);
    expect((await agentPoll(host, '')).status).toBe(204);
    await setClock(host, 0);
    await openSession(host, { offer: SDP });
    await setClock(host, 10_001);
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id });
  });

  it('forgets by alarm, for an agent that never comes', async () => {
    const host = newHost();
    await openSession(host, { offer: SDP });
    await setClock(host, 5_000);
    await openSession(host, { offer: SDP });
    await setClock(host, 10_001);
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(true);
    expect(await queued(host)).toHaveLength(1);
    await setClock(host, 15_001);
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(true);
    expect(await queued(host)).toEqual([]);
    // And no alarm is left to wake an idle host.
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(false);
  });

  it('sets no alarm for what a waiting poll takes, and one for what it leaves', async () => {
    const host = newHost();
    const poll = await waitingPoll(host, '');
    const { session_id } = await newSession(host, { offer: SDP });
    expect((await poll.answer).status).toBe(200);
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(false);
    const other = await waitingPoll(host, '', { env: { POLL_HOLD_MS: '300' } });
    await post(`${base(host)}/signal`, candidate(session_id));
    expect((await other.answer).status).toBe(204);
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(true);
  });

  it('sets no alarm for an agent that is connected', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    await newSession(host, { offer: SDP });
    await agent.next();
    expect(await runDurableObjectAlarm(hostStub(host))).toBe(false);
  });
});
