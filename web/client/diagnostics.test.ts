import { afterEach, expect, test } from 'vitest';
import { addressFlags, createDiagnostics, loggedPath } from './diagnostics.ts';

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
