/** The agent as people run it, as a process of its own at a stack's edge: what it says, and what memory it takes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';
import { AGENT_TOKEN, type Stack } from './stack.ts';

export class AgentCommand {
  /** Everything that it printed. */
  said = '';
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (part) => {
      this.said += part;
    });
  }

  /** In place of the agent of `stack`; `flags` are the command's. */
  static async start(stack: Stack, flags: readonly string[] = [], upstream = stack.fake.url): Promise<AgentCommand> {
    await stack.stopAgent();
    const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
    const all = ['--signaling-url', stack.signalingUrl, '--upstream', upstream, '--port-mapping', 'no', ...flags];
    const child = spawn(process.execPath, [main, 'up', ...all], {
      env: { ...process.env, DIRECT_AGENT_TOKEN: AGENT_TOKEN, DIRECT_AGENT_FOLDER: stack.folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const agent = new AgentCommand(child);
    await vi.waitFor(() => expect(agent.said).toContain('connected to the edge'), 40_000);
    return agent;
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resident memory in bytes. */
  get resident(): number {
    return this.#memory('VmRSS');
  }

  /** The most that it was since `forgetPeak`, in bytes. */
  get peak(): number {
    return this.#memory('VmHWM');
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.#child.pid}/clear_refs`, '5');
  }

  close(): void {
    this.#child.kill();
  }

  #memory(name: string): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  }
}
