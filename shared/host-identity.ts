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

/** Host keys as they are stored: base64url without padding. Whoever reads them is the host. */
export interface StoredHostKeys {
  /** Ed25519, PKCS#8 (RFC 8410). */
  private_key: string;
  /** Ed25519, 32 bytes. */
  public_key: string;
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

/** Whether this runtime has Ed25519: Chromium 137, Firefox 129, Safari 17, Node 22. */
export async function signaturesAreSupported(): Promise<boolean> {
  return await generateHostKeys().then(
    () => true,
    () => false,
  );
}

/** The public key as its 32 bytes. */
export async function hostKeyBytes(keys: HostKeys): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey('raw', keys.publicKey));
}

/** `keys` to be stored; they must have been generated as extractable. */
export async function exportHostKeys(keys: HostKeys): Promise<StoredHostKeys> {
  const privateKey = new Uint8Array(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { private_key: encodeBase64url(privateKey), public_key: encodeBase64url(await hostKeyBytes(keys)) };
}

/**
 * Keys that were stored. The private one cannot be exported again.
 * @throws TypeError when they are malformed, or do not belong together: then nobody could verify what the host signs.
 */
export async function importHostKeys(stored: unknown): Promise<HostKeys> {
  const { private_key, public_key } = Object(stored) as Partial<Record<keyof StoredHostKeys, unknown>>;
  const privateBytes = typeof private_key === 'string' ? decodeBase64url(private_key) : undefined;
  const publicBytes = typeof public_key === 'string' ? decodeBase64url(public_key) : undefined;
  if (privateBytes === undefined || publicBytes?.length !== KEY_BYTES) throw new TypeError('these are no host keys');
  let privateKey: CryptoKey;
  try {
    privateKey = await crypto.subtle.importKey('pkcs8', privateBytes, 'Ed25519', false, ['sign']);
  } catch (cause) {
    throw new TypeError('the host’s private key is damaged', { cause });
  }
  const probe = Uint8Array.of(1);
  const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', privateKey, probe));
  if (!(await isSigned(publicBytes, signature, probe))) throw new TypeError('the host’s keys do not belong together');
  return { privateKey, publicKey: await importHostKey(publicBytes, true) };
}

/** The 32 bytes of a host key in base64url. @throws DirectError `E_HOST_KEY` */
export function hostKeyFromText(text: string): Uint8Array {
  const bytes = text.length === textLength(KEY_BYTES) ? decodeBase64url(text) : undefined;
  if (bytes === undefined) throw new DirectError('E_HOST_KEY', 'a key has 43 characters of base64url');
  return bytes;
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

/** The relay key is the host's, but its time is over, or this clock is wrong: nobody has lied, a newer one may come. */
export class RelayKeyExpired extends DirectError {
  constructor() {
    super('E_HOST_KEY', 'the relay key has expired');
  }
}

/**
 * The keys to seal to, once the host has proved them its own. Needs a runtime where `sealingIsSupported`.
 * @throws DirectError `E_HOST_KEY_CHANGED` when another key is pinned, `E_HOST_KEY` when the signature is wrong;
 * RelayKeyExpired
 */
export async function verifyAnnouncement(announcement: Announcement, options: VerifyOptions): Promise<RelayRecipient> {
  const { host_key, relay_key, expires_at, signature } = parseAnnouncement(announcement);
  if (options.hostKey !== undefined && options.hostKey !== host_key) {
    throw new DirectError('E_HOST_KEY_CHANGED');
  }
  const hostKey = decode(host_key);
  const relayKey = decode(relay_key);
  if (!(await isSigned(hostKey, decode(signature), statement(hostKey, relayKey, expires_at)))) {
    throw new DirectError('E_HOST_KEY', 'the host did not sign its relay key');
  }
  if (expires_at <= options.now) throw new RelayKeyExpired();
  return { hostKey, relayKey };
}

/** Whether `hostKey` has signed `message`. */
export async function isSigned(hostKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> {
  try {
    return await crypto.subtle.verify('Ed25519', await importHostKey(hostKey, false), signature, message);
  } catch {
    // Some runtimes refuse bytes that are no point of the curve.
    return false;
  }
}

function importHostKey(bytes: Uint8Array, extractable: boolean): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', bytes, 'Ed25519', extractable, ['verify']);
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
  if (typeof value !== 'string' || value.length !== textLength(length)) {
    throw new DirectError('E_BAD_REQUEST', `${name} must be ${length} bytes in base64url`);
  }
  if (decodeBase64url(value) === undefined) throw new DirectError('E_BAD_REQUEST', `${name} must be base64url`);
  return value;
}

/** Characters of so many bytes in base64url. */
function textLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}

/** Of a field that `parseAnnouncement` has checked. */
function decode(text: string): Uint8Array {
  return decodeBase64url(text) as Uint8Array;
}
