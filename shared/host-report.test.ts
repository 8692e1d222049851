import { expect, test } from 'vitest';
import { type HostReport, hostReportMessage, isAskReport, parseHostReport } from './host-report.ts';

const REPORT: HostReport = {
  version: '0.1.0',
  started_at: 1_795_228_800_000,
  sessions: { direct: 1, turn: 0, relay: 2, tunnel: 1, none: 0 },
  requests: { running: 3, finished: 120, failed: 2 },
  tokens_per_second: 53.75,
  upstreams: [{ name: 'Ollama', state: 'up', running: 3, waiting: 1 }],
};

test('a report arrives as it was sent', () => {
  expect(parseHostReport(JSON.parse(hostReportMessage(REPORT)))).toEqual(REPORT);
  expect([isAskReport({ type: 'ask_report' }), isAskReport({ type: 'offer' }), isAskReport(null)]).toEqual([
    true,
    false,
    false,
  ]);
  for (const other of [null, 7, [], {}, { type: 'host_info' }]) expect(parseHostReport(other)).toBeUndefined();
});

test('a report with too much is cut so that it is taken', () => {
  const upstream = { name: '\ud83e\udd99'.repeat(200), state: 'down', running: 0, waiting: 0 } as const;
  const cut = parseHostReport(JSON.parse(hostReportMessage({ ...REPORT, upstreams: new Array(40).fill(upstream) })));
  expect([cut?.upstreams.length, cut?.upstreams[0]?.name.length]).toEqual([16, 128]);
});

test.each([
  [{ version: 1 }, 'version'],
  [{ version: 'x'.repeat(129) }, 'version'],
  [{ started_at: -1 }, 'started_at'],
  [{ started_at: 1.5 }, 'started_at'],
  [{ sessions: null }, 'sessions'],
  [{ sessions: { direct: 1 } }, 'sessions.turn'],
  [{ requests: {} }, 'requests.running'],
  [{ tokens_per_second: '1' }, 'tokens_per_second'],
  [{ tokens_per_second: -1 }, 'tokens_per_second'],
  [{ upstreams: {} }, 'upstreams'],
  [{ upstreams: new Array(17).fill(REPORT.upstreams[0]) }, 'upstreams'],
  [{ upstreams: [null] }, 'upstreams'],
  [{ upstreams: [{ ...REPORT.upstreams[0], state: 'odd' }] }, 'upstreams.state'],
  [{ upstreams: [{ ...REPORT.upstreams[0], name: 7 }] }, 'upstreams.name'],
])('a report with %j is refused by its field', (wrong, field) => {
  const raw = { type: 'host_report', ...REPORT, ...wrong };
  expect(() => parseHostReport(raw)).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
  expect(() => parseHostReport(raw)).toThrow(field);
});
