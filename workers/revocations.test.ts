/** What ends, and what does not begin any more, when a credential is revoked. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Grant } from '../shared/grant.ts';
import { newId } from '../shared/new-id.ts';
import { PollingAgent, reply, type Script, TestAgent } from './test-agent.ts';
import { base, call, codeOf, hostStub, newHost, newSession, offer, post, SDP, sessionStub } from './test-edge.ts';

const KEY: Grant = { subject: 'key:k1', models: ['llama'], requests_per_minute: 5 };
const OTHER: Grant = { subject: 'key:k2' };

/** A signaling session as the Worker makes it for `grant`. */
async function session(host: string, grant: Grant, first: string | null = null, open = false) {
  const id = newId();
  const created = await sessionStub(id).create({ id, host, iceServers: [], offer: first, open, grant, from: null });
  return { id, created };
}

async function relay(host: string, id: string) {
  const { webSocket } = await call(`${base(host)}/relay?session_id=${id}`, { headers: { Upgrade: 'websocket' } });
  if (webSocket === null) throw new Error('no WebSocket');
  const closed = new Promise<number>((resolve) => webSocket.addEventListener('close', ({ code }) => resolve(code)));
  webSocket.accept();
  return { webSocket, closed };
}

/** A tunnelled request as the Worker hands it to the object. */
const tunnelled = (host: string, grant: Grant) =>
  hostStub(host).fetch('https://tunnel/v1/x', { headers: { 'direct-grant': JSON.stringify(grant) } });

const heads: string[][] = [];
const noteHead: Script = (exchange, { headers }) => {
  heads.push(headers.flat());
  return reply(exchange, 200, 'fine');
};

const waiting = (host: string) =>
  runInDurableObject(hostStub(host), (_object, { storage }) =>
    storage.sql.exec<{ session: string }>('SELECT session FROM waiting ORDER BY id').toArray(),
  );

describe('a revoked subject', () => {
  it('loses its relays, of which the agent hears, and nobody else does', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const mine = await relay(host, (await session(host, KEY)).id);
    await expect.poll(() => agent.opens.length).toBe(1);
    expect(agent.opens[0]?.grant).toEqual(KEY);
    const theirs = await relay(host, (await session(host, OTHER)).id);
    await expect.poll(() => agent.opens.length).toBe(2);
    // What it must know of a relay is in the socket's attachment.
    await evictDurableObject(hostStub(host));
    await hostStub(host).revoke(KEY.subject);
    expect(await mine.closed).toBe(4401);
    await expect.poll(() => [agent.revoked, agent.closed]).toEqual([[KEY.subject], [agent.opened[0]]]);
    theirs.webSocket.send(new Uint8Array([1]));
    await expect.poll(() => agent.received.map(({ channel }) => channel)).toEqual([agent.opened[1]]);
  });

  it('gets in no way any more, with a session from before either', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, noteHead);
    const { id } = await session(host, KEY, SDP);
    const unused = await session(host, KEY);
    expect(await (await tunnelled(host, KEY)).text()).toBe('fine');
    expect(heads.at(-1)).toEqual(['direct-grant', JSON.stringify(KEY)]);
    await hostStub(host).revoke(KEY.subject);
    await evictDurableObject(hostStub(host));
    expect((await session(host, KEY)).created).toMatchObject({ ok: false, code: 'E_UNAUTHORIZED' });
    const again = await post(`${base(host)}/signal`, offer(id));
    expect([again.status, await codeOf(again)]).toEqual([401, 'E_UNAUTHORIZED']);
    expect(await (await relay(host, unused.id)).closed).toBe(4408);
    const request = await tunnelled(host, KEY);
    expect([request.status, await codeOf(request)]).toEqual([401, 'E_UNAUTHORIZED']);
    expect(agent.opens.map(({ relay: relayed }) => relayed)).toEqual([undefined]);
    expect((await session(host, OTHER)).created).toMatchObject({ ok: true });
    expect(await (await tunnelled(host, OTHER)).text()).toBe('fine');
  });

  it('has no offers that wait for an agent', async () => {
    const host = newHost();
    const mine = await session(host, KEY, SDP, true);
    const theirs = await session(host, OTHER, SDP, true);
    expect(await waiting(host)).toEqual([{ session: mine.id }, { session: theirs.id }]);
    await hostStub(host).revoke(KEY.subject);
    expect(await waiting(host)).toEqual([{ session: theirs.id }]);
  });

  it('is told to an agent that was away, however it comes back', async () => {
    const host = newHost();
    await hostStub(host).revoke(KEY.subject);
    await hostStub(host).revoke(OTHER.subject);
    await hostStub(host).revoke(KEY.subject);
    const socket = await TestAgent.connect(host);
    await expect.poll(() => socket.revoked).toEqual([OTHER.subject, KEY.subject]);
    socket.socket.close(1000);
    await socket.lost;
    const polls = await PollingAgent.start(host);
    expect(polls.revoked).toEqual([OTHER.subject, KEY.subject]);
    await hostStub(host).revoke('session:s1');
    await expect.poll(() => polls.revoked.at(-1)).toBe('session:s1');
    polls.stop();
  });

  it('is remembered among 256 others', async () => {
    const host = newHost();
    for (let n = 0; n < 257; n++) await hostStub(host).revoke(`session:${n}`);
    expect((await session(host, { subject: 'session:1' })).created).toMatchObject({ code: 'E_UNAUTHORIZED' });
    expect((await session(host, { subject: 'session:0' })).created).toMatchObject({ code: 'E_HOST_OFFLINE' });
  });
});

it('the owner loses what goes on, and may begin anew', async () => {
  const host = newHost();
  const agent = await TestAgent.connect(host, noteHead);
  const { session_id } = await newSession(host);
  const client = await relay(host, session_id);
  await expect.poll(() => agent.opens.length).toBe(1);
  await hostStub(host).revoke('owner');
  expect(await client.closed).toBe(4401);
  await expect.poll(() => agent.revoked).toEqual(['owner']);
  await newSession(host);
  expect(await (await tunnelled(host, { subject: 'owner' })).text()).toBe('fine');
});
