/**
 * A client on a network of its own, so that tests can cut it: a network namespace with Chromium in it and one link to
 * the host's network, where edge and agent run. Packets are lost in the kernel, as on a dead Wi-Fi: nobody is told.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { findProgram } from '../scripts/programs.ts';
import { CHROMIUM_OPTIONS } from './chromium.ts';

/** What `cut` takes away: the direct path, everything that goes through the edge, or both. */
export type Cut = 'udp' | 'tcp' | 'all';

export interface NetworkLabOptions {
  /** Latency that the link adds, both ways together, and the share of packets that it loses each way. */
  link?: { roundTripMs: number; lossPercent?: number };
}

/** Namespaces are `PREFIX-{pid of their maker}-{number}`, devices `PREFIX-{number}`: names of devices end at 15. */
const PREFIX = 'da-lab';
/** The lab's numbers choose its subnets, a /30 each in 10.77.0.0/16 (and 10.78.0.0/16 under a delayed link). */
const NUMBERS = 2 ** 14;
/** Another lab may have taken a number; 20 labs at once would be unlucky 20 times in a row. */
const ATTEMPTS = 20;
/** The link as the client sees it. */
const LINK = 'lab';
/** VXLAN's own port (RFC 7348, section 5) and the next one; which lab is meant, its address and network id say. */
const [HOST_PORT, CLIENT_PORT] = [4789, 4790];
/** An Ethernet frame of a usual link, and VXLAN's 50 bytes around it. */
const UNDER_MTU = 1600;

/** For `test.skipIf`: why no lab can be made here, or false. */
export function networkLabMissing(): string | false {
  if (process.platform !== 'linux') return 'network namespaces need Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const absent = ['ip', 'ss', 'nft', 'ethtool'].find((program) => findProgram(program) === undefined);
  if (absent !== undefined) return `${absent} is not installed`;
  const name = `${PREFIX}-${process.pid}-probe`;
  try {
    ip('netns', 'add', name);
    try {
      run(['ip', 'netns', 'exec', name, 'nft', '-f', '-'], 'table netdev probe {}');
      return false;
    } finally {
      ip('netns', 'del', name);
    }
  } catch (error) {
    return `no network namespace can be made: ${error instanceof Error ? error.message : error}`;
  }
}

export class NetworkLab {
  /** Where the client reaches the host: the edge listens on it. */
  readonly hostAddress: string;
  readonly clientAddress: string;
  readonly #namespace: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'direct-agent-lab-'));
  readonly #browsers: Browser[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #removeNow = () => this.#remove();

