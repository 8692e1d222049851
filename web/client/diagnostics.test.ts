import { afterEach, expect, test } from 'vitest';
import { addressFlags, createDiagnostics, loggedPath, type RequestLog } from './diagnostics.ts';

const scope = globalThis as { __WEBRTC_DIAGNOSTICS__?: boolean };
afterEach(() => {
  delete scope.__WEBRTC_DIAGNOSTICS__;
});

test.each([
  ['https://edge.example/?webrtc_diag=1', { diagnostics: true }],
  ['https://edge.example/?webrtc_turn=1&a=b', { iceTransportPolicy: 'relay' }],
  ['https://edge.example/?no_webrtc', { webrtc: false }],
  ['https://edge.example/?no_webrtc=1&webrtc_diag', { webrtc: false, diagnostics: true }],
  ['https://edge.example/?webrtc_diag=0&webrtc_turn=0&no_webrtc=0', {}],
  ['https://edge.example/#webrtc_diag=1', {}],
  ['about:blank', {}],
  [undefined, {}],
])('%s asks for %o', (href, flags) => {
  expect(addressFlags(href)).toEqual(flags);
});

test('lines carry the time since the beginning', () => {
  let now = 1_000;
  const lines: string[] = [];
  const diagnostics = createDiagnostics(
    () => now,
    (line) => lines.push(line),
  );
  now += 41.6;
  diagnostics.log('offer sent');
  expect(lines).toEqual(['[webrtc] +42ms offer sent']);
});

test('the page’s global switch works at any time, unless the program has decided', () => {
  const undecided = createDiagnostics(() => 0, undefined);
  const off = createDiagnostics(() => 0, false);
  expect([undecided.enabled, off.enabled]).toEqual([false, false]);
  scope.__WEBRTC_DIAGNOSTICS__ = true;
  expect([undecided.enabled, off.enabled]).toEqual([true, false]);
});

test('a path is shown without query, fragment and host', () => {
  expect(loggedPath('https://edge.example/v1/x?key=secret#token=secret')).toBe('/v1/x');
});

test('what happened is kept whether or not it is written, in bounded memory', () => {
  let now = 0;
  let changes = 0;
  const diagnostics = createDiagnostics(
    () => now,
    false,
    () => changes++,
  );
  diagnostics.log('path: relay', { type: 'path', path: 'relay' });
  for (let events = 0; events < 1_000; events++) diagnostics.log('x'.repeat(1_000));
  const { timeline, paths } = diagnostics.kept;
  expect(timeline).toHaveLength(250);
  expect(timeline.at(-1)?.text).toHaveLength(300);
  // Not driven out by steps.
  expect(paths).toEqual([{ at: 0, path: 'relay' }]);
  expect(changes).toBe(1_001);
  for (now = 1; now <= 1_000; now++) diagnostics.request('GET', 'https://edge.example/v1/x?key=secret', 'relay', '');
  expect(diagnostics.kept.requests).toHaveLength(200);
  expect(diagnostics.kept.requests.at(-1)).toEqual({ at: 1_000, method: 'GET', path: '/v1/x', way: 'relay' });
});

test.each<[string, (log: RequestLog) => void, object, string]>([
  [
    'that is answered',
    (log) => {
      log.head(200, 'direct');
      log.end(12, false);
    },
    { way: 'direct', status: 200, firstByteMs: 7, durationMs: 7, bytes: 12 },
    '← 200 12b GET /v1/x, 7ms',
  ],
  [
    'whose response ends early',
    (log) => {
      log.head(200, 'relay');
      log.end(3, true);
    },
    { way: 'relay', status: 200, firstByteMs: 7, durationMs: 7, bytes: 3, failed: true },
    '← 200 3b incomplete GET /v1/x, 7ms',
  ],
  [
    'that goes by the tunnel, where nobody counts bytes',
    (log) => {
      log.head(404, 'tunnel');
      log.end(undefined, false);
    },
    { way: 'tunnel', status: 404, firstByteMs: 7 },
    '← 404 GET /v1/x over HTTPS, 7ms',
  ],
  ['that fails', (log) => log.end(undefined, true), { way: 'relay', failed: true }, '← failed GET /v1/x, 7ms'],
])('a request %s is one record and two lines', (_, act, record, line) => {
  let now = 0;
  const lines: string[] = [];
  const diagnostics = createDiagnostics(
    () => now,
    (text) => lines.push(text),
  );
  const log = diagnostics.request('GET', 'https://edge.example/v1/x?a', 'relay', '(0b)');
  now = 7;
  act(log);
  expect(diagnostics.kept.requests).toEqual([{ at: 0, method: 'GET', path: '/v1/x', ...record }]);
  expect(lines).toEqual(['[webrtc] +0ms → GET /v1/x (0b)', `[webrtc] +7ms ${line}`]);
});
