import { evictAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import {
  HANDSHAKE_TIMEOUT_MS,
  MAX_QUEUED_SIGNALS,
  MAX_SIGNAL_BYTES,
  SIGNALING_SESSION_TTL_MS,
} from '../shared/limits.ts';
import { newId } from '../shared/new-id.ts';
import { parseSignals } from '../shared/signal.ts';
import {
  AGENT,
  agentPoll,
  agentSocket,
  answer,
  base,
  candidate,
  clientPoll,
  clientSocket,
  codeOf,
  newHost,
  newSession,
  OWNER,
  offer,
  post,
  SDP,
  sessionStub,
} from './test-edge.ts';

const LATER = SIGNALING_SESSION_TTL_MS + 1000;

async function connected() {
  const host = newHost();
  const agent = await agentSocket(host);
  const { session_id: id } = await newSession(host, { offer: SDP });
  await agent.next();
  return { host, agent, id };
}

const setClock = (id: string, ms: number) =>
  runInDurableObject(sessionStub(id), (session) => {
    session.now = () => Date.now() + ms;
  });

/** Resolves when the client's poll waits in the object. */
const polling = (id: string) =>
  expect.poll(() => runInDurableObject(sessionStub(id), (session) => session.poll.waiting)).toBe(true);

/** Everything that the object has stored. */
const stored = (id: string) =>
  runInDurableObject(sessionStub(id), async (_session, { storage }) => ({
    entries: [...storage.kv.list()].length,
    alarm: await storage.getAlarm(),
  }));

describe('a client’s WebSocket', () => {
  it('carries messages both ways, singly and in lists', async () => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    client.send(candidate(id));
    expect(await agent.next()).toEqual(candidate(id));
    client.send([candidate(id), candidate(id)]);
    expect(await agent.next()).toEqual([candidate(id), candidate(id)]);
    agent.send(answer(id));
    expect(await client.next()).toEqual(answer(id));
    agent.send([candidate(id), candidate(id)]);
    expect(await client.next()).toEqual([candidate(id), candidate(id)]);
  });

  it('may come before its session, and hears what waits for it', async () => {
    const [host, id] = [newHost(), newId()];
    const agent = await agentSocket(host);
    const early = clientSocket(host, id);
    // It is at the object before the session is.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await newSession(host, { offer: SDP, session_id: id });
    await agent.next();
    agent.send(answer(id));
    const client = await early;
    expect(await client.next()).toEqual(answer(id));
    client.send(candidate(id));
    expect(await agent.next()).toEqual(candidate(id));
  });

  it('whose session is refused, or never comes, is refused, and leaves nothing behind', async () => {
    const [host, refused, absent] = [newHost(), newId(), newId()];
    const sockets = Promise.all([refused, absent].map((id) => clientSocket(host, id)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    // Nobody serves the host.
    const response = await post(`${base(host)}/session`, { offer: SDP, session_id: refused }, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([503, 'E_HOST_OFFLINE']);
    for (const socket of await sockets) expect((await socket.closed).code).toBe(4408);
    for (const id of [refused, absent]) expect(await stored(id)).toEqual({ entries: 0, alarm: null });
    // Nothing of the refusals holds them in memory either.
    await evictAllDurableObjects();
  });

  it('can bring the offer, and another one for an ICE restart', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id: id } = await newSession(host);
    const client = await clientSocket(host, id);
    for (let n = 0; n < 2; n++) {
      client.send(offer(id));
      expect(await agent.next()).toMatchObject(offer(id));
      agent.send(answer(id));
      expect(await client.next()).toEqual(answer(id));
    }
  });

  it('keeps the order of many messages', async () => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    const numbered = (n: number) => ({
      ...candidate(id),
      candidate: { ...candidate(id).candidate, sdpMid: String(n) },
    });
    for (let n = 0; n < 60; n++) client.send(numbered(n));
    for (let n = 0; n < 60; n++) expect(await agent.next()).toEqual(numbered(n));
    for (let n = 0; n < 60; n++) agent.send(numbered(n));
    for (let n = 0; n < 60; n++) expect(await client.next()).toEqual(numbered(n));
  });

  it('gets what came before it was open, once', async () => {
    const { host, agent, id } = await connected();
    agent.send([answer(id), candidate(id)]);
    await expect.poll(() => stored(id).then(({ entries }) => entries)).toBe(1);
    const client = await clientSocket(host, id);
    expect(await client.next()).toEqual([answer(id), candidate(id)]);
    agent.send(candidate(id));
    expect(await client.next()).toEqual(candidate(id));
    expect((await clientPoll(host, id)).status).toBe(204);
  });

  it('gets a long queue in lists that its parser takes', async () => {
    const { host, id } = await connected();
    const long = { session_id: id, type: 'error', code: 'E_HOST_BUSY', message: 'x'.repeat(512) };
    await post(`${base(host)}/signal`, answer(id, `v=0${'x'.repeat(30_000)}`), { token: AGENT });
    for (let n = 0; n < 2; n++) {
      await post(`${base(host)}/signal`, Array(60).fill(long), { token: AGENT });
    }
    const client = await clientSocket(host, id);
    let count = 0;
    while (count < 121) {
      const text = JSON.stringify(await client.next());
      expect(text.length).toBeLessThanOrEqual(MAX_SIGNAL_BYTES);
      count += parseSignals(text).length;
    }
    expect(count).toBe(121);
  });

  it('replaces an earlier one, which learns why', async () => {
    const { host, agent, id } = await connected();
    const first = await clientSocket(host, id);
    const second = await clientSocket(host, id);
    expect((await first.closed).code).toBe(4409);
    agent.send(answer(id));
    expect(await second.next()).toEqual(answer(id));
  });

  it('releases a poll that waits', async () => {
    const { host, id } = await connected();
    const poll = clientPoll(host, id, '', { env: { POLL_HOLD_MS: '9000' } });
    await polling(id);
    await clientSocket(host, id);
    expect((await poll).status).toBe(204);
  });

  it('gives way to polling when it has closed', async () => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    client.close(1000, 'done');
    expect(await client.closed).toMatchObject({ code: 1000 });
    agent.send(answer(id));
    expect(await clientPoll(host, id, '', { env: { POLL_HOLD_MS: '5000' } })).toEqual({
      status: 200,
      body: answer(id),
    });
  });

  it.each([
    ['no JSON', 'hello', 4018],
    ['a wrong message', '{"session_id":"x","type":"bye"}', 4018],
    ['an empty list', '[]', 4018],
    ['an answer', 'ANSWER', 4018],
    ['another session’s message', JSON.stringify(offer('other')), 4018],
    ['too much', JSON.stringify({ pad: 'x'.repeat(MAX_SIGNAL_BYTES) }), 4019],
    ['bytes', new Uint8Array([1, 2, 3]), 4000],
  ])('closes for %s, and the session lives on', async (_name, message, code) => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    client.send(message === 'ANSWER' ? answer(id) : message);
    expect((await client.closed).code).toBe(code);
    const again = await clientSocket(host, id);
    agent.send(answer(id));
    expect(await again.next()).toEqual(answer(id));
  });

  it('closes for candidate 65', async () => {
    const { host, id } = await connected();
    const client = await clientSocket(host, id);
    for (let n = 0; n < 65; n++) client.send(candidate(id));
    expect(await client.closed).toMatchObject({ code: 4018, reason: 'more than 64 candidates' });
  });
});

