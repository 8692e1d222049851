/** STUN messages (RFC 8489): pure. Everything that is decoded came from the network and is hostile. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Endpoint } from './datagram.ts';
import { addressBytes, canonicalAddress, ipv6Groups } from './ip-address.ts';

const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
const INTEGRITY_BYTES = 20;
/** An honest message has under 10; whoever sends one of 64 kB must not have 16,000 looked at. */
const MAX_ATTRIBUTES = 64;
/** RFC 8489, section 14.7. */
const FINGERPRINT_XOR = 0x5354554e;

export const METHOD = {
  binding: 0x001,
  allocate: 0x003,
  refresh: 0x004,
  send: 0x006,
  data: 0x007,
  channelBind: 0x009,
} as const;

export const ATTRIBUTE = {
  mappedAddress: 0x0001,
  /** RFC 5780. */
  changeRequest: 0x0003,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedAddressFamily: 0x0017,
  requestedTransport: 0x0019,
  messageIntegritySha256: 0x001c,
  xorMappedAddress: 0x0020,
  useCandidate: 0x0025,
  alternateServer: 0x8023,
  fingerprint: 0x8028,
  /** RFC 5780. */
  otherAddress: 0x802c,
} as const;

export type StunClass = 'request' | 'indication' | 'success' | 'error';
const CLASSES: readonly StunClass[] = ['request', 'indication', 'success', 'error'];

export interface StunMessage {
  readonly class: StunClass;
  readonly method: number;
  /** 12 bytes. */
  readonly transactionId: Buffer;
  /** The first of each type, and only up to MESSAGE-INTEGRITY: what follows is not covered by it. */
  readonly attributes: ReadonlyMap<number, Buffer>;
  readonly bytes: Buffer;
  /** Where MESSAGE-INTEGRITY begins; undefined: there is none. */
  readonly integrityAt: number | undefined;
}

/** True for what RFC 7983 (section 7) takes for STUN and has the magic cookie. */
export function looksLikeStun(bytes: Buffer): boolean {
  return bytes.length >= HEADER_BYTES && (bytes[0] ?? 4) < 4 && bytes.readUInt32BE(4) === MAGIC_COOKIE;
}

/** The 12 bytes that tie a response to its request, as a map's key. Only for what `looksLikeStun`. */
export function transactionKey(bytes: Buffer): string {
  return bytes.toString('latin1', 8, 20);
}

/** Only for what `looksLikeStun`. */
export function stunClass(bytes: Buffer): StunClass {
  const type = bytes.readUInt16BE(0);
  return CLASSES[((type & 0x100) >> 7) | ((type & 0x10) >> 4)] ?? 'indication';
}

/** Undefined: not a well-formed STUN message. Never throws. */
export function decodeStun(bytes: Buffer): StunMessage | undefined {
  if (!looksLikeStun(bytes)) return undefined;
  const length = bytes.readUInt16BE(2);
  if (length % 4 !== 0 || HEADER_BYTES + length !== bytes.length) return undefined;
  const type = bytes.readUInt16BE(0);
  const attributes = new Map<number, Buffer>();
  let integrityAt: number | undefined;
  let count = 0;
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    if (at + 4 > bytes.length || ++count > MAX_ATTRIBUTES) return undefined;
    const attribute = bytes.readUInt16BE(at);
    const size = bytes.readUInt16BE(at + 2);
    const end = at + 4 + padded(size);
    if (end > bytes.length) return undefined;
    if (integrityAt === undefined) {
      if (attribute === ATTRIBUTE.messageIntegrity) integrityAt = at;
      else if (!attributes.has(attribute)) attributes.set(attribute, bytes.subarray(at + 4, at + 4 + size));
    } else if (attribute !== ATTRIBUTE.fingerprint && attribute !== ATTRIBUTE.messageIntegritySha256) {
      // Whoever reads it later might believe it; nobody authenticated it.
      return undefined;
    }
    if (attribute === ATTRIBUTE.messageIntegrity && size !== INTEGRITY_BYTES) return undefined;
    at = end;
  }
  return {
    class: stunClass(bytes),
    method: (type & 0xf) | ((type & 0xe0) >> 1) | ((type & 0x3e00) >> 2),
    transactionId: bytes.subarray(8, HEADER_BYTES),
    attributes,
    bytes,
    integrityAt,
  };
}

/** True when MESSAGE-INTEGRITY is there and was made with `key` (RFC 8489, section 14.5). */
export function hasIntegrity({ bytes, integrityAt }: StunMessage, key: Buffer | string): boolean {
  if (integrityAt === undefined) return false;
  const given = bytes.subarray(integrityAt + 4, integrityAt + 4 + INTEGRITY_BYTES);
  return timingSafeEqual(given, integrity(bytes.subarray(0, integrityAt), key));
}

