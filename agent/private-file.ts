/** Files of the agent that only its user may read, and that several processes of it change. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Whoever holds a lock writes a file of some kB and leaves; one this old belongs to a process that died. */
const STALE_LOCK_MS = 5_000;
const LOCK_RETRY_MS = 10;
const LOCK_PATIENCE_MS = 2 * STALE_LOCK_MS;

/** The text, or undefined when there is no such file. @throws the system's error otherwise. */
export function readPrivate(path: string): string | undefined {
  return unlessAbsent(() => readFileSync(path, 'utf8'));
}

/** What a file's text says; undefined where it is no JSON. The parser's own words would quote it. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Replaces the file as a whole: who reads it meanwhile, or after a power cut, sees the old text or the new one. */
export function writePrivate(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = openSync(temporary, 'wx', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Nothing happens when there is none. */
export function deletePrivate(path: string): void {
  rmSync(path, { force: true });
}

/** Changes from one version of the file to the next; undefined while there is none. */
export function versionOf(path: string): string | undefined {
  const stat = unlessAbsent(() => statSync(path, { bigint: true }));
  return stat === undefined ? undefined : `${stat.ino} ${stat.mtimeNs} ${stat.size}`;
}

/**
 * Does `change`, which reads the file and writes it, while no other process does: else a device that was removed would
 * come back with a change that began before. @throws Error when another process does not finish.
 */
export async function changePrivate<T>(path: string, change: () => T): Promise<T> {
  const lock = `${path}.lock`;
  const deadline = Date.now() + LOCK_PATIENCE_MS;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  while (!takeLock(lock)) {
    if (Date.now() > deadline) throw new Error(`another process holds ${lock}; delete it if there is none`);
    await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
  }
  try {
    return change();
  } finally {
    rmSync(lock, { force: true });
  }
}

function takeLock(lock: string): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o600));
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const madeAt = unlessAbsent(() => statSync(lock).mtimeMs);
    if (madeAt !== undefined && Date.now() - madeAt > STALE_LOCK_MS) rmSync(lock, { force: true });
    return false;
  }
}

function unlessAbsent<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
