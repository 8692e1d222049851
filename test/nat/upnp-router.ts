/**
 * A home router with miniupnpd, the daemon of most of them, between a LAN and a WAN, each a network namespace. All three
 * are the test's own: nothing of it is in the machine's own network.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inside, ip, namespacesMissing, removeLeftovers, removeNamespace, run } from '../namespaces.ts';

export interface UpnpRouterOptions {
  /** PCP and NAT-PMP; miniupnpd has one switch for both. */
  pcp?: boolean;
  natPmp?: boolean;
  upnp?: boolean;
  /** Describes itself as of version 1. */
  igd1?: boolean;
}

/** Namespaces are `PREFIX-{pid of their maker}-{number}-{lan, router or wan}`. */
const PREFIX = 'da-upnp';
const STARTS_WITHIN_MS = 10_000;
let made = 0;

export const LAN = { router: '192.168.77.1', host: '192.168.77.2', neighbour: '192.168.77.3' } as const;
/** Not of the ranges for documentation: miniupnpd does not take those for public. */
export const WAN = { router: '198.51.99.2', stranger: '198.51.99.1' } as const;
/** The router's own address is link-local, as usual. */
export const LAN6 = { router: 'fe80::1', host: '2a00:77::2' } as const;
export const WAN6 = { router: '2a00:99::1', stranger: '2a00:99::2' } as const;

/** For `test.skipIf`: why no router can be started here, or false. */
export function upnpRouterMissing(): string | false {
  return namespacesMissing(['miniupnpd'], (namespace) => {
    ip('-n', namespace, 'link', 'add', 'probe', 'type', 'veth', 'peer', 'name', 'peer');
    run(inside(namespace, 'nft', '-f', '-'), ruleset({}));
  });
}

export class UpnpRouter {
  readonly #options: UpnpRouterOptions;
  readonly #name = `${PREFIX}-${process.pid}-${++made}`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'direct-agent-upnp-'));
  readonly #children: ChildProcess[] = [];
  readonly #removeNow = () => this.#remove();
  #daemon: ChildProcess | undefined;
  /** What miniupnpd wrote so far. */
  log = '';