export interface StunContent {
  readonly class: StunClass;
  readonly method: number;
  readonly transactionId: Buffer;
  readonly attributes: readonly (readonly [type: number, value: Buffer])[];
}

/** With `key` MESSAGE-INTEGRITY is added. */
export function encodeStun(content: StunContent, key?: Buffer | string): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  const { method } = content;
  const bits = CLASSES.indexOf(content.class);
  const type =
    (method & 0xf) | ((method & 0x70) << 1) | ((method & 0xf80) << 2) | ((bits & 2) << 7) | ((bits & 1) << 4);
  header.writeUInt16BE(type, 0);
  header.writeUInt32BE(MAGIC_COOKIE, 4);
  content.transactionId.copy(header, 8);
  let bytes = Buffer.concat([header, ...content.attributes.map(([name, value]) => attribute(name, value))]);
  if (key !== undefined) {
    bytes = Buffer.concat([bytes, attribute(ATTRIBUTE.messageIntegrity, integrity(bytes, key))]);
  }
  bytes.writeUInt16BE(bytes.length - HEADER_BYTES, 2);
  return bytes;
}

/** Adds FINGERPRINT (RFC 8489, section 14.7), which servers may use to tell STUN from other packets. */
export function withFingerprint(bytes: Buffer): Buffer {
  const covered = withLength(bytes, bytes.length - HEADER_BYTES + 8);
  return Buffer.concat([covered, attribute(ATTRIBUTE.fingerprint, uint32((crc32(covered) ^ FINGERPRINT_XOR) >>> 0))]);
}

/** Key of long-term credentials (RFC 8489, section 18.5.1.1). */
export function longTermKey(username: string, realm: string, password: string): Buffer {
  return createHash('md5').update(`${username}:${realm}:${password}`).digest();
}

/** ERROR-CODE as a number such as 401; 0: there is none. */
export function errorCode({ attributes }: StunMessage): number {
  const value = attributes.get(ATTRIBUTE.errorCode);
  if (value === undefined || value.length < 4) return 0;
  return ((value[2] ?? 0) & 7) * 100 + (value[3] ?? 0);
}

/** XOR-MAPPED-ADDRESS and its like (RFC 8489, section 14.2). Undefined: not there, or malformed. */
export function xorAddress(message: StunMessage, type: number): Endpoint | undefined {
  const value = message.attributes.get(type);
  return value === undefined ? undefined : decodeAddress(value, xorPad(message.transactionId));
}

/** ALTERNATE-SERVER and its like, which are not masked. */
export function plainAddress(message: StunMessage, type: number): Endpoint | undefined {
  const value = message.attributes.get(type);
  return value === undefined ? undefined : decodeAddress(value, Buffer.alloc(16));
}

/** Value of XOR-PEER-ADDRESS and its like. */
export function encodeXorAddress([address, port]: Endpoint, transactionId: Buffer): Buffer {
  const bytes = addressBytes(address);
  const pad = xorPad(transactionId);
  const value = Buffer.alloc(4 + bytes.length);
  value[1] = bytes.length === 4 ? 1 : 2;
  value.writeUInt16BE(port ^ pad.readUInt16BE(0), 2);
  for (let i = 0; i < bytes.length; i++) value[4 + i] = (bytes[i] ?? 0) ^ (pad[i] ?? 0);
  return value;
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function decodeAddress(value: Buffer, pad: Buffer): Endpoint | undefined {
  const size = { 1: 4, 2: 16 }[value[1] ?? 0];
  if (size === undefined || value.length !== 4 + size) return undefined;
  const port = value.readUInt16BE(2) ^ pad.readUInt16BE(0);
  const bytes = value.subarray(4).map((byte, i) => byte ^ (pad[i] ?? 0));
  if (size === 4) return [bytes.join('.'), port];
  const address = canonicalAddress(ipv6Groups(bytes));
  return address === undefined ? undefined : [address, port];
}

function xorPad(transactionId: Buffer): Buffer {
  return Buffer.concat([uint32(MAGIC_COOKIE), transactionId]);
}

function integrity(before: Buffer, key: Buffer | string): Buffer {
  const covered = withLength(before, before.length - HEADER_BYTES + 4 + INTEGRITY_BYTES);
  return createHmac('sha1', key).update(covered).digest();
}

function withLength(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(length, 2);
  return copy;
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + padded(value.length));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

function padded(size: number): number {
  return (size + 3) & ~3;
}
