/**
 * The host's identity and what it vouches for (PROTOCOL.md, section 8). The host is its Ed25519 key; clients know it
 * from outside the edge. Relay keys come through the edge, so each comes with the host key's signature.
 */
import type { CryptoKey } from 'hpke';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { DirectError } from './errors.ts';
import { PROTOCOL_VERSION } from './limits.ts';
import { transcript } from './transcript.ts';

/** An Ed25519 key pair (RFC 8032) of the runtime's WebCrypto. */
export interface HostKeys {
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
}

/** “This relay key is mine until then”, as JSON; keys and signature are base64url without padding. */
export interface Announcement {
  /** Ed25519, 32 bytes. */
  host_key: string;
  /** X25519, 32 bytes. */
  relay_key: string;
  /** Milliseconds since 1970. */
  expires_at: number;
  /** Ed25519, 64 bytes. */
  signature: string;
}

/** Whom a client seals to: keys that belong together, as bytes. */
export interface RelayRecipient {
  hostKey: Uint8Array;
  relayKey: Uint8Array;
}

export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** New keys for a host. The private one can be exported when it has to be stored. */
export async function generateHostKeys({ extractable = false } = {}): Promise<HostKeys> {
  return await crypto.subtle.generateKey('Ed25519', extractable, ['sign', 'verify']);
}

/** The public key as its 32 bytes. */
export async function hostKeyBytes(keys: HostKeys): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey('raw', keys.publicKey));
}

/** Signs that `relayKey` belongs to the host until `expiresAt`, in milliseconds since 1970. */
export async function signAnnouncement(keys: HostKeys, relayKey: Uint8Array, expiresAt: number): Promise<Announcement> {
  const hostKey = await hostKeyBytes(keys);
  const signature = await crypto.subtle.sign('Ed25519', keys.privateKey, statement(hostKey, relayKey, expiresAt));
  return {
    host_key: encodeBase64url(hostKey),
    relay_key: encodeBase64url(relayKey),
    expires_at: expiresAt,
    signature: encodeBase64url(new Uint8Array(signature)),
  };
}

/**
 * Checks the shape of an announcement; what it says is for `verifyAnnouncement`.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseAnnouncement(raw: unknown): Announcement {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new DirectError('E_BAD_REQUEST', 'an announcement must be an object');
  }
  const { host_key, relay_key, expires_at, signature } = raw as Record<string, unknown>;
  if (typeof expires_at !== 'number' || !Number.isSafeInteger(expires_at) || expires_at < 0) {
    throw new DirectError('E_BAD_REQUEST', 'expires_at must be milliseconds since 1970');
  }
  return {
    host_key: bytesText(host_key, 'host_key', KEY_BYTES),
    relay_key: bytesText(relay_key, 'relay_key', KEY_BYTES),
    expires_at,
    signature: bytesText(signature, 'signature', SIGNATURE_BYTES),
  };
}

export interface VerifyOptions {
  /** Milliseconds since 1970. */
  now: number;
  /** The pinned host key, base64url. Without it any host's announcement passes, and the caller asks a person. */
  hostKey?: string;
}

/**
 * The keys to seal to, once the host has proved them its own. Needs a runtime where `sealingIsSupported`.
 * @throws DirectError `E_HOST_KEY`
 */
export async function verifyAnnouncement(announcement: Announcement, options: VerifyOptions): Promise<RelayRecipient> {
  const { host_key, relay_key, expires_at, signature } = parseAnnouncement(announcement);
  if (options.hostKey !== undefined && options.hostKey !== host_key) {
    throw new DirectError('E_HOST_KEY', 'it is not the key that this device knows');
  }
  const hostKey = decode(host_key);
  const relayKey = decode(relay_key);
  if (!(await isSigned(hostKey, decode(signature), statement(hostKey, relayKey, expires_at)))) {
    throw new DirectError('E_HOST_KEY', 'the host did not sign its relay key');
  }
  if (expires_at <= options.now) throw new DirectError('E_HOST_KEY', 'the relay key has expired');
  return { hostKey, relayKey };
}

/** Whether `hostKey` has signed `message`. */
export async function isSigned(hostKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey('raw', hostKey, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', key, signature, message);
  } catch {
    // Some runtimes refuse bytes that are no point of the curve.
    return false;
  }
}

/** What the host key signs. */
function statement(hostKey: Uint8Array, relayKey: Uint8Array, expiresAt: number): Uint8Array {
  const expiry = new Uint8Array(8);
  new DataView(expiry.buffer).setBigUint64(0, BigInt(expiresAt));
  return transcript('direct-agent relay key v1', Uint8Array.of(PROTOCOL_VERSION), hostKey, relayKey, expiry);
}

/** `value` if it is `length` bytes in base64url. @throws DirectError `E_BAD_REQUEST` that says `name` */
export function bytesText(value: unknown, name: string, length: number): string {
  // The length first: what is decoded is short.
  if (typeof value !== 'string' || value.length !== Math.ceil((length * 4) / 3)) {
    throw new DirectError('E_BAD_REQUEST', `${name} must be ${length} bytes in base64url`);
  }
  if (decodeBase64url(value) === undefined) throw new DirectError('E_BAD_REQUEST', `${name} must be base64url`);
  return value;
}

/** Of a field that `parseAnnouncement` has checked. */
function decode(text: string): Uint8Array {
  return decodeBase64url(text) as Uint8Array;
}
