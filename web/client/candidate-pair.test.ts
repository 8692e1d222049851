import { expect, test } from 'vitest';
import { selectedPair } from './candidate-pair.ts';
import { TestConnection } from './test-webrtc.ts';

const local = (candidateType: string) => ({ id: 'L', type: 'local-candidate', candidateType, protocol: 'udp' });
const remote = (candidateType: string) => ({ id: 'R', type: 'remote-candidate', candidateType });
const ends = { localCandidateId: 'L', remoteCandidateId: 'R' };
const transport = { id: 'T', type: 'transport', selectedCandidatePairId: 'P' };
const pair = { id: 'P', type: 'candidate-pair', ...ends };
/** Another pair that also succeeded, through TURN. */
const other = { id: 'Q', type: 'candidate-pair', state: 'succeeded', nominated: true, localCandidateId: 'X' };

test.each([
  ['host to host', 'direct', [other, transport, pair, local('host'), remote('host')]],
  ['server reflexive', 'direct', [other, transport, pair, local('srflx'), remote('prflx')]],
  ['our TURN server', 'turn', [transport, pair, local('relay'), remote('host')]],
  ['their TURN server', 'turn', [transport, pair, local('host'), remote('relay')]],
  ['Firefox, which marks the pair', 'turn', [other, { ...pair, selected: true }, local('relay'), remote('host')]],
  ['nomination alone', 'turn', [{ ...pair, state: 'succeeded', nominated: true }, local('relay'), remote('host')]],
  ['no pair at all', 'direct', [local('relay')]],
])('%s is %s', async (_, kind, stats) => {
  const connection = new TestConnection({ iceTransportPolicy: 'all' });
  connection.stats = stats;
  expect((await selectedPair(connection)).kind).toBe(kind);
});

test('tells of both candidates what the browser tells', async () => {
  const connection = new TestConnection({ iceTransportPolicy: 'all' });
  const ours = { ...local('relay'), address: '203.0.113.7', port: 50_000, relayProtocol: 'tls' };
  connection.stats = [transport, pair, ours, remote('host')];
  expect(await selectedPair(connection)).toEqual({
    kind: 'turn',
    description: 'relay → host (udp)',
    local: { type: 'relay', protocol: 'udp', address: '203.0.113.7', port: 50_000, relayProtocol: 'tls' },
    remote: { type: 'host', protocol: undefined, address: undefined, port: undefined },
  });
});
