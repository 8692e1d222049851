/** The agent's own files: one folder, readable by its user alone. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { exportHostKeys, generateHostKeys, type HostKeys, importHostKeys } from '../shared/host-identity.ts';
import { isId } from '../shared/signal.ts';
import { CommandError, EXIT } from './command-error.ts';
import { unreadable } from './config-messages.ts';
import { changePrivate, deletePrivate, readPrivate, writePrivate } from './private-file.ts';
import { bearerToken } from './settings.ts';

/** What a login leaves behind. */
export interface Credentials {
  /** Origin, without a slash at the end. */
  edge: string;
  host_id: string;
  host_name: string;
  /** Secret. */
  token: string;
}

export interface HostIdentity {
  keys: HostKeys;
  /** The public key, base64url. */
  hostKey: string;
}

const credentials = z.object({
  edge: z.string().regex(/^https?:\/\/[^/?#@]+$/),
  host_id: z.string().refine(isId),
  host_name: z.string(),
  token: z.string().transform(bearerToken),
});
const storedHostKeys = z.object({ public_key: z.string(), private_key: z.string() });

const NEW_KEY =
  'Restore it from a backup, or delete it: the host gets a new key then, and devices that know the old one stop until they open its new link';

export class Store {
  readonly folder: string;
  readonly #warn: (line: string) => void;

  /** `folder` need not exist. `warn` gets what works but should be changed. */
  constructor(folder: string, warn: (line: string) => void) {
    this.folder = folder;
    this.#warn = warn;
  }

  /** The host's identity, made when it is first needed. It outlives logins. @throws CommandError */
  async identity(): Promise<HostIdentity> {
    const name = 'host-key.json';
    let stored = this.#read(name, storedHostKeys, NEW_KEY);
    if (stored === undefined) {
      const made = await exportHostKeys(await generateHostKeys({ extractable: true }));
      stored = await this.#writing(name, () =>
        changePrivate(this.path(name), () => {
          // Another process may have been faster.
          const known = this.#read(name, storedHostKeys, NEW_KEY);
          if (known === undefined) writePrivate(this.path(name), asText(made));
          return known ?? made;
        }),
      );
    }
    try {
      return { keys: await importHostKeys(stored), hostKey: stored.public_key };
    } catch {
      throw this.#damaged(name, 'its keys do not belong together', NEW_KEY);
    }
  }

  /** @throws CommandError */
  credentials(): Credentials | undefined {
    return this.#read('credentials.json', credentials, 'Delete it and run: direct-agent login <edge>');
  }

  /** @throws CommandError */
  async saveCredentials(saved: Credentials): Promise<void> {
    const name = 'credentials.json';
    await this.#writing(name, async () => writePrivate(this.path(name), asText(saved)));
  }

  /** @throws CommandError */
  async deleteCredentials(): Promise<void> {
    await this.#delete('credentials.json');
  }

  /** @throws CommandError */
  async deleteHostKey(): Promise<void> {
    await this.#delete('host-key.json');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  #read<T>(name: string, schema: z.ZodType<T>, fix: string): T | undefined {
    const path = this.path(name);
    let text: string | undefined;
    try {
      text = readPrivate(path);
    } catch (error) {
      throw new CommandError(EXIT.config, `${path} ${unreadable(error)}.`);
    }
    if (text === undefined) return undefined;
    this.#warnIfReadable(path);
    try {
      return schema.parse(JSON.parse(text));
    } catch {
      // The library's messages quote what they found, which may be the secret.
      throw this.#damaged(name, 'it is not what the agent wrote', fix);
    }
  }

  #damaged(name: string, what: string, fix: string): CommandError {
    return new CommandError(EXIT.config, `${this.path(name)} is damaged: ${what}. ${fix}.`);
  }

  async #writing<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(
        EXIT.config,
        `${this.path(name)} cannot be written (${codeOf(error)}). Name a folder of your own with --folder or DIRECT_AGENT_FOLDER.`,
      );
    }
  }

  async #delete(name: string): Promise<void> {
    await this.#writing(name, async () => deletePrivate(this.path(name)));
  }

  #warnIfReadable(path: string): void {
    if (process.platform === 'win32') return;
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) === 0) return;
    this.#warn(`${path} holds a secret and other users may read it (mode ${mode.toString(8)}). Run: chmod 600 ${path}`);
  }
}

function asText(content: object): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? String(error.code) : error.message;
}
