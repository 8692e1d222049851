import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MAX_DEVICES } from '../shared/limits.ts';
import { PATIENCE } from '../shared/test-patience.ts';
import { Devices, listDevices, removeDevice } from './devices.ts';

const HOUR = 60 * 60_000;
const key = (seed: number) => Buffer.alloc(32, seed).toString('base64url');

let folder: string;
let now: number;
const opened: Devices[] = [];
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'devices-')), 'made when needed');
  now = 1_795_228_800_000;
});
afterEach(() => {
  for (const devices of opened.splice(0)) devices.close();
  rmSync(join(folder, '..'), { recursive: true });
});

const file = () => join(folder, 'devices.json');
function open() {
  const removed = vi.fn<(key: string) => void>();
  const changed = vi.fn<() => void>();
  const log = vi.fn<(level: string, line: string) => void>();
  const devices = new Devices({ folder, now: () => now, log, removed, changed });
  opened.push(devices);
  return { devices, removed, changed, log };
}

describe('the devices of a host', () => {
  test('are none at first, and nothing is written for that', () => {
    const { devices } = open();
    expect([devices.all, devices.knows(key(1)), existsSync(folder)]).toEqual([[], false, false]);
  });

  test('are kept in a file for its user alone, which the next agent reads', async () => {
    await open().devices.add(key(1), 'a phone');
    const id = createHash('sha256').update(Buffer.alloc(32, 1)).digest('base64url').slice(0, 16);
    const device = { id, key: key(1), name: 'a phone', paired_at: now, last_used_at: now };
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({ devices: [device] });
    expect([statSync(file()).mode & 0o777, statSync(folder).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(readdirSync(folder)).toEqual(['devices.json']);
    const next = open().devices;
    expect([next.all, next.knows(key(1)), next.knows(key(2))]).toEqual([[device], true, false]);
    expect(await listDevices(folder)).toEqual([device]);
  });

  test('that are removed by another process are unknown at once, and found gone within two seconds', async () => {
    const { devices, removed, changed } = open();
    await devices.add(key(1), 'a phone');
    await devices.add(key(2), 'a laptop');
    changed.mockClear();
    expect((await removeDevice(folder, 'a phone'))?.key).toBe(key(1));
    expect([devices.knows(key(1)), devices.knows(key(2))]).toEqual([false, true]);
    expect(removed.mock.calls).toEqual([[key(1)]]);
    await removeDevice(folder, devices.all[0]?.id ?? '');
    await vi.waitFor(() => expect(removed).toHaveBeenCalledWith(key(2)), PATIENCE);
    expect(changed).toHaveBeenCalledTimes(2);
  });

  test('are removed by id, or by a name that only one of them has', async () => {
    const { devices } = open();
    for (const seed of [1, 2]) await devices.add(key(seed), 'a phone');
    await expect(removeDevice(folder, 'a phone')).rejects.toThrow('several devices are called “a phone”');
    expect(await removeDevice(folder, 'nothing')).toBeUndefined();
    const [first] = await listDevices(folder);
    expect(await removeDevice(folder, first?.id ?? '')).toEqual(first);
    expect((await removeDevice(folder, 'a phone'))?.key).toBe(key(2));
    expect(await listDevices(folder)).toEqual([]);
  });

  test('note their use, in a file that is written once an hour', async () => {
    const { devices } = open();
    await devices.add(key(1), 'a phone');
    const { ino } = statSync(file());
    now += HOUR - 1;
    devices.used(key(1));
    devices.used(key(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(statSync(file()).ino).toBe(ino);
    now += 1;
    devices.used(key(1));
    devices.used(key(1));
    await vi.waitFor(async () => expect((await listDevices(folder))[0]?.last_used_at).toBe(now), PATIENCE);
  });

  test('do not come back with a change that began before they were removed', async () => {
    const { devices } = open();
    for (let seed = 1; seed <= 5; seed++) await devices.add(key(seed), `device ${seed}`);
    now += HOUR;
    for (let seed = 1; seed <= 5; seed++) devices.used(key(seed));
    await Promise.all([1, 3, 5].map((seed) => removeDevice(folder, `device ${seed}`)));
    await vi.waitFor(async () => {
      const left = await listDevices(folder);
      expect(left.map(({ name, last_used_at }) => [name, last_used_at])).toEqual([
        ['device 2', now],
        ['device 4', now],
      ]);
    }, PATIENCE);
    expect(readdirSync(folder)).toEqual(['devices.json']);
  });

  test('are removed for the edge by id, and nothing is written for one that there is not', async () => {
    const { devices, removed } = open();
    await devices.add(key(1), 'a phone');
    const { ino } = statSync(file());
    await devices.remove('somebody-else');
    await devices.remove('a phone');
    expect([statSync(file()).ino, removed.mock.calls]).toEqual([ino, []]);
    await devices.remove(devices.all[0]?.id ?? '');
    expect([devices.all, removed.mock.calls, await listDevices(folder)]).toEqual([[], [[key(1)]], []]);
  });

  test('are limited in number', async () => {
    const { devices } = open();
    const all = Array.from({ length: MAX_DEVICES }, (_, i) => ({
      key: key(i + 1),
      name: 'x',
      paired_at: now,
      last_used_at: now,
    }));
    await devices.add(key(1), 'x');
    writeFileSync(file(), JSON.stringify({ devices: all }));
    await expect(devices.add(key(201), 'one more')).rejects.toMatchObject({ code: 'E_PAIRING' });
    expect((await listDevices(folder)).length).toBe(MAX_DEVICES);
  });

  test('a process that died with the lock holds nobody up for long', async () => {
    const { devices } = open();
    await devices.add(key(1), 'a phone');
    const lock = `${file()}.lock`;
    writeFileSync(lock, '');
    const old = new Date(Date.now() - 6_000);
    utimesSync(lock, old, old);
    await devices.add(key(2), 'a laptop');
    expect(devices.all.length).toBe(2);
  });
});

describe('a file that is not what the agent wrote', () => {
  const device = { key: key(1), name: 'x', paired_at: 1, last_used_at: 1 };
  test.each([
    ['no JSON', '{'],
    ['a list', '[]'],
    ['a key that is too short', JSON.stringify({ devices: [{ ...device, key: 'AAAA' }] })],
    ['a time that is a text', JSON.stringify({ devices: [{ ...device, paired_at: 'now' }] })],
  ])('(%s) admits nobody, says so once, and is not overwritten', async (_what, text) => {
    const { devices, removed, log } = open();
    await devices.add(key(1), 'a phone');
    writeFileSync(file(), text);
    expect(devices.knows(key(1))).toBe(false);
    expect(devices.knows(key(1))).toBe(false);
    expect(removed.mock.calls).toEqual([[key(1)]]);
    expect(log.mock.calls.filter(([level]) => level === 'error').length).toBe(1);
    await expect(devices.add(key(2), 'another')).rejects.toThrow('is not what the agent wrote');
    expect(readFileSync(file(), 'utf8')).toBe(text);
  });

  test('names its devices by their keys, whatever it says', async () => {
    const { devices } = open();
    await devices.add(key(1), 'a phone');
    writeFileSync(file(), JSON.stringify({ devices: [{ ...device, id: 'made up', name: 'a\u202eb' }] }));
    devices.refresh();
    expect(devices.all[0]).toMatchObject({ name: 'a b' });
    expect(devices.all[0]?.id).not.toBe('made up');
  });

  test('that cannot be read admits nobody', async () => {
    const { devices, log } = open();
    await devices.add(key(1), 'a phone');
    rmSync(file());
    mkdirSync(file());
    expect([devices.knows(key(1)), log.mock.calls[0]?.[0]]).toEqual([false, 'error']);
  });
});
