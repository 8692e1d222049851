/** This device, as a host that accepts paired devices only gets to know it. */
import {
  type DeviceKeys,
  type DeviceProof,
  type ProvenPath,
  parsePairingSecret,
  proveDevice,
} from '../../shared/device-identity.ts';
import { DirectError, type ErrorCode } from '../../shared/errors.ts';
import type { SessionEnvironment } from '../../shared/path-link.ts';
import type { DeviceKeyStore } from './device-key.ts';
import type { Diagnostics } from './diagnostics.ts';

/** An Ed25519 key pair of WebCrypto; the private key need not be extractable. */
export type DeviceIdentity = DeviceKeys;

export interface DeviceOptions {
  /** See `ConnectOptions`. */
  device: 'auto' | DeviceIdentity | undefined;
  pairing: string | undefined;
  deviceName: string | undefined;
  /** The edge's origin, and the host's id there. */
  edge: string;
  host: string;
  keys: DeviceKeyStore;
  timer: SessionEnvironment['timer'];
  diagnostics: Diagnostics;
}

const KEY_PATIENCE_MS = 3_000;

/** What a host says that does not accept this device; nothing but a person changes it. */
const REFUSALS: readonly ErrorCode[] = ['E_DEVICE_UNKNOWN', 'E_PAIRING'];

/** Whether the host has refused this device, and with it every way that leads to the host. */
export function isDeviceRefusal({ code }: DirectError): boolean {
  return REFUSALS.includes(code);
}

export class Device {
  readonly #options: DeviceOptions;
  #keys: Promise<DeviceKeys | undefined> | undefined;
  #pairing: Uint8Array | undefined;

  /** @throws TypeError when `pairing` is no secret. */
  constructor(options: DeviceOptions) {
    this.#options = options;
    const { pairing } = options;
    if (pairing !== undefined) {
      this.#pairing = parsePairingSecret(pairing);
      if (this.#pairing === undefined) {
        throw new TypeError('pairing must be 32 bytes in base64url, as the link of direct-agent pair has them');
      }
    }
    // Read while the edge is asked for a session. Whoever needs them hears of a failure.
    if (this.isWanted) this.#load().catch(() => {});
  }

  /** Whether there may be something to prove; if not, HELLO need not wait for it. */
  get isWanted(): boolean {
    return this.#options.device !== undefined || this.#options.pairing !== undefined;
  }

  /**
   * Whether the device is one of the host's, or about to be. Then no edge may read what it sends: an edge that lets no
   * path come up would otherwise get all of it.
   */
  async isPaired(): Promise<boolean> {
    if (!this.isWanted) return false;
    if (typeof this.#options.device === 'object' || this.#options.pairing !== undefined) return true;
    return (await this.#load()) !== undefined;
  }

  /**
   * The proof for a path whose host has proved itself; undefined for a device that never met the host with a pairing
   * link: a host that asks for no devices shall not be able to tell them apart.
   * @throws DirectError `E_PAIRING` when this runtime can keep no key.
   */
  async prove(path: ProvenPath): Promise<DeviceProof | undefined> {
    const keys = await this.#load();
    if (keys === undefined) return undefined;
    return await proveDevice(keys, path, { name: this.#options.deviceName, pairing: this.#pairing });
  }

  /** The host has accepted the device: the secret of its link is of no use any more. */
  accepted(): void {
    this.#pairing = undefined;
  }

  #load(): Promise<DeviceKeys | undefined> {
    this.#keys ??= this.#find();
    return this.#keys;
  }

  /** HELLO waits for it, and Safari’s database sometimes never opens (WebKit bug 226547). */
  async #inTime<T>(keys: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.timer(KEY_PATIENCE_MS, () => late.reject(new Error('the database does not answer')));
    try {
      return await Promise.race([keys, late.promise]);
    } finally {
      cancel();
    }
  }

  async #find(): Promise<DeviceKeys | undefined> {
    const { device, edge, host, keys, diagnostics } = this.#options;
    if (typeof device === 'object') return device;
    try {
      if (this.#pairing !== undefined) return await this.#inTime(keys.make(edge, host));
      return device === 'auto' ? await this.#inTime(keys.load(edge, host)) : undefined;
    } catch (error) {
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : 'unknown reason';
      diagnostics.log(`no key of this device: ${reason}`);
      // The link would be used up, and the key be gone with the page.
      if (this.#pairing !== undefined) {
        throw new DirectError('E_PAIRING', 'this browser keeps no keys; private windows often do not');
      }
      return undefined;
    }
  }
}
