/** The agent's own files: one folder, readable by its user alone. */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { decodeBase64url, encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, type HostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { MAX_ID_LENGTH } from '../shared/limits.ts';
import { CommandError, EXIT } from './command-error.ts';
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
  host_id: z.string().regex(new RegExp(`^[A-Za-z0-9_-]{1,${MAX_ID_LENGTH}}$`)),
  host_name: z.string(),
  token: z.string().transform(bearerToken),
});
const hostKeyFile = z.object({ host_key: z.string(), private_key: z.string() });

const NEW_KEY = 'the host gets a new key then, and devices that know the old one stop until they open its new link';

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
    const known = await this.knownIdentity();
    if (known !== undefined) return known;
    const keys = await generateHostKeys({ extractable: true });
    const hostKey = encodeBase64url(await hostKeyBytes(keys));
    const privateKey = new Uint8Array(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
    const made = { host_key: hostKey, private_key: encodeBase64url(privateKey) };
    if (this.#write('host-key.json', made, { replace: false })) return { keys, hostKey };
    // Another process was faster.
    return await this.identity();
  }

  /** The host's identity if there is one. @throws CommandError */
  async knownIdentity(): Promise<HostIdentity | undefined> {
    const fix = `Restore it from a backup, or delete it: ${NEW_KEY}`;
    const stored = this.#read('host-key.json', hostKeyFile, fix);
    if (stored === undefined) return undefined;
    const broken = this.#damaged('host-key.json', 'its keys do not belong together', fix);
    const publicKey = decodeBase64url(stored.host_key);
    const privateKey = decodeBase64url(stored.private_key);
    if (publicKey === undefined || privateKey === undefined) throw broken;
    try {
      const keys: HostKeys = {
        publicKey: await crypto.subtle.importKey('raw', publicKey, 'Ed25519', true, ['verify']),
        privateKey: await crypto.subtle.importKey('pkcs8', privateKey, 'Ed25519', false, ['sign']),
      };
      const proof = await crypto.subtle.sign('Ed25519', keys.privateKey, publicKey);
      if (!(await crypto.subtle.verify('Ed25519', keys.publicKey, proof, publicKey))) throw broken;
      return { keys, hostKey: stored.host_key };
    } catch {
      throw broken;
    }
  }

  /** @throws CommandError */
  credentials(): Credentials | undefined {
    return this.#read('credentials.json', credentials, 'Delete it and run: direct-agent login <edge>');
  }

  /** @throws CommandError */
  saveCredentials(saved: Credentials): void {
    this.#write('credentials.json', saved, { replace: true });
  }

  deleteCredentials(): void {
    this.#delete('credentials.json');
  }

  deleteHostKey(): void {
    this.#delete('host-key.json');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  #read<T>(name: string, schema: z.ZodType<T>, fix: string): T | undefined {
    const path = this.path(name);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw new CommandError(
        EXIT.config,
        `${path} cannot be read (${codeOf(error)}). Check its owner and permissions.`,
      );
    }
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

  /** Whole or not at all, whatever happens meanwhile. False if the file exists and shall stay. */
  #write(name: string, content: object, { replace }: { replace: boolean }): boolean {
    const path = this.path(name);
    const temporary = `${path}.${randomBytes(6).toString('hex')}`;
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      writeFileSync(temporary, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true });
      if (replace) renameSync(temporary, path);
      else linkSync(temporary, path);
      return true;
    } catch (error) {
      if (!replace && codeOf(error) === 'EEXIST') return false;
      throw new CommandError(
        EXIT.config,
        `${path} cannot be written (${codeOf(error)}). Name a folder of your own with --folder or DIRECT_AGENT_FOLDER.`,
      );
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  #delete(name: string): void {
    const path = this.path(name);
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw new CommandError(EXIT.config, `${path} cannot be deleted (${codeOf(error)}). Delete it yourself.`);
    }
  }

  #warnIfReadable(path: string): void {
    if (process.platform === 'win32') return;
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) === 0) return;
    this.#warn(`${path} holds a secret and other users may read it (mode ${mode.toString(8)}). Run: chmod 600 ${path}`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
