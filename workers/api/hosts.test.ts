import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { expect, it } from 'vitest';
import { API, asOwner, audited, LoggingIn, loggedIn } from '../test-account.ts';
import { TestAgent } from '../test-agent.ts';
import {
  AGENT,
  accountStub,
  agentPoll,
  base,
  type Call,
  call,
  codeOf,
  hostStub,
  newSession,
  OWNER,
  openSocket,
  post,
  SDP,
} from '../test-edge.ts';

interface Listed {
  id: string;
  online: boolean;
  since: number | null;
}
const listed = async (id: string) => {
  const { hosts } = await (await asOwner('/hosts')).json<{ hosts: Listed[] }>();
  return hosts.find((host) => host.id === id);
};
const signal = (id: string, token: string) => openSocket(`${base(id)}/signal`, { token });

it('are listed with their presence', async () => {
  const { agent, host_id, access_token } = await loggedIn('Workshop');
  const offline = {
    id: 'workshop',
    name: 'Workshop',
    host_key: agent.hostKey,
    online: false,
    since: null,
    serves: [],
    access: null,
    web_ui: false,
    serves_web_ui: false,
    created_at: expect.any(Number),
  };
  expect(await listed(host_id)).toEqual(offline);
  await signal(host_id, access_token);
  expect(await listed(host_id)).toEqual({ ...offline, online: true, since: expect.any(Number) });
});

const SERVES = [{ name: 'Ollama', models: ['llama3.2'] }];
const DEVICE = { id: 'abcdefghijklmnop', name: 'Phone', paired_at: 1, last_used_at: null };

/** A host whose agent has told of itself. */
async function telling(hostName?: string) {
  const host = await loggedIn(hostName);
  const socket = await signal(host.host_id, host.access_token);
  await socket.next();
  socket.send({ type: 'host_info', serves: SERVES, web_ui: true, access: 'paired', devices: [DEVICE] });
  await expect.poll(() => listed(host.host_id)).toMatchObject({ access: 'paired' });
  return { ...host, socket };
}

it('are listed with what their agents told, but for the devices', async () => {
  const { host_id } = await telling();
  const host = await listed(host_id);
  expect(host).toMatchObject({ online: true, serves: SERVES, serves_web_ui: true, access: 'paired' });
  expect(host).not.toHaveProperty('devices');
});

it('tell their devices, and forget one', async () => {
  const { host_id, socket } = await telling('Kitchen');
  expect(await (await asOwner(`/hosts/${host_id}/devices`)).json()).toEqual({ devices: [DEVICE] });
  const remove = (id: string) => asOwner(`/hosts/${host_id}/devices/${id}`, { method: 'DELETE' });
  expect((await remove(DEVICE.id)).status).toBe(204);
  expect(await socket.next()).toEqual({ type: 'forget_device', id: DEVICE.id });
  expect(await audited(1)).toEqual([{ action: 'device.remove', detail: `kitchen: ${DEVICE.id}` }]);
  // It would reach the agent, which takes ids only from the edge.
  expect((await remove('d%201')).status).toBe(404);
  expect(socket.unread).toEqual([]);
});

it('that are offline forget no device', async () => {
  const { host_id } = await loggedIn();
  const response = await asOwner(`/hosts/${host_id}/devices/${DEVICE.id}`, { method: 'DELETE' });
  expect([response.status, await codeOf(response)]).toEqual([503, 'E_HOST_OFFLINE']);
});

it('hear of keys and invitations that are revoked', async () => {
  const { host_id, socket } = await telling();
  for (const [path, kind] of [
    ['/keys', 'key'],
    ['/invitations', 'invitation'],
  ]) {
    const made = await asOwner(path ?? '', { method: 'POST', body: { name: 'x', hosts: [host_id] } });
    const { id } = await made.json<{ id: string }>();
    await asOwner(`${path}/${id}`, { method: 'DELETE' });
    expect(await socket.next()).toEqual({ type: 'revoked', subject: `${kind}:${id}` });
  }
});

it('that agents serve with AGENT_TOKEN are listed by the default host, without a key', async () => {
  const lists = async (env: NonNullable<Call['env']>) =>
    (await (await asOwner('/hosts', { env })).json<{ hosts: Listed[] }>()).hosts;
  const provisioned = { id: 'rack', name: 'rack', host_key: null };
  expect(await lists({ DEFAULT_HOST: 'rack' })).toContainEqual(expect.objectContaining(provisioned));
  const ids = (await lists({ DEFAULT_HOST: 'rack', AGENT_TOKEN: undefined })).map(({ id }) => id);
  expect(ids).not.toContain('rack');
});

