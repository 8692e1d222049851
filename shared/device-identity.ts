/**
 * How a client proves that it is a device which the host knows (PROTOCOL.md, section 8). The device is an Ed25519 key;
 * its signature counts for one path only, because it covers what both ends of that path know and nobody between them.
 */
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { ProtocolError } from './errors.ts';
import type { HostKeys } from './host-identity.ts';
import { MAX_DEVICE_NAME_LENGTH } from './limits.ts';
import { transcript } from './transcript.ts';

/** The Ed25519 key pair (RFC 8032) of a device; the private key need not be extractable. */
export type DeviceKeys = HostKeys;

/** What a client says of its device in HELLO. */
export interface DeviceProof {
  /** Ed25519, 32 bytes in base64url. */
  key: string;
  /** Ed25519, 64 bytes in base64url. */
  signature: string;
  /** For people, as `deviceName` makes it. */
  name?: string;
  /** With the secret of a pairing link: HMAC-SHA-256 over what the signature covers, 32 bytes in base64url. */
  pairing?: string;
}

/** The path that a proof is for. */
export interface ProvenPath {
  /** 32 bytes; the client has verified that the host at the other end has it. */
  hostKey: Uint8Array;
  /** Of the signaling session. */
  sessionId: string;
  /** 32 bytes: see PathOptions. */
  binding: Uint8Array;
}

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const MAC_BYTES = 32;
const SECRET_BYTES = 32;
/** Of a device's id: 96 bits of its key's hash, which people compare and address it by; nothing is admitted by it. */
const ID_LENGTH = 16;

/** The proof of the device with `keys`. `pairing` is the secret of a pairing link, from `parsePairingSecret`. */
export async function proveDevice(
  keys: DeviceKeys,
  path: ProvenPath,
  { name, pairing }: { name?: string | undefined; pairing?: Uint8Array | undefined } = {},
): Promise<DeviceProof> {
  const key = new Uint8Array(await crypto.subtle.exportKey('raw', keys.publicKey));
  const message = statement(key, path);
  const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', keys.privateKey, message));
  const proof: DeviceProof = { key: encodeBase64url(key), signature: encodeBase64url(signature) };
  if (name !== undefined) proof.name = deviceName(name);
  if (pairing !== undefined) {
    const mac = await crypto.subtle.sign('HMAC', await macKey(pairing), message);
    proof.pairing = encodeBase64url(new Uint8Array(mac));
  }
  return proof;
}

/** Checks the shape of `device` in HELLO; what it says is for `verifyDevice`. @throws ProtocolError */
export function parseDeviceProof(raw: unknown): DeviceProof {
  if (typeof raw !== 'object' || raw === null) throw new ProtocolError('device must be an object');
  const { key, signature, name, pairing } = raw as Record<string, unknown>;
  if (name !== undefined && typeof name !== 'string') throw new ProtocolError('device.name must be a text');
  return {
    key: bytesText(key, 'device.key', KEY_BYTES),
    signature: bytesText(signature, 'device.signature', SIGNATURE_BYTES),
    ...(name === undefined ? {} : { name: deviceName(name) }),
    ...(pairing === undefined ? {} : { pairing: bytesText(pairing, 'device.pairing', MAC_BYTES) }),
  };
}

/** Whether whoever said HELLO on this path has the private key of the device that it names. */
export async function verifyDevice({ key, signature }: DeviceProof, path: ProvenPath): Promise<boolean> {
  const bytes = decode(key);
  try {
    const publicKey = await crypto.subtle.importKey('raw', bytes, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', publicKey, decode(signature), statement(bytes, path));
  } catch {
    // Some runtimes refuse bytes that are no point of the curve.
    return false;
  }
}

/** Whether the device has the secret of the pairing link. In constant time (W3C Web Cryptography, section 31.4.2). */
export async function verifyPairing(
  { key, pairing }: DeviceProof,
  path: ProvenPath,
  secret: Uint8Array,
): Promise<boolean> {
  if (pairing === undefined) return false;
  return await crypto.subtle.verify('HMAC', await macKey(secret), decode(pairing), statement(decode(key), path));
}

/** The short name of a device's key (base64url): the beginning of its SHA-256. */
export async function deviceId(key: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', decode(key));
  return encodeBase64url(new Uint8Array(hash)).slice(0, ID_LENGTH);
}

/** The bytes of a pairing link's secret, or undefined for anything else. */
export function parsePairingSecret(text: string): Uint8Array | undefined {
  const bytes = text.length <= 2 * SECRET_BYTES ? decodeBase64url(text) : undefined;
  return bytes?.length === SECRET_BYTES ? bytes : undefined;
}

/** What a device is called, from what somebody says: short, and without anything that changes how text is shown. */
export function deviceName(text: string): string {
  const shown = [...text.slice(0, 4 * MAX_DEVICE_NAME_LENGTH).replace(/[\p{C}\p{Z}]+/gu, ' ')];
  return shown.slice(0, MAX_DEVICE_NAME_LENGTH).join('').trim() || 'a device';
}

/** What the device signs. */
function statement(deviceKey: Uint8Array, { hostKey, sessionId, binding }: ProvenPath): Uint8Array {
  return transcript('direct-agent device v1', hostKey, new TextEncoder().encode(sessionId), binding, deviceKey);
}

function macKey(secret: Uint8Array): Promise<WebCryptoKey> {
  return crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
}

function bytesText(value: unknown, name: string, length: number): string {
  // The length first: what is decoded is short.
  const valid = typeof value === 'string' && value.length === Math.ceil((length * 4) / 3);
  if (!valid || decodeBase64url(value) === undefined) {
    throw new ProtocolError(`${name} must be ${length} bytes in base64url`);
  }
  return value;
}

/** Of a field whose shape was checked. */
function decode(text: string): Uint8Array {
  return decodeBase64url(text) as Uint8Array;
}
