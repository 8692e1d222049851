import { describe, expect, test } from 'vitest';
import { laterCandidates, reflexiveAddress } from './candidate-order.ts';

const HOST = 'candidate:1 1 udp 2116026367 192.168.2.2 51031 typ host generation 0';
const PUBLIC = 'candidate:2 1 udp 2116026367 203.0.113.7 51031 typ host';
const SIX = 'candidate:3 1 udp 2116026367 2001:db8::7 51031 typ host';
const SEEN = 'candidate:4 1 udp 1679818751 203.0.113.9 51031 typ srflx raddr 192.168.2.2 rport 51031';
const TURN = 'candidate:5 1 udp 1000 203.0.113.10 51031 typ relay raddr 0.0.0.0 rport 0';

const HEAD = 'v=0\r\ns=-\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n';
const TAIL = 'a=end-of-candidates\r\n';
const sdp = (...lines: string[]) => HEAD + lines.map((line) => `a=${line}\r\n`).join('') + TAIL;

describe('private host addresses', () => {
  test('of an agent behind another NAT come later, and nothing else does', () => {
    expect(laterCandidates(sdp(HOST, PUBLIC, SIX, SEEN, TURN), new Set(['198.51.100.1']))).toEqual({
      sdp: sdp(PUBLIC, SIX, SEEN, TURN),
      later: [HOST],
    });
  });

  test.each<[string, string[], string[]]>([
    ['of an agent behind the same NAT', [HOST, SEEN], ['203.0.113.9']],
    ['of one of whose NAT nothing is known', [HOST, TURN], ['198.51.100.1']],
    ['of any agent, as long as this end does not know its own', [HOST, SEEN], []],
  ])('%s are tried first', (_, lines, seenAt) => {
    expect(laterCandidates(sdp(...lines), new Set(seenAt))).toEqual({ sdp: sdp(...lines), later: [] });
  });

  test.each(['10.1.2.3', '172.16.0.1', '172.31.255.1', '100.64.0.1', '100.127.0.1', '169.254.1.1', '192.168.0.1'])(
    'are such as %s',
    (address) => {
      const line = `candidate:1 1 udp 1 ${address} 9 typ host`;
      expect(laterCandidates(sdp(line, SEEN), new Set(['198.51.100.1'])).later).toEqual([line]);
    },
  );

  test.each(['172.15.0.1', '172.32.0.1', '100.63.0.1', '100.128.0.1', '11.0.0.1', 'x.local'])(
    'are not such as %s',
    (address) => {
      const line = `candidate:1 1 udp 1 ${address} 9 typ host`;
      expect(laterCandidates(sdp(line, SEEN), new Set(['198.51.100.1'])).later).toEqual([]);
    },
  );
});

test.each([
  [SEEN, '203.0.113.9'],
  [HOST, undefined],
  ['', undefined],
  ['candidate:1', undefined],
])('the reflexive address in “%s” is %s', (line, address) => {
  expect(reflexiveAddress(line)).toBe(address);
});
