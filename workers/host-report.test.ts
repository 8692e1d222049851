import { describe, expect, it } from 'vitest';
import type { HostReport } from '../shared/host-report.ts';
import { asOwner, loggedIn } from './test-account.ts';
import { PollingAgent } from './test-agent.ts';
import { AGENT, agentSocket, base, call, codeOf, hostStub, newHost, openSocket, post } from './test-edge.ts';

const REPORT: HostReport = {
  version: '0.1.0',
  started_at: 1_795_228_800_000,
  sessions: { direct: 1, turn: 0, relay: 2, tunnel: 1, none: 0 },
  requests: { running: 3, finished: 120, failed: 2 },
  tokens_per_second: 53.8,
  upstreams: [{ name: 'Ollama', state: 'up', running: 3, waiting: 1 }],
};
const message = (report: object = REPORT) => ({ type: 'host_report', ...report });

describe('how a host is just now', () => {
  it('is asked of the agent each time, by its WebSocket', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    for (const version of ['1', '2']) {
      const report = hostStub(host).report();
      expect(await agent.next()).toEqual({ type: 'ask_report' });
      agent.send(message({ ...REPORT, version }));
      expect(await report).toEqual({ ...REPORT, version });
    }
  });

  it('is told to all who look at the same moment', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    const reports = [hostStub(host).report(), hostStub(host).report()];
    await agent.next();
    await agent.next();
    agent.send(message());
    expect(await Promise.all(reports)).toEqual([REPORT, REPORT]);
  });

  it('is asked of an agent that polls', async () => {
    const host = newHost();
    const agent = new PollingAgent(host);
    await agent.poll();
    const report = hostStub(host).report();
    const taken: unknown[] = [];
    Object.assign(agent, { take: (text: string) => taken.push(JSON.parse(text)) });
    await expect
      .poll(async () => {
        await agent.poll();
        return taken;
      })
      .toEqual([{ type: 'ask_report' }]);
    expect(await report).toBeNull();
  });

  it('is not known where no agent is, or one that does not know the question', async () => {
    const host = newHost();
    expect(await hostStub(host).report()).toBeNull();
    await agentSocket(host);
    expect(await hostStub(host).report()).toBeNull();
  });

  it('is kept nowhere, and nobody is told what nobody asked for', async () => {
    const host = newHost();
    const agent = await agentSocket(host);
    agent.send(message());
    expect(await hostStub(host).report()).toBeNull();
  });

  it.each([
    ['no sessions', { ...REPORT, sessions: undefined }],
    ['a state that is none', { ...REPORT, upstreams: [{ ...REPORT.upstreams[0], state: 'odd' }] }],
    ['a name that is too long', { ...REPORT, upstreams: [{ ...REPORT.upstreams[0], name: 'x'.repeat(129) }] }],
  ])('is refused with %s', async (_name, report) => {
    const agent = await agentSocket(newHost());
    agent.send(message(report));
    expect((await agent.closed).code).toBe(4018);
  });

  it('comes from no POST: there is nobody who waits for it', async () => {
    const response = await post(`${base(newHost())}/signal`, message(), { token: AGENT });
    expect(response.status).toBe(400);
  });

  it('is for the owner', async () => {
    const { host_id, access_token } = await loggedIn();
    const agent = await openSocket(`${base(host_id)}/signal`, { token: access_token });
    await agent.next();
    const asked = asOwner(`/hosts/${host_id}/report`);
    expect(await agent.next()).toEqual({ type: 'ask_report' });
    agent.send(message());
    expect(await (await asked).json()).toEqual({ report: REPORT });
    const path = `/_direct/api/hosts/${host_id}/report`;
    expect(await codeOf(await call(path))).toBe('E_UNAUTHORIZED');
    expect((await call(path, { token: access_token })).status).toBeGreaterThanOrEqual(401);
    expect(await codeOf(await asOwner('/hosts/nowhere/report'))).toBe('E_NOT_FOUND');
  });
});