  private constructor(options: UpnpRouterOptions) {
    this.#options = options;
    process.once('exit', this.#removeNow);
  }

  /** @throws Error when `upnpRouterMissing`, or when miniupnpd does not start. */
  static async start(options: UpnpRouterOptions = {}): Promise<UpnpRouter> {
    removeLeftovers(PREFIX, removeNamespace);
    const router = new UpnpRouter(options);
    try {
      router.#connect();
      await router.#startDaemon();
      return router;
    } catch (error) {
      await router.close();
      throw error;
    }
  }

  /** Starts a program on the LAN or the WAN. It ends with the router. */
  spawn(where: 'lan' | 'wan', ...command: [program: string, ...args: string[]]): ChildProcess {
    return this.#spawn(where, command);
  }

  /** The ports that it passes on, IPv4, as `{external port} {address}:{port}`. */
  mappings(): string[] {
    const rules = run(inside(this.#in('router'), 'nft', 'list', 'chain', 'inet', 'filter', 'prerouting_miniupnpd'));
    return [...rules.matchAll(/dport (\d+) dnat ip to (\S+)/g)].map(([, port, to]) => `${port} ${to}`);
  }

  /** How many holes are in its firewall, IPv6. */
  pinholes(): number {
    const rules = run(inside(this.#in('router'), 'nft', 'list', 'chain', 'inet', 'filter', 'miniupnpd'));
    return rules.split('\n').filter((line) => line.includes('accept')).length - this.mappings().length;
  }

  /** As after a power cut: it has forgotten everything. */
  async restart(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon !== undefined && daemon.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGKILL');
      await ended;
    }
    run(inside(this.#in('router'), 'nft', '-f', '-'), `delete table inet filter\n${ruleset(this.#options)}`);
    await this.#startDaemon();
  }

  async close(): Promise<void> {
    this.#remove();
  }

  #in(part: 'lan' | 'router' | 'wan'): string {
    return `${this.#name}-${part}`;
  }

  #connect(): void {
    for (const part of ['lan', 'router', 'wan'] as const) {
      ip('netns', 'add', this.#in(part));
      ip('-n', this.#in(part), 'link', 'set', 'lo', 'up');
    }
    const router = this.#in('router');
    for (const setting of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'])
      run(inside(router, 'sh', '-c', `echo 1 > /proc/sys/net/${setting}`));
    for (const [part, [near, near6], ...others] of [
      ['lan', [LAN.router, LAN6.router], [LAN.host, LAN6.host], [LAN.neighbour]],
      ['wan', [WAN.router, WAN6.router], [WAN.stranger, WAN6.stranger]],
    ] as const) {
      const link = `link add eth0 type veth peer name ${part} netns ${router}`;
      ip('-n', this.#in(part), ...link.split(' '));
      const add = (namespace: string, device: string, address: string) =>
        // Duplicate detection would keep IPv6 addresses from use for a second.
        ip('-n', namespace, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
      add(router, part, `${near}/24`);
      add(router, part, `${near6}/64`);
      if (part === 'lan') add(router, part, '2a00:77::1/64');
      for (const [address, address6] of others) {
        add(this.#in(part), 'eth0', `${address}/24`);
        if (address6 !== undefined) add(this.#in(part), 'eth0', `${address6}/64`);
      }
      ip('-n', router, 'link', 'set', part, 'up');
      ip('-n', this.#in(part), 'link', 'set', 'eth0', 'up');
    }
    ip('-n', this.#in('lan'), 'route', 'add', 'default', 'via', LAN.router);
    ip('-n', this.#in('lan'), '-6', 'route', 'add', 'default', 'via', LAN6.router, 'dev', 'eth0');
    ip('-n', this.#in('wan'), '-6', 'route', 'add', 'default', 'via', WAN6.router);
    run(inside(router, 'nft', '-f', '-'), ruleset(this.#options));
  }

  async #startDaemon(): Promise<void> {
    const { pcp = true, natPmp = true, upnp = true, igd1 = false } = this.#options;
    const yes = (value: boolean) => (value ? 'yes' : 'no');
    const configuration = join(this.#folder, 'miniupnpd.conf');
    writeFileSync(
      configuration,
      `ext_ifname=wan
ext_ifname6=wan
ext_ip=${WAN.router}
listening_ip=lan
http_port=0
enable_upnp=${yes(upnp)}
enable_natpmp=${yes(pcp || natPmp)}
force_igd_desc_v1=${yes(igd1)}
secure_mode=yes
system_uptime=no
min_lifetime=120
max_lifetime=86400
uuid=00000000-0000-0000-0000-000000000001
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`,
    );
    const before = this.log.length;
    this.#daemon = this.#spawn('router', ['miniupnpd', '-d', '-f', configuration, '-P', join(this.#folder, 'pid')]);
    let ended: number | null = null;
    this.#daemon.once('exit', (code) => {
      ended = code ?? -1;
    });
    const append = (text: Buffer) => {
      this.log += String(text);
    };
    this.#daemon.stdout?.on('data', append);
    this.#daemon.stderr?.on('data', append);
    const ready = [...(upnp ? ['HTTP listening'] : []), ...(pcp || natPmp ? ['Listening for NAT-PMP/PCP'] : [])];
    for (const end = Date.now() + STARTS_WITHIN_MS; ; await sleep(20)) {
      if (ready.every((line) => this.log.includes(line, before))) return;
      if (ended !== null || Date.now() > end) throw new Error(`miniupnpd does not start:\n${this.log.slice(before)}`);
    }
  }

  #spawn(where: 'lan' | 'router' | 'wan', command: readonly string[]): ChildProcess {
    const [program = '', ...args] = inside(this.#in(where), ...command);
    const child = spawn(program, args);
    this.#children.push(child);
    return child;
  }

  #remove(): void {
    process.off('exit', this.#removeNow);
    for (const child of this.#children.splice(0)) child.kill('SIGKILL');
    for (const part of ['lan', 'router', 'wan'] as const) removeNamespace(this.#in(part));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A NAT and a firewall, with the chains that miniupnpd fills. Of PCP and NAT-PMP one alone: the other's packets are lost. */
function ruleset({ pcp = true, natPmp = true }: UpnpRouterOptions): string {
  // Both begin with their version.
  const lost = pcp === natPmp ? '' : `udp dport 5351 @th,64,8 ${pcp ? 0 : 2} drop`;
  return `table inet filter {
  chain miniupnpd {}
  chain prerouting_miniupnpd {}
  chain postrouting_miniupnpd {}
  chain input {
    type filter hook input priority 0
    ${lost}
  }
  chain forward {
    type filter hook forward priority 0; policy drop
    ct state established,related accept
    iifname "lan" accept
    meta l4proto ipv6-icmp accept
    jump miniupnpd
  }
  chain prerouting {
    type nat hook prerouting priority -100
    jump prerouting_miniupnpd
  }
  chain postrouting {
    type nat hook postrouting priority 100
    jump postrouting_miniupnpd
    meta nfproto ipv4 oifname "wan" masquerade fully-random
  }
}
`;
}
