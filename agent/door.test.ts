/** Who is let in: real proofs of real keys, against a real folder; only the clocks are the test's. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type DeviceKeys, type DeviceProof, parsePairingSecret, proveDevice } from '../shared/device-identity.ts';
import type { ErrorCode } from '../shared/errors.ts';
import { generateHostKeys } from '../shared/host-identity.ts';
import type { AcceptOptions } from '../shared/sessions.ts';
import type { AccessMode } from './access-mode.ts';
import { Devices, listDevices, removeDevice } from './devices.ts';
import { Door } from './door.ts';
import { createPairing, MAX_GUESSES_EACH, MAX_GUESSES_TOTAL, PAIRING_MS, PairingDesk } from './pairing.ts';

const HOST_KEY = new Uint8Array(32).fill(1);
const BINDING = new Uint8Array(32).fill(2);
const SESSION = 'a-signaling-session';
const LOCK_MS = 10 * 60_000;

let folder: string;
let now: number;
let devices: Devices;
let door: Door;
let me: DeviceKeys;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'door-'));
  now = 1_795_228_800_000;
  devices = new Devices({ folder, now: () => now, log: () => {}, removed: () => {}, changed: () => {} });
  door = rig('paired');
  me = await generateHostKeys();
});
afterEach(() => {
  devices.close();
  rmSync(folder, { recursive: true });
});

function rig(mode: AccessMode, tunnel = true): Door {
  const pairing = new PairingDesk({ folder, wallClock: () => now, now: () => now, devices });
  return new Door({ access: mode, tunnel, hostKey: HOST_KEY, devices, pairing });
}

const path = (more: Partial<AcceptOptions> = {}): AcceptOptions => ({
  sessionId: SESSION,
  kind: 'direct',
  binding: () => BINDING,
  ...more,
});
async function proof(keys: DeviceKeys, secret?: string): Promise<DeviceProof> {
  const proven = { hostKey: HOST_KEY, sessionId: SESSION, binding: BINDING };
  const pairing = secret === undefined ? undefined : parsePairingSecret(secret);
  return proveDevice(keys, proven, { name: 'a phone', pairing });
}
/** The code of the refusal, or undefined. */
async function refusal(admission: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await admission;
  } catch (error) {
    return (error as { code: ErrorCode }).code;
  }
  return undefined;
}
const WRONG = Buffer.alloc(32, 9).toString('base64url');
const guess = async (from?: string) =>
  refusal(door.admit(path(from === undefined ? {} : { from }), await proof(await generateHostKeys(), WRONG)));

