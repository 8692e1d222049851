/**
 * An internet in which every two parties are the same round trip apart, for measurements: this process is on it with
 * the edge and the STUN server, the client and the agent are each behind a NAT of their own, in network namespaces.
 * The NATs keep ports and let in what was asked for only (RFC 4787: endpoint-independent mapping, address and port
 * dependent filtering), as most home routers do.
 *
 * The kernel's own delay (netem) is missing from many small kernels: see test/network-lab.ts for how VXLAN and a process
 * take its place.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser } from 'playwright-core';
import { launchChromiumInside } from '../test/chromium.ts';
import { inside, ip, run } from '../test/namespaces.ts';
import type { WirePacket } from './packets.ts';

const FIRST_PORT = 4789;
const BEHIND = ['client', 'agent'] as const;
export type Behind = (typeof BEHIND)[number];

/** An Ethernet frame, and VXLAN's 50 bytes around it. */
const UNDERLAY_MTU = 1600;

/** A NAT that takes nothing from outside as a beginning: else such a packet would occupy the port that it came to. */
const NAT = `
table ip nat {
  chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
table ip filter {
  chain in { type filter hook input priority filter; iifname "wan" ct state new,invalid drop; }
  chain through { type filter hook forward priority filter; iifname "wan" ct state new,invalid drop; }
}
`;

export class SlowInternet {
  /** This process's address on it. */
  readonly address: string;
  readonly #prefix: string;
  readonly #subnet: string;
  readonly #children: ChildProcess[] = [];
  readonly #closeNow = () => this.#remove();

  private constructor(number: number) {
    this.#prefix = `da-slow-${process.pid}-`;
    // Of the range for measurements (RFC 2544); a machine may have several at once.
    this.#subnet = `198.18.${number}`;
    this.address = `${this.#subnet}.1`;
    process.once('exit', this.#closeNow);
  }

  /** `packet` hears of each packet that is more than an acknowledgement. @throws Error without root, or what `ip` and `nft` say. */
  static async start(roundTripMs: number, packet?: (packet: WirePacket) => void): Promise<SlowInternet> {
    const internet = new SlowInternet(Math.floor(Math.random() * 256));
    try {
      await internet.#build(roundTripMs, packet);
      return internet;
    } catch (error) {
      internet.close();
      throw error;
    }
  }

  /** Chromium behind its NAT. Its `localhost` is this process's address, so that pages have a secure context. */
  async launchChromium(): Promise<Browser> {
    return await launchChromiumInside(this.#namespace('client'), [
      `--host-resolver-rules=MAP localhost ${this.address}`,
    ]);
  }

  /** Starts a program behind a NAT. It ends with the internet. */
  spawn(where: Behind, program: string, args: readonly string[], env = process.env): ChildProcess {
    return this.#spawn(this.#namespace(where), program, args, env);
  }

  /** The round trip of TCP from behind a NAT to a port of this process, in ms: the median of some, without the first. */
  async roundTripMs(where: Behind, port: number): Promise<number> {
    const program = `
      const times = [];
      for (let i = 0; i < 8; i++) {
        const start = performance.now();
        const socket = require('net').connect(${port}, '${this.address}');
        await new Promise((resolve) => socket.once('connect', resolve));
        times.push(performance.now() - start);
        socket.destroy();
      }
      console.log(times.slice(1).sort((a, b) => a - b)[3]);`;
    return Number(await ready(this.spawn(where, process.execPath, ['-e', `(async () => {${program}})()`])));
  }

  close(): void {
    process.off('exit', this.#closeNow);
    this.#remove();
  }

  #namespace(name: string): string {
    return `${this.#prefix}${name}`;
  }

