/** The agent of the soak test: the program as people run it, with a clock that can be advanced, and what it holds. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { spawnInside } from '../namespaces.ts';
import type { Ask, Measured, Told } from './fast-clock.ts';

export interface AgentProcessOptions {
  namespace: string;
  /** After `direct-agent`. */
  args: readonly string[];
  env: Record<string, string>;
  /** The program; from source otherwise. */
  main?: string | undefined;
  /** For Node, such as `--max-semi-space-size=4`. */
  nodeArgs?: readonly string[];
}

/** What the process holds. */
export interface Held extends Measured {
  /** Bytes. */
  rss: number;
  /** Open descriptors by kind: `udp`, `tcp`, `listen`, `unix`, `pipe`, `file`, `event`. */
  descriptors: Record<string, number>;
  children: number;
}

const SOURCE = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const FAST_CLOCK = fileURLToPath(new URL('./fast-clock.ts', import.meta.url));
/** Of its log, for those who read why a soak test failed. */
const KEPT_LINES = 4_000;
/**
 * How much the agent's time is advanced at once. In between the clients, in this process, have a turn: what the agent
 * expects within 10 s has several of them to come.
 */
const STEP_MS = 2_000;
const STEP_PAUSE_MS = 2;

export class AgentProcess {
  /** What it logged last. */
  readonly log: string[] = [];
  /** When its link to the edge came up, each time; performance.now(). */
  readonly ups: number[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (told: Told) => void>();
  #lastId = 0;
  #ended = '';

  constructor({ namespace, args, env, main = SOURCE, nodeArgs = [] }: AgentProcessOptions) {
    const command = [process.execPath, ...nodeArgs, '--import', FAST_CLOCK, main, ...args];
    this.#child = spawnInside(namespace, command, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let rest = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = `${rest}${text}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#heard(line);
    });
    this.#child.on('message', (told: Told) => {
      this.#waiting.get(told.id)?.(told);
      this.#waiting.delete(told.id);
    });
    this.#child.once('exit', (code, signal) => {
      this.#ended = `the agent ended with ${code ?? signal}`;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Why it does not run, or an empty text. */
  get ended(): string {
    return this.#ended;
  }

  /** Of this process, mistakes that it survived. */
  get mistakes(): string[] {
    return this.log.filter((line) => /unexpected:|^\s+at /.test(line));
  }

  /** Lets so much time pass for the agent. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      await this.#ask({ do: 'advance', ms: Math.min(left, STEP_MS) });
      await sleep(STEP_PAUSE_MS);
    }
  }

  async suspended(ms: number): Promise<void> {
    await this.#ask({ do: 'suspend', ms });
  }

  async snapshot(file: string): Promise<void> {
    await this.#ask({ do: 'snapshot', file });
  }

  /** Since its link came up after `since`, in ms of performance.now(); undefined while it is not. */
  upAfter(since: number): number | undefined {
    return this.ups.find((at) => at >= since);
  }

  descriptors(): Record<string, number> {
    const of = socketsOf(this.pid);
    const counts: Record<string, number> = {};
    for (const fd of readdirSync(`/proc/${this.pid}/fd`)) {
      let target: string;
      try {
        target = readlinkSync(`/proc/${this.pid}/fd/${fd}`);
      } catch {
        // It was closed meanwhile.
        continue;
      }
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      const kind = inode === undefined ? kindOf(target) : (of.get(inode) ?? 'unix');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  async held(): Promise<Held> {
    const { measured } = await this.#ask({ do: 'measure' });
    if (measured === undefined) throw new Error('the agent told nothing');
    const rss = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]) * 1024;
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').split(' ').length - 1;
    return { ...measured, rss, descriptors: this.descriptors(), children };
  }

  async close(): Promise<void> {
    if (this.#ended !== '') return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(late);
  }

  #heard(line: string): void {
    if (line.includes('link: connected to the edge')) this.ups.push(performance.now());
    this.log.push(line);
    if (this.log.length > KEPT_LINES) this.log.splice(0, this.log.length - KEPT_LINES);
  }

  #ask(ask: WithoutId<Ask>): Promise<Told> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#ended !== '') {
        reject(new Error(this.#ended));
        return;
      }
      const late = setTimeout(() => reject(new Error(`the agent does not answer: ${ask.do}`)), 60_000);
      this.#waiting.set(id, (told) => {
        clearTimeout(late);
        resolve(told);
      });
      this.#child.send({ ...ask, id });
    });
  }
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** Kinds of the sockets in the process's network namespace, by inode. */
function socketsOf(pid: number): Map<string, string> {
  const kinds = new Map<string, string>();
  for (const [file, kind] of [
    ['udp', 'udp'],
    ['udp6', 'udp'],
    ['tcp', 'tcp'],
    ['tcp6', 'tcp'],
  ] as const) {
    for (const line of readFileSync(`/proc/${pid}/net/${file}`, 'utf8').split('\n').slice(1)) {
      // sl, local, remote, state, queues, timer, retransmissions, uid, time-out, inode
      const [, , , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      kinds.set(inode, kind === 'tcp' && state === '0A' ? 'listen' : kind);
    }
  }
  return kinds;
}

function kindOf(target: string): string {
  if (target.startsWith('pipe:')) return 'pipe';
  if (target.startsWith('anon_inode:')) return 'event';
  return 'file';
}
