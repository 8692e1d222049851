/** Whether this runtime can seal: browsers got X25519 and Ed25519 in WebCrypto late, and not both at once. */
import { generateHostKeys, hostKeyBytes, signAnnouncement, verifyAnnouncement } from './host-identity.ts';
import {
  decapsulate,
  encapsulate,
  generateRelayKeyPair,
  PREFACE_BYTES,
  relayKeyBytes,
  splitPreface,
} from './sealing.ts';

/** Seals and opens a message each way, with everything that a path does. False where any of it is missing. */
export async function sealingIsSupported(): Promise<boolean> {
  try {
    const hostKeys = await generateHostKeys();
    const relayKeys = await generateRelayKeyPair();
    const announcement = await signAnnouncement(hostKeys, await relayKeyBytes(relayKeys), 1);
    const client = await encapsulate(await verifyAnnouncement(announcement, { now: 0 }), 'probe');
    const { encapsulated } = splitPreface(client.preface);
    const agent = await decapsulate(relayKeys, encapsulated, await hostKeyBytes(hostKeys), 'probe');
    const there = await agent.open(await client.keys.seal(new Uint8Array(1)));
    const back = await client.keys.open(await agent.seal(there));
    return back.length === 1 && client.preface.length === PREFACE_BYTES;
  } catch {
    return false;
  }
}
