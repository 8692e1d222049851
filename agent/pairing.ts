/** Pairing: who has the secret of a link that the owner made on this machine becomes a device of the host, once. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { type DeviceProof, type ProvenPath, parsePairingSecret, verifyPairing } from '../shared/device-identity.ts';
import { DirectError } from '../shared/errors.ts';
import type { Devices } from './devices.ts';
import { GuessLimits } from './guess-limits.ts';
import { changePrivate, deletePrivate, jsonOf, readPrivate, writePrivate } from './private-file.ts';

/** Long enough to walk to the device, short enough that a link in a history or a photo is of no use. */
export const PAIRING_MS = 10 * 60_000;
/** Wrong proofs of one address and of all within ten minutes; then nobody there, or nobody, pairs for ten minutes. */
export const MAX_GUESSES_EACH = 5;
export const MAX_GUESSES_TOTAL = 20;
const GUESS_WINDOW_MS = 10 * 60_000;

/** `tries` are the wrong proofs while this secret stood; they are kept over restarts of the agent. */
const pairingFile = z.object({ secret: z.string(), expires_at: z.number(), tries: z.number() });
type Pairing = z.infer<typeof pairingFile>;

const pathIn = (folder: string) => join(folder, 'pairing.json');

/**
 * Opens a pairing in place of the one before, for the next device that proves to have `secret` (32 bytes in base64url).
 * Times are milliseconds since 1970.
 */
export async function createPairing(folder: string, now = Date.now()): Promise<{ secret: string; expiresAt: number }> {
  const secret = randomBytes(32).toString('base64url');
  const expiresAt = now + PAIRING_MS;
  const path = pathIn(folder);
  await changePrivate(path, () => writePairing(path, { secret, expires_at: expiresAt, tries: 0 }));
  return { secret, expiresAt };
}

/** Whether the link with `secret` still waits for its device. Its time is the caller's business. */
export function isPairingOpen(folder: string, secret: string): boolean {
  return openPairing(folder)?.secret === secret;
}

/** Whether any link waits for its device. `now`: milliseconds since 1970. */
export function isPairingWaiting(folder: string, now: number): boolean {
  const open = openPairing(folder);
  return open !== undefined && now < open.expires_at;
}

function openPairing(folder: string): Pairing | undefined {
  const text = readPrivate(pathIn(folder));
  return pairingFile.safeParse(text === undefined ? undefined : jsonOf(text)).data;
}

/** Voids the link with `secret`; another one that was made meanwhile stays. */
export async function cancelPairing(folder: string, secret: string): Promise<void> {
  const path = pathIn(folder);
  await changePrivate(path, () => {
    if (isPairingOpen(folder, secret)) deletePrivate(path);
  });
}

export interface PairingDeskOptions {
  folder: string;
  /** Milliseconds since 1970. */
  wallClock(): number;
  /** Monotonic milliseconds. */
  now(): number;
  devices: Pick<Devices, 'add'>;
}

export class PairingDesk {
  readonly #options: PairingDeskOptions;
  readonly #path: string;
  readonly #limits: GuessLimits;

  constructor(options: PairingDeskOptions) {
    this.#options = options;
    this.#path = pathIn(options.folder);
    this.#limits = new GuessLimits({
      now: () => options.now(),
      each: MAX_GUESSES_EACH,
      total: MAX_GUESSES_TOTAL,
      windowMs: GUESS_WINDOW_MS,
    });
  }

  /**
   * Makes the device, whose signature was verified, one of the host. `from` names the address that it comes from.
   * @throws DirectError `E_PAIRING`, or `E_RATE_LIMITED` after too many wrong links.
   */
  async pair(proof: DeviceProof, path: ProvenPath, from?: string): Promise<void> {
    const guess = this.#limits.begin(from);
    let isRight = false;
    try {
      isRight = await this.#consume(proof, path);
    } finally {
      if (isRight) guess.right();
      else guess.wrong();
    }
    if (!isRight) throw new DirectError('E_PAIRING');
    await this.#options.devices.add(proof.key, proof.name ?? '');
  }

  /** Whether the link counts, which it does not a second time. */
  async #consume(proof: DeviceProof, path: ProvenPath): Promise<boolean> {
    const pairing = this.#open();
    const secret = pairing === undefined ? undefined : parsePairingSecret(pairing.secret);
    if (pairing === undefined || secret === undefined) return false;
    const isRight = await verifyPairing(proof, path, secret);
    return await changePrivate(this.#path, () => {
      // Another device may have been faster, or the owner has made another link.
      const current = this.#open();
      if (current?.secret !== pairing.secret) return false;
      const tries = current.tries + 1;
      if (isRight || tries >= MAX_GUESSES_TOTAL) deletePrivate(this.#path);
      else writePairing(this.#path, { ...current, tries });
      return isRight;
    });
  }

  /** The pairing that waits for a device. */
  #open(): Pairing | undefined {
    const text = readPrivate(this.#path);
    const { data } = pairingFile.safeParse(text === undefined ? undefined : jsonOf(text));
    return data !== undefined && this.#options.wallClock() < data.expires_at ? data : undefined;
  }
}

function writePairing(path: string, pairing: Pairing): void {
  writePrivate(path, JSON.stringify(pairing));
}
