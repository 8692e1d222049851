/** A stack whose edge counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OWNER_TOKEN, Stack } from '../test/stack.ts';
import { type Counts, since } from './cost-counts.ts';

/** Linux counts CPU time for programs in hundredths of a second (proc(5), USER_HZ). */
const TICKS_PER_SECOND = 100;

export interface Cost {
  counts: Counts;
  /** CPU time of all of workerd: more than its Worker's code ran, which its own clock does not show. */
  cpuSeconds: number;
}

export class CountingStack {
  readonly stack: Stack;
  readonly #workerd: readonly number[];

  private constructor(stack: Stack, workerd: readonly number[]) {
    this.stack = stack;
    this.#workerd = workerd;
  }

  /** One after the other: that is how each knows its workerd. */
  static async start(): Promise<CountingStack> {
    const before = new Set(children('workerd'));
    const main = join(import.meta.dirname, 'cost-worker.ts');
    const stack = await Stack.start({
      flags: { logLevel: 'error' },
      edge: { main, compatibilityFlags: ['nodejs_als'] },
    });
    // The account's first request makes its tables, and is one of many.
    const headers = { authorization: `Bearer ${OWNER_TOKEN}` };
    const response = await fetch(stack.signalingUrl, { headers });
    if (!response.ok) throw new Error(`the edge answered ${response.status}`);
    return new CountingStack(
      stack,
      children('workerd').filter((pid) => !before.has(pid)),
    );
  }

  /** What the edge did while `run` ran. */
  async measure(run: () => Promise<unknown>): Promise<Cost> {
    const [before, cpuBefore] = [await this.#read(), this.#cpuSeconds()];
    await run();
    return { counts: since(before, await this.#read()), cpuSeconds: this.#cpuSeconds() - cpuBefore };
  }

  close(): Promise<void> {
    return this.stack.close();
  }

  async #read(): Promise<Counts> {
    const response = await fetch(`${this.stack.edge.url}/_direct/bench/counts`);
    // By the Worker beside this file.
    return (await response.json()) as Counts;
  }

  #cpuSeconds(): number {
    const ticks = this.#workerd.map((pid) => {
      // After the program's name, which may hold anything: proc(5) counts the state as field 3, CPU times are 14 and 15.
      const fields = statOf(pid).split(' ');
      return Number(fields[11]) + Number(fields[12]);
    });
    return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
  }
}

function statOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2);
}

/** Processes that this one started; none where there is no /proc. */
function children(program: string): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => isChild(pid, program));
  } catch {
    return [];
  }
}

function isChild(pid: number, program: string): boolean {
  try {
    return (
      readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === program && Number(statOf(pid).split(' ')[1]) === process.pid
    );
  } catch {
    // It has ended in between.
    return false;
  }
}
