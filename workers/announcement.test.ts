import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { encodeBase64url } from '../shared/base64url.ts';
import type { Announcement } from '../shared/host-identity.ts';
import { parseSessionReady } from '../shared/signal.ts';
import { AGENT, agentPoll, agentSocket, base, call, codeOf, hostStub, newHost, OWNER, post } from './test-edge.ts';

/** Of the right shape; the edge does not look further. */
const keys = (relayKey: string): Announcement => ({
  host_key: encodeBase64url(new Uint8Array(32)),
  relay_key: encodeBase64url(new TextEncoder().encode(relayKey.padEnd(32))),
  signature: encodeBase64url(new Uint8Array(64)),
  expires_at: 1_795_228_800_000,
});
const announce = (announcement: unknown) => ({ type: 'announce', announcement });

/** What a new session's client is told. */
async function announced(host: string): Promise<Announcement | undefined> {
  const response = await post(`${base(host)}/session`, undefined, { token: OWNER });
  return parseSessionReady(await response.json()).host.announcement;
}

describe('the agent’s announcement', () => {
  it('is told to new sessions, until the next one', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    expect(await announced(host)).toBeUndefined();
    agent.send(announce(keys('first')));
    await expect.poll(() => announced(host)).toEqual(keys('first'));
    agent.send(announce(keys('second')));
    await expect.poll(() => announced(host)).toEqual(keys('second'));
  });

  it('survives eviction and another connection of the agent, and ends with another announcement', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    agent.send(announce(keys('first')));
    await expect.poll(() => announced(host)).toEqual(keys('first'));
    await evictDurableObject(hostStub(host));
    const next = await agentSocket(host);
    expect(await announced(host)).toEqual(keys('first'));
    expect((await agent.closed).code).toBe(4409);
    next.send(announce(keys('other')));
    await expect.poll(() => announced(host)).toEqual(keys('other'));
  });

  it('is posted by an agent that polls', async () => {
    const host = newHost();
    await agentPoll(host);
    expect((await post(`${base(host)}/signal`, announce(keys('posted')), { token: AGENT })).status).toBe(204);
    expect(await announced(host)).toEqual(keys('posted'));
  });

  it.each([
    ['the owner', OWNER, 400, 'E_BAD_REQUEST'],
    ['nobody', undefined, 400, 'E_BAD_REQUEST'],
    ['a stranger', 'wrong', 401, 'E_UNAUTHORIZED'],
  ])('is not taken from %s', async (_name, token, status, code) => {
    const host = newHost();
    await agentSocket(host);
    const response = await post(`${base(host)}/signal`, announce(keys('x')), token === undefined ? {} : { token });
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
    expect(await announced(host)).toBeUndefined();
  });

  it.each([
    ['nothing', undefined],
    ['a text', 'keys'],
    ['a key that is no text', { ...keys('x'), host_key: 1 }],
    ['a key that is no base64url', { ...keys('x'), relay_key: 'a+b'.padEnd(43, 'A') }],
    ['an empty key', { ...keys('x'), relay_key: '' }],
    ['a signature that is too long', { ...keys('x'), signature: 'x'.repeat(129) }],
    ['no end', { ...keys('x'), expires_at: '1' }],
  ])('is refused with %s, by either way', async (_name, announcement) => {
    const host = newHost();
    const response = await post(`${base(host)}/signal`, announce(announcement), { token: AGENT });
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
    const agent = await agentSocket(host);
    agent.send(announce(announcement));
    expect((await agent.closed).code).toBe(4018);
  });

  it('is alone in its message', async () => {
    const host = newHost();
    const list = [announce(keys('x'))];
    expect((await post(`${base(host)}/signal`, list, { token: AGENT })).status).toBe(400);
    const agent = await agentSocket(host);
    agent.send(list);
    expect((await agent.closed).code).toBe(4018);
    expect((await call(base(host), { token: OWNER })).status).toBe(200);
  });
});
