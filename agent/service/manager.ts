/** What keeps a program running, as the commands see it: systemd, launchd or the Task Scheduler. */
import type { Machine } from './machine.ts';
import type { Program } from './program.ts';

export interface Manager {
  /** For people: “systemd”. */
  name: string;
  /** Why it cannot be used here, with what to do; a sentence. */
  problem: string | undefined;
  file: ServiceFile;
  install: readonly Step[];
  uninstall: readonly Step[];
  /** After the file is gone. */
  afterwards: readonly Step[];
  restart: readonly Step[];
  status(): Promise<ServiceStatus>;
  /** The command that shows the log; undefined where it is the supervisor's file. */
  logs: ((lines: number, follow: boolean) => readonly string[]) | undefined;
}

export interface ServiceFile {
  path: string;
  text: string;
  encoding: 'utf8' | 'utf16le';
}

/** A command of the system. */
export interface Step {
  argv: readonly string[];
  /** What it means when it fails; the next step follows all the same. Without it, a failure ends the work. */
  otherwise?: string;
  /** So often before it counts as failed, with a pause between. */
  tries?: number;
}

export interface ServiceStatus {
  installed: boolean;
  running: boolean;
  pid: number | null;
  since: number | null;
  restarts: number;
  last_exit: { code: number | null; signal: string | null; at: number | null } | null;
}

export interface ManagerOptions {
  machine: Machine;
  env: Readonly<Record<string, string | undefined>>;
  now(): number;
  program: Program;
  /** For all users of the machine; systemd only. */
  system: boolean;
}

/** Nothing to say of a failure. */
export const NEVER_MIND = '';