  private constructor(number: number) {
    this.#namespace = `${PREFIX}-${process.pid}-${number}`;
    this.hostAddress = address(77, number, 1);
    this.clientAddress = address(77, number, 2);
    process.once('exit', this.#removeNow);
  }

  /** @throws Error when `networkLabMissing`. */
  static async start({ link }: NetworkLabOptions = {}): Promise<NetworkLab> {
    removeLeftovers();
    for (let attempt = 1; ; attempt++) {
      const number = Math.floor(Math.random() * NUMBERS);
      try {
        // The host's end of the link is the lock on the number: the kernel makes a name once.
        ip('link', 'add', `${PREFIX}-${number}`, 'type', 'veth', 'peer', 'name', `${PREFIX}c-${number}`);
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
        continue;
      }
      const lab = new NetworkLab(number);
      try {
        ip('netns', 'add', lab.#namespace);
        await lab.#connect(number, link);
        return lab;
      } catch (error) {
        await lab.close();
        throw error;
      }
    }
  }

  /**
   * Chromium inside. Its `localhost` is the host's end of the link, so that pages have a secure context without
   * certificates, and with it `crypto.subtle`, at the address at which other tests open them.
   */
  async launchChromium(): Promise<Browser> {
    const wrapper = join(this.#folder, 'chromium');
    writeFileSync(
      wrapper,
      `#!/bin/sh\nexec ip netns exec ${this.#namespace} ${CHROMIUM_OPTIONS.executablePath} "$@"\n`,
    );
    chmodSync(wrapper, 0o700);
    const rules = `--host-resolver-rules=MAP localhost ${this.hostAddress}`;
    const args = [...(CHROMIUM_OPTIONS.args ?? []), rules];
    const browser = await chromium.launch({ ...CHROMIUM_OPTIONS, args, executablePath: wrapper });
    this.#browsers.push(browser);
    return browser;
  }

  /** Starts a program inside. It ends with the lab. */
  spawn(...command: [program: string, ...args: string[]]): ChildProcess {
    return this.#keep(spawn('ip', ['netns', 'exec', this.#namespace, ...command]));
  }

  /** From now on these packets are lost, in both directions. Connections stay, and stall. */
  cut(what: Cut): void {
    const kind = what === 'all' ? 'meta protocol { ip, ip6 }' : `meta l4proto ${what}`;
    // At the device itself: a drop in the output hook would be an error (EPERM) to the program that sends.
    const drop = (hook: string) => `chain ${hook} {
      type filter hook ${hook} device "${LINK}" priority 0
      ${kind} drop
    }`;
    this.#nft(`table netdev lab {\n${drop('ingress')}\n${drop('egress')}\n}`);
  }

  /** Ends every `cut`. */
  restore(): void {
    this.#nft('');
  }

  /** Ends every TCP connection with the host now, for both ends; new ones are made as before. */
  reset(): void {
    this.#inside(['ss', '-t', '-K', 'state', 'established', 'dst', this.hostAddress]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#browsers.splice(0).map((browser) => browser.close()));
    this.#remove();
  }

  async #connect(number: number, link: NetworkLabOptions['link']): Promise<void> {
    const [host, client] = [`${PREFIX}-${number}`, `${PREFIX}c-${number}`];
    const inside = ['-n', this.#namespace];
    ip('link', 'set', client, 'netns', this.#namespace, 'name', link === undefined ? LINK : 'under');
    ip(...inside, 'link', 'set', 'lo', 'up');
    if (link === undefined) {
      this.#raise(host, LINK, 77, number);
    } else {
      this.#raise(host, 'under', 78, number);
      await this.#delay(number, link);
    }
    ip(...inside, 'route', 'add', 'default', 'via', this.hostAddress);
  }

  /** Gives both ends of a link their addresses, in 10.{net}.0.0/16. */
  #raise(host: string, client: string, net: number, number: number): void {
    for (const [end, device, last] of [
      [[], host, 1],
      [['-n', this.#namespace], client, 2],
    ] as const) {
      // One address each: no second family whose candidates would be tried as well.
      ip(...end, 'link', 'set', device, 'addrgenmode', 'none');
      ip(...end, 'address', 'add', `${address(net, number, last)}/30`, 'dev', device);
      ip(...end, 'link', 'set', device, 'up', 'mtu', String(net === 77 ? 1500 : UNDER_MTU));
    }
  }

  /**
   * The kernel's own delay (netem) is missing from many small kernels. VXLAN (RFC 7348) puts each Ethernet frame into
   * a UDP packet, and a process for each direction passes those on, later: see network-lab-delay.ts. VXLAN sends to the
   * port at which it listens itself, so the ends have different ones, and the process is at the far end.
   */
  async #delay(number: number, { roundTripMs, lossPercent = 0 }: NonNullable<NetworkLabOptions['link']>) {
    const [host, client] = [address(78, number, 1), address(78, number, 2)];
    const add = (name: string, remote: string, port: number) =>
      `link add ${name} type vxlan id ${number + 1} remote ${remote} dstport ${port} nolearning`.split(' ');
    ip(...add(`${PREFIX}v-${number}`, client, HOST_PORT));
    ip('-n', this.#namespace, ...add(LINK, host, CLIENT_PORT));
    this.#raise(`${PREFIX}v-${number}`, LINK, 77, number);
    // Packets leave the kernel on this link, so they must be whole: with their checksums, and one segment each.
    run(['ethtool', '-K', `${PREFIX}v-${number}`, 'tx', 'off']);
    this.#inside(['ethtool', '-K', LINK, 'tx', 'off']);
    const program = join(import.meta.dirname, 'network-lab-delay.ts');
    const delay = (at: string, from: number, to: number) =>
      [program, at, from, to, roundTripMs / 2, lossPercent].map(String);
    await Promise.all([
      ready(this.#keep(spawn(process.execPath, delay(host, CLIENT_PORT, HOST_PORT)))),
      ready(this.spawn(process.execPath, ...delay(client, HOST_PORT, CLIENT_PORT))),
    ]);
  }

  #keep(child: ChildProcess): ChildProcess {
    this.#children.push(child);
    return child;
  }

  #nft(rules: string): void {
    this.#inside(['nft', '-f', '-'], `flush ruleset\n${rules}\n`);
  }

  #inside(command: readonly string[], input?: string): string {
    return run(['ip', 'netns', 'exec', this.#namespace, ...command], input);
  }

  #remove(): void {
    process.off('exit', this.#removeNow);
    for (const child of this.#children.splice(0)) child.kill();
    removeNamespace(this.#namespace);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function address(net: number, number: number, last: number): string {
  return `10.${net}.${number >> 6}.${(number & 63) * 4 + last}`;
}

/** Resolves with the first word of a process that says one when it is ready. */
async function ready(child: ChildProcess): Promise<void> {
  child.stderr?.pipe(process.stderr);
  const [word] = await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'exit')]);
  if (typeof word === 'number') throw new Error(`the delay of the link ended with ${word}`);
}

/** What a lab left behind whose process was killed. */
function removeLeftovers(): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const [name, pid] = new RegExp(`^${PREFIX}-(\\d+)-\\w+`).exec(line) ?? [];
    if (name !== undefined && !isAlive(Number(pid))) removeNamespace(name);
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

/** With everything that runs in it, and the links to it. Never throws: another process may be at the same work. */
function removeNamespace(name: string): void {
  const number = name.slice(name.lastIndexOf('-') + 1);
  const attempts = [
    () => {
      for (const pid of ip('netns', 'pids', name).split('\n')) if (pid !== '') process.kill(Number(pid), 'SIGKILL');
    },
    () => ip('netns', 'del', name),
    () => ip('link', 'del', `${PREFIX}-${number}`),
    () => ip('link', 'del', `${PREFIX}v-${number}`),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch {
      // It is gone already, or was never there.
    }
  }
}

function ip(...args: string[]): string {
  return run(['ip', ...args]);
}

/** Runs a program to its end. @throws Error with what it wrote to stderr. */
function run([program = '', ...args]: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw error ?? new Error(`${[program, ...args].join(' ')}: ${stderr.trim()}`);
}
