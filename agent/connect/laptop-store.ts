/** The hosts that `connect` knows, in `laptop.json` of the agent's folder: for its user alone, as it holds secrets. */
import { join } from 'node:path';
import { z } from 'zod';
import { exportHostKeys, generateHostKeys, importHostKeys } from '../../shared/host-identity.ts';
import { isId } from '../../shared/signal.ts';
import { CommandError, EXIT } from '../command-error.ts';
import { reasonOf } from '../config-messages.ts';
import { changePrivate, deletePrivate, jsonOf, readPrivate, writePrivate } from '../private-file.ts';

/** In URLs of models (`name/model`) and on command lines. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const connection = z.object({
  name: z.string().regex(NAME),
  /** Its origin. */
  edge: z.string().regex(/^https?:\/\/[^/?#@]+$/),
  host_id: z.string().refine(isId),
  /** Pinned; absent as long as nobody has believed one. */
  host_key: z.string().optional(),
  /** An API key or the owner's token. Secret. */
  key: z.string().min(1).optional(),
  /** This machine, for a host with `access: paired`. Secret. */
  device: z.object({ public_key: z.string(), private_key: z.string() }).optional(),
  /** Programs are set to it, so it stays. */
  port: z.int().min(1).max(65_535).optional(),
  /** False: no request by plain HTTPS, which the edge could read. */
  tunnel: z.literal(false).optional(),
});
const file = z.object({ connections: z.array(connection) });

export type SavedConnection = z.infer<typeof connection>;
export type DeviceKeyPair = Awaited<ReturnType<typeof importHostKeys>>;

export class LaptopStore {
  readonly #path: string;

  /** `folder` need not exist. */
  constructor(folder: string) {
    this.#path = join(folder, 'laptop.json');
  }

  /** @throws CommandError */
  connections(): SavedConnection[] {
    let text: string | undefined;
    try {
      text = readPrivate(this.#path);
    } catch (error) {
      throw new CommandError(
        EXIT.config,
        `${this.#path} cannot be read (${reasonOf(error)}). Check its owner and permissions.`,
      );
    }
    if (text === undefined) return [];
    const parsed = file.safeParse(jsonOf(text));
    if (parsed.success) return parsed.data.connections;
    // The library's messages quote what they found, which may be the secret.
    throw new CommandError(
      EXIT.config,
      `${this.#path} is damaged: it is not what this program wrote. Delete it and connect again with the link that the agent prints.`,
    );
  }

  /** Adds the connection, or replaces the one with its name. @throws CommandError */
  async save(saved: SavedConnection): Promise<void> {
    await this.#change((all) => {
      const index = all.findIndex(({ name }) => name === saved.name);
      return index < 0 ? [...all, saved] : all.with(index, saved);
    });
  }

  /** False: there is none of this name. @throws CommandError */
  async forget(name: string): Promise<boolean> {
    let found = false;
    await this.#change((all) => {
      found = all.some((one) => one.name === name);
      return all.filter((one) => one.name !== name);
    });
    return found;
  }

  async #change(change: (all: SavedConnection[]) => SavedConnection[]): Promise<void> {
    try {
      await changePrivate(this.#path, () => {
        const changed = change(this.connections());
        if (changed.length === 0) deletePrivate(this.#path);
        else writePrivate(this.#path, `${JSON.stringify({ connections: changed }, null, 2)}\n`);
      });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(
        EXIT.config,
        `${this.#path} cannot be written (${reasonOf(error)}). Name a folder of your own with --folder or DIRECT_AGENT_FOLDER.`,
      );
    }
  }
}

/** @throws CommandError */
export function checkedName(name: string): string {
  if (NAME.test(name)) return name;
  throw new CommandError(EXIT.usage, '--name takes letters, digits, dots, dashes and underscores, such as home.');
}

/** Keys for this machine as a device, to be stored. */
export async function newDevice(): Promise<NonNullable<SavedConnection['device']>> {
  return exportHostKeys(await generateHostKeys({ extractable: true }));
}

/** @throws CommandError */
export async function deviceKeys({ name, device }: SavedConnection): Promise<DeviceKeyPair | undefined> {
  try {
    return device && (await importHostKeys(device));
  } catch {
    throw new CommandError(
      EXIT.config,
      `The key of this machine for ${name} is damaged. Pair it again: run direct-agent pair on the host, and give its link to direct-agent connect.`,
    );
  }
}
