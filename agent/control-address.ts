/** Where a running agent can be asked how it is: a socket in its folder that only its user may open. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

/** `sun_path` has 104 bytes on macOS and 108 on Linux, with a zero at the end; a longer name is cut off or refused. */
const MAX_PATH_BYTES = 103;
/** The socket gets its name when it is ready: `.` and six characters before that. */
const SUFFIX_BYTES = 7;

export interface ControlAddress {
  /** What to connect to. */
  readonly path: string;
  /** It is a file. On Windows it is a named pipe, which ends with its process. */
  readonly isFile: boolean;
  /** The folder for it, if it is not the agent's own. */
  readonly elsewhere?: string;
}

export interface Machine {
  readonly platform: NodeJS.Platform;
  /** For sockets whose own folder has too long a name. */
  readonly temporary: string;
  readonly user: string;
}

const thisMachine = (): Machine => ({
  platform: process.platform,
  temporary: tmpdir(),
  user: `${process.getuid?.() ?? userInfo().username}`,
});

/** For the agent whose files are in `folder`. */
export function controlAddress(folder: string, machine: Machine = thisMachine()): ControlAddress {
  const whole = resolve(folder);
  const name = createHash('sha256').update(whole).digest('hex').slice(0, 32);
  if (machine.platform === 'win32') return { path: `\\\\.\\pipe\\direct-agent-${name}`, isFile: false };
  const path = join(whole, 'agent.sock');
  if (Buffer.byteLength(path) + SUFFIX_BYTES <= MAX_PATH_BYTES) return { path, isFile: true };
  const elsewhere = join(machine.temporary, `direct-agent-${machine.user}`);
  return { path: join(elsewhere, name), isFile: true, elsewhere };
}

/**
 * Makes the folder of an address. In a folder that everybody may write to, somebody else may have been there first.
 * @throws Error that says why it cannot be used
 */
export function makeFolder({ elsewhere }: ControlAddress, folder: string): void {
  mkdirSync(elsewhere ?? folder, { recursive: true, mode: 0o700 });
  if (elsewhere !== undefined && !isOurs(elsewhere)) throw new Error(`${elsewhere} belongs to somebody else`);
}

/** Whether what is there can be believed. */
export function isOurs(elsewhere: string): boolean {
  const found = lstatSync(elsewhere, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
}
