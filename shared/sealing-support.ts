/** Whether this runtime can seal. Ed25519 was the last to come: Chromium 137, Firefox 129, Safari 17, Node 22.13 (X25519: 133, 130, 17). */
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
