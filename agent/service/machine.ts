/** What services need of this machine, so that a test can be another one. */
import { spawn } from 'node:child_process';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir, uptime, userInfo } from 'node:os';

/** A system that does not answer by then will not. */
const COMMAND_TIMEOUT_MS = 60_000;

export interface Machine {
  platform: NodeJS.Platform;
  home: string;
  /** Undefined on Windows. */
  uid: number | undefined;
  userName: string;
  /** The program that runs this. */
  node: string;
  main: string;
  uptimeMs(): number;
  exists(path: string): boolean;
  /** Ours, where there is no such file yet. */
  ownerOf(path: string): { uid: number; gid: number };
  isAlive(pid: number): boolean;
  /** To its end. A program that is missing has code 127. */
  run(argv: readonly string[]): Promise<Ended>;
  /** As `run`, on this terminal, until `signal`. */
  show(argv: readonly string[], signal: AbortSignal): Promise<number>;
}

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

export function thisMachine(): Machine {
  const { username } = userInfo();
  return {
    platform: process.platform,
    home: homedir(),
    uid: process.getuid?.(),
    userName: username,
    node: process.execPath,
    main: realpathSync(process.argv[1] ?? ''),
    uptimeMs: () => uptime() * 1_000,
    exists: existsSync,
    ownerOf: (path) => {
      const { uid = process.getuid?.() ?? 0, gid = process.getgid?.() ?? 0 } =
        statSync(path, { throwIfNoEntry: false }) ?? {};
      return { uid, gid };
    },
    isAlive(pid) {
      try {
        return process.kill(pid, 0);
      } catch (error) {
        // Somebody else's.
        return error instanceof Error && 'code' in error && error.code === 'EPERM';
      }
    },
    run,
    show,
  };
}

/** Answers in English, and times in UTC. */
function environment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  // Missing after “su”; systemctl finds the user's manager by it.
  const runtime = `/run/user/${process.getuid?.()}`;
  if (process.platform === 'linux' && env.XDG_RUNTIME_DIR === undefined && existsSync(runtime)) {
    env.XDG_RUNTIME_DIR = runtime;
  }
  return env;
}

function run([command = '', ...args]: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
      windowsHide: true,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (part) => (stdout += part));
    child.stderr.on('data', (part) => (stderr += part));
    child.on('error', (error) => resolve({ code: 127, stdout, stderr: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

function show([command = '', ...args]: readonly string[], signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const stop = () => void child.kill();
    signal.addEventListener('abort', stop, { once: true });
    const end = (code: number) => {
      signal.removeEventListener('abort', stop);
      resolve(code);
    };
    child.on('error', () => end(127));
    child.on('close', (code) => end(code ?? 0));
  });
}
