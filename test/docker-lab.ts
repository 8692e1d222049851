/**
 * A home network with Docker on two of its machines, as LocalAI's users have it: docker0 with the same 172.17.0.1 on
 * both, on the host further bridges and veths with addresses, and Docker's masquerading. In namespaces of their own;
 * the third machine of the network is this one, where the edge listens.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { launchChromiumInside } from './chromium.ts';
import { inside, ip, removeLeftovers, removeNamespace, run, spawnInside } from './namespaces.ts';

/** Namespaces are `PREFIX-{pid of their maker}-{number}-{part}`; this machine's end of the network is `PREFIX-{number}`. */
const PREFIX = 'da-dock';
const PARTS = ['lan', 'host', 'client'] as const;
/** A lab's number chooses its /28 in 10.79.0.0/16 and its /64 in fd79::/48. */
const NUMBERS = 2 ** 12;
/** Another lab may have taken a number. */
const ATTEMPTS = 20;
const CARRIER_WITHIN_MS = 10_000;

/** Docker's own names and addresses; the bridge of a compose project is named after 12 digits of its id. */
export const DOCKER_BRIDGE = { name: 'docker0', address: '172.17.0.1' } as const;
const COMPOSE_BRIDGE = { name: 'br-3f9d0c1b7a52', address: '172.18.0.1' } as const;
const VETH = { name: 'veth5c1f0a7', address: '172.19.0.1' } as const;

export class DockerLab {
  readonly #number: number;
  readonly #namespace: string;
  readonly #browsers: Browser[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #removeNow = () => this.#remove();