describe('a host for paired devices', () => {
  test('refuses who has no device, an unknown one, and the tunnel', async () => {
    expect(await refusal(door.admit(path(), undefined))).toBe('E_DEVICE_UNKNOWN');
    expect(await refusal(door.admit(path(), await proof(me)))).toBe('E_DEVICE_UNKNOWN');
    expect(await refusal(door.admit(path({ grant: 'in-heads' }), undefined))).toBe('E_DEVICE_UNKNOWN');
  });

  test('takes a device in by its link, and knows it from then on', async () => {
    const { secret } = await createPairing(folder, now);
    const { key } = await proof(me);
    expect(await door.admit(path(), await proof(me, secret))).toBe(key);
    expect(await door.admit(path(), await proof(me))).toBe(key);
    // The answer was lost with its path: the device says the same again, and is known.
    expect(await door.admit(path(), await proof(me, secret))).toBe(key);
    expect((await listDevices(folder)).map(({ name }) => name)).toEqual(['a phone']);
  });

  test('takes no other device in by the same link, not even at the same moment', async () => {
    const { secret } = await createPairing(folder, now);
    const proofs = await Promise.all(Array.from({ length: 4 }, async () => proof(await generateHostKeys(), secret)));
    const results = await Promise.all(proofs.map((each) => refusal(door.admit(path(), each))));
    expect(results.filter((code) => code === undefined).length).toBe(1);
    expect(results.filter((code) => code === 'E_PAIRING').length).toBe(3);
    expect((await listDevices(folder)).length).toBe(1);
    expect(readdirSync(folder)).toEqual(['devices.json']);
  });

  test('takes nobody in by a link that is over, or that another one replaced', async () => {
    const first = await createPairing(folder, now);
    const second = await createPairing(folder, now);
    expect(await refusal(door.admit(path(), await proof(me, first.secret)))).toBe('E_PAIRING');
    expect(second.expiresAt).toBe(now + PAIRING_MS);
    now += PAIRING_MS;
    expect(await refusal(door.admit(path(), await proof(me, second.secret)))).toBe('E_PAIRING');
    const third = await createPairing(folder, now);
    now += PAIRING_MS - 1;
    expect(await refusal(door.admit(path(), await proof(me, third.secret)))).toBeUndefined();
  });

  test('a device that was removed is unknown', async () => {
    const { secret } = await createPairing(folder, now);
    await door.admit(path(), await proof(me, secret));
    await removeDevice(folder, 'a phone');
    expect(await refusal(door.admit(path(), await proof(me)))).toBe('E_DEVICE_UNKNOWN');
    expect(await refusal(door.admit(path(), await proof(me, secret)))).toBe('E_PAIRING');
  });

  test.each<[what: string, path: Partial<AcceptOptions>]>([
    ['of another session', { sessionId: 'another-session' }],
    ['of another path of the session', { binding: () => new Uint8Array(32).fill(3) }],
    ['on a path that nothing names', { binding: () => undefined }],
  ])('a proof %s is worth nothing, and uses up no link', async (_what, other) => {
    const { secret } = await createPairing(folder, now);
    const replayed = await proof(me, secret);
    expect(await refusal(door.admit(path(other), replayed))).toBe('E_DEVICE_UNKNOWN');
    expect(await refusal(door.admit(path(), replayed))).toBeUndefined();
    expect(await refusal(door.admit(path(other), await proof(me)))).toBe('E_DEVICE_UNKNOWN');
  });

  test('a proof for another host’s key is worth nothing', async () => {
    const { secret } = await createPairing(folder, now);
    await door.admit(path(), await proof(me, secret));
    const elsewhere = { hostKey: new Uint8Array(32).fill(7), sessionId: SESSION, binding: BINDING };
    expect(await refusal(door.admit(path(), await proveDevice(me, elsewhere)))).toBe('E_DEVICE_UNKNOWN');
  });

  test('nobody pairs a key that is not his', async () => {
    const { secret } = await createPairing(folder, now);
    const mine = await proof(me, secret);
    const { key } = await proof(await generateHostKeys());
    expect(await refusal(door.admit(path(), { ...mine, key }))).toBe('E_DEVICE_UNKNOWN');
    expect(await listDevices(folder)).toEqual([]);
  });
});

describe('the secret of a link', () => {
  test('is 32 random bytes, in a file for its user alone', async () => {
    const { secret } = await createPairing(folder, now);
    expect(Buffer.from(secret, 'base64url').length).toBe(32);
    expect((await createPairing(folder, now)).secret).not.toBe(secret);
    expect(statSync(join(folder, 'pairing.json')).mode & 0o777).toBe(0o600);
  });

  test('counts the wrong proofs, also over restarts, and is gone after the last', async () => {
    const { secret } = await createPairing(folder, now);
    for (let tries = 1; tries < MAX_GUESSES_TOTAL; tries++) {
      door = rig('paired');
      expect(await guess()).toBe('E_PAIRING');
      expect(JSON.parse(readFileSync(join(folder, 'pairing.json'), 'utf8'))).toMatchObject({ secret, tries });
    }
    door = rig('paired');
    expect(await guess()).toBe('E_PAIRING');
    expect(readdirSync(folder)).toEqual([]);
    expect(await refusal(door.admit(path(), await proof(me, secret)))).toBe('E_PAIRING');
  });

  test.each(['', '{', '{}', '{"secret":"","expires_at":9e15,"tries":0}'])(
    'in a file %j admits nobody',
    async (text) => {
      writeFileSync(join(folder, 'pairing.json'), text);
      const nothing = { ...(await proof(me, WRONG)) };
      expect(await refusal(door.admit(path(), nothing))).toBe('E_PAIRING');
    },
  );
});

