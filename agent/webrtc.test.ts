import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import type { Peer, PeerEvents } from './peer.ts';
import { PLAIN_NETWORK } from './test-network.ts';
import { WebRtc } from './webrtc.ts';

let webRtc: WebRtc;
beforeAll(async () => {
  webRtc = await WebRtc.open(PLAIN_NETWORK, { log: () => {} });
  await webRtc.load();
});
afterAll(() => webRtc.close());

const peers: Peer[] = [];
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close('the test is over');
});

function makePeer(): { peer: Peer; candidates: string[]; closed: string[] } {
  const candidates: string[] = [];
  const closed: string[] = [];
  const events: PeerEvents = {
    candidate: ({ candidate }) => void candidates.push(candidate),
    step: () => {},
    closed: (reason) => void closed.push(reason),
  };
  const peer = webRtc.peer([], events);
  peers.push(peer);
  return { peer, candidates, closed };
}

async function goodOffer(): Promise<string> {
  const client = new RTCPeerConnection({ iceServers: [] });
  client.createDataChannel('direct-agent', { negotiated: true, id: 0 });
  const { sdp } = await client.createOffer();
  await client.close();
  return sdp;
}

describe('an offer', () => {
  test('is answered at once, with the candidates that are known; their end follows', async () => {
    const { peer, candidates } = makePeer();
    const answer = await peer.answer(await goodOffer());
    expect(answer).toContain('a=setup:passive');
    expect(answer).toMatch(/\r\na=candidate:\w+ 1 udp \d+ [0-9a-f.:]+ \d+ typ host\r\n/);
    await expect.poll(() => candidates.at(-1)).toBe('');
  });

  const section = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel';
  const broken: [name: string, (sdp: string) => string][] = [
    ['nothing', () => 'v=0'],
    ['no section', (sdp) => sdp.slice(0, sdp.indexOf('m='))],
    ['a hundred sections', (sdp) => sdp + `${sdp.slice(sdp.indexOf('m='))}`.repeat(99)],
    ['audio', (sdp) => sdp.replace(section, 'm=audio 9 UDP/TLS/RTP/SAVPF 0')],
    ['no ICE credentials', (sdp) => sdp.replaceAll(/^a=ice-.*\r\n/gm, '')],
    [
      'a user name of ICE that fills packets',
      (sdp) => sdp.replace(/^a=ice-ufrag:.*$/m, `a=ice-ufrag:${'x'.repeat(257)}`),
    ],
    ['a password of ICE that is short', (sdp) => sdp.replace(/^a=ice-pwd:.*$/m, 'a=ice-pwd:x')],
    ['no fingerprint', (sdp) => sdp.replaceAll(/^a=fingerprint.*\r\n/gm, '')],
    ['an empty fingerprint', (sdp) => sdp.replaceAll(/^a=fingerprint:.*$/gm, 'a=fingerprint:')],
  ];
  test.each(broken)('with %s is refused', async (_name, change) => {
    const sdp = await goodOffer();
    expect(change(sdp)).not.toBe(sdp);
    await expect(makePeer().peer.answer(change(sdp))).rejects.toThrow(/offer/);
  });

  test('with binary noise in its lines neither hangs nor throws anything else', async () => {
    const sdp = await goodOffer();
    for (let i = 0; i < 40; i++) {
      const lines = sdp.split('\r\n');
      const at = (i * 7) % lines.length;
      lines[at] = `${lines[at]?.slice(0, 2) ?? ''}\u0000\uffff${i}`;
      const { peer } = makePeer();
      await Promise.race([peer.answer(lines.join('\r\n')).catch(() => {}), new Promise((r) => setTimeout(r, 1000))]);
      peer.close('next');
    }
  });
});

describe('candidates', () => {
  test('that are garbage, hidden or of no use are ignored', async () => {
    const { peer, closed } = makePeer();
    await peer.answer(await goodOffer());
    for (const candidate of [
      '',
      'garbage',
      'candidate:1 1 udp 2113937151 0c7d5bd0-4c50-4a0b-8b26-3d1b6a2a5b1e.local 5000 typ host',
      'candidate:1 1 udp 1 999.999.999.999 5000 typ host',
      'candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active',
      'candidate:1 9 udp x y z typ nonsense',
    ]) {
      peer.addCandidate({ candidate, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null });
      peer.addCandidate({ candidate, sdpMid: 'unknown', sdpMLineIndex: 7, usernameFragment: 'x' });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toEqual([]);
  });
});

test('closing is said once, also when it is done twice', async () => {
  const { peer, closed } = makePeer();
  await peer.answer(await goodOffer());
  peer.close('first');
  peer.close('second');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(closed).toEqual(['first']);
});
