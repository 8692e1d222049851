import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { MAX_SDP_BYTES, MAX_SIGNAL_BYTES, SIGNALING_SESSION_TTL_MS } from '../shared/limits.ts';
import { parseSessionReady } from '../shared/signal.ts';
import {
  AGENT,
  agentPoll,
  agentSocket,
  answer,
  base,
  CANDIDATE,
  call,
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
} from './test-edge.ts';

const refuseAll = { limit: () => Promise.resolve({ success: false }) };
const signal = (host: string) => `${base(host)}/signal`;

describe('POST /session', () => {
  it('answers with everything that a client needs', async () => {
    const host = newHost();
    await agentSocket(host);
    const servers = '[{"urls":"stun:s.example"},{"urls":["turn:t.example"],"username":"u","credential":"c"}]';
    const before = Date.now();
    const response = await post(`${base(host)}/session`, undefined, { token: OWNER, env: { ICE_SERVERS: servers } });
    expect(response.status).toBe(201);
    const ready = parseSessionReady(await response.json());
    expect(ready).toEqual({
      session_id: expect.stringMatching(/^[\w-]{22,64}$/),
      expires_at: ready.expires_at,
      protocol_version: 1,
      ice_servers: [{ urls: ['stun:s.example'] }, { urls: ['turn:t.example'], username: 'u', credential: 'c' }],
      ice_source: 'configuration',
      stun_url: 'stun:s.example',
      turn_url: 'turn:t.example',
      turn_username: 'u',
      turn_credential: 'c',
      host: { id: host, online: true },
    });
    expect(ready.expires_at - before).toBeGreaterThanOrEqual(SIGNALING_SESSION_TTL_MS);
    expect(ready.expires_at - before).toBeLessThan(SIGNALING_SESSION_TTL_MS + 5000);
  });

  it('gives every session another id', async () => {
    const host = newHost();
    await agentSocket(host);
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await newSession(host)).session_id));
    expect(new Set(ids).size).toBe(20);
  });

  it('hands an offer in the body to the agent in the same call', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toEqual({
      ...offer(session_id),
      ice_servers: [{ urls: ['stun:stun.example.com:3478'] }],
      grant: { subject: 'owner' },
      from: expect.stringMatching(/^[\w-]{16}$/),
    });
  });

  it('says in each offer what the client may do, whatever the client says', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const claim = { grant: { subject: 'owner' }, from: 'somebodyelse0000' };
    const env = { OPEN_HOSTS: host };
    const headers = { 'CF-Connecting-IP': '192.0.2.1' };
    const { session_id } = await newSession(host, { offer: SDP, ...claim }, { env, headers });
    const first = (await agent.next()) as { from: string };
    expect(first).toMatchObject({ session_id, grant: { subject: 'anonymous' } });
    expect(first.from).toMatch(/^[A-Za-z0-9_-]{16}$/);
    expect(first.from).not.toBe(claim.from);
    await post(`${base(host)}/signal`, { ...offer(session_id), ...claim });
    expect(await agent.next()).toEqual(first);
    const client = await clientSocket(host, session_id);
    client.send({ ...offer(session_id), ...claim });
    expect(await agent.next()).toEqual(first);
  });

  it.each([
    ['the wrong token', { token: 'wrong' }, '', 401],
    ['the agent’s token', { token: AGENT }, '', 403],
    ['no token', {}, '', 401],
    ['no token, with another host open', {}, 'other,', 401],
    ['the wrong token on an open host', { token: 'wrong' }, 'SELF', 401],
    ['the agent’s token on an open host', { token: AGENT }, 'SELF', 403],
    ['something else than a bearer', { headers: { Authorization: `Basic ${OWNER}` } }, 'SELF', 401],
  ])('refuses %s', async (_name, options, open, status) => {
    const host = newHost();
    const agent = await agentSocket(host);
    const vars = { OPEN_HOSTS: open.replace('SELF', host) };
    const response = await post(`${base(host)}/session`, { offer: SDP }, { ...options, env: vars });
    const code = status === 401 ? 'E_UNAUTHORIZED' : 'E_FORBIDDEN';
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
    // The agent heard nothing of it: the next message is the owner's.
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id });
  });

  it('tells the owner at once that the host is offline', async () => {
    const response = await post(`${base(newHost())}/session`, { offer: SDP }, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([503, 'E_HOST_OFFLINE']);
    expect(response.headers.get('Retry-After')).toBe('2');
  });

  it('begins without the host if that is open, and keeps the offer for it', async () => {
    const host = newHost();
    const { session_id, host: presence } = await newSession(host, { offer: SDP }, { env: { OPEN_HOSTS: host } });
    expect(presence).toEqual({ id: host, online: false });
    expect(await agentPoll(host, '')).toMatchObject({ status: 200, body: { session_id, type: 'offer', sdp: SDP } });
  });

  it('stops at the coarse limit before any object is asked, and even before the token', async () => {
    const vars = { COARSE_LIMIT: refuseAll, SESSIONS: undefined, HOSTS: undefined };
    for (const token of [OWNER, 'wrong']) {
      const response = await post(`${base('home')}/session`, undefined, { token, env: vars });
      expect([response.status, await codeOf(response)]).toEqual([429, 'E_RATE_LIMITED']);
      expect(response.headers.get('Retry-After')).toBe('60');
    }
  });

  it('stops at 120 sessions per host and minute, counting no other host', async () => {
    const [host, other] = [newHost(), newHost()];
    await Promise.all([agentSocket(host), agentSocket(other)]);
    await Promise.all(Array.from({ length: 120 }, () => newSession(host)));
    const response = await post(`${base(host)}/session`, undefined, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([429, 'E_RATE_LIMITED']);
    const wait = Number(response.headers.get('Retry-After'));
    expect(wait).toBeGreaterThan(30);
    expect(wait).toBeLessThanOrEqual(60);
    await newSession(other);
  });
});