describe('a client’s poll', () => {
  it('ends as soon as a message comes', async () => {
    const { host, agent, id } = await connected();
    const poll = clientPoll(host, id, '', { env: { POLL_HOLD_MS: '9000' } });
    await polling(id);
    agent.send(answer(id));
    expect(await poll).toEqual({ status: 200, body: answer(id) });
  });

  it('gives way to a newer one', async () => {
    const { host, agent, id } = await connected();
    const older = clientPoll(host, id, '', { env: { POLL_HOLD_MS: '9000' } });
    await polling(id);
    const newer = clientPoll(host, id, '', { env: { POLL_HOLD_MS: '8999' } });
    expect((await older).status).toBe(204);
    agent.send(answer(id));
    expect(await newer).toEqual({ status: 200, body: answer(id) });
  });

  it('takes nothing with it when its client goes away', async () => {
    const { host, agent, id } = await connected();
    const controller = new AbortController();
    const gone = clientPoll(host, id, '', { signal: controller.signal, env: { POLL_HOLD_MS: '9000' } });
    await polling(id);
    controller.abort();
    expect((await gone).status).toBe(499);
    agent.send(answer(id));
    expect(await clientPoll(host, id, '', { env: { POLL_HOLD_MS: '5000' } })).toEqual({
      status: 200,
      body: answer(id),
    });
  });

  it('takes nothing that came while its client was going away', async () => {
    const { host, id } = await connected();
    await post(`${base(host)}/signal`, answer(id), { token: AGENT });
    const { status } = await runInDurableObject(sessionStub(id), (session) =>
      session.fetch(new Request(`https://object/?host=${host}&hold=50`, { signal: AbortSignal.abort() })),
    );
    expect(status).toBe(204);
    expect(await clientPoll(host, id)).toEqual({ status: 200, body: answer(id) });
  });
});

