import { describe, expect, test } from 'vitest';
import { SIGNALING_SESSION_TTL_MS } from '../../shared/limits.ts';
import { parseSessionReady } from '../../shared/signal.ts';
import { type ConnectOptions, connect } from './connect.ts';
import { checkedIceServers, iceFact, renewalMs } from './ice-servers.ts';
import { TestEdge } from './test-edge.ts';
import { ORIGIN } from './test-host.ts';

const TURN = { urls: 'turn:turn.example?transport=tcp', username: 'me', credential: 'a secret' };

function connected(edge: TestEdge, options: Partial<ConnectOptions>) {
  const log: string[] = [];
  const client = connect({
    url: ORIGIN,
    host: 'home',
    token: 'owner',
    environment: edge.environment,
    diagnostics: (line) => log.push(line),
    ...options,
  });
  return { client, log };
}

describe('own ICE servers', () => {
  test('are told to the edge, and used whatever it names', async () => {
    const edge = new TestEdge();
    const { client, log } = connected(edge, { iceServers: [{ urls: ['stun:a.test', 'stun:b.test:1'] }, TURN] });
    await edge.clock.advance(500);
    expect(client.path).toBe('direct');
    expect(JSON.parse(edge.requests[0]?.body ?? '').ice_servers).toEqual([
      { urls: ['stun:a.test', 'stun:b.test:1'] },
      { ...TURN, urls: [TURN.urls] },
    ]);
    expect(edge.connection.configuration.iceServers).toEqual([
      { urls: 'stun:a.test' },
      { urls: 'stun:b.test:1' },
      TURN,
    ]);
    expect(edge.connection.calls.filter((call) => call === 'setLocalDescription')).toHaveLength(1);
    const text = log.join('\n');
    expect(text).toContain('ICE servers: 2, ice_source: client');
    expect(text).not.toMatch(/secret|turn\.example/);
    const { ice } = await client.report();
    expect(ice).toMatchObject({
      source: 'client',
      endAt: undefined,
      urls: ['stun:a.test', 'stun:b.test:1', TURN.urls],
    });
  });

  test('of the edge are reported with when they end, and without credentials', async () => {
    const edge = new TestEdge();
    edge.credentialsMs = 600_000;
    const { client } = connected(edge, {});
    await edge.clock.advance(500);
    const report = await client.report();
    const { ice } = report;
    expect(ice).toMatchObject({ source: 'coturn', urls: ['stun:a.example', 'turn:b.example'] });
    expect(Math.round((ice?.endAt ?? 0) / 1_000)).toBe(600);
    expect(JSON.stringify(report)).not.toContain('credential');
  });

  test('of the edge are counted in the log, with who named them', async () => {
    const edge = new TestEdge();
    const { log } = connected(edge, {});
    await edge.clock.advance(500);
    expect(log.join('\n')).toContain('ICE servers: 1, ice_source: coturn');
  });

  test('are gathered from before the edge has answered', async () => {
    const edge = new TestEdge();
    const environment = { ...edge.environment, fetch: () => new Promise<Response>(() => {}) };
    connected(edge, { iceServers: [TURN], environment });
    await edge.clock.advance(0);
    expect(edge.connection.calls).toContain('setLocalDescription');
  });

  test('go with iceTransportPolicy', async () => {
    const edge = new TestEdge();
    connected(edge, { iceServers: [TURN], iceTransportPolicy: 'relay' });
    await edge.clock.advance(500);
    expect(edge.connection.configuration).toEqual({ iceServers: [TURN], iceTransportPolicy: 'relay' });
  });

  test('are not renewed: nobody says when they end', async () => {
    const edge = new TestEdge();
    edge.credentialsMs = 10_000;
    edge.stats = [{ id: 'L', type: 'local-candidate', candidateType: 'relay' }];
    connected(edge, { iceServers: [TURN] });
    await edge.clock.advance(60_000);
    expect(edge.attempts).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ['no list', { urls: 'stun:a.test' }],
    ['no server', ['stun:a.test']],
    ['no urls', [{}]],
    ['an empty list of urls', [{ urls: [] }]],
    ['another scheme', [{ urls: 'https://turn.example' }]],
    ['a space', [{ urls: 'stun:a b' }]],
    ['TURN without credentials', [{ urls: 'turn:a.test', username: 'me' }]],
    ['a credential that is no text', [{ ...TURN, credential: 7 }]],
    ['too many', Array(17).fill({ urls: 'stun:a.test' })],
  ])('with %s are a TypeError, which shows no value', (_, iceServers) => {
    const bad = () => connected(new TestEdge(), { iceServers: iceServers as RTCIceServer[] });
    expect(bad).toThrow(TypeError);
    expect(bad).toThrow(/iceServers/);
    expect(bad).not.toThrow(/a secret|turn\.example/);
  });

  test('that are none leave it to the edge', () => {
    expect([checkedIceServers(undefined), checkedIceServers([])]).toEqual([undefined, undefined]);
  });
});

describe('the time to renew', () => {
  const ready = (lifetimeMs: number | undefined) =>
    parseSessionReady({
      session_id: 'x',
      expires_at: 5_000_000 + SIGNALING_SESSION_TTL_MS,
      protocol_version: 1,
      ice_servers: [],
      ...(lifetimeMs === undefined ? {} : { ice_servers_expire_at: 5_000_000 + lifetimeMs }),
      stun_url: '',
      turn_url: '',
      turn_username: '',
      turn_credential: '',
      host: { id: 'home', online: true },
    });

  test.each([
    [3_600_000, 3_540_000],
    [180_000, 120_000],
    [90_000, 60_000],
    [6_000, 4_000],
    [2_100, 1_400],
    // Nobody is asked again each second, whatever the edge says.
    [1_000, undefined],
    [0, undefined],
    [-1_000, undefined],
    // A timer of more than 2^31 ms would end at once.
    [2 ** 32 * 1_000, 2 ** 31 - 1],
    [Number.POSITIVE_INFINITY, 2 ** 31 - 1],
    [undefined, undefined],
  ])('of credentials that last %s ms is after %s ms', (lifetimeMs, after) => {
    expect(renewalMs(ready(lifetimeMs))).toBe(after);
  });

  test('of credentials is never, where the edge says no time', () => {
    const endless = { ...ready(Number.POSITIVE_INFINITY), expires_at: Number.POSITIVE_INFINITY };
    expect(renewalMs(endless)).toBeUndefined();
  });

  test('of credentials is told by this device’s time, whatever its clock shows', () => {
    const twoMinutesFast = 5_120_000;
    const fact = iceFact('coturn', [{ ...TURN, urls: [TURN.urls] }], ready(600_000), 250, twoMinutesFast);
    const urls = [TURN.urls];
    expect(fact).toEqual({ type: 'ice', source: 'coturn', urls, endAt: 600_250, clockAheadMs: 120_000 });
  });
});
