/** Who may use the host beyond what the edge lets through: everyone, or paired devices only. */
import type { DeviceProof } from '../shared/device-identity.ts';
import { verifyDevice } from '../shared/device-identity.ts';
import { DirectError } from '../shared/errors.ts';
import type { AcceptOptions } from '../shared/sessions.ts';
import type { AccessMode } from './access-mode.ts';
import type { Devices } from './devices.ts';
import type { PairingDesk } from './pairing.ts';

export interface DoorOptions {
  access: AccessMode;
  /** Whether plain HTTPS by way of the edge is served, where no device can prove itself. */
  tunnel: boolean;
  /** The host's public key. */
  hostKey: Uint8Array;
  devices: Pick<Devices, 'knows' | 'used'>;
  pairing: Pick<PairingDesk, 'pair'>;
}

export class Door {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /**
   * For `Sessions`: lets a path in, or not. Returns the key of its device, where devices count.
   * @throws DirectError `E_DEVICE_UNKNOWN`, `E_PAIRING`, `E_RATE_LIMITED`, `E_FORBIDDEN`
   */
  async admit(path: AcceptOptions, proof: DeviceProof | undefined): Promise<string | undefined> {
    const isPaired = this.#options.access === 'paired';
    // Here the edge itself is the client.
    if (path.grant === 'in-heads') {
      if (isPaired) throw new DirectError('E_DEVICE_UNKNOWN', 'plain HTTPS cannot show which device it is');
      if (!this.#options.tunnel) throw new DirectError('E_FORBIDDEN', 'the host does not take the tunnel');
      return undefined;
    }
    // A device may be paired before the host insists on it.
    if (!isPaired && proof?.pairing === undefined) return undefined;
    const key = await this.#deviceOf(path, proof);
    return isPaired ? key : undefined;
  }

  async #deviceOf(path: AcceptOptions, proof: DeviceProof | undefined): Promise<string> {
    const { devices, pairing, hostKey } = this.#options;
    const binding = path.binding?.();
    if (proof === undefined || binding === undefined) throw new DirectError('E_DEVICE_UNKNOWN');
    const proven = { hostKey, sessionId: path.sessionId, binding };
    if (!(await verifyDevice(proof, proven))) throw new DirectError('E_DEVICE_UNKNOWN', 'the signature is wrong');
    if (!devices.knows(proof.key)) {
      if (proof.pairing === undefined) throw new DirectError('E_DEVICE_UNKNOWN');
      await pairing.pair(proof, proven, path.from);
      // It may have been removed again; from here on nothing waits before the session has it.
      if (!devices.knows(proof.key)) throw new DirectError('E_DEVICE_UNKNOWN');
    }
    devices.used(proof.key);
    return proof.key;
  }
}