describe('the queue', () => {
  it('refuses what an agent sends beyond its limit', async () => {
    const { host, id } = await connected();
    const failure = { session_id: id, type: 'error', code: 'E_HOST_BUSY', message: 'full' };
    const send = (count: number) => post(`${base(host)}/signal`, Array(count).fill(failure), { token: AGENT });
    expect((await send(MAX_QUEUED_SIGNALS / 2)).status).toBe(204);
    expect((await send(MAX_QUEUED_SIGNALS / 2)).status).toBe(204);
    expect((await send(1)).status).toBe(400);
    let count = 0;
    for (let poll = await clientPoll(host, id, '&batch=1'); poll.status === 200; ) {
      count += parseSignals(JSON.stringify(poll.body)).length;
      poll = await clientPoll(host, id, '&batch=1');
    }
    expect(count).toBe(MAX_QUEUED_SIGNALS);
  });

  it('forgets the old answer with a new offer', async () => {
    const { host, id } = await connected();
    await post(`${base(host)}/signal`, answer(id, 'v=0 old'), { token: AGENT });
    await post(`${base(host)}/signal`, offer(id));
    await post(`${base(host)}/signal`, answer(id, 'v=0 new'), { token: AGENT });
    expect(await clientPoll(host, id, '&batch=1')).toEqual({ status: 200, body: [answer(id, 'v=0 new')] });
  });
});

describe('eviction', () => {
  it('forgets nothing between any two steps', async () => {
    const host = newHost();
    const { session_id: id } = await newSession(host, undefined, { env: { OPEN_HOSTS: host } });
    await evictAllDurableObjects();
    await post(`${base(host)}/signal`, offer(id));
    await evictAllDurableObjects();
    expect((await agentPoll(host)).body).toMatchObject([offer(id)]);
    await evictAllDurableObjects();
    await post(`${base(host)}/signal`, candidate(id));
    await evictAllDurableObjects();
    expect((await agentPoll(host)).body).toEqual([candidate(id)]);
    await post(`${base(host)}/signal`, answer(id), { token: AGENT });
    await evictAllDurableObjects();
    const second = await post(`${base(host)}/signal`, answer(id), { token: AGENT });
    expect(second.status).toBe(400);
    await evictAllDurableObjects();
    expect((await clientPoll(host, id)).body).toEqual(answer(id));
    await evictAllDurableObjects();
    expect((await clientPoll(host, id)).status).toBe(204);
  });

  it('leaves both sockets open, and they wake the objects', async () => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    await evictAllDurableObjects();
    client.send(candidate(id));
    expect(await agent.next()).toEqual(candidate(id));
    await evictAllDurableObjects();
    agent.send(answer(id));
    expect(await client.next()).toEqual(answer(id));
    await evictAllDurableObjects();
    client.send('ping');
    expect(await client.next()).toBe('pong');
    client.send('garbage');
    expect((await client.closed).code).toBe(4018);
    await evictAllDurableObjects();
    agent.close();
    await agent.closed;
    const offline = await post(`${base(host)}/session`, undefined, { token: OWNER });
    expect(offline.status).toBe(503);
  });

  it('keeps the candidate count', async () => {
    const { host, id } = await connected();
    const half = Array(32).fill(candidate(id));
    for (let n = 0; n < 2; n++) {
      expect((await post(`${base(host)}/signal`, half)).status).toBe(204);
      await evictDurableObject(sessionStub(id));
    }
    expect((await post(`${base(host)}/signal`, candidate(id))).status).toBe(400);
  });
});

