import { beforeAll, describe, expect, test } from 'vitest';
import { encodeBase64url } from './base64url.ts';
import {
  type DeviceKeys,
  type DeviceProof,
  deviceId,
  deviceName,
  type ProvenPath,
  parsePairingSecret,
  proveDevice,
  verifyDevice,
  verifyPairing,
} from './device-identity.ts';
import { clientHello, parseClientHello } from './hello.ts';
import { generateHostKeys } from './host-identity.ts';
import { MAX_HELLO_BYTES } from './limits.ts';

const bytes = (seed: number) => Uint8Array.from({ length: 32 }, (_, i) => (i * 7 + seed) % 251);
const SECRET = bytes(3);
const PATH: ProvenPath = { hostKey: bytes(1), sessionId: 'k3Jx0dQ2pA8', binding: bytes(2) };

let keys: DeviceKeys;
let proof: DeviceProof;
beforeAll(async () => {
  keys = await generateHostKeys();
  proof = await proveDevice(keys, PATH, { name: 'a phone', pairing: SECRET });
});

describe('the proof of a device', () => {
  test('counts on its path, with the secret of its link', async () => {
    expect(await verifyDevice(proof, PATH)).toBe(true);
    expect(await verifyPairing(proof, PATH, SECRET)).toBe(true);
  });

  test.each<[what: string, path: Partial<ProvenPath>]>([
    ['another host', { hostKey: bytes(9) }],
    ['another session', { sessionId: 'k3Jx0dQ2pA9' }],
    ['another path of the session', { binding: bytes(9) }],
    // The part of one field cannot become part of the next.
    ['parts that are split in another way', { sessionId: '', binding: Uint8Array.of(...bytes(2), 1) }],
  ])('counts for nothing with %s', async (_what, other) => {
    const path = { ...PATH, ...other };
    expect(await verifyDevice(proof, path)).toBe(false);
    expect(await verifyPairing(proof, path, SECRET)).toBe(false);
  });

  test('of one device is none of another', async () => {
    const other = await proveDevice(await generateHostKeys(), PATH, { pairing: SECRET });
    expect(await verifyDevice({ ...proof, key: other.key }, PATH)).toBe(false);
    expect(await verifyPairing({ ...proof, key: other.key }, PATH, SECRET)).toBe(false);
    expect(await verifyDevice({ ...proof, signature: other.signature }, PATH)).toBe(false);
  });

  test('with another secret, or none, pairs nothing', async () => {
    expect(await verifyPairing(proof, PATH, bytes(4))).toBe(false);
    expect(await verifyPairing(await proveDevice(keys, PATH), PATH, SECRET)).toBe(false);
  });

  test('with a key that is no point of the curve is wrong, and nothing throws', async () => {
    const key = encodeBase64url(new Uint8Array(32).fill(0xff));
    expect(await verifyDevice({ ...proof, key }, PATH)).toBe(false);
  });
});

describe('HELLO', () => {
  const HELLO = { sessionId: 'a', session: 'b', resumed: false, survivalMs: 0 };
  const parsed = (device: unknown) =>
    parseClientHello(JSON.stringify({ ...JSON.parse(clientHello(HELLO).json), device }), 'a').device;

  test('carries it as it is, and none from clients without a device', () => {
    expect(parseClientHello(clientHello({ ...HELLO, device: proof }).json, 'a').device).toEqual(proof);
    expect(clientHello(HELLO).json).not.toContain('device');
    expect(parsed(undefined)).toBeUndefined();
  });

  test('has room for it, whatever its name', async () => {
    const longest = await proveDevice(keys, PATH, { name: '🦀'.repeat(500), pairing: SECRET });
    expect([...(longest.name ?? '')].length).toBe(64);
    expect(Buffer.byteLength(clientHello({ ...HELLO, device: longest }).json)).toBeLessThan(MAX_HELLO_BYTES / 4);
  });

  test.each<[what: string, device: (proof: DeviceProof) => unknown]>([
    ['null', () => null],
    ['a text', () => 'device'],
    ['a list', () => []],
    ['no key', ({ key: _, ...rest }) => rest],
    ['a key that is too long', (rest) => ({ ...rest, key: `${rest.key}A` })],
    ['a key that is no base64url', (rest) => ({ ...rest, key: rest.key.replace(/^./, '+') })],
    ['a key with loose bits', (rest) => ({ ...rest, key: `${rest.key.slice(0, -1)}B` })],
    ['no signature', ({ signature: _, ...rest }) => rest],
    ['a short signature', (rest) => ({ ...rest, signature: rest.key })],
    ['a name that is no text', (rest) => ({ ...rest, name: 1 })],
    ['a pairing proof that is no text', (rest) => ({ ...rest, pairing: true })],
    ['an empty pairing proof', (rest) => ({ ...rest, pairing: '' })],
  ])('with %s as device is a violation', (_what, device) => {
    expect(() => parsed(device({ ...proof }))).toThrow(expect.objectContaining({ code: 'E_PROTOCOL' }));
  });
});

test('a device’s id is the beginning of its key’s hash', async () => {
  const { createHash } = await import('node:crypto');
  const hash = createHash('sha256').update(Buffer.from(proof.key, 'base64url')).digest('base64url');
  expect(await deviceId(proof.key)).toBe(hash.slice(0, 16));
});

test.each([
  ['Firefox on a phone', 'Firefox on a phone'],
  [' \n two\r\nlines ', 'two lines'],
  ['a\u202eb\u200bc\u0007d', 'a b c d'],
  ['', 'a device'],
  ['\ud800', 'a device'],
  ['x'.repeat(1000), 'x'.repeat(64)],
])('a name %j is shown as %j', (given, shown) => {
  expect(deviceName(given)).toBe(shown);
});

test('a pairing secret has 32 bytes and one text', () => {
  expect(parsePairingSecret(encodeBase64url(SECRET))).toEqual(SECRET);
  for (const text of ['', 'secret', encodeBase64url(SECRET.subarray(1)), `${encodeBase64url(SECRET)}AA`]) {
    expect(parsePairingSecret(text)).toBeUndefined();
  }
  expect(parsePairingSecret('A'.repeat(1_000_000))).toBeUndefined();
});
