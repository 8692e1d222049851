/** `direct-agent device`: the devices that are paired with this host. */
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { listDevices, removeDevice } from '../devices.ts';
import { type Context, day, type Flags, openStore, table } from './context.ts';

/** @throws CommandError */
export async function listPaired(context: Context, flags: Flags): Promise<ExitCode> {
  const devices = await ofFiles(listDevices(openStore(context, flags).folder));
  if (flags.json === true) {
    const shown = devices.map(({ id, name, paired_at, last_used_at }) => ({ id, name, paired_at, last_used_at }));
    context.out(JSON.stringify({ devices: shown }, null, 2));
  } else if (devices.length === 0) {
    context.err('No device is paired with this host. Pair one with: direct-agent pair');
  } else {
    const rows = devices.map(({ id, name, paired_at, last_used_at }) => [id, day(paired_at), day(last_used_at), name]);
    for (const line of table(['ID', 'PAIRED', 'LAST USED', 'NAME'], rows)) context.out(line);
  }
  return EXIT.ok;
}

/** @throws CommandError */
export async function removePaired(context: Context, idOrName: string, flags: Flags): Promise<ExitCode> {
  const removed = await ofFiles(removeDevice(openStore(context, flags).folder, idOrName));
  if (removed === undefined) {
    throw new CommandError(EXIT.usage, `No device is called “${plain(idOrName)}”. See: direct-agent device list`);
  }
  context.err(`The device “${plain(removed.name)}” (${removed.id}) is no longer paired.`);
  return EXIT.ok;
}

/** What the files of devices throw is a sentence for people. */
export async function ofFiles<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new CommandError(EXIT.config, error instanceof Error ? error.message : String(error));
  }
}
