import { expect, test } from 'vitest';
import type { ConnectionReport } from '../client/index.ts';
import { candidate, events, testReport } from './test-report.ts';
import { type Situation, warningsOf } from './warnings.ts';

function ids(report: Partial<ConnectionReport>, situation: Partial<Omit<Situation, 'report'>> = {}): string[] {
  const whole = {
    report: testReport(report),
    isDecided: true,
    online: true,
    hasWebRtc: true,
    ice: undefined,
    ...situation,
  };
  return warningsOf(whole).map(({ id }) => id);
}

const MDNS = { address: '0d3c1e1e.local' };
const SEEN = { type: 'srflx', address: '203.0.113.7' };
const ours = (...found: object[]) => [...found.map((one) => candidate('local', one)), candidate('local')];
const error = (code: NonNullable<ConnectionReport['error']>['code']) => ({
  code,
  message: 'What happened.',
  hint: 'What to do.',
});
const failed = (way: 'direct' | 'relay') => ({ type: 'failed', way, code: 'E_HANDSHAKE_TIMEOUT' }) as const;
const ICE = { source: 'default', endAt: undefined, clockAheadMs: 0 };
const withTurn = { ...ICE, urls: ['stun:a.example', 'turn:a.example'] };
const relay = { path: 'relay', state: 'waiting' } as const;

test.each<[string, string[], Partial<ConnectionReport>, Partial<Omit<Situation, 'report'>>?]>([
  ['all is well', [], {}],
  [
    'it is well though the path was lost before',
    [],
    { timeline: events(failed('direct'), { type: 'path', path: 'direct' }) },
  ],
  ['there is no network', ['no-network'], {}, { online: false }],
  [
    'there is no network, whatever else was before',
    ['no-network'],
    { path: 'offline', state: 'waiting', error: error('E_GOING_AWAY'), timeline: events(...ours(MDNS)) },
    { online: false },
  ],
  [
    'the host is offline, and nobody there to be reached',
    ['host-offline'],
    { path: 'offline', error: error('E_HOST_OFFLINE'), timeline: events(...ours(MDNS)) },
  ],
  ['the host is offline', ['host-offline'], { path: 'offline', error: error('E_HOST_OFFLINE') }],
  [
    'the browser knows no Ed25519',
    ['browser-too-old', 'tunnel'],
    { path: 'tunnel', state: 'off', error: error('E_HOST_KEY_UNCONFIRMED') },
  ],
  ['the browser has no WebRTC', ['browser-without-webrtc'], { path: 'relay', state: 'off' }, { hasWebRtc: false }],
  ['nobody wants WebRTC', [], { path: 'relay', state: 'off', webrtc: false }, { hasWebRtc: false }],
  ['the clock is slow', ['clock'], { ice: { ...ICE, urls: [], clockAheadMs: -3_600_000 } }],
  ['the host cannot prove its key', ['host-key'], { path: 'offline', error: error('E_HOST_KEY') }],
  [
    'WebSockets do not get through',
    ['websockets-blocked'],
    { path: 'tunnel', state: 'waiting', timeline: events({ type: 'polling' }, failed('relay')) },
  ],
  ['it is connecting', [], { path: 'tunnel', state: 'connecting' }, { isDecided: false }],
  ['the tunnel is in use', ['tunnel'], { path: 'tunnel', state: 'waiting' }],
  ['signaling polls', ['polling'], { timeline: events({ type: 'polling' }, { type: 'path', path: 'direct' }) }],
  ['TURN does not answer', ['turn-unreachable'], { ...relay, ice: withTurn, timeline: events(...ours(MDNS, SEEN)) }],
  ['TURN does not answer, but nobody needs it', [], { ice: withTurn, timeline: events(...ours(MDNS, SEEN)) }],
  ['TURN is to be used and missing', ['turn-forced-missing'], { ...relay, iceTransportPolicy: 'relay' }],
  ['UDP is blocked', ['no-udp'], { ...relay, timeline: events(...ours(MDNS)) }],
  ['candidates are still to come', [], { ...relay, timeline: events(candidate('local', MDNS)) }],
  [
    'only mDNS names are known',
    ['mdns-only'],
    { ...relay, ice: { ...ICE, urls: [] }, timeline: events(...ours(MDNS)) },
  ],
  [
    'one end has IPv6 alone',
    ['ipv6-only'],
    {
      ...relay,
      timeline: events(...ours({ ...SEEN, address: '2001:db8::1' }), candidate('remote', { address: '203.0.113.9' })),
    },
  ],
  [
    'the NAT is symmetric',
    ['symmetric-nat'],
    { ...relay, error: error('E_HANDSHAKE_TIMEOUT'), timeline: events(...ours(MDNS, SEEN, { ...SEEN, port: 50_001 })) },
  ],
  [
    'two networks lie behind one NAT',
    [],
    { ...relay, timeline: events(...ours(MDNS, { address: 'b.local' }, SEEN, { ...SEEN, port: 50_001 })) },
  ],
  [
    'no straight way was found',
    ['turn-missing'],
    { ...relay, error: error('E_HANDSHAKE_TIMEOUT'), timeline: events(...ours(MDNS, SEEN), failed('direct')) },
  ],
  ['answers take long', ['high-rtt'], { rtt: 450 }],
  [
    'the direct path comes and goes',
    ['restless'],
    { paths: Array.from({ length: 8 }, (_, at) => ({ at, path: at % 2 ? 'direct' : 'relay' })) },
  ],
  [
    'the host was restarted',
    [],
    {
      paths: (['direct', 'tunnel', 'relay', 'tunnel', 'offline', 'relay', 'direct'] as const).map((path, at) => ({
        at,
        path,
      })),
    },
  ],
  ['the edge says something else', ['E_HOST_BUSY'], { ...relay, error: error('E_HOST_BUSY') }],
])('%s: %j', (_, expected, report, situation) => {
  expect(ids(report, situation)).toEqual(expected);
});

test('a provider that fails is told to owners, unless nobody asks it', () => {
  const provider = {
    source: 'cloudflare',
    succeeded_at: null,
    failed_at: 1,
    failing: true,
    reason: 'HTTP 401',
  } as const;
  const ice = { source: 'default', turn: false, providers: [provider] } as const;
  expect(ids({}, { ice: { ...ice, providers: [provider] } })).toEqual(['turn-provider-fails']);
  expect(ids({}, { ice: { ...ice, source: 'configuration', providers: [provider] } })).toEqual([]);
});

test('only the last attempt’s candidates count', () => {
  const timeline = events(...ours(MDNS, SEEN, { ...SEEN, port: 1 }), { type: 'attempt' }, ...ours(MDNS, SEEN));
  expect(ids({ ...relay, timeline })).toEqual([]);
});

test('every warning says what to do', () => {
  const situation = {
    report: testReport({ path: 'tunnel', rtt: 900 }),
    isDecided: true,
    online: false,
    hasWebRtc: false,
    ice: undefined,
  };
  const warnings = warningsOf(situation);
  expect(warnings.length).toBeGreaterThan(2);
  for (const { text, advice } of warnings) expect([/\.$/.test(text), /\.$/.test(advice)]).toEqual([true, true]);
});
