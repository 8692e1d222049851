/**
 * An internet of a test's own: a public namespace with everybody's routers on it, and machines behind NATs and
 * firewalls. Nothing of it is reachable from outside, so labs in parallel use the same addresses.
 */
import { inside, ip, namespacesMissing, removeLeftovers, removeNamespace, run } from '../namespaces.ts';
import { blockRules, HAIRPIN_DEVICE, ipv6FirewallRules, natRules } from './nat-rules.ts';
import { hasRouter, NETWORK_TYPES, type Neighbour, type NetworkName, type NetworkType } from './network-types.ts';

/** Namespaces are `PREFIX-{pid of their maker}-{random number of the lab}-{name}`. */
const PREFIX = 'da-nat';
/** Documentation's addresses (RFC 5737, RFC 3849) stand for public ones. */
export const EDGE = { ipv4: '198.51.100.10', ipv6: '2001:db8:ffff::10' } as const;
/** Two of each family, as RFC 5780 asks of a STUN server that tells how a NAT behaves. */
export const TURN = {
  ipv4: ['198.51.100.1', '198.51.100.2'],
  ipv6: ['2001:db8:ffff::1', '2001:db8:ffff::2'],
} as const;
const GATEWAY = { ipv4: '203.0.113.1', ipv6: '2001:db8::1' } as const;
/** Where Docker puts its bridges; the same on each machine that has it. */
const DOCKER_BRIDGES = { docker0: '172.17.0.1/16', 'br-4f1d2c3b5a69': '172.18.0.1/16' } as const;
/** A NAT in the lab keeps ports, so machines behind the same one have different ones. */
const PORTS = { lan: '20000 39999', neighbour: '40000 60999' } as const;

