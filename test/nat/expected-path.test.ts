/** What everybody knows of NAT traversal (RFC 5128, section 3.3; RFC 8445), against what our rule says. */
import { expect, test } from 'vitest';
import type { PathKind } from '../../shared/path.ts';
import { expectedPath } from './expected-path.ts';
import { NETWORK_NAMES, type NetworkName, PLACES, type Place } from './network-types.ts';

test.each<[Place, NetworkName, PathKind | undefined]>([
  ['none', 'symmetric', 'direct'],
  ['full-cone', 'symmetric', 'direct'],
  ['address-restricted', 'symmetric', 'direct'],
  ['port-restricted', 'symmetric', 'turn'],
  ['symmetric', 'symmetric', 'turn'],
  ['port-restricted', 'port-restricted', 'direct'],
  ['cgnat', 'cgnat', 'direct'],
  ['cgnat', 'symmetric', 'turn'],
  ['docker', 'port-restricted', 'direct'],
  ['udp-blocked', 'none', 'turn'],
  ['https-only', 'udp-blocked', 'turn'],
  ['edge-only', 'none', 'relay'],
  ['ipv6', 'ipv6', 'direct'],
  ['ipv6', 'dual', 'direct'],
  ['ipv6', 'full-cone', 'turn'],
  ['dual', 'symmetric', 'turn'],
  ['same-lan', 'edge-only', 'direct'],
  ['same-lan', 'none', undefined],
  ['hairpin', 'full-cone', 'direct'],
  ['hairpin', 'port-restricted', 'direct'],
  ['hairpin', 'symmetric', 'turn'],
  ['hairpin', 'ipv6', 'turn'],
  ['no-hairpin', 'cgnat', 'direct'],
  ['no-hairpin', 'full-cone', 'turn'],
  ['no-hairpin', 'edge-only', 'relay'],
])('client “%s”, host “%s”: %s', (client, host, path) => {
  expect(expectedPath(client, host)).toBe(path);
});

test('it does not matter who is the client', () => {
  for (const one of NETWORK_NAMES) {
    for (const other of NETWORK_NAMES) expect(expectedPath(one, other)).toBe(expectedPath(other, one));
  }
});

test('there is a path between any two', () => {
  for (const client of PLACES)
    for (const host of NETWORK_NAMES.slice(1)) expect(expectedPath(client, host)).toBeDefined();
});
