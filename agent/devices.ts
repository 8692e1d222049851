/** The devices that a host with `access: paired` accepts: a file that the agent and its commands share. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { decodeBase64url } from '../shared/base64url.ts';
import { deviceName } from '../shared/device-identity.ts';
import { DirectError } from '../shared/errors.ts';
import { MAX_DEVICES } from '../shared/limits.ts';
import { changePrivate, jsonOf, readPrivate, versionOf, writePrivate } from './private-file.ts';

/** Times are milliseconds since 1970. */
export interface Device {
  /** The beginning of the key's hash: what people and commands call it. */
  readonly id: string;
  /** Ed25519, base64url. */
  readonly key: string;
  readonly name: string;
  readonly paired_at: number;
  /** To the hour. */
  readonly last_used_at: number;
}

const time = z.number().int().nonnegative();
const devicesFile = z.object({
  devices: z.array(
    z
      .object({
        key: z.string().refine((key) => decodeBase64url(key)?.length === 32),
        name: z.string().transform(deviceName),
        paired_at: time,
        last_used_at: time,
      })
      // Computed, so that a file which was edited cannot make two names for one key.
      .transform((device): Device => ({ id: idOf(device.key), ...device })),
  ),
});

/** Whether a device was used is shown to people; a write to disk for each connection would be too much for that. */
const USE_STEP_MS = 60 * 60_000;
/** Commands change the file in another process. */
const WATCH_MS = 1_000;

const pathIn = (folder: string) => join(folder, 'devices.json');

/** All devices, the oldest first. @throws Error that says what is wrong with the file. */
export async function listDevices(folder: string): Promise<Device[]> {
  return readDevices(pathIn(folder));
}

/**
 * Removes a device, whose sessions end within two seconds if the agent runs. `idOrName`: a name counts if only one
 * device has it. Returns the device, or undefined if there is none.
 * @throws Error for a name that several devices have.
 */
export async function removeDevice(folder: string, idOrName: string): Promise<Device | undefined> {
  const path = pathIn(folder);
  return await changePrivate(path, () => {
    const devices = readDevices(path);
    const [removed, another] = matching(devices, idOrName);
    if (another !== undefined) throw new Error(`several devices are called “${idOrName}”. Name one by its id`);
    if (removed !== undefined)
      writeDevices(
        path,
        devices.filter((device) => device !== removed),
      );
    return removed;
  });
}

/** Gives a device another name; nothing happens if there is none with that id. @throws Error as above. */
export async function renameDevice(folder: string, id: string, name: string): Promise<void> {
  const path = pathIn(folder);
  const renamed = (device: Device) => (device.id === id ? { ...device, name: deviceName(name) } : device);
  await changePrivate(path, () => writeDevices(path, readDevices(path).map(renamed)));
}

export interface DevicesOptions {
  folder: string;
  /** Milliseconds since 1970. */
  now(): number;
  log(level: 'warn' | 'error', line: string): void;
  /** The device is not accepted any longer. */
  removed(key: string): void;
  /** There are other devices than before, or one was used. */
  changed(): void;
}

/** The devices as the file has them at any moment. */
export class Devices {
  readonly #options: DevicesOptions;
  readonly #path: string;
  #devices = new Map<string, Device>();
  #version: string | undefined;
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#path = pathIn(options.folder);
    this.#load();
    this.#watch = setInterval(() => this.refresh(), WATCH_MS);
    this.#watch.unref();
  }

  /** The oldest first. */
  get all(): Device[] {
    return [...this.#devices.values()];
  }

  /** Whether the device with this key is accepted now; commands of a moment ago count. */
  knows(key: string): boolean {
    this.refresh();
    return this.#devices.has(key);
  }

  /** Takes a device in. @throws DirectError `E_PAIRING` when there are too many, or what the system says. */
  async add(key: string, name: string): Promise<void> {
    const now = this.#options.now();
    await this.#change((devices) => {
      if (devices.length >= MAX_DEVICES) {
        throw new DirectError('E_PAIRING', `the host has ${MAX_DEVICES} devices; remove one`);
      }
      const device: Device = { id: idOf(key), key, name: deviceName(name), paired_at: now, last_used_at: now };
      return [...devices.filter((known) => known.key !== key), device];
    });
  }

  /** Notes that the device is used. Never fails: it is of no consequence. */
  used(key: string): void {
    const device = this.#devices.get(key);
    const now = this.#options.now();
    if (device === undefined || now - device.last_used_at < USE_STEP_MS) return;
    // At once in memory, so that no second connection writes the same.
    this.#devices.set(key, { ...device, last_used_at: now });
    const use = (known: Device) => (known.key === key ? { ...known, last_used_at: now } : known);
    this.#change((devices) => devices.map(use)).catch((error: unknown) => {
      this.#options.log('warn', `devices: ${pathIn(this.#options.folder)} cannot be written (${reasonOf(error)})`);
    });
  }

  /** Removes a device by its id; nothing happens if there is none, whoever asks however often. */
  async remove(id: string): Promise<void> {
    this.refresh();
    if (!this.all.some((device) => device.id === id)) return;
    await this.#change((devices) => devices.filter((device) => device.id !== id));
  }

  /** Looks at the file, and takes over what has changed. A file that cannot be read admits nobody. */
  refresh(): void {
    const before = this.#devices;
    if (!this.#load()) return;
    for (const key of before.keys()) if (!this.#devices.has(key)) this.#options.removed(key);
    this.#options.changed();
  }

  close(): void {
    clearInterval(this.#watch);
  }

  /** False if the file is the same as before. */
  #load(): boolean {
    const version = currentVersion(this.#path);
    if (version === this.#version) return false;
    this.#version = version;
    let devices: Device[] = [];
    try {
      devices = readDevices(this.#path);
    } catch (error) {
      this.#options.log('error', `devices: no device is accepted: ${reasonOf(error)}`);
    }
    this.#devices = new Map(devices.map((device) => [device.key, device]));
    return true;
  }

  async #change(change: (devices: readonly Device[]) => readonly Device[]): Promise<void> {
    await changePrivate(this.#path, () => writeDevices(this.#path, change(readDevices(this.#path))));
    this.refresh();
  }
}

/** A file that cannot be looked at has a version, too: that is said once, and not each second. */
function currentVersion(path: string): string | undefined {
  try {
    return versionOf(path);
  } catch (error) {
    return reasonOf(error);
  }
}

function readDevices(path: string): Device[] {
  const text = readPrivate(path);
  if (text === undefined) return [];
  const { data } = devicesFile.safeParse(jsonOf(text));
  if (data === undefined) {
    throw new Error(`${path} is not what the agent wrote. Restore it, or delete it and pair the devices again`);
  }
  return data.devices;
}

function writeDevices(path: string, devices: readonly Device[]): void {
  writePrivate(path, `${JSON.stringify({ devices }, null, 2)}\n`);
}

function matching(devices: readonly Device[], idOrName: string): Device[] {
  const byId = devices.filter(({ id }) => id === idOrName);
  return byId.length > 0 ? byId : devices.filter(({ name }) => name === idOrName);
}

/** `deviceId`, at once. */
function idOf(key: string): string {
  return createHash('sha256').update(Buffer.from(key, 'base64url')).digest('base64url').slice(0, 16);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown reason';
}
