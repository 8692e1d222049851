import { expect, test } from 'vitest';
import { familyOf, maskAddresses } from './addresses.ts';

test.each([
  ['203.0.113.77', '203.0.113.x'],
  ['host udp 192.168.1.20:50000', 'host udp 192.168.1.x:50000'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:…'],
  ['[2001:db8::1]:443', '[2001:db8:…]:443'],
  ['fe80::1c2d', 'fe80:…'],
  ['::1', ':…'],
  ['::ffff:203.0.113.77', ':…'],
  ['0d3c1e1e-77b1-4c0a-b5e5-1d6f7a1f1b1c.local', '….local'],
  [
    'candidate:1 1 udp 2113937151 203.0.113.77 50000 typ srflx raddr 10.0.0.9 rport 0',
    'candidate:1 1 udp 2113937151 203.0.113.x 50000 typ srflx raddr 10.0.0.x rport 0',
  ],
  // Left as they are.
  ['attempt failed: E_PATH_LOST no WebSocket (1006)', 'attempt failed: E_PATH_LOST no WebSocket (1006)'],
  ['session created: aB3-_x…; ICE servers: 2', 'session created: aB3-_x…; ICE servers: 2'],
  ['2026-11-21T15:05:14.123Z', '2026-11-21T15:05:14.123Z'],
])('%s is shown to others as %s', (text, masked) => {
  expect(maskAddresses(text)).toBe(masked);
});

test.each([
  ['192.168.1.20', 'IPv4'],
  ['2001:db8::1', 'IPv6'],
  ['0d3c1e1e.local', 'mDNS'],
  ['', undefined],
  [undefined, undefined],
])('%s is %s', (address, family) => {
  expect(familyOf(address)).toBe(family);
});
