/**
 * A client on a network of its own, so that tests can cut it: a network namespace with Chromium in it and one link to
 * the host's network, where edge and agent run. Packets are lost in the kernel, as on a dead Wi-Fi: nobody is told.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { launchChromiumInside } from './chromium.ts';
import {
  inside,
  ip,
  namespacesMissing,
  removeLeftovers,
  removeNamespace,
  run,
  spawnInside,
  tryAll,
} from './namespaces.ts';

/** What `cut` takes away: the direct path, everything that goes through the edge, or both. */
export type Cut = 'udp' | 'tcp' | 'all';

export interface NetworkLabOptions {
  /** Latency that the link adds, both ways together, and the share of packets that it loses each way. */
  link?: { roundTripMs: number; lossPercent?: number };
}

/** Namespaces begin with `PREFIX-{pid of their maker}-{number}`; the host's end of the link is `PREFIX-{number}`. */
const PREFIX = 'da-lab';
/** A lab's number chooses its subnets, a /30 in each of these /16. The client is in one at a time; `roam` changes it. */
const NETWORKS = ['10.77', '10.78'] as const;
/** As many as a /16 has /30. */
const NUMBERS = 2 ** 14;
/** Another lab may have taken a number; 20 labs at once would be unlucky 20 times in a row. */
const ATTEMPTS = 20;
/** The link as the client sees it. */
const LINK = 'lab';
/** An Ethernet frame of a usual link, and VXLAN's 50 bytes around it. */
const OUTER_MTU = 1600;

/** For `test.skipIf`: why no lab can be made here, or false. */
export function networkLabMissing(): string | false {
  return namespacesMissing(['ss', 'ethtool'], (namespace) => {
    run(inside(namespace, 'nft', '-f', '-'), 'table netdev probe {}');
    ip('-n', namespace, 'link', 'add', 'probe', 'type', 'vxlan', 'id', '1', 'dstport', '4789');
  });
}

export class NetworkLab {
  /** Where the client reaches the host: the edge listens on it. */
  readonly hostAddress: string;
  readonly #number: number;
  /** Which of NETWORKS the client is in. */
  #network = 0;
  #asleep = false;
  readonly #namespace: string;
  readonly #browsers: Browser[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #removeNow = () => this.#remove();

