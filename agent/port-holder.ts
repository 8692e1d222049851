/** Which program of this machine has a UDP port, for a message about a port that is taken. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * “node (process 123)”, or undefined where it cannot be known: other systems than Linux, other users' programs. It walks
 * through /proc, which takes some ten milliseconds, so it is for errors only.
 */
export function udpPortHolder(port: number): string | undefined {
  const sockets = new Set(['udp', 'udp6'].flatMap((table) => socketsAt(port, table)));
  if (sockets.size === 0) return undefined;
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    if (!entries(folder).some((fd) => sockets.has(link(`${folder}/${fd}`)))) continue;
    const program = link(`/proc/${pid}/exe`).replace(/^.*\//, '');
    return `${program === '' ? 'a program' : program} (process ${pid})`;
  }
  return undefined;
}

/** proc(5), /proc/net/udp: the second field is address:port in hexadecimal, the tenth the inode. */
function socketsAt(port: number, table: string): string[] {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return read(`/proc/net/${table}`)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(hex))
    .map((fields) => `socket:[${fields[9]}]`);
}

function read(path: string): string {
  return unlessDenied(() => readFileSync(path, 'utf8')) ?? '';
}

function entries(folder: string): string[] {
  return unlessDenied(() => readdirSync(folder)) ?? [];
}

function link(path: string): string {
  return unlessDenied(() => readlinkSync(path)) ?? '';
}

/** Processes end meanwhile, and those of others are closed to us. */
function unlessDenied<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
