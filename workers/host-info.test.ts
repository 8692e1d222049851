import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { HostInfo } from '../shared/host-info.ts';
import { PollingAgent } from './test-agent.ts';
import { AGENT, agentPoll, agentSocket, base, codeOf, hostStub, newHost, OWNER, post } from './test-edge.ts';

const INFO: HostInfo = {
  serves: [{ name: 'Ollama', models: ['llama3', 'qwen'] }],
  access: 'paired',
  devices: [{ id: 'abcdefghijklmnop', name: 'a phone', paired_at: 1_795_228_800_000, last_used_at: null }],
};
const message = (info: Partial<Record<keyof HostInfo, unknown>> = INFO) => ({ type: 'host_info', ...info });

describe('what the agent says of itself', () => {
  it('is kept as last told, over evictions and other connections', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    expect(await hostStub(host).info()).toBeNull();
    agent.send(message());
    await expect.poll(() => hostStub(host).info()).toEqual(INFO);
    await evictDurableObject(hostStub(host));
    const next = await agentSocket(host);
    expect(await hostStub(host).info()).toEqual(INFO);
    next.send(message({ ...INFO, devices: [] }));
    await expect.poll(() => hostStub(host).info()).toEqual({ ...INFO, devices: [] });
  });

  it('is posted by an agent that polls', async () => {
    const host = newHost();
    await agentPoll(host);
    expect((await post(`${base(host)}/signal`, message(), { token: AGENT })).status).toBe(204);
    expect(await hostStub(host).info()).toEqual(INFO);
  });

  it.each([
    ['the owner', OWNER],
    ['nobody', undefined],
    ['a stranger', 'wrong'],
  ])('is not taken from %s', async (_name, token) => {
    const host = newHost();
    const options = token === undefined ? {} : { token };
    expect((await post(`${base(host)}/signal`, message(), options)).status).toBeGreaterThanOrEqual(400);
    expect(await hostStub(host).info()).toBeNull();
  });

  it.each([
    ['no access', { ...INFO, access: undefined }],
    ['another access', { ...INFO, access: 'all' }],
    ['no list of devices', { ...INFO, devices: {} }],
    ['too many devices', { ...INFO, devices: Array(101).fill(INFO.devices[0]) }],
    ['a device without an id', { ...INFO, devices: [{ ...INFO.devices[0], id: undefined }] }],
    ['an id that is a path', { ...INFO, devices: [{ ...INFO.devices[0], id: '../x' }] }],
    ['a name that is too long', { ...INFO, devices: [{ ...INFO.devices[0], name: 'x'.repeat(129) }] }],
    ['a time that is none', { ...INFO, devices: [{ ...INFO.devices[0], paired_at: -1 }] }],
    ['a server that is a text', { ...INFO, serves: ['Ollama'] }],
    ['a model that is no text', { ...INFO, serves: [{ name: 'x', models: [1] }] }],
  ])('is refused with %s, by either way', async (_name, info) => {
    const host = newHost();
    const response = await post(`${base(host)}/signal`, message(info), { token: AGENT });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
    const agent = await agentSocket(host);
    agent.send(message(info));
    expect((await agent.closed).code).toBe(4018);
    expect(await hostStub(host).info()).toBeNull();
  });
});

describe('removing a device', () => {
  it('is asked of the agent, by its WebSocket', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    expect(await hostStub(host).forgetDevice('abcdefghijklmnop')).toEqual({ ok: true, value: null });
    expect(await agent.next()).toEqual({ type: 'forget_device', id: 'abcdefghijklmnop' });
  });

  it('is asked of an agent that polls', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    expect(await hostStub(host).forgetDevice('abcdefghijklmnop')).toEqual({ ok: true, value: null });
    const taken: unknown[] = [];
    Object.assign(agent, { take: (text: string) => taken.push(JSON.parse(text)) });
    await agent.poll();
    expect(taken).toEqual([{ type: 'forget_device', id: 'abcdefghijklmnop' }]);
  });

  it('is refused while there is no agent', async () => {
    expect(await hostStub(newHost()).forgetDevice('abcdefghijklmnop')).toMatchObject({
      ok: false,
      code: 'E_HOST_OFFLINE',
    });
  });
});