it('are renamed, and keep their ids', async () => {
  const { host_id } = await loggedIn('Old');
  const response = await asOwner(`/hosts/${host_id}`, { method: 'PATCH', body: { name: ' New ' } });
  expect(await response.json()).toMatchObject({ id: 'old', name: 'New' });
  expect(await listed('old')).toMatchObject({ name: 'New' });
  expect(await audited(1)).toEqual([{ action: 'host.rename', detail: 'old: New' }]);
});

it('have their web UI switched on and off, by their owner', async () => {
  const { host_id } = await loggedIn('Studio');
  const change = async (body: unknown) => (await asOwner(`/hosts/${host_id}`, { method: 'PATCH', body })).json();
  expect(await change({ web_ui: true })).toMatchObject({ name: 'Studio', web_ui: true });
  expect(await listed(host_id)).toMatchObject({ web_ui: true });
  expect(await audited(1)).toEqual([{ action: 'host.web_ui', detail: `${host_id}: on` }]);
  expect(await change({ name: 'New' })).toMatchObject({ name: 'New', web_ui: true });
  const me = await (await asOwner('/me')).json<{ hosts: unknown[] }>();
  expect(me.hosts).toContainEqual(expect.objectContaining({ id: host_id, web_ui: true }));
  expect(await change({ name: 'Old', web_ui: false })).toMatchObject({ name: 'Old', web_ui: false });
  expect(await audited(1)).toEqual([{ action: 'host.web_ui', detail: `${host_id}: off` }]);
  // The next one of this id is another host.
  await change({ web_ui: true });
  await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
  expect(await listed((await loggedIn('Studio')).host_id)).toMatchObject({ web_ui: false });
});

it.each([
  {},
  { name: '' },
  { name: 7 },
  { name: 'x'.repeat(65) },
  { web_ui: 1 },
  { web_ui: null },
  { web_ui: true, name: '' },
])('are not changed by %j', async (body) => {
  const { host_id } = await loggedIn();
  expect(await codeOf(await asOwner(`/hosts/${host_id}`, { method: 'PATCH', body }))).toBe('E_BAD_REQUEST');
});

it.each([
  ['PATCH', '', { name: 'x' }],
  ['DELETE', '', undefined],
  ['GET', '/devices', undefined],
  ['DELETE', '/devices/d', undefined],
])('that do not exist are not found: %s %s', async (method, path, body) => {
  const response = await asOwner(`/hosts/nowhere${path}`, { method, body });
  expect([response.status, await codeOf(response)]).toEqual([404, 'E_NOT_FOUND']);
});

it('that are removed are disconnected, forgotten and refused', async () => {
  const { host_id, access_token } = await loggedIn();
  const socket = await signal(host_id, access_token);
  await evictDurableObject(hostStub(host_id));
  expect((await asOwner(`/hosts/${host_id}`, { method: 'DELETE' })).status).toBe(204);
  expect(await socket.closed).toEqual({ code: 4401, reason: 'the host was removed, or has logged out' });
  expect(await listed(host_id)).toBeUndefined();
  expect(await codeOf(await call(`${base(host_id)}/signal`, { token: access_token }))).toBe('E_UNAUTHORIZED');
  expect(await audited(1)).toEqual([{ action: 'host.remove', detail: host_id }]);
});

it('that poll lose their poll and what waited for them', async () => {
  const { host_id, access_token } = await loggedIn();
  const slow = { env: { POLL_HOLD_MS: '9000' } };
  const poll = agentPoll(host_id, '?batch=1', { ...slow, token: access_token });
  await expect.poll(() => runInDurableObject(hostStub(host_id), (object) => object.poll.waiting)).toBe(true);
  await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
  expect((await poll).status).toBe(204);
  expect((await agentPoll(host_id, '?batch=1', { token: access_token })).status).toBe(401);
});

it('that are removed leave nothing to the next agent', async () => {
  const { host_id, access_token, socket } = await telling();
  socket.close();
  await agentPoll(host_id, '?batch=1', { token: access_token });
  await newSession(host_id, { offer: SDP });
  await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
  const kept = await runInDurableObject(hostStub(host_id), (object, { storage }) => ({
    waiting: storage.sql.exec('SELECT * FROM waiting').toArray(),
    keys: [...storage.kv.list()].map(([key]) => key),
    online: object.presence().online,
  }));
  expect(kept).toEqual({ waiting: [], keys: ['admissions', 'generation'], online: false });
});

it('that are removed end what goes through them', async () => {
  const { host_id } = await loggedIn();
  const agent = await TestAgent.connect(host_id);
  const answer = call('/v1/models', { token: OWNER, headers: { 'Direct-Host': host_id } });
  await expect.poll(() => agent.received.length).toBeGreaterThan(0);
  await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
  expect(await codeOf(await answer)).toBe('E_PATH_LOST');
  expect(await agent.lost).toBe(4401);
});

