/** Which router this machine's packets leave through. Node does not say; each system has its own way. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { isIPv4, isIPv6 } from 'node:net';
import { endianness, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A default route of the system. */
export interface Route {
  gateway: string;
  /** The name of its interface, or of an address of it (Windows: also its number). */
  via: string;
  metric: number;
}

const COMMAND = { timeout: 5000, windowsHide: true, maxBuffer: 1024 * 1024 } as const;
const RTF_UP_AND_GATEWAY = 0x3;

/**
 * The gateway of the interface that has the address, with a zone if it is link-local.
 *
 * @returns undefined if there is none, or nobody knows.
 */
export async function findGateway(address: string): Promise<string | undefined> {
  const family = isIPv4(address) ? 4 : 6;
  try {
    const interfaces = networkInterfaces();
    const [name, addresses = []] =
      Object.entries(interfaces).find(([, list]) => list?.some((one) => one.address === address)) ?? [];
    if (name === undefined) return undefined;
    const scopes = addresses.flatMap((one) => (one.family === 'IPv6' && one.scopeid ? [String(one.scopeid)] : []));
    const names = [name, address, ...scopes];
    const [route] = (await readRoutes(family))
      .filter(({ via }) => names.includes(via))
      .sort((one, other) => one.metric - other.metric);
    if (route === undefined) return undefined;
    const isLinkLocal = /^fe[89ab]/i.test(route.gateway);
    if (!isLinkLocal) return route.gateway;
    return `${route.gateway}%${process.platform === 'win32' ? scopes[0] : name}`;
  } catch {
    // No such file or program: port mapping is not for this system.
    return undefined;
  }
}

async function readRoutes(family: 4 | 6): Promise<Route[]> {
  if (process.platform === 'linux' || process.platform === 'android') {
    if (family === 4) return parseProcRoute(await readFile('/proc/net/route', 'latin1'), endianness());
    return parseProcRoute6(await readFile('/proc/net/ipv6_route', 'latin1'));
  }
  const run = promisify(execFile);
  if (process.platform === 'win32') {
    const program = join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'route.exe');
    const { stdout } = await run(program, ['print', family === 4 ? '-4' : '-6'], COMMAND);
    return parseRoutePrint(stdout);
  }
  const { stdout } = await run('netstat', ['-rn', '-f', family === 4 ? 'inet' : 'inet6'], COMMAND);
  return parseNetstat(stdout);
}

/** Linux, IPv4: hexadecimal numbers in the machine's byte order (proc_net(5)). */
export function parseProcRoute(text: string, order: 'LE' | 'BE'): Route[] {
  return text.split('\n').flatMap((line) => {
    const [via = '', destination, gateway = '', flags = '', , , metric, mask] = line.split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000' || !/^[0-9A-F]{8}$/.test(gateway)) return [];
    if ((Number.parseInt(flags, 16) & RTF_UP_AND_GATEWAY) !== RTF_UP_AND_GATEWAY) return [];
    const bytes = [...Buffer.from(gateway, 'hex')];
    return [{ via, gateway: (order === 'LE' ? bytes.reverse() : bytes).join('.'), metric: Number(metric) }];
  });
}

/** Linux, IPv6: destination, its prefix, source, its prefix, next hop, metric, references, uses, flags, interface. */
export function parseProcRoute6(text: string): Route[] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', prefix, , , gateway = '', metric = '', , , flags = '', via = ''] = line
      .trim()
      .split(/\s+/);
    if (!/^0{32}$/.test(destination) || prefix !== '00' || !/^[0-9a-f]{32}$/.test(gateway)) return [];
    if ((Number.parseInt(flags, 16) & RTF_UP_AND_GATEWAY) !== RTF_UP_AND_GATEWAY) return [];
    const address = new URL(`http://[${gateway.replaceAll(/(....)(?!$)/g, '$1:')}]`).hostname.slice(1, -1);
    return [{ via, gateway: address, metric: Number.parseInt(metric, 16) }];
  });
}

/** macOS and the BSDs, `netstat -rn`: destination, gateway, flags, interface; the first default route is in use. */
export function parseNetstat(text: string): Route[] {
  return text.split('\n').flatMap((line, metric) => {
    const [destination, gateway = '', flags = '', ...rest] = line.trim().split(/\s+/);
    if (destination !== 'default' || !flags.includes('G')) return [];
    const [address = '', zone] = gateway.split('%');
    // Older systems have counters before the interface, and some a time-out after it.
    const via = zone ?? rest.find((word) => /^[a-z]+\d+$/i.test(word)) ?? '';
    return isIPv4(address) || isIPv6(address) ? [{ via, gateway: address, metric }] : [];
  });
}

/** Windows, `route print`, in which only the numbers do not depend on the language. */
export function parseRoutePrint(text: string): Route[] {
  return text.split('\n').flatMap((line) => {
    const words = line.trim().split(/\s+/);
    // Destination, mask, gateway, the interface's address, metric. Persistent routes have no interface.
    if (words[0] === '0.0.0.0' && words[1] === '0.0.0.0' && words.length === 5) {
      const [, , gateway = '', via = '', metric] = words;
      return isIPv4(gateway) ? [{ gateway, via, metric: Number(metric) }] : [];
    }
    // Interface's number, metric, destination, gateway.
    if (words[2] === '::/0' && words.length === 4) {
      const [via = '', metric, , gateway = ''] = words;
      return isIPv6(gateway) ? [{ gateway, via, metric: Number(metric) }] : [];
    }
    return [];
  });
}
