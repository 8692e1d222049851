/** Runs wrangler, Cloudflare's own tool, which npx fetches when it is first needed. */
import { spawn } from 'node:child_process';
import { CommandError, EXIT } from './command-error.ts';

export interface Run {
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Its output is read here, and no person sees or answers it; else both ends are the terminal, all on stderr. */
  quiet: boolean;
}

export interface Outcome {
  /** Undefined where it was ended from outside. */
  code: number | undefined;
  stdout: string;
  /** With stdout: errors of wrangler come by either. */
  printed: string;
}

export interface Wrangler {
  /** Whether a person can answer. */
  readonly isInteractive: boolean;
  /** @throws CommandError when it cannot be started */
  run(run: Run): Promise<Outcome>;
}

/** Its messages and lists are some kB. */
const MAX_OUTPUT = 1024 * 1024;

/**
 * `command`: a program or a script for Node in place of npx with `spec`.
 * Arguments are ours, or checked: on Windows npx is a batch file, which runs by a shell.
 */
export function systemWrangler(spec: string, command: string | undefined, signal: AbortSignal): Wrangler {
  return {
    isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    run: ({ args, cwd, env, quiet }) =>
      new Promise((resolve, reject) => {
        const isScript = command !== undefined && /\.[cm]?js$/.test(command);
        const program = isScript ? process.execPath : (command ?? 'npx');
        const all = isScript ? [command, ...args] : command === undefined ? ['--yes', spec, ...args] : [...args];
        const child = spawn(program, all, {
          cwd,
          env,
          signal,
          stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['inherit', 2, 2],
          shell: process.platform === 'win32' && !isScript,
          windowsHide: true,
        });
        let stdout = '';
        let printed = '';
        let stopped: Error | undefined;
        child.stdout?.setEncoding('utf8').on('data', (text: string) => {
          stdout = (stdout + text).slice(0, MAX_OUTPUT);
          printed = (printed + text).slice(0, MAX_OUTPUT);
        });
        child.stderr?.setEncoding('utf8').on('data', (text: string) => {
          printed = (printed + text).slice(0, MAX_OUTPUT);
        });
        child.once('error', (error) => {
          // Until it has ended it may still write into its folder, which goes next.
          if (signal.aborted) stopped = error;
          else reject(unstartable(error, command));
        });
        child.once('close', (code) =>
          stopped === undefined ? resolve({ code: code ?? undefined, stdout, printed }) : reject(stopped),
        );
      }),
  };
}

function unstartable({ message }: Error, command: string | undefined): CommandError {
  return new CommandError(
    EXIT.config,
    command === undefined
      ? `npx cannot be run (${message}). It comes with npm: https://nodejs.org. Or name a wrangler that is installed: --wrangler <program>`
      : `--wrangler ${command}: ${message}. Name a program, or wrangler’s own script.`,
  );
}