describe('who guesses', () => {
  test('is locked out by his address for ten minutes, while others pair', async () => {
    const { secret } = await createPairing(folder, now);
    for (let i = 0; i < MAX_GUESSES_EACH; i++) expect(await guess('mallory')).toBe('E_PAIRING');
    expect(await guess('mallory')).toBe('E_RATE_LIMITED');
    expect(await refusal(door.admit(path({ from: 'mallory' }), await proof(me, secret)))).toBe('E_RATE_LIMITED');
    now += LOCK_MS - 1;
    expect(await guess('mallory')).toBe('E_RATE_LIMITED');
    now += 1;
    expect(await guess('mallory')).toBe('E_PAIRING');
    const fresh = await createPairing(folder, now);
    expect(await refusal(door.admit(path({ from: 'alice' }), await proof(me, fresh.secret)))).toBeUndefined();
  });

  test('from everywhere locks out everybody who is not paired, for ten minutes', async () => {
    const known = await createPairing(folder, now);
    await door.admit(path(), await proof(me, known.secret));
    for (let i = 0; i < MAX_GUESSES_TOTAL; i++) expect(await guess(`address ${i}`)).toBe('E_PAIRING');
    const { secret } = await createPairing(folder, now);
    const device = await proof(await generateHostKeys(), secret);
    expect(await refusal(door.admit(path({ from: 'alice' }), device))).toBe('E_RATE_LIMITED');
    // A known device needs no link.
    expect(await refusal(door.admit(path(), await proof(me)))).toBeUndefined();
    now += LOCK_MS - 1;
    expect(await refusal(door.admit(path({ from: 'alice' }), device))).toBe('E_RATE_LIMITED');
    now += 1;
    const { secret: next } = await createPairing(folder, now);
    const again = await proof(await generateHostKeys(), next);
    expect(await refusal(door.admit(path({ from: 'alice' }), again))).toBeUndefined();
  });

  test('without an address counts as one of them', async () => {
    for (let i = 0; i < MAX_GUESSES_EACH; i++) await guess();
    expect([await guess(), await guess('alice')]).toEqual(['E_RATE_LIMITED', 'E_PAIRING']);
  });

  test('many times at once gets no more tries than one after the other', async () => {
    const codes = await Promise.all(Array.from({ length: 50 }, () => guess('mallory')));
    expect(codes.filter((code) => code === 'E_PAIRING').length).toBe(MAX_GUESSES_EACH);
  });

  test('slowly is not locked out', async () => {
    for (let i = 0; i < 3 * MAX_GUESSES_EACH; i++) {
      expect(await guess('mallory')).toBe('E_PAIRING');
      now += LOCK_MS / (MAX_GUESSES_EACH - 1);
    }
  });
});

describe('a host for whom the edge lets in', () => {
  test('asks for no device, and takes in who has a link', async () => {
    door = rig('edge');
    expect(await door.admit(path(), undefined)).toBeUndefined();
    expect(await door.admit(path({ grant: 'in-heads' }), undefined)).toBeUndefined();
    expect(await door.admit(path(), await proof(me))).toBeUndefined();
    const { secret } = await createPairing(folder, now);
    expect(await door.admit(path(), await proof(me, secret))).toBeUndefined();
    expect(await refusal(rig('paired').admit(path(), await proof(me)))).toBeUndefined();
  });

  test('may refuse the tunnel alone', async () => {
    door = rig('edge', false);
    await expect(door.admit(path({ grant: 'in-heads' }), undefined)).rejects.toMatchObject({
      code: 'E_FORBIDDEN',
      detail: 'the host does not take the tunnel',
    });
    expect(await refusal(door.admit(path(), undefined))).toBeUndefined();
  });
});

test('that a device is used is noted once it is let in', async () => {
  const used = vi.spyOn(devices, 'used');
  await refusal(door.admit(path(), await proof(me)));
  expect(used).not.toHaveBeenCalled();
  const { secret } = await createPairing(folder, now);
  const admitted = await proof(me, secret);
  await door.admit(path(), admitted);
  expect(used).toHaveBeenCalledWith(admitted.key);
});
