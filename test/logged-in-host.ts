/** A host as `direct-agent login` leaves it: a folder with its key and credential, and the processes that use it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store } from '../agent/store.ts';
import { logInAt } from './log-in.ts';
import { inside } from './namespaces.ts';

const PROGRAM = join(import.meta.dirname, '../agent/main.ts');
const STARTS_WITHIN_MS = 40_000;

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From the start of the process to its end. */
  readonly ms: number;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Network namespace; this process's own otherwise. */
  readonly namespace?: string;
}

export class LoggedInHost implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'direct-agent-host-'));
  readonly store = new Store(this.folder, () => {});
  readonly #environment: Readonly<Record<string, string>>;
  readonly #children: ChildProcess[] = [];

  /** Nobody has logged in yet. `environment` is that of all its processes, besides what they need. */
  constructor(environment: Readonly<Record<string, string>> = {}) {
    this.#environment = environment;
  }

  /** Its owner approves at once. Returns the host's id. */
  async logIn(edge: string): Promise<string> {
    const credentials = await logInAt(edge, await this.store.identity());
    await this.store.saveCredentials(credentials);
    return credentials.host_id;
  }

  /** `direct-agent up`, until `stop`; resolves when the edge has it. */
  async up(...args: string[]): Promise<ChildProcess> {
    const child = this.#spawn(['up', ...args], {});
    let log = '';
    child.stderr?.on('data', (text) => {
      log += text;
    });
    const ended = once(child, 'exit');
    const up = once(child.stdout ?? child, 'data', { signal: AbortSignal.timeout(STARTS_WITHIN_MS) });
    const first = await Promise.race([up.then(() => 'up'), ended.then(() => 'ended')]).catch(() => 'too late');
    if (first !== 'up') throw new Error(`the agent does not start (${first}):\n${log}`);
    return child;
  }

  /** Runs a command to its end. `started` gets the process, to send it signals. */
  async run(args: readonly string[], options: RunOptions = {}, started?: (child: ChildProcess) => void): Promise<Run> {
    const start = performance.now();
    const child = this.#spawn(args, options);
    started?.(child);
    const output = { stdout: '', stderr: '' };
    child.stdout?.on('data', (text) => {
      output.stdout += text;
    });
    child.stderr?.on('data', (text) => {
      output.stderr += text;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...output, ms: performance.now() - start };
  }

  async stop(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await this.stop(child);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(args: readonly string[], { environment, namespace }: RunOptions): ChildProcess {
    const command = [process.execPath, PROGRAM, ...args];
    const [program = '', ...rest] = namespace === undefined ? command : inside(namespace, ...command);
    const child = spawn(program, rest, {
      env: {
        PATH: process.env.PATH,
        DIRECT_AGENT_FOLDER: this.folder,
        // The router of the machine that runs the tests is none of theirs.
        DIRECT_AGENT_PORT_MAPPING: 'no',
        DIRECT_AGENT_ENGINE: process.env.DIRECT_AGENT_ENGINE,
        ...this.#environment,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    return child;
  }
}