/** For `test.skipIf`: why no lab can be made here, or false. */
export function natLabMissing(): string | false {
  return namespacesMissing([], (namespace) => {
    const rules = [...Object.values(NETWORK_TYPES).flatMap(({ nats }) => nats)].map((nat) =>
      natRules(nat, '203.0.113.2'),
    );
    for (const rule of rules) run(inside(namespace, 'nft', '-c', '-f', '-'), rule);
    ip('-n', namespace, 'link', 'add', 'lan', 'type', 'bridge');
    ip('-n', namespace, 'link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'end');
  });
}

/** A computer on the lab's internet, or behind its router. */
export interface Machine {
  namespace: string;
  /** Those of its own link. */
  addresses: readonly string[];
  /** What the rest of the internet sees packets of it come from. */
  publicAddresses: readonly string[];
  families: readonly (4 | 6)[];
}

/** What left the public namespace for a machine, in bytes: from the edge, and from the TURN server. */
export interface Traffic {
  edge: number;
  turn: number;
}

export class NatLab {
  /** Everybody's provider, the edge and the TURN server. */
  readonly internet: string;
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly #removeNow = () => this.close();
  #sites = 0;

  /** @throws Error when `natLabMissing`. */
  constructor() {
    removeLeftovers(PREFIX, removeNamespace);
    this.#prefix = `${PREFIX}-${process.pid}-${Math.floor(Math.random() * 1e6)}`;
    process.once('exit', this.#removeNow);
    this.internet = this.#namespace('internet', [
      ...router,
      addBridge('wan'),
      ...up('wan', `${GATEWAY.ipv4}/24`, `${GATEWAY.ipv6}/64`),
      ...[EDGE.ipv4, ...TURN.ipv4].map((address) => `ip address add ${address}/32 dev lo`),
      ...[EDGE.ipv6, ...TURN.ipv6].map((address) => `ip address add ${address}/128 dev lo nodad`),
      ...elsewhere,
      rules(countingRules()),
    ]);
  }

  /** A machine in a network of its own. */
  add(name: NetworkName): Site {
    const number = ++this.#sites;
    return new Site(NETWORK_TYPES[name], number, this.internet, (role, script) =>
      this.#namespace(`${number}-${role}`, script),
    );
  }

  /** What has gone to a machine so far. */
  traffic({ publicAddresses }: Machine): Traffic {
    const traffic: Traffic = { edge: 0, turn: 0 };
    for (const { name, family } of COUNTED) {
      const listed = run(inside(this.internet, 'nft', 'list', 'set', 'inet', 'count', `${name}${family}`));
      for (const [, address = '', bytes] of listed.matchAll(/([0-9a-f.:]+) counter packets \d+ bytes (\d+)/g)) {
        if (publicAddresses.includes(address)) traffic[name] += Number(bytes);
      }
    }
    return traffic;
  }

  close(): void {
    process.off('exit', this.#removeNow);
    for (const namespace of this.#namespaces.splice(0)) removeNamespace(namespace);
  }

  #namespace(role: string, script: readonly string[]): string {
    const name = `${this.#prefix}-${role}`;
    ip('netns', 'add', name);
    this.#namespaces.push(name);
    configure(name, [
      // An address is used at once: nobody else has it.
      'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad',
      'echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad',
      'ip link set lo up',
      ...script,
    ]);
    return name;
  }
}

type MakeNamespace = (role: string, script: readonly string[]) => string;

/** A machine with the routers between it and the internet. */
export class Site implements Machine {
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly publicAddresses: readonly string[];
  readonly families: readonly (4 | 6)[];
  readonly #make: MakeNamespace;
  readonly #router: string | undefined;
  /** Of its public addresses, the one of its NAT. */
  readonly #external: readonly string[];
  /** Of its IPv6 addresses. */
  readonly #prefix: string;
  #neighbours = 0;

  constructor(network: NetworkType, number: number, internet: string, make: MakeNamespace) {
    const { nats, families, passes, docker } = network;
    const external = { ipv4: `203.0.113.${number + 1}`, ipv6: `2001:db8::${(number + 1).toString(16)}` };
    this.families = families;
    this.#make = make;
    this.#external = families.includes(4) ? [external.ipv4] : [];
    this.#prefix = `2001:db8:${(0x100 + number).toString(16)}`;
    const machine = [`echo ${PORTS.lan} > /proc/sys/net/ipv4/ip_local_port_range`, ...(docker ? dockerBridges : [])];
    if (!hasRouter(network)) {
      this.namespace = make('machine', machine);
      this.addresses = this.#external;
      this.publicAddresses = this.#external;
      link(internet, 'wan', this.namespace, 'eth0');
      configure(this.namespace, [...up('eth0', `${external.ipv4}/24`), `ip route add default via ${GATEWAY.ipv4}`]);
      return;
    }
    const [own, ...carriers] = nats;
    let [outside, bridge, wan, gateway] = [internet, 'wan', external.ipv4, GATEWAY.ipv4 as string];
    // From the internet inwards.
    for (const [i, nat] of carriers.reverse().entries()) {
      const carrier = make(`carrier${i}`, router);
      link(outside, bridge, carrier, 'wan');
      // RFC 6598: what carriers have for this.
      configure(carrier, [
        ...up('wan', `${wan}/24`),
        `ip route add default via ${gateway}`,
        addBridge('lan'),
        ...up('lan', `100.64.${i}.1/24`),
        rules(natRules(nat, wan)),
      ]);
      [outside, bridge, wan, gateway] = [carrier, 'lan', `100.64.${i}.2`, `100.64.${i}.1`];
    }
    const home = make('router', router);
    this.#router = home;
    link(outside, bridge, home, 'wan');
    const ipv6 = families.includes(6);
    configure(home, [
      ...up('wan', ...(own === undefined ? [] : [`${wan}/24`]), ...(ipv6 ? [`${external.ipv6}/64`] : [])),
      ...(own === undefined ? [] : [`ip route add default via ${gateway}`, rules(natRules(own, wan))]),
      ...(ipv6 ? [`ip route add default via ${GATEWAY.ipv6}`, rules(ipv6FirewallRules())] : []),
      rules(blockRules(passes, EDGE)),
    ]);
    if (ipv6) configure(internet, [`ip route add ${this.#prefix}::/48 via ${external.ipv6}`]);
    this.#addLan('lan', 1);
    const { namespace, addresses, publicAddresses } = this.#plug('machine', machine, 'lan', 1, 2);
    this.namespace = namespace;
    this.addresses = addresses;
    this.publicAddresses = publicAddresses;
  }

  /** A client behind the same router. @throws Error where there is none. */
  addNeighbour(where: Neighbour): Machine {
    const number = ++this.#neighbours;
    const setup = [`echo ${PORTS.neighbour} > /proc/sys/net/ipv4/ip_local_port_range`];
    if (where === 'same-lan') return this.#plug(where, setup, 'lan', 1, 2 + number);
    const [device, lan] = where === 'hairpin' ? ([HAIRPIN_DEVICE, 2] as const) : (['lan3', 3] as const);
    this.#addLan(device, lan);
    return this.#plug(where, setup, device, lan, 2);
  }

  /** One of the router's networks. */
  #addLan(device: string, number: number): void {
    if (this.#router === undefined) throw new Error('this machine has no router');
    configure(this.#router, [addBridge(device), ...up(device, ...this.#addresses(number, 1))]);
  }

  /** A machine in one of the router's networks. */
  #plug(role: string, script: readonly string[], device: string, lan: number, last: number): Machine {
    if (this.#router === undefined) throw new Error('this machine has no router');
    const namespace = this.#make(role, script);
    link(this.#router, device, namespace, 'eth0');
    const gateways = this.#addresses(lan, 1).map(bare);
    configure(namespace, [
      ...up('eth0', ...this.#addresses(lan, last)),
      ...gateways.map((gateway) => `ip route add default via ${gateway}`),
    ]);
    const addresses = this.#addresses(lan, last).map(bare);
    const ipv6 = addresses.filter((address) => address.includes(':'));
    return { namespace, addresses, publicAddresses: [...this.#external, ...ipv6], families: this.families };
  }

  /** Everybody's home has the same private network (RFC 1918). */
  #addresses(lan: number, last: number): string[] {
    const all = { 4: `192.168.${lan}.${last}/24`, 6: `${this.#prefix}:${lan}::${last}/64` };
    return this.families.map((family) => all[family]);
  }
}

const router = [
  'echo 1 > /proc/sys/net/ipv4/ip_forward',
  'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  // What a bridge passes on is none of the router's business, with Docker's module loaded, too.
  'for file in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $file ] || echo 0 > $file; done',
];

/**
 * The rest of the internet: it takes everything and never answers. Without a route a program would be told at once, and
 * a TURN server that is told so by a private address among the candidates ends the whole session.
 */
const elsewhere = [
  'ip link add elsewhere arp off type veth peer name nowhere',
  ...up('nowhere'),
  ...up('elsewhere'),
  'ip route add default dev elsewhere',
  'ip -6 route add default dev elsewhere',
  rules(`table inet elsewhere {
    chain in { type filter hook prerouting priority raw; iifname "nowhere" drop
    }
  }`),
];

/** As `docker run` leaves them: bridges with addresses that exist here only, and a device for each container. */
const dockerBridges = Object.entries(DOCKER_BRIDGES).flatMap(([bridge, address], i) => [
  `ip link add ${bridge} type bridge`,
  ...up(bridge, address),
  `ip link add veth${i}a1b2c3 type veth peer name veth${i}container`,
  `ip link set veth${i}a1b2c3 master ${bridge} up`,
  `ip link set veth${i}container up`,
]);

/** Bytes are counted by where they come from. */
const COUNTED = ([4, 6] as const).flatMap((family) => {
  const key = `ipv${family}` as const;
  return [
    { name: 'edge' as const, family, from: [EDGE[key]] },
    { name: 'turn' as const, family, from: [...TURN[key]] },
  ];
});

/** Without the length of its prefix. */
function bare(address: string): string {
  return address.replace(/\/.*/, '');
}

/** For each machine, what leaves for it from the edge and from the TURN server. */
function countingRules(): string {
  const sets = COUNTED.map(
    ({ name, family }) => `set ${name}${family} { type ipv${family}_addr; flags dynamic; counter; size 1000; }`,
  );
  const updates = COUNTED.map(({ name, family, from }) => {
    const protocol = family === 4 ? 'ip' : 'ip6';
    return `${protocol} saddr { ${from.join(', ')} } update @${name}${family} { ${protocol} daddr counter }`;
  });
  const chain = `chain out { type filter hook output priority filter\n${updates.join('\n')}\n}`;
  return `table inet count {\n${[...sets, chain].join('\n')}\n}`;
}

/** With an address of its own: otherwise each device that is added may change it, and what others know of it is wrong. */
function addBridge(device: string): string {
  return `ip link add ${device} address 02:00:00:00:00:01 type bridge`;
}

/** The commands that give a device its addresses. Without one of IPv6 it has none at all. */
function up(device: string, ...addresses: readonly string[]): string[] {
  const mode = addresses.some((address) => address.includes(':')) ? 'eui64' : 'none';
  return [
    `ip link set ${device} addrgenmode ${mode}`,
    `ip link set ${device} up`,
    ...addresses.map((address) => `ip address add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`),
  ];
}

function rules(text: string): string {
  return `nft -f - <<'RULES'\n${text}\nRULES`;
}

/** Runs commands in a namespace. @throws Error with what the first one that fails says. */
function configure(namespace: string, script: readonly string[]): void {
  run(inside(namespace, 'sh', '-e'), `${script.join('\n')}\n`);
}

/** Plugs `device` of a machine into a bridge of a router. */
function link(router: string, bridge: string, namespace: string, device: string): void {
  const port = `p-${++links}`;
  ip('-n', router, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', namespace);
  ip('-n', router, 'link', 'set', port, 'master', bridge, 'up');
}

let links = 0;
