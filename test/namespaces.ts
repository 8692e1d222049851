/** Network namespaces of Linux: what labs are made of. Their names tell who made them, so that leftovers can be told. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import type { Socket as UdpSocket } from 'node:dgram';
import type { Server, Socket as TcpSocket } from 'node:net';
import { join } from 'node:path';
import { findProgram } from '../scripts/programs.ts';

/** For `test.skipIf`: why no namespaces can be made here, or false. `attempt` is made inside one. */
export function namespacesMissing(programs: readonly string[], attempt: (namespace: string) => void): string | false {
  if (process.platform !== 'linux') return 'network namespaces need Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const absent = ['ip', 'nft', ...programs].find((program) => findProgram(program) === undefined);
  if (absent !== undefined) return `${absent} is not installed`;
  const name = `da-lab-${process.pid}-probe`;
  try {
    ip('netns', 'add', name);
    try {
      attempt(name);
      return false;
    } finally {
      ip('netns', 'del', name);
    }
  } catch (error) {
    return `no network namespace can be made: ${error instanceof Error ? error.message : error}`;
  }
}

/** The command that runs `command` in a namespace. */
export function inside(namespace: string, ...command: string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...command];
}

export function ip(...args: string[]): string {
  return run(['ip', ...args]);
}

/** Runs a program to its end. @throws Error with what it wrote to stderr. */
export function run([program = '', ...args]: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw error ?? new Error(`${[program, ...args].join(' ')}: ${stderr.trim()}`);
}

/** Starts a program in a namespace. */
export function spawnInside(namespace: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const [program = '', ...args] = inside(namespace, ...command);
  return spawn(program, args, options);
}

/**
 * TCP servers of this process that listen in a namespace.
 * @throws Error when one cannot, such as for an address that nobody has there.
 */
export async function listenInside(namespace: string, addresses: readonly string[], port: number): Promise<Server[]> {
  return (await openInside(namespace, 'tcp', port, addresses)) as Server[];
}

/** UDP sockets of this process in a namespace, each on a port of its own. @throws Error likewise. */
export async function bindInside(namespace: string, addresses: readonly string[]): Promise<UdpSocket[]> {
  return (await openInside(namespace, 'udp', 0, addresses)) as UdpSocket[];
}

/** A socket stays where it was made, so a child makes it there and hands it over. */
function openInside(
  namespace: string,
  kind: 'tcp' | 'udp',
  port: number,
  addresses: readonly string[],
): Promise<unknown[]> {
  const program = join(import.meta.dirname, 'namespace-listener.ts');
  const child = spawnInside(namespace, [process.execPath, program, kind, String(port), ...addresses], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const sockets: unknown[] = [];
  return new Promise((resolve, reject) => {
    // This process takes connections from the moment a server arrives, and nobody would ever read them.
    const drop = (connection: TcpSocket) => void connection.destroy();
    child.on('message', (_, socket) => {
      if (kind === 'tcp') (socket as Server).on('connection', drop);
      sockets.push(socket);
      if (sockets.length === addresses.length) child.disconnect();
    });
    child.once('error', reject);
    // Until then the child has them as well, and may take what arrives.
    child.once('exit', (code) => {
      if (kind === 'tcp') for (const server of sockets as Server[]) server.off('connection', drop);
      if (sockets.length === addresses.length) resolve(sockets);
      else reject(new Error(`no ${kind} socket at ${addresses} in ${namespace}: exit code ${code}`));
    });
  });
}

/** Removes what killed processes left: namespaces of the name `{prefix}-{pid of their maker}-…`. */
export function removeLeftovers(prefix: string, remove: (namespace: string) => void): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const [name, pid] = new RegExp(`^${prefix}-(\\d+)-\\S+`).exec(line) ?? [];
    if (name !== undefined && !isAlive(Number(pid))) remove(name);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** With everything that runs in it. Never throws: another process may be at the same work. */
export function removeNamespace(name: string): void {
  tryAll([
    () => {
      for (const pid of ip('netns', 'pids', name).split('\n')) if (pid !== '') process.kill(Number(pid), 'SIGKILL');
    },
    () => ip('netns', 'del', name),
  ]);
}

/** What fails here is gone already, or was never there. */
export function tryAll(attempts: readonly (() => unknown)[]): void {
  for (const attempt of attempts) {
    try {
      attempt();
    } catch {
      // See above.
    }
  }
}
