/** A representative part of the matrix that `npm run natlab` runs whole. */
import { beforeAll, describe, expect, test } from 'vitest';
import { IS_NATIVE } from '../../agent/test-network.ts';
import type { PathKind } from '../../shared/path.ts';
import { type Cell, type Results, runMatrix } from './matrix.ts';
import { natStackMissing } from './nat-stack.ts';
import type { NetworkName, Place } from './network-types.ts';

const without = natStackMissing();

/** Each kind of network once at least, each path, and what is special about a pair. */
const CELLS: readonly (readonly [client: Place, host: NetworkName, expected: PathKind, why: string])[] = [
  ['none', 'symmetric', 'direct', 'the host’s checks arrive'],
  ['address-restricted', 'symmetric', 'direct', 'from a port that nobody told the client'],
  ['port-restricted', 'symmetric', 'turn', 'from a port to which the client has not sent'],
  ['port-restricted', 'port-restricted', 'direct', 'both open their filters'],
  ['cgnat', 'full-cone', 'direct', 'through three NATs'],
  ['udp-blocked', 'port-restricted', 'turn', 'over TCP from the client'],
  ['port-restricted', 'udp-blocked', 'turn', 'over TCP from the agent'],
  ['https-only', 'https-only', 'turn', 'over TLS on 443 from both'],
  ['edge-only', 'full-cone', 'relay', 'there is no other way'],
  ['dual', 'ipv6', 'direct', 'through two firewalls, without NAT'],
  ['ipv6', 'port-restricted', 'turn', 'from IPv6 to IPv4'],
  ['docker', 'docker', 'direct', 'the same private addresses at both ends'],
  ['same-lan', 'udp-blocked', 'direct', 'within the house'],
  ['hairpin', 'port-restricted', 'direct', 'out of the router and back'],
  ['no-hairpin', 'full-cone', 'turn', 'the router does not lead back'],
];

/**
 * libjuice has TURN over UDP only, and may answer by a relayed pair for a second when the client uses a direct one
 * already (docs/network.md).
 */
const NOT_NATIVE: readonly (readonly [client: Place, host: NetworkName])[] = [
  ['cgnat', 'full-cone'],
  ['udp-blocked', 'port-restricted'],
  ['port-restricted', 'udp-blocked'],
  ['https-only', 'https-only'],
];
const isTested = ([client, host]: (typeof CELLS)[number]) =>
  !(IS_NATIVE && NOT_NATIVE.some(([ofClient, ofHost]) => ofClient === client && ofHost === host));

describe.skipIf(without)(`clients and hosts in all kinds of networks (${without || 'real'})`, () => {
  let results: Results;
  beforeAll(async () => {
    results = await runMatrix(CELLS.filter(isTested).map(([client, host]): Cell => ({ client, host })));
    // Hundreds of seconds on a machine that does much else.
  }, 400_000);

  test.each(CELLS.filter(isTested))('client “%s”, host “%s”: %s, %s', (client, host, expected) => {
    const result = results.get(client)?.get(host);
    expect(result?.problem, result?.log).toBeUndefined();
    expect(result?.actual).toBe(expected);
  });
});