  private constructor(number: number) {
    this.#namespace = `${PREFIX}-${process.pid}-${number}`;
    this.#number = number;
    this.hostAddress = address(0, number, 1);
    process.once('exit', this.#removeNow);
  }

  /** Where the client is: for what needs more than `spawn`. It ends with the lab. */
  get namespace(): string {
    return this.#namespace;
  }

  /** The client's router. */
  get gateway(): string {
    return address(this.#network, this.#number, 1);
  }

  get clientAddress(): string {
    return address(this.#network, this.#number, 2);
  }

  /** @throws Error when `networkLabMissing`. */
  static async start({ link }: NetworkLabOptions = {}): Promise<NetworkLab> {
    removeLeftovers(PREFIX, removeLab);
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
   * certificates, and with it `crypto.subtle`, at the address at which other tests open them. Names below it are the
   * same address: each has connections of its own.
   */
  async launchChromium(): Promise<Browser> {
    const rules = `--host-resolver-rules=MAP localhost ${this.hostAddress}, MAP *.localhost ${this.hostAddress}`;
    const browser = await launchChromiumInside(this.#namespace, [rules]);
    this.#browsers.push(browser);
    return browser;
  }

  /** Starts a program inside. It ends with the lab. */
  spawn(...command: [program: string, ...args: string[]]): ChildProcess {
    return this.#spawn(this.#namespace, ...command);
  }

  /** From now on these packets are lost, in both directions. Connections stay, and stall. */
  cut(what: Cut): void {
    const kind = what === 'all' ? 'meta protocol { ip, ip6 }' : `meta l4proto ${what}`;
    // At the device itself: a drop in the usual hooks is an error (EPERM) to the program that sends.
    const chain = (hook: string) => `chain ${hook} {
      type filter hook ${hook} device "${LINK}" priority 0
      ${kind} drop
    }`;
    this.restore();
    run(inside(this.#namespace, 'nft', '-f', '-'), `table netdev cut {\n${chain('ingress')}\n${chain('egress')}\n}\n`);
  }

  /** Ends every `cut`. */
  restore(): void {
    run(inside(this.#namespace, 'nft', '-f', '-'), 'table netdev cut\ndelete table netdev cut\n');
  }

  /** Ends every TCP connection with the host now, for both ends; new ones are made as before. */
  reset(): void {
    const select = ['-t', '-H', 'state', 'established', 'dst', this.hostAddress];
    const established = run(inside(this.#namespace, 'ss', ...select));
    // Where the kernel cannot, `ss` says nothing and succeeds.
    if (established !== '' && run(inside(this.#namespace, 'ss', '-K', ...select)) === '') {
      throw new Error('this kernel cannot reset connections: it lacks INET_DIAG_DESTROY');
    }
  }

  /**
   * From Wi-Fi to LTE: the client has another address and another gateway from now on. What was sent from the old
   * address or to it is lost and nobody is told; the host stays where it is.
   */
  roam(): void {
    const before = this.clientAddress;
    this.#network = (this.#network + 1) % NETWORKS.length;
    const { gateway } = this;
    const [host, within] = [`${PREFIX}-${this.#number}`, ['-n', this.#namespace]];
    ip(...within, 'address', 'del', `${before}/30`, 'dev', LINK);
    // The host has it already, if the client was here before.
    ip('address', 'replace', `${gateway}/30`, 'dev', host);
    ip(...within, 'address', 'add', `${this.clientAddress}/30`, 'dev', LINK);
    this.#knowNeighbours(gateway);
    ip(...within, 'route', 'replace', 'default', 'via', gateway);
  }

  /** Stops every program inside where it stands, as a laptop's lid does. */
  sleep(): void {
    this.#asleep = true;
    this.#signal('SIGSTOP');
  }

  /** Ends `sleep`. */
  wake(): void {
    this.#asleep = false;
    this.#signal('SIGCONT');
  }

  async close(): Promise<void> {
    if (this.#asleep) this.wake();
    await Promise.all(this.#browsers.splice(0).map((browser) => browser.close()));
    this.#remove();
  }

  async #connect(number: number, link: NetworkLabOptions['link']): Promise<void> {
    const [host, client] = [`${PREFIX}-${number}`, `${PREFIX}c-${number}`];
    if (link === undefined) ip('link', 'set', client, 'netns', this.#namespace, 'name', LINK);
    else await this.#slowDown(host, client, link);
    const within = ['-n', this.#namespace];
    ip(...within, 'link', 'set', 'lo', 'up');
    for (const [at, device, mine] of [
      [[], host, this.hostAddress],
      [within, LINK, this.clientAddress],
    ] as const) {
      // No second family whose candidates would be tried as well.
      ip(...at, 'link', 'set', device, 'addrgenmode', 'none', 'address', ethernet(mine));
      ip(...at, 'address', 'add', `${mine}/30`, 'dev', device);
      ip(...at, 'link', 'set', device, 'up');
    }
    this.#knowNeighbours(this.hostAddress);
    ip(...within, 'route', 'add', 'default', 'via', this.hostAddress);
  }

  /** Neighbours are known: loss and delay are those of the internet, where nobody asks for them. */
  #knowNeighbours(gateway: string): void {
    const known = ['dev', `${PREFIX}-${this.#number}`, 'nud', 'permanent'];
    const client = ethernet(address(0, this.#number, 2));
    ip('neighbour', 'replace', this.clientAddress, 'lladdr', client, ...known);
    const within = ['-n', this.#namespace];
    const host = ethernet(this.hostAddress);
    ip(...within, 'neighbour', 'replace', gateway, 'lladdr', host, 'dev', LINK, 'nud', 'permanent');
  }

  /**
   * The kernel's own delay (netem) is missing from many small kernels. VXLAN (RFC 7348) puts each Ethernet frame into
   * a UDP packet, and a process for each direction passes those on, later: see network-lab-delay.ts. The packets travel
   * between two more namespaces, where WebRTC cannot find this faster way. VXLAN sends to the port at which it listens
   * itself, so the ends have different ones, and each process is at the far end.
   */
  async #slowDown(
    host: string,
    client: string,
    { roundTripMs, lossPercent = 0 }: NonNullable<NetworkLabOptions['link']>,
  ) {
    const ends = [
      { device: host, namespace: `${this.#namespace}-h`, address: '10.0.0.1', port: 4789 },
      { device: client, namespace: `${this.#namespace}-c`, address: '10.0.0.2', port: 4790 },
    ] as const;
    for (const { device, namespace, address } of ends) {
      ip('netns', 'add', namespace);
      ip('link', 'set', device, 'netns', namespace, 'name', 'wire');
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
      ip('-n', namespace, 'address', 'add', `${address}/30`, 'dev', 'wire');
      ip('-n', namespace, 'link', 'set', 'wire', 'up', 'mtu', String(OUTER_MTU));
    }
    for (const [near, far] of [ends, [ends[1], ends[0]] as const]) {
      const vxlan = `type vxlan id 1 remote ${far.address} dstport ${near.port} nolearning`;
      ip('-n', near.namespace, 'link', 'add', 'slow', ...vxlan.split(' '));
      // Packets leave the kernel on this link, so they must be whole: with their checksums, and one segment each.
      run(inside(near.namespace, 'ethtool', '-K', 'slow', 'tx', 'off'));
    }
    // A device keeps its sockets where it was made.
    ip('-n', ends[0].namespace, 'link', 'set', 'slow', 'netns', String(process.pid), 'name', host);
    ip('-n', ends[1].namespace, 'link', 'set', 'slow', 'netns', this.#namespace, 'name', LINK);
    const program = join(import.meta.dirname, 'network-lab-delay.ts');
    const delays = ([near, far]: readonly (typeof ends)[number][]) =>
      [program, far?.address, near?.port, far?.port, roundTripMs / 2, lossPercent].map(String);
    await Promise.all([
      ready(this.#spawn(ends[1].namespace, process.execPath, ...delays(ends))),
      ready(this.#spawn(ends[0].namespace, process.execPath, ...delays([...ends].reverse()))),
    ]);
  }

  #spawn(namespace: string, ...command: string[]): ChildProcess {
    const child = spawnInside(namespace, command);
    this.#children.push(child);
    return child;
  }

  #signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const pid of ip('netns', 'pids', this.#namespace).split('\n')) {
      try {
        if (pid !== '') process.kill(Number(pid), signal);
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  #remove(): void {
    process.off('exit', this.#removeNow);
    for (const child of this.#children.splice(0)) child.kill();
    for (const part of ['', '-h', '-c']) removeLab(`${this.#namespace}${part}`);
  }
}

function address(network: number, number: number, last: number): string {
  return `${NETWORKS[network]}.${number >> 6}.${(number & 63) * 4 + last}`;
}

/** The same bytes in an address that is ours to choose (IEEE 802: locally administered). */
function ethernet(address: string): string {
  return ['02', '00', ...address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))].join(':');
}

/** Resolves with the first word of a process that says one when it is ready. */
async function ready(child: ChildProcess): Promise<void> {
  child.stderr?.pipe(process.stderr);
  const [word] = await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'exit')]);
  if (typeof word === 'number') throw new Error(`the delay of the link ended with ${word}`);
}

/** A namespace of a lab with everything that runs in it, and the links to it. Never throws. */
function removeLab(namespace: string): void {
  const [, , , number = ''] = namespace.split('-');
  removeNamespace(namespace);
  tryAll([() => ip('link', 'del', `${PREFIX}-${number}`)]);
}