  private constructor(number: number) {
    this.#number = number;
    this.#namespace = `${PREFIX}-${process.pid}-${number}`;
    process.once('exit', this.#removeNow);
  }

  /** @throws Error when `networkLabMissing`. */
  static async start(): Promise<DockerLab> {
    removeLeftovers(PREFIX, removeNamespace);
    for (let attempt = 1; ; attempt++) {
      const number = Math.floor(Math.random() * NUMBERS);
      try {
        // This machine's end is the lock on the number: the kernel makes a name once.
        ip('link', 'add', `${PREFIX}-${number}`, 'type', 'veth', 'peer', 'name', `${PREFIX}p${number}`);
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
        continue;
      }
      const lab = new DockerLab(number);
      try {
        lab.#build();
        await lab.#carriers();
        return lab;
      } catch (error) {
        await lab.close();
        throw error;
      }
    }
  }

  /** Where edge and TURN server are. */
  get edgeAddress(): string {
    return this.#ipv4(1);
  }

  get hostAddress(): string {
    return this.#ipv4(2);
  }

  get hostIpv6(): string {
    return this.#ipv6(2);
  }

  /** Starts a program on the host. It ends with the lab. */
  spawnOnHost(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawnInside(this.#part('host'), command, options);
    this.#children.push(child);
    return child;
  }

  /** Chromium on the client's machine. Its `localhost` is the edge, so that pages have a secure context. */
  async launchChromium(): Promise<Browser> {
    const rules = `--host-resolver-rules=MAP localhost ${this.edgeAddress}`;
    const browser = await launchChromiumInside(this.#part('client'), [rules]);
    this.#browsers.push(browser);
    return browser;
  }

  /** What a reload of the firewall does to Docker's rules: nothing is masqueraded on the host from now on. */
  loseMasquerading(): void {
    run(inside(this.#part('host'), 'nft', 'delete', 'table', 'ip', 'docker'));
  }

  async close(): Promise<void> {
    await Promise.all(this.#browsers.splice(0).map((browser) => browser.close()));
    this.#remove();
  }

  #build(): void {
    for (const part of PARTS) {
      ip('netns', 'add', this.#part(part));
      ip('-n', this.#part(part), 'link', 'set', 'lo', 'up');
    }
    const lan = this.#part('lan');
    const mine = `${PREFIX}-${this.#number}`;
    ip('link', 'set', `${PREFIX}p${this.#number}`, 'netns', lan, 'name', 'edge');
    ip('-n', lan, 'link', 'add', 'lan', 'type', 'bridge');
    for (const part of ['host', 'client'] as const) {
      ip('-n', this.#part(part), 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', part, 'netns', lan);
    }
    for (const port of ['edge', 'host', 'client']) ip('-n', lan, 'link', 'set', port, 'master', 'lan', 'up');
    ip('-n', lan, 'link', 'set', 'lan', 'up');
    for (const [at, device, last] of [
      [[], mine, 1],
      [['-n', this.#part('host')], 'eth0', 2],
      [['-n', this.#part('client')], 'eth0', 3],
    ] as const) {
      ip(...at, 'address', 'add', `${this.#ipv4(last)}/28`, 'dev', device);
      // Nobody else has it.
      ip(...at, 'address', 'add', `${this.#ipv6(last)}/64`, 'dev', device, 'nodad');
      ip(...at, 'link', 'set', device, 'up');
      // Chromium looks which address leads to the internet.
      if (last !== 1) ip(...at, 'route', 'add', 'default', 'via', this.edgeAddress);
    }
    this.#addDocker('host', [DOCKER_BRIDGE, COMPOSE_BRIDGE]);
    this.#addDocker('client', [DOCKER_BRIDGE]);
    this.#addContainer('host', VETH.name);
    ip('-n', this.#part('host'), 'address', 'add', `${VETH.address}/16`, 'dev', VETH.name);
  }

  #addDocker(part: 'host' | 'client', bridges: readonly { name: string; address: string }[]): void {
    const within = ['-n', this.#part(part)];
    bridges.forEach(({ name, address }, index) => {
      ip(...within, 'link', 'add', name, 'type', 'bridge');
      ip(...within, 'address', 'add', `${address}/16`, 'dev', name);
      // Without a container a bridge has no carrier, and programs leave it out.
      const container = `veth${part.length}e0${index}`;
      this.#addContainer(part, container);
      ip(...within, 'link', 'set', container, 'master', name);
      ip(...within, 'link', 'set', name, 'up');
    });
    const rules = bridges.map(({ name, address }) => `ip saddr ${address}/16 oifname != "${name}" masquerade`);
    const chain = `chain postrouting {\ntype nat hook postrouting priority srcnat\n${rules.join('\n')}\n}`;
    run(inside(this.#part(part), 'nft', '-f', '-'), `table ip docker {\n${chain}\n}\n`);
  }

  /** Resolves when every bridge has its carrier, which takes the kernel a moment. */
  async #carriers(): Promise<void> {
    const deadline = Date.now() + CARRIER_WITHIN_MS;
    const without = () =>
      (['host', 'client'] as const).flatMap((part) =>
        ip('-n', this.#part(part), '-brief', 'link', 'show', 'type', 'bridge')
          .split('\n')
          .filter((line) => line !== '' && !/^\S+ +UP /.test(line)),
      );
    while (without().length > 0) {
      if (Date.now() > deadline) throw new Error(`no carrier: ${without().join(', ')}`);
      await sleep(20);
    }
  }

  /** A pair of interfaces whose other end is somebody else's. */
  #addContainer(part: 'host' | 'client', name: string): void {
    const [within, lan] = [['-n', this.#part(part)], this.#part('lan')];
    ip(...within, 'link', 'add', name, 'type', 'veth', 'peer', 'name', `c-${name}`, 'netns', lan);
    ip('-n', lan, 'link', 'set', `c-${name}`, 'up');
    ip(...within, 'link', 'set', name, 'up');
  }

  #ipv4(last: number): string {
    return `10.79.${this.#number >> 4}.${(this.#number & 15) * 16 + last}`;
  }

  #ipv6(last: number): string {
    return `fd79:0:0:${(this.#number + 1).toString(16)}::${last}`;
  }

  #part(part: (typeof PARTS)[number]): string {
    return `${this.#namespace}-${part}`;
  }

  #remove(): void {
    process.off('exit', this.#removeNow);
    for (const child of this.#children.splice(0)) child.kill();
    for (const part of PARTS) removeNamespace(this.#part(part));
  }
}
