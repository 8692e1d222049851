import { expect, test } from 'vitest';
import type { ConnectionReport } from '../client/index.ts';
import { reportText } from './report-text.ts';
import { candidate, events, testReport } from './test-report.ts';

const BROWSER = 'Mozilla/5.0 (X11; Linux x86_64) Chrome/153.0.0.0';

const report: ConnectionReport = testReport({
  error: { code: 'E_PATH_LOST', message: 'lost: 198.51.100.9 is gone', hint: '' },
  timeline: [
    { at: 3, text: 'attempt 1', fact: { type: 'attempt' } },
    { at: 61_000, text: 'raddr 198.51.100.4 and 2001:db8:5::7' },
    ...events(
      candidate('local', { address: '0d3c1e1e.local' }),
      candidate('local', { type: 'srflx', address: '203.0.113.77' }),
      candidate('local'),
      candidate('remote', { address: '2001:db8:1::9' }),
    ),
  ],
  pair: {
    kind: 'turn',
    description: '',
    local: { type: 'relay', protocol: 'udp', address: '203.0.113.50', port: 6, relayProtocol: 'tls' },
    remote: { type: 'host', protocol: 'udp', address: '192.168.1.20', port: 5 },
  },
  ice: { source: 'coturn', urls: ['turns:turn.family.example:443'], endAt: 634_000, clockAheadMs: 400 },
  requests: [{ at: 0, method: 'GET', path: '/private/chat', way: 'turn', status: 200, firstByteMs: 41 }],
});
const warnings = [{ id: 'high-rtt', text: 'Answers take long.', advice: 'Wait.' }];
const options = { report, warnings, browser: BROWSER, page: 'main-abc.js' };

test('holds what a bug report needs, without addresses', () => {
  const text = reportText({ ...options, withAddresses: false });
  for (const line of [
    'made: 2026-11-21T15:00:34.000Z, +34.00 s after the beginning',
    'versions: protocol 1, page main-abc.js',
    `browser: ${BROWSER}`,
    'path: direct, 12 ms; direct path: connected',
    'error: E_PATH_LOST lost: 198.51.100.x is gone',
    'ICE servers: TURN by TLS; named by coturn; credentials end in 10 min; clock 0.4 s ahead of the edge’s',
    'pair: relay udp 203.0.113.x:6 by tls → host udp 192.168.1.x:5',
    '  high-rtt: Answers take long.',
    '  local host udp ….local:50000',
    '  local srflx udp 203.0.113.x:50000',
    '  remote host udp [2001:db8:…]:50000',
    '  turn: 41 ms, median of 1',
    '  +0.00 s attempt 1',
    '  +1:01 raddr 198.51.100.x and 2001:db8:…',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  expect(text).not.toMatch(/203\.0\.113\.\d|192\.168\.1\.\d|198\.51\.100\.\d|::|0d3c1e1e|family|private/);
});

test('has the addresses where the person wants them', () => {
  const text = reportText({ ...options, withAddresses: true });
  for (const address of ['203.0.113.77', '[2001:db8:1::9]', '192.168.1.20', '0d3c1e1e.local'])
    expect(text).toContain(address);
  expect(text).not.toMatch(/private/);
});

test('of a beginning has no empty sections', () => {
  const empty = testReport({ paths: [], ice: undefined, iceTransportPolicy: 'relay' });
  const text = reportText({ ...options, report: empty, warnings: [], withAddresses: false });
  expect(text).toContain('wanted: TURN only');
  expect(text).not.toMatch(/warnings|candidates|timeline/);
});