  async #build(roundTripMs: number, packet: ((packet: WirePacket) => void) | undefined): Promise<void> {
    // The wires run between two namespaces of their own, where nobody finds this faster way.
    const [tunnels, wires] = [this.#namespace('t'), this.#namespace('w')];
    for (const name of [tunnels, wires]) ip('netns', 'add', name);
    ip('-n', tunnels, 'link', 'add', 'wire', 'mtu', `${UNDERLAY_MTU}`, 'type', 'veth', 'peer', 'wire', 'netns', wires);
    for (const [name, address] of [
      [tunnels, '10.0.0.1/30'],
      [wires, '10.0.0.2/30'],
    ] as const) {
      ip('-n', name, 'address', 'add', address, 'dev', 'wire');
      ip('-n', name, 'link', 'set', 'wire', 'up', 'mtu', `${UNDERLAY_MTU}`);
    }
    const stations = [undefined, ...BEHIND];
    for (const [n] of stations.entries()) {
      const vxlan = `type vxlan id 1 remote 10.0.0.2 dstport ${FIRST_PORT + n} nolearning`;
      ip('-n', tunnels, 'link', 'add', `wan${n}`, 'address', ethernet(n), 'mtu', '1500', ...vxlan.split(' '));
      // Packets leave the kernel on this link, so they must be whole: with their checksums, and one segment each.
      run(inside(tunnels, 'ethtool', '-K', `wan${n}`, 'tx', 'off'));
    }
    for (const [n, name] of stations.entries()) {
      if (name === undefined) this.#connect(tunnels, n, [], `slow${process.pid}`, String(process.pid));
      else this.#addNat(tunnels, n, name);
    }
    for (const [n, name] of stations.entries()) this.#knowNeighbours(n, name);
    const program = join(import.meta.dirname, 'slow-switch.ts');
    const addresses = stations.map((_, n) => ethernet(n).replaceAll(':', ''));
    const args = [program, '10.0.0.2', '10.0.0.1', `${FIRST_PORT}`, `${roundTripMs / 2}`, ...addresses];
    const env = { ...process.env, SLOW_SWITCH_TRACE: packet === undefined ? '0' : '1' };
    const wire = this.#spawn(wires, process.execPath, args, env);
    await ready(wire);
    if (packet === undefined || wire.stdout === null) return;
    const names = new Map(stations.map((name, n) => [ethernet(n).replaceAll(':', ''), name ?? 'edge']));
    createInterface({ input: wire.stdout }).on('line', (line) => {
      const { from, to, ...rest } = JSON.parse(line) as WirePacket;
      packet({ from: names.get(from) ?? from, to: names.get(to) ?? to, ...rest });
    });
  }

  /** Puts station `n` on the internet: `at` are arguments of `ip` for the namespace `where`. */
  #connect(tunnels: string, n: number, at: readonly string[], device: string, where: string): void {
    // A device keeps its sockets where it was made.
    ip('-n', tunnels, 'link', 'set', `wan${n}`, 'netns', where, 'name', device);
    ip(...at, 'link', 'set', device, 'addrgenmode', 'none');
    ip(...at, 'address', 'add', `${this.#subnet}.${n + 1}/24`, 'dev', device);
    ip(...at, 'link', 'set', device, 'up');
  }

  #addNat(tunnels: string, n: number, name: Behind): void {
    const [inner, router] = [this.#namespace(name), this.#namespace(`${name}-nat`)];
    const lan = `192.168.${n}`;
    for (const namespace of [inner, router]) {
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
    }
    this.#connect(tunnels, n, ['-n', router], 'wan', router);
    ip('-n', router, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'lan', 'netns', inner);
    for (const [namespace, last] of [
      [router, 1],
      [inner, 2],
    ] as const) {
      ip('-n', namespace, 'link', 'set', 'lan', 'addrgenmode', 'none');
      ip('-n', namespace, 'address', 'add', `${lan}.${last}/24`, 'dev', 'lan');
      ip('-n', namespace, 'link', 'set', 'lan', 'up');
    }
    ip('-n', inner, 'route', 'add', 'default', 'via', `${lan}.1`);
    run(inside(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1'));
    run(inside(router, 'nft', '-f', '-'), NAT);
  }

  /** On the internet nobody asks for them. */
  #knowNeighbours(n: number, name: Behind | undefined): void {
    const [at, device] =
      name === undefined ? [[], `slow${process.pid}`] : [['-n', this.#namespace(`${name}-nat`)], 'wan'];
    for (let other = 0; other <= BEHIND.length; other++) {
      if (other === n) continue;
      const to = [`${this.#subnet}.${other + 1}`, 'lladdr', ethernet(other)];
      ip(...at, 'neighbour', 'replace', ...to, 'dev', device, 'nud', 'permanent');
    }
  }

  #spawn(namespace: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, program, ...args], { env });
    this.#children.push(child);
    return child;
  }

  #remove(): void {
    for (const child of this.#children.splice(0)) child.kill();
    for (const name of ['t', 'w', ...BEHIND.flatMap((name) => [name, `${name}-nat`])]) {
      // What was never made cannot be removed, and one that is in use goes with its last process.
      spawnSync('ip', ['netns', 'del', this.#namespace(name)]);
    }
    spawnSync('ip', ['link', 'del', `slow${process.pid}`]);
  }
}

/** Of station `n`; locally administered (IEEE 802). */
function ethernet(n: number): string {
  return `02:00:00:00:00:0${n + 1}`;
}

/** Resolves with the first line of a process that says one when it is ready. @throws Error when it ends before. */
export async function ready(child: ChildProcess): Promise<string> {
  child.stderr?.pipe(process.stderr);
  const [said] = await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'exit')]);
  if (typeof said === 'number' || said === null) throw new Error(`a process of the measurement ended with ${said}`);
  return String(said).trim();
}