describe('the end', () => {
  it('comes by alarm, closes the client and leaves nothing in storage', async () => {
    const { host, agent, id } = await connected();
    const client = await clientSocket(host, id);
    await setClock(id, LATER);
    expect(await runDurableObjectAlarm(sessionStub(id))).toBe(true);
    expect((await client.closed).code).toBe(4408);
    expect(await stored(id)).toEqual({ entries: 0, alarm: null });
    expect((await clientPoll(host, id)).status).toBe(404);
    agent.send(answer(id));
    expect(await agent.next()).toMatchObject({ session_id: id, type: 'error', code: 'E_SESSION_UNKNOWN' });
  });

  it('comes for an evicted object as well', async () => {
    const { host, id } = await connected();
    await evictDurableObject(sessionStub(id));
    await setClock(id, LATER);
    expect(await runDurableObjectAlarm(sessionStub(id))).toBe(true);
    expect(await stored(id)).toEqual({ entries: 0, alarm: null });
    expect((await clientPoll(host, id)).status).toBe(404);
  });

  it('tells a client that polls', async () => {
    const { host, id } = await connected();
    const poll = clientPoll(host, id, '', { env: { POLL_HOLD_MS: '9000' } });
    await polling(id);
    await setClock(id, LATER);
    await runDurableObjectAlarm(sessionStub(id));
    expect((await poll).status).toBe(404);
  });

  it('waits for as long as messages come', async () => {
    const { host, id } = await connected();
    await setClock(id, 40_000);
    expect((await post(`${base(host)}/signal`, candidate(id))).status).toBe(204);
    await setClock(id, LATER);
    expect(await runDurableObjectAlarm(sessionStub(id))).toBe(true);
    const { entries, alarm } = await stored(id);
    expect(entries).toBe(1);
    expect((alarm ?? 0) - Date.now()).toBeGreaterThan(90_000);
    expect((await post(`${base(host)}/signal`, candidate(id))).status).toBe(204);
  });

  it('needs one alarm, though messages come while the client tries', async () => {
    const { host, id } = await connected();
    const { alarm } = await stored(id);
    await setClock(id, HANDSHAKE_TIMEOUT_MS - 1000);
    expect((await post(`${base(host)}/signal`, candidate(id))).status).toBe(204);
    await setClock(id, (alarm ?? 0) - Date.now());
    expect(await runDurableObjectAlarm(sessionStub(id))).toBe(true);
    expect(await stored(id)).toEqual({ entries: 0, alarm: null });
  });

  it('is in force even before the alarm runs', async () => {
    const { host, id } = await connected();
    await setClock(id, LATER);
    expect((await clientPoll(host, id)).status).toBe(404);
    expect((await post(`${base(host)}/signal`, candidate(id))).status).toBe(404);
  });

  it('leaves nothing of sessions that were refused or never existed', async () => {
    const host = newHost();
    const id = 'refused-session';
    const creation = { id, host, iceServers: [], offer: SDP, open: false, grant: { subject: 'owner' }, from: null };
    expect(await sessionStub(id).create(creation)).toMatchObject({ ok: false, code: 'E_HOST_OFFLINE' });
    expect(await stored(id)).toEqual({ entries: 0, alarm: null });
    expect((await clientPoll(host, id)).status).toBe(404);
    expect((await clientPoll(host, 'never')).status).toBe(404);
    expect(await stored('never')).toEqual({ entries: 0, alarm: null });
  });
});
