/** What lets the doctor's connections through: the key for the edge, and with `access: paired` a device for the agent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBase64url } from '../../shared/base64url.ts';
import { generateHostKeys, type HostKeys, hostKeyBytes } from '../../shared/host-identity.ts';
import { MAX_DEVICES } from '../../shared/limits.ts';
import type { Connection } from '../config.ts';
import { listDevices, removeDevice } from '../devices.ts';
import { cancelPairing, createPairing, isPairingOpen, isPairingWaiting } from '../pairing.ts';
import { unlessAborted, within } from './once.ts';

export interface Pass {
  /** Secret. */
  readonly key: string;
  readonly device: HostKeys | undefined;
}

const PAIR_MS = 6_000;
/** For a device that is being added. */
const LOOKS = 5;
const LOOK_MS = 200;

/** The device that a paired host takes the doctor for, until `remove`. */
export class DoctorDevice {
  readonly keys: HostKeys;
  readonly #folder: string;
  readonly #publicKey: string;
  #secret: string | undefined;

  /**
   * Nothing is paired before `pair`.
   * @throws Error that says why the doctor should not pair itself now
   */
  static async prepare(folder: string): Promise<DoctorDevice> {
    // Another link would void the one that somebody may be walking to a phone with.
    if (isPairingWaiting(folder, Date.now())) throw new Error('a pairing link waits for its device');
    if ((await listDevices(folder)).length >= MAX_DEVICES)
      throw new Error(`the host has ${MAX_DEVICES} devices already`);
    const keys = await generateHostKeys();
    return new DoctorDevice(folder, keys, encodeBase64url(await hostKeyBytes(keys)));
  }

  private constructor(folder: string, keys: HostKeys, publicKey: string) {
    this.#folder = folder;
    this.keys = keys;
    this.#publicKey = publicKey;
  }

  /** By the relay, as any device with a link. @throws Error that says why not */
  async pair(connection: Connection, hostKey: string, key: string, signal: AbortSignal): Promise<void> {
    const { connect } = await import('#client');
    signal.throwIfAborted();
    const { secret } = await createPairing(this.#folder);
    this.#secret = secret;
    const client = connect({
      url: connection.signalingUrl,
      token: key,
      hostKey,
      tunnel: false,
      webrtc: false,
      device: this.keys,
      pairing: secret,
      deviceName: 'doctor',
    });
    try {
      const path = await unlessAborted(client.ready, within(PAIR_MS, signal));
      if (path !== 'relay') throw new Error(client.error?.message ?? 'there is no path to the host');
    } finally {
      client.close();
    }
  }

  /** Nothing of it stays. Never rejects; false: it could not be removed. */
  async remove(): Promise<boolean> {
    const folder = this.#folder;
    const secret = this.#secret;
    if (secret === undefined) return true;
    try {
      // The agent voids the link first and adds the device then.
      const wasUsed = !isPairingOpen(folder, secret);
      await cancelPairing(folder, secret);
      for (let looksLeft = wasUsed ? LOOKS : 1; looksLeft > 0; looksLeft--) {
        const device = (await listDevices(folder)).find(({ key }) => key === this.#publicKey);
        if (device !== undefined) {
          await removeDevice(folder, device.id);
          return true;
        }
        if (looksLeft > 1) await sleep(LOOK_MS);
      }
      return true;
    } catch {
      return false;
    }
  }
}