describe('an id that the client chose', () => {
  const chosen = () => `chosen-${crypto.randomUUID()}`;
  const onlineHost = async () => {
    const host = newHost();
    await agentSocket(host);
    return host;
  };

  it('is the session’s', async () => {
    const session_id = chosen();
    expect((await newSession(await onlineHost(), { session_id })).session_id).toBe(session_id);
  });

  it('is taken once', async () => {
    const host = await onlineHost();
    const session_id = chosen();
    await newSession(host, { session_id });
    const again = await post(`${base(host)}/session`, { session_id }, { token: OWNER });
    expect([again.status, await codeOf(again)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it.each(['short', 'a'.repeat(19), 'a'.repeat(65), 'with a space, and long', 7])('is not %s', async (session_id) => {
    const response = await post(`${base(await onlineHost())}/session`, { session_id }, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });
});

describe('bodies', () => {
  const oversize = JSON.stringify({ offer: SDP.padEnd(MAX_SDP_BYTES), pad: 'x'.repeat(MAX_SIGNAL_BYTES) });
  it.each([
    ['no JSON', '{', 400, 'E_BAD_REQUEST'],
    ['a list', '[]', 400, 'E_BAD_REQUEST'],
    ['an offer that is no text', '{"offer":1}', 400, 'E_BAD_REQUEST'],
    ['an offer that is no SDP', '{"offer":"hello"}', 400, 'E_BAD_REQUEST'],
    ['an offer over the limit', JSON.stringify({ offer: SDP.padEnd(MAX_SDP_BYTES + 1) }), 400, 'E_BAD_REQUEST'],
    ['a body over the limit', oversize, 413, 'E_TOO_LARGE'],
  ])('POST /session refuses %s', async (_name, body, status, code) => {
    const host = newHost();
    await agentSocket(host);
    const response = await post(`${base(host)}/session`, body, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
  });

  it('POST /session refuses an offer that would be too long for the agent, and begins no session', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    // 64 kB less 12 bytes as a body; with the session's id and servers it is more.
    const long = { offer: `v=0${'€'.repeat(21_800)}xxxxx`.padEnd(21_900) };
    expect(new TextEncoder().encode(JSON.stringify(long)).byteLength).toBeLessThanOrEqual(MAX_SIGNAL_BYTES);
    const response = await post(`${base(host)}/session`, long, { token: OWNER });
    expect([response.status, await codeOf(response)]).toEqual([413, 'E_TOO_LARGE']);
    const { session_id } = await newSession(host, { offer: SDP });
    expect(await agent.next()).toMatchObject({ session_id });
  });

  it.each([
    ['nothing', '', 400, 'E_BAD_REQUEST'],
    ['no JSON', 'offer', 400, 'E_BAD_REQUEST'],
    ['an empty list', '[]', 400, 'E_BAD_REQUEST'],
    ['an unknown type', '{"session_id":"x","type":"bye"}', 400, 'E_BAD_REQUEST'],
    ['an id that is none', '{"session_id":"../x","type":"offer","sdp":"v=0"}', 400, 'E_BAD_REQUEST'],
    ['two sessions of a client', JSON.stringify([offer('x'), offer('y')]), 400, 'E_BAD_REQUEST'],
    ['a batch over the limit', JSON.stringify(Array(67).fill(candidate('x'))), 400, 'E_BAD_REQUEST'],
    ['a body over the limit', JSON.stringify({ ...offer('x'), pad: 'x'.repeat(MAX_SIGNAL_BYTES) }), 413, 'E_TOO_LARGE'],
    ['bytes that are no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 400, 'E_BAD_REQUEST'],
  ])('POST /signal refuses %s', async (_name, body, status, code) => {
    const response = await post(signal(newHost()), body);
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
  });
});

describe('POST /signal', () => {
  it('carries offer and candidates to the agent, answer and candidates to the client', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host);
    expect((await post(signal(host), offer(session_id))).status).toBe(204);
    expect(await agent.next()).toMatchObject(offer(session_id));
    expect((await post(signal(host), [candidate(session_id), candidate(session_id)])).status).toBe(204);
    expect(await agent.next()).toEqual([candidate(session_id), candidate(session_id)]);

    expect((await post(signal(host), answer(session_id), { token: AGENT })).status).toBe(204);
    expect((await post(signal(host), [candidate(session_id)], { token: AGENT })).status).toBe(204);
    expect(await clientPoll(host, session_id)).toEqual({ status: 200, body: answer(session_id) });
    expect(await clientPoll(host, session_id)).toEqual({ status: 200, body: candidate(session_id) });
  });

  it('passes the host’s signature on as it came, and takes answers of agents that do not sign', async () => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host);
    await post(signal(host), offer(session_id));
    const signed = { ...answer(session_id), host_key: `${'k'.repeat(42)}A`, signature: `${'s'.repeat(85)}A` };
    expect((await post(signal(host), { ...signed, more: 1 }, { token: AGENT })).status).toBe(204);
    expect(await clientPoll(host, session_id)).toEqual({ status: 200, body: signed });
  });

  it.each([
    ['a key', { host_key: 'k'.repeat(42) }],
    ['a signature', { signature: 7 }],
  ])('refuses an answer with %s of another shape', async (_name, fields) => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host);
    await post(signal(host), offer(session_id));
    const response = await post(signal(host), { ...answer(session_id), ...fields }, { token: AGENT });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('takes messages about several sessions from an agent at once', async () => {
    const host = newHost();
    await agentSocket(host);
    const [a, b] = [await newSession(host, { offer: SDP }), await newSession(host, { offer: SDP })];
    const list = [answer(a.session_id), answer(b.session_id), candidate(a.session_id)];
    expect((await post(signal(host), list, { token: AGENT })).status).toBe(204);
    expect((await clientPoll(host, a.session_id, '&batch=1')).body).toEqual([list[0], list[2]]);
    expect((await clientPoll(host, b.session_id, '&batch=1')).body).toEqual([list[1]]);
  });

  it('lets the client show its token too', async () => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host);
    expect((await post(signal(host), offer(session_id), { token: OWNER })).status).toBe(204);
    const foreign = await post(signal(host), answer(session_id), { token: OWNER });
    expect([foreign.status, await codeOf(foreign)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('does not know sessions that do not exist, or belong to another host', async () => {
    const [host, other] = [newHost(), newHost()];
    await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    const attempts = [
      post(signal(host), candidate('nothing')),
      post(signal(other), candidate(session_id)),
      post(signal(other), answer(session_id), { token: AGENT }),
      call(`${signal(other)}?session_id=${session_id}`),
      call(`${signal(host)}?session_id=nothing`),
      call(`${signal(host)}?session_id=`),
      call(`${signal(host)}?session_id=a.b`),
    ];
    for (const response of await Promise.all(attempts)) {
      expect([response.status, await codeOf(response)]).toEqual([404, 'E_SESSION_UNKNOWN']);
    }
    // The real agent's answer still is the first.
    expect((await post(signal(host), answer(session_id), { token: AGENT })).status).toBe(204);
  });

  it('refuses a wrong token instead of taking the caller for a client', async () => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host);
    const response = await post(signal(host), offer(session_id), { token: 'wrong' });
    expect([response.status, await codeOf(response)]).toEqual([401, 'E_UNAUTHORIZED']);
  });

  it('refuses candidate 65 of a session', async () => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    const half = Array(32).fill(candidate(session_id));
    for (let n = 0; n < 2; n++) expect((await post(signal(host), half)).status).toBe(204);
    const response = await post(signal(host), candidate(session_id));
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });
});

describe('GET /signal', () => {
  it.each([
    ['no token', {}, 'E_UNAUTHORIZED'],
    ['the owner’s token', { token: OWNER }, 'E_FORBIDDEN'],
    ['the wrong token', { token: 'wrong' }, 'E_UNAUTHORIZED'],
  ])('of the agent refuses %s, for a poll and for a WebSocket', async (_name, options, code) => {
    const host = newHost();
    for (const headers of [{}, { Upgrade: 'websocket' }]) {
      const response = await call(signal(host), { ...options, headers });
      expect(await codeOf(response)).toBe(code);
      expect(response.webSocket).toBeNull();
    }
    // Nobody was counted as that host.
    expect(await (await call(base(host), { token: OWNER })).json()).toEqual({ id: host, online: false });
  });

  it('counts failures against the coarse limit, and successes not', async () => {
    const host = newHost();
    const limited = { env: { COARSE_LIMIT: refuseAll } };
    const failures = [
      call(signal(host), { token: 'wrong', ...limited }),
      call(signal(host), { token: OWNER, ...limited }),
      call(base(host), { token: 'wrong', ...limited }),
      call(base(host), { token: `dak_${'x'.repeat(43)}`, ...limited }),
      call(`${signal(host)}?session_id=guess`, limited),
      post(signal(host), candidate('guess'), limited),
    ];
    for (const response of await Promise.all(failures)) {
      expect([response.status, await codeOf(response)]).toEqual([429, 'E_RATE_LIMITED']);
    }
    expect((await call(signal(host), { token: AGENT, ...limited })).status).toBe(204);
    expect((await call(base(host), { token: OWNER, ...limited })).status).toBe(200);
  });

  it('counts a client’s socket before its object is asked: there it may wait', async () => {
    const env = { COARSE_LIMIT: refuseAll, SESSIONS: undefined };
    const headers = { Upgrade: 'websocket' };
    const response = await call(`${base(newHost())}/signal?session_id=${'x'.repeat(24)}`, { env, headers });
    expect([response.status, await codeOf(response)]).toEqual([429, 'E_RATE_LIMITED']);
  });

  it('asks the limit that wrangler.toml declares', async () => {
    expect(await env.COARSE_LIMIT.limit({ key: crypto.randomUUID() })).toEqual({ success: true });
  });

  it('gives a client one message, or all with batch=1, or 204', async () => {
    const host = newHost();
    await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    expect((await clientPoll(host, session_id)).status).toBe(204);
    await post(signal(host), [answer(session_id), candidate(session_id), candidate(session_id)], { token: AGENT });
    expect(await clientPoll(host, session_id)).toEqual({ status: 200, body: answer(session_id) });
    expect(await clientPoll(host, session_id, '&batch=1')).toEqual({
      status: 200,
      body: [candidate(session_id), candidate(session_id)],
    });
    expect((await clientPoll(host, session_id, '&batch=1')).status).toBe(204);
  });

  it('keeps the end of candidates (RFC 8838) and everything else of a candidate', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const { session_id } = await newSession(host, { offer: SDP });
    await agent.next();
    await post(signal(host), { session_id, type: 'candidate', candidate: null });
    const end = { candidate: '', sdpMid: null, sdpMLineIndex: null, usernameFragment: null };
    expect(await agent.next()).toEqual({ session_id, type: 'candidate', candidate: end });
    const full = { ...CANDIDATE, usernameFragment: 'abcd' };
    await post(signal(host), { session_id, type: 'candidate', candidate: full });
    expect(await agent.next()).toEqual({ session_id, type: 'candidate', candidate: full });
  });
});

describe('GET {base}', () => {
  it('tells the owner whether the host is there', async () => {
    const host = newHost();
    const presence = async () => (await call(base(host), { token: OWNER })).json<{ since?: number }>();
    expect(await presence()).toEqual({ id: host, online: false });
    const before = Date.now();
    await agentSocket(host);
    const online = await presence();
    expect(online).toEqual({ id: host, online: true, since: online.since });
    expect(online.since).toBeGreaterThanOrEqual(before);
    expect(online.since).toBeLessThanOrEqual(Date.now());
  });

  it.each([
    [{}, 401, 'E_UNAUTHORIZED'],
    [{ token: 'wrong' }, 401, 'E_UNAUTHORIZED'],
  ])('tells nobody else: %j', async (options, status, code) => {
    const response = await call(base('home'), options);
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
  });
});