it('log out: the credential is void, the link ends, the host stays', async () => {
  const { host_id, access_token } = await loggedIn('Shed');
  const socket = await signal(host_id, access_token);
  const logout = () => call(`${API}/host/logout`, { method: 'POST', token: access_token });
  expect((await logout()).status).toBe(204);
  expect((await socket.closed).code).toBe(4401);
  expect(await codeOf(await logout())).toBe('E_UNAUTHORIZED');
  expect(await listed(host_id)).toMatchObject({ name: 'Shed', online: false });
  expect(await audited(1)).toEqual([{ action: 'host.logout', detail: 'shed' }]);
});

it('log in again under the same id after a logout, and under a free one after a removal', async () => {
  const agent = await LoggingIn.make();
  const first = await agent.logIn('Loft');
  await call(`${API}/host/logout`, { method: 'POST', token: first.access_token });
  expect((await agent.logIn('Attic')).host_id).toBe('loft');
  await asOwner('/hosts/loft', { method: 'DELETE' });
  expect((await agent.logIn('Attic')).host_id).toBe('attic');
});

it('AGENT_TOKEN is nobody’s to log out with', async () => {
  const response = await call(`${API}/host/logout`, { method: 'POST', token: AGENT });
  expect([response.status, await codeOf(response)]).toEqual([403, 'E_FORBIDDEN']);
});

it('take what they had in scopes with them: their ids may name other hosts', async () => {
  const { agent, host_id } = await loggedIn('Garage');
  const other = await loggedIn('Porch');
  const make = async (path: string, hosts: string[]) => {
    const body = { name: hosts.join(' '), hosts };
    return (await asOwner(path, { method: 'POST', body })).json<{ id: string; key: string; secret: string }>();
  };
  const keys = [await make('/keys', [host_id]), await make('/keys', [host_id, other.host_id])];
  const invitations = [await make('/invitations', [host_id]), await make('/invitations', [host_id, other.host_id])];
  await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
  expect((await agent.logIn('Garage')).host_id).toBe(host_id);
  const scopes = async (path: string, name: 'keys' | 'invitations', ids: string[]) => {
    const list = (await (await asOwner(path)).json<Record<string, { id: string; hosts: string[] }[]>>())[name] ?? [];
    return ids.map((id) => list.find((one) => one.id === id)?.hosts);
  };
  const ids = (made: { id: string }[]) => made.map(({ id }) => id);
  expect(await scopes('/keys', 'keys', ids(keys))).toEqual([undefined, [other.host_id]]);
  expect(await scopes('/invitations', 'invitations', ids(invitations))).toEqual([undefined, [other.host_id]]);
  const presence = await call(base(host_id), { token: keys[1]?.key ?? '' });
  expect(await codeOf(presence)).toBe('E_FORBIDDEN');
});

it('keep no credential, only hashes', async () => {
  const { access_token } = await loggedIn();
  const rows = await runInDurableObject(accountStub(), (_object, { storage }) =>
    JSON.stringify(storage.sql.exec('SELECT * FROM hosts').toArray()),
  );
  expect(rows).not.toContain(access_token.slice(4));
});

it('that are removed while their agent connects do not stay', async () => {
  const { host_id, access_token } = await loggedIn('Racing');
  // As if the removal came between the check of the credential and the attachment.
  const getByName = (id: string) => ({
    fetch: async (request: Request) => {
      await asOwner(`/hosts/${id}`, { method: 'DELETE' });
      return hostStub(id).fetch(request);
    },
  });
  const env = { HOSTS: { getByName } as unknown as Cloudflare.Env['HOSTS'] };
  const headers = { Upgrade: 'websocket' };
  const response = await call(`${base(host_id)}/signal`, { token: access_token, headers, env });
  expect([response.status, response.status === 101 || (await codeOf(response))]).toEqual([401, 'E_UNAUTHORIZED']);
  await expect.poll(() => hostStub(host_id).presence()).toEqual({ online: false });
});

it('that are removed leave no sessions to the next host of that id', async () => {
  const first = await loggedIn('Reused');
  await signal(first.host_id, first.access_token);
  const made = await asOwner('/keys', { method: 'POST', body: { name: 'x', hosts: [first.host_id] } });
  const { key } = await made.json<{ key: string }>();
  const { session_id } = await newSession(first.host_id, { offer: SDP }, { token: key });
  await asOwner(`/hosts/${first.host_id}`, { method: 'DELETE' });
  const next = await loggedIn('Reused');
  expect(next.host_id).toBe(first.host_id);
  const agent = await signal(next.host_id, next.access_token);
  await agent.next();
  const again = await post(`${base(next.host_id)}/signal`, { session_id, type: 'offer', sdp: SDP });
  expect(await codeOf(again)).toBe('E_SESSION_UNKNOWN');
  const relayed = await openSocket(`${base(next.host_id)}/relay?session_id=${session_id}`);
  expect(await relayed.closed).toMatchObject({ code: 4408 });
  expect(agent.unread).toEqual([]);
});
