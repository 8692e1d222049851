import { describe, expect, test } from 'vitest';
import { type ProvenPath, verifyDevice, verifyPairing } from '../../shared/device-identity.ts';
import { generateHostKeys } from '../../shared/host-identity.ts';
import { Device, type DeviceOptions } from './device.ts';
import { type DeviceKeyStore, memoryDeviceKeys } from './device-key.ts';
import { createDiagnostics } from './diagnostics.ts';
import { realTime } from './test-host.ts';

const PATH: ProvenPath = {
  hostKey: new Uint8Array(32).fill(1),
  sessionId: 'k3Jx0dQ2pA8',
  binding: new Uint8Array(32).fill(2),
};
const SECRET = Buffer.alloc(32, 3);
const PAIRING = SECRET.toString('base64url');

const device = (options: Partial<DeviceOptions> = {}) =>
  new Device({
    device: 'auto',
    pairing: undefined,
    deviceName: undefined,
    edge: 'https://edge.example',
    host: 'home',
    keys: memoryDeviceKeys(),
    timer: realTime.timer,
    diagnostics: createDiagnostics(() => 0, false),
    ...options,
  });
const broken: DeviceKeyStore = {
  load: () => Promise.reject(new DOMException('no', 'InvalidStateError')),
  make: () => Promise.reject(new DOMException('no', 'InvalidStateError')),
};

describe('a device', () => {
  test('that no link has brought to the host shows no key, and makes none', async () => {
    const keys = memoryDeviceKeys();
    expect(await device({ keys }).prove(PATH)).toBeUndefined();
    expect(await device({ keys, device: undefined }).prove(PATH)).toBeUndefined();
    expect(await keys.load('https://edge.example', 'home')).toBeUndefined();
  });

  test('with a link proves its key and the secret, which it forgets once it is accepted', async () => {
    const keys = memoryDeviceKeys();
    const paired = device({ keys, device: undefined, pairing: PAIRING, deviceName: 'a phone' });
    const first = await paired.prove(PATH);
    expect(first && (await verifyPairing(first, PATH, SECRET))).toBe(true);
    expect(first?.name).toBe('a phone');
    paired.accepted();
    const next = await paired.prove(PATH);
    expect([next?.key, next?.pairing]).toEqual([first?.key, undefined]);
    const later = await device({ keys }).prove(PATH);
    expect(later?.key).toBe(first?.key);
    expect(later && (await verifyDevice(later, PATH))).toBe(true);
  });

  test('is another one for each host and each edge', async () => {
    const keys = memoryDeviceKeys();
    const places = [{}, { host: 'work' }, { edge: 'https://other.example' }];
    const proofs = await Promise.all(places.map((place) => device({ keys, pairing: PAIRING, ...place }).prove(PATH)));
    expect(new Set(proofs.map((proof) => proof?.key)).size).toBe(3);
  });

  test('whose key the program gave always shows that one', async () => {
    const own = await generateHostKeys();
    const proof = await device({ device: own, keys: broken }).prove(PATH);
    expect(proof && (await verifyDevice(proof, PATH))).toBe(true);
  });

  test('in a browser that keeps no keys uses up no link', async () => {
    expect(await device({ keys: broken }).prove(PATH)).toBeUndefined();
    await expect(device({ keys: broken, pairing: PAIRING }).prove(PATH)).rejects.toMatchObject({ code: 'E_PAIRING' });
  });

  test('does not wait for a database that does not answer', async () => {
    const silent: DeviceKeyStore = { load: () => new Promise(() => {}), make: () => new Promise(() => {}) };
    const timer = (ms: number, run: () => void) => {
      expect(ms).toBeLessThanOrEqual(3_000);
      queueMicrotask(run);
      return () => {};
    };
    expect(await device({ keys: silent, timer }).prove(PATH)).toBeUndefined();
    await expect(device({ keys: silent, timer, pairing: PAIRING }).prove(PATH)).rejects.toMatchObject({
      code: 'E_PAIRING',
    });
  });

  test.each(['', 'secret', `${PAIRING}A`, PAIRING.slice(1)])('refuses the link %j', (pairing) => {
    expect(() => device({ pairing })).toThrow(TypeError);
  });
});
