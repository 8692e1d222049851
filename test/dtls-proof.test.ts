/**
 * Patched werift (patches/): a peer has to prove that the certificate which the SDP names is its own. Stock werift
 * 0.25.2 compares the fingerprint only, and certificates travel in the clear, so anybody could show a copy.
 */

import { describe, expect, test } from 'vitest';
import { createSelfSignedCertificate, RTCPeerConnection } from 'werift';

type Keys = { keyPem: string; certPem: string; signatureHash: { hash: 4; signature: 3 } };

const ECDSA_SHA256 = { hash: 4, signature: 3 } as const;
const P256 = 23;

async function certificate(): Promise<Keys> {
  const { keyPem, certPem } = await createSelfSignedCertificate(ECDSA_SHA256, P256);
  return { keyPem, certPem, signatureHash: ECDSA_SHA256 };
}

/** The certificate of somebody whose private key one does not have. */
async function stolen(): Promise<Keys> {
  const [victim, thief] = await Promise.all([certificate(), certificate()]);
  return { ...victim, keyPem: thief.keyPem };
}

/** Connects two peers; true if the answerer's and the offerer's channels both open. */
async function connects(offering: Keys, answering: Keys, setup: 'active' | 'passive'): Promise<boolean> {
  const [offerer, answerer] = [offering, answering].map(
    (keys) => new RTCPeerConnection({ iceServers: [], dtls: { keys } }),
  ) as [RTCPeerConnection, RTCPeerConnection];
  const channels = [offerer, answerer].map((peer) => peer.createDataChannel('x', { negotiated: true, id: 0 }));
  try {
    await offerer.setLocalDescription(await offerer.createOffer());
    await answerer.setRemoteDescription({ type: 'offer', sdp: offerer.localDescription?.sdp ?? '' });
    const { sdp } = await answerer.createAnswer();
    const answer = { type: 'answer' as const, sdp: sdp.replaceAll(/a=setup:\w+/g, `a=setup:${setup}`) };
    await answerer.setLocalDescription(answer);
    await offerer.setRemoteDescription({ type: 'answer', sdp: answerer.localDescription?.sdp ?? '' });
    const deadline = performance.now() + 4_000;
    while (performance.now() < deadline) {
      if (channels.every(({ readyState }) => readyState === 'open')) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return false;
  } finally {
    await Promise.all([offerer.close(), answerer.close()]);
  }
}

describe.each(['active', 'passive'] as const)('with the answerer %s in DTLS', (setup) => {
  test('honest peers connect', async () => {
    expect(await connects(await certificate(), await certificate(), setup)).toBe(true);
  });

  test('an offerer with a stolen certificate does not', async () => {
    expect(await connects(await stolen(), await certificate(), setup)).toBe(false);
  });

  test('an answerer with a stolen certificate does not', async () => {
    expect(await connects(await certificate(), await stolen(), setup)).toBe(false);
  });
});
