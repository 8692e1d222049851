import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from './config-error.ts';
import {
  type AddressSettings,
  checkUsable,
  chooseAddresses,
  describeAddresses,
  type Interfaces,
  idlePatterns,
  MAX_LOCAL_ADDRESSES,
  matches,
} from './local-addresses.ts';
import { dockerHost, ec2, hyperV, mac, machine, offline, raspberry, windows, wsl } from './test-machines.ts';

const none: AddressSettings = { interfaces: [], excludeInterfaces: [], nat1to1: [], ipFamily: 'any' };

function used(interfaces: Interfaces, settings: Partial<AddressSettings> = {}): string[] {
  return chooseAddresses(interfaces, { ...none, ...settings }).used.map(({ address }) => address);
}

function told(interfaces: Interfaces, settings: Partial<AddressSettings>): string[] {
  return chooseAddresses(interfaces, { ...none, ...settings }).used.flatMap(({ advertised }) => advertised);
}

function problemsOf(interfaces: Interfaces, settings: Partial<AddressSettings>): readonly string[] {
  try {
    checkUsable({ ...none, ...settings }, interfaces);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('by default', () => {
  const machines: [string, Interfaces, string[]][] = [
    ['a server with Docker and 30 containers', dockerHost, ['192.168.1.73', '2001:db8:a::73', 'fd12:3456::73']],
    [
      'a Mac with Tailscale and a virtual machine',
      mac,
      ['192.168.178.20', '2001:db8:b:1::20', '2001:db8:b:1:1:2:3:4', '100.101.102.103', 'fd7a:115c:a1e0::1'],
    ],
    ['Windows with WSL, VirtualBox and VMware', windows, ['192.168.0.5', '2001:db8:c::5']],
    ['Hyper-V with an external switch', hyperV, ['10.1.0.9']],
    ['WSL', wsl, ['172.28.16.77']],
    ['a Raspberry Pi without IPv4', raspberry, ['2001:db8:d::31', 'fd00:aa::31']],
    ['EC2', ec2, ['10.0.12.34']],
    ['a machine without a network', offline, []],
    ['one that has Docker’s network only', machine({ docker0: ['172.17.0.1/16'] }), ['172.17.0.1']],
    ['a container, whose own end is no veth to it', machine({ eth0: ['172.17.0.3/16'] }), ['172.17.0.3']],
    [
      'one whose bridge holds the real network',
      machine({ br0: ['192.168.1.2/24'], vnet0: ['fe80::1/64'] }),
      ['192.168.1.2'],
    ],
    ['OpenWrt', machine({ 'br-lan': ['192.168.1.1/24'], docker0: ['172.17.0.1/16'] }), ['192.168.1.1']],
    ['one with aliases', machine({ 'eth0:1': ['192.0.2.9/24'], 'docker0:1': ['172.17.9.1/16'] }), ['192.0.2.9']],
  ];
  test.each(machines)('%s', (_, interfaces, addresses) => {
    expect(used(interfaces).toSorted()).toEqual(addresses.toSorted());
  });

  test('an IPv6 address that only Docker has is not the way to a machine with IPv4', () => {
    const interfaces = machine({ eth0: ['192.0.2.4/24'], docker0: ['172.17.0.1/16', 'fd00:d0c::1/64'] });
    expect(used(interfaces)).toEqual(['192.0.2.4']);
    expect(used(interfaces, { ipFamily: 'ipv6' })).toEqual([]);
  });

  test.each([
    'docker0',
    'docker_gwbridge',
    'br-3f2a9c01d4e5',
    'veth0a1b2c3',
    'virbr0',
    'virbr0-nic',
    'vnet3',
    'vmnet8',
    'vmenet0',
    'vboxnet0',
    'vnic1',
    'cni0',
    'cni-podman0',
    'podman1',
    'nerdctl0',
    'cbr0',
    'kube-ipvs0',
    'flannel.1',
    'cali12ab34cd56e',
    'cilium_host',
    'lxcbr0',
    'lxdbr0',
    'incusbr0',
    'hassio',
    'bridge100',
    'vEthernet (nat)',
    'vEthernet (WSL)',
    'VirtualBox Host-Only Ethernet Adapter',
  ])('%s is for this machine’s guests', (name) => {
    const { left } = chooseAddresses(machine({ eth0: ['192.0.2.1/24'], [name]: ['10.9.9.1/24'] }), none);
    expect(left).toContainEqual({ interface: name, address: '10.9.9.1', why: expect.stringContaining('inside this') });
  });

  test.each([
    'eth1',
    'enp3s0',
    'wlan0',
    'br0',
    'br-lan',
    'bridge0',
    'bond0',
    'vlan10',
    'eth0.10',
    'macvlan0',
    'wg0',
    'tailscale0',
    'ztabcdefgh',
    'tun0',
    'utun4',
    'ppp0',
    'vEthernet (External)',
    'Ethernet 2',
    'Tailscale',
    'ZeroTier One [8056c2e21c000001]',
  ])('%s is used', (name) => {
    expect(used(machine({ eth0: ['192.0.2.1/24'], [name]: ['10.9.9.1/24'] }))).toContain('10.9.9.1');
  });
});

describe('the settings', () => {
  test('interfaces chooses by name or wildcards, virtual ones too', () => {
    expect(used(dockerHost, { interfaces: ['docker0'] })).toEqual(['172.17.0.1']);
    const docker = ['172.18.0.1', 'fd00:d0c::1', '172.19.0.1', '172.17.0.1'];
    expect(used(dockerHost, { interfaces: ['br-*', 'docker?'] })).toEqual(docker);
    expect(used(windows, { interfaces: ['wi-fi'] })).toEqual(['192.168.0.5', '2001:db8:c::5']);
    expect(used(windows, { interfaces: ['vEthernet (WSL*'] })).toEqual(['172.28.16.1']);
  });

  test('exclude_interfaces wins over interfaces', () => {
    expect(used(mac, { excludeInterfaces: ['utun*'] })).not.toContain('100.101.102.103');
    expect(used(dockerHost, { interfaces: ['*'], excludeInterfaces: ['br-*', 'docker*', 'veth*'] })).toEqual(
      used(dockerHost),
    );
  });

  test('loopback and link-local IPv4 take the name itself', () => {
    expect(used(dockerHost, { interfaces: ['*'] })).not.toContain('127.0.0.1');
    expect(used(dockerHost, { interfaces: ['lo'] })).toEqual(['127.0.0.1', '::1']);
    expect(used(windows, { interfaces: ['Ethernet 2'] })).toEqual(['169.254.83.107']);
    expect(used(windows, { interfaces: ['Ethernet*'] })).toEqual([]);
    // Never: a candidate has no zone.
    expect(used(mac, { interfaces: ['awdl0'] })).toEqual([]);
  });

  test('ip_family', () => {
    expect(used(mac, { ipFamily: 'ipv4' })).toEqual(['192.168.178.20', '100.101.102.103']);
    expect(used(raspberry, { ipFamily: 'ipv4' })).toEqual([]);
    expect(used(dockerHost, { ipFamily: 'ipv6' })).toEqual(['2001:db8:a::73', 'fd12:3456::73']);
  });

  test('nat_1to1 puts an address in the place of all of its family', () => {
    const nat1to1 = [{ external: '203.0.113.7', local: undefined }];
    expect(told(ec2, { nat1to1 })).toEqual(['203.0.113.7']);
    expect(told(dockerHost, { nat1to1 })).toEqual(['203.0.113.7', '2001:db8:a::73', 'fd12:3456::73']);
  });

  test('nat_1to1 puts an address in the place of one, and uses that one wherever it is', () => {
    const nat1to1 = [
      { external: '203.0.113.7', local: '172.18.0.1' },
      { external: '2001:db8::7', local: 'fd12:3456::73' },
    ];
    expect(told(dockerHost, { nat1to1 }).toSorted()).toEqual(
      ['203.0.113.7', '2001:db8::7', '192.168.1.73', '2001:db8:a::73'].toSorted(),
    );
  });

  test('wildcards are wildcards, and nothing else is', () => {
    expect(matches('eth?', 'eth0')).toBe(true);
    expect(matches('eth?', 'eth10')).toBe(false);
    expect(matches('*', '')).toBe(true);
    expect(matches('eth.', 'eth0')).toBe(false);
    expect(matches('eth[0-9]', 'eth0')).toBe(false);
    expect(matches('vEthernet (WSL (Hyper-V firewall))', 'vEthernet (WSL (Hyper-V firewall))')).toBe(true);
    expect(matches('eth0', 'eth0:1')).toBe(true);
    expect(matches('eth', 'eth0')).toBe(false);
  });
});

describe('whatever the machine has', () => {
  const name = fc.constantFrom('lo', 'eth0', 'eth10', 'wlan0', 'docker0', 'veth01', 'tailscale0', 'br-0123456789ab');
  const ipv4 = fc.ipV4().map((address) => `${address}/24`);
  const ipv6 = fc.constantFrom('fe80::1', 'fd00::1', 'fd00::2', '2001:db8::1', '2001:db8::2').map((one) => `${one}/64`);
  const network = fc
    .dictionary(name, fc.uniqueArray(fc.oneof(ipv4, ipv6), { maxLength: 9 }))
    .map((addresses) => machine(addresses));
  const chosenBy = fc.record({
    interfaces: fc.array(fc.constantFrom('*', 'eth*', 'lo', 'docker0', 'gone'), { maxLength: 2 }),
    excludeInterfaces: fc.array(fc.constantFrom('eth0', 'veth*', '?lan0'), { maxLength: 2 }),
    nat1to1: fc.constantFrom(
      [],
      [{ external: '203.0.113.1', local: undefined }],
      [{ external: '2001:db8::9', local: 'fd00::1' }],
    ),
    ipFamily: fc.constantFrom('any', 'ipv4', 'ipv6'),
  });

  test('each address is used or left out with a reason, none twice, and within the limit', () => {
    fc.assert(
      fc.property(network, chosenBy, (interfaces, settings) => {
        const chosen = chooseAddresses(interfaces, settings);
        const all = Object.entries(interfaces).flatMap(([name, list = []]) =>
          list.map(({ address }) => `${name} ${address}`),
        );
        const seen = [...chosen.used, ...chosen.left].map((one) => `${one.interface} ${one.address}`);
        expect(seen.toSorted()).toEqual(all.toSorted());
        expect(new Set(chosen.used.map(({ address }) => address)).size).toBe(chosen.used.length);
        expect(chosen.used.length).toBeLessThanOrEqual(MAX_LOCAL_ADDRESSES);
        expect(chosen.used.every(({ advertised }) => advertised.length > 0)).toBe(true);
        expect(chosen.left.every(({ why }) => why !== '')).toBe(true);
      }),
    );
  });

  test('the order in which the system lists it does not matter', () => {
    fc.assert(
      fc.property(network, chosenBy, fc.infiniteStream(fc.nat()), (interfaces, settings, numbers) => {
        const shuffled = <T>(items: readonly T[]): T[] =>
          items
            .map((item) => ({ item, at: numbers.next().value ?? 0 }))
            .sort((a, b) => a.at - b.at)
            .map(({ item }) => item);
        const other = Object.fromEntries(
          shuffled(Object.entries(interfaces)).map(([name, list = []]) => [name, shuffled(list)]),
        );
        expect(chooseAddresses(other, settings)).toEqual(chooseAddresses(interfaces, settings));
      }),
    );
  });

  test('checkUsable passes exactly where an address is left, as far as settings are to blame', () => {
    fc.assert(
      fc.property(network, chosenBy, (interfaces, settings) => {
        const problems = problemsOf(interfaces, { ...settings, nat1to1: [] });
        const blocked = used(interfaces, { ...settings, nat1to1: [] }).length === 0 && used(interfaces).length > 0;
        expect(problems.length > 0).toBe(blocked);
      }),
    );
  });

  test('of many addresses each interface and family has its turn first', () => {
    const aliases = Array.from({ length: 40 }, (_, index) => `198.51.100.${index + 1}/24`);
    const interfaces = machine({ wg0: ['10.0.0.1/24'], eth0: [...aliases, '2001:db8::1/64'], eth1: ['192.0.2.1/24'] });
    const addresses = used(interfaces);
    expect(addresses).toHaveLength(MAX_LOCAL_ADDRESSES);
    expect(addresses.slice(0, 4)).toEqual(['198.51.100.1', '2001:db8::1', '192.0.2.1', '198.51.100.2']);
    const nat1to1 = [{ external: '203.0.113.40', local: '198.51.100.40' }];
    expect(used(interfaces, { nat1to1 })[0]).toBe('198.51.100.40');
    expect(chooseAddresses(interfaces, none).left).toContainEqual({
      interface: 'wg0',
      address: '10.0.0.1',
      why: 'more than 16',
    });
  });
});

describe('describeAddresses', () => {
  const line = (interfaces: Interfaces, settings: Partial<AddressSettings> = {}) =>
    describeAddresses(chooseAddresses(interfaces, { ...none, ...settings }));

  test('is a line of what is used and what is not', () => {
    expect({
      docker: line(dockerHost),
      mac: line(mac, { excludeInterfaces: ['utun*'] }),
      windows: line(windows, { ipFamily: 'ipv4' }),
      ec2: line(ec2, { nat1to1: [{ external: '203.0.113.7', local: undefined }] }),
      offline: line(offline),
    }).toMatchInlineSnapshot(`
      {
        "docker": "direct connections at 192.168.1.73 (enp3s0), 2001:db8:a::73 (enp3s0), fd12:3456::73 (enp3s0); left out 172.18.0.1 (br-3f2a9c01d4e5), fd00:d0c::1 (br-3f2a9c01d4e5), 172.19.0.1 (br-77aa88bb99cc) and 1 more: for containers inside this machine",
        "ec2": "direct connections at 203.0.113.7 for 10.0.12.34 (ens5); left out 172.17.0.1 (docker0): for containers inside this machine",
        "mac": "direct connections at 192.168.178.20 (en0), 2001:db8:b:1::20 (en0), 2001:db8:b:1:1:2:3:4 (en0); left out 100.101.102.103 (utun4), fd7a:115c:a1e0::1 (utun4): exclude_interfaces has utun*; 192.168.64.1 (bridge100), fd64::1 (bridge100): for virtual machines inside this machine",
        "offline": "no address for direct connections; left out 127.0.0.1 (lo), ::1 (lo): loopback",
        "windows": "direct connections at 192.168.0.5 (Wi-Fi); left out 2001:db8:c::5 (Wi-Fi): ip_family is ipv4; 172.30.80.1 (vEthernet (Default Switch)), 172.28.16.1 (vEthernet (WSL (Hyper-V firewall))), 192.168.56.1 (VirtualBox Host-Only Network #2) and 1 more: for virtual machines inside this machine",
      }
    `);
  });
});

describe('checkUsable', () => {
  test('says which setting leaves nothing, what there is, and what to do', () => {
    const external = '203.0.113.7';
    expect({
      typo: problemsOf(dockerHost, { interfaces: ['enp3s1', 'wlan*'] }),
      linkLocal: problemsOf(windows, { interfaces: ['Ethernet*'] }),
      both: problemsOf(raspberry, { interfaces: ['wlan0'], excludeInterfaces: ['wl*'] }),
      excluded: problemsOf(ec2, { excludeInterfaces: ['ens*'] }),
      family: problemsOf(raspberry, { ipFamily: 'ipv4' }),
      dockerFamily: problemsOf(ec2, { ipFamily: 'ipv6' }),
      containers: problemsOf(dockerHost, { interfaces: ['veth*'] }),
      foreignLocal: problemsOf(ec2, { nat1to1: [{ external, local: '10.0.12.35' }] }),
      excludedLocal: problemsOf(dockerHost, {
        nat1to1: [{ external, local: '192.168.1.73' }],
        interfaces: ['docker0'],
      }),
      bareWithoutFamily: problemsOf(raspberry, { nat1to1: [{ external, local: undefined }] }),
      bareLeftOut: problemsOf(mac, { nat1to1: [{ external, local: undefined }], ipFamily: 'ipv6' }),
    }).toMatchInlineSnapshot(`
      {
        "bareLeftOut": [
          "nat_1to1: 203.0.113.7 stands for the IPv4 addresses of this machine, and none of them is used (192.168.178.20 (en0), 100.101.102.103 (utun4): ip_family is ipv6; 192.168.64.1 (bridge100): for virtual machines inside this machine). Remove it.",
        ],
        "bareWithoutFamily": [
          "nat_1to1: 203.0.113.7 stands for the IPv4 addresses of this machine, and it has none. Remove it.",
        ],
        "both": [
          "interfaces, exclude_interfaces: no address of this machine is left to use (2001:db8:d::31 (wlan0), fd00:aa::31 (wlan0): exclude_interfaces has wl*; fe80::31 (wlan0): link-local). Change what leaves out the right one.",
        ],
        "containers": [
          "interfaces: no address of this machine is left to use (192.168.1.73 (enp3s0), 2001:db8:a::73 (enp3s0), fd12:3456::73 (enp3s0) and 4 more: not in interfaces; fe80::73 (enp3s0), fe80::42:aff:fe00:1 (docker0), fe80::7000:0a (veth0aab12c) and 29 more: link-local). Change what leaves out the right one.",
        ],
        "dockerFamily": [
          "ip_family: no address of this machine is left to use (10.0.12.34 (ens5): ip_family is ipv6; fe80::8ff (ens5): link-local; 172.17.0.1 (docker0): for containers inside this machine). Change what leaves out the right one.",
        ],
        "excluded": [
          "exclude_interfaces: no address of this machine is left to use (10.0.12.34 (ens5): exclude_interfaces has ens*; fe80::8ff (ens5): link-local; 172.17.0.1 (docker0): for containers inside this machine). Change what leaves out the right one.",
        ],
        "excludedLocal": [
          "nat_1to1: 203.0.113.7/192.168.1.73: 192.168.1.73 (enp3s0) is left out: not in interfaces.",
        ],
        "family": [
          "ip_family: no address of this machine is left to use (2001:db8:d::31 (wlan0), fd00:aa::31 (wlan0): ip_family is ipv4; fe80::31 (wlan0): link-local). Change what leaves out the right one.",
        ],
        "foreignLocal": [
          "nat_1to1: 203.0.113.7/10.0.12.35: no interface has 10.0.12.35. This machine has ens5 (10.0.12.34), docker0 (172.17.0.1). Correct what follows the slash.",
        ],
        "linkLocal": [
          "interfaces: no address of this machine is left to use (169.254.83.107 (Ethernet 2), fe80::242a (Wi-Fi), fe80::215:5dff (vEthernet (WSL (Hyper-V firewall))): link-local; 192.168.0.5 (Wi-Fi), 2001:db8:c::5 (Wi-Fi), 172.30.80.1 (vEthernet (Default Switch)) and 3 more: not in interfaces). Change what leaves out the right one.",
        ],
        "typo": [
          "interfaces: "enp3s1" matches no interface that is up. This machine has enp3s0 (192.168.1.73, 2001:db8:a::73, fd12:3456::73), br-3f2a9c01d4e5 (172.18.0.1, fd00:d0c::1), br-77aa88bb99cc (172.19.0.1), docker0 (172.17.0.1). Correct the name, or remove it.",
          "interfaces: "wlan*" matches no interface that is up. This machine has enp3s0 (192.168.1.73, 2001:db8:a::73, fd12:3456::73), br-3f2a9c01d4e5 (172.18.0.1, fd00:d0c::1), br-77aa88bb99cc (172.19.0.1), docker0 (172.17.0.1). Correct the name, or remove it.",
        ],
      }
    `);
  });

  test('blames no setting where another address is used, or where there is no network at all', () => {
    expect(problemsOf(dockerHost, { interfaces: ['enp3s0', 'wlan0'] })).toEqual([]);
    expect(problemsOf(dockerHost, { excludeInterfaces: ['gone'] })).toEqual([]);
    const settings = { interfaces: ['eth0'], nat1to1: [{ external: '203.0.113.7', local: '10.0.0.1' }] };
    expect(problemsOf(offline, settings)).toEqual([]);
    expect(problemsOf(offline, {})).toEqual([]);
    expect(problemsOf(dockerHost, { nat1to1: [{ external: '203.0.113.7', local: '172.17.0.1' }] })).toEqual([]);
  });

  test('what matches nothing at the moment is named', () => {
    expect(idlePatterns({ ...none, interfaces: ['enp3s0', 'wlan0'] }, dockerHost)).toMatchInlineSnapshot(`
      [
        "interfaces: "wlan0" matches no interface that is up. This machine has enp3s0 (192.168.1.73, 2001:db8:a::73, fd12:3456::73), br-3f2a9c01d4e5 (172.18.0.1, fd00:d0c::1), br-77aa88bb99cc (172.19.0.1), docker0 (172.17.0.1).",
      ]
    `);
    expect(idlePatterns({ ...none, interfaces: ['eth0'] }, offline)).toMatchInlineSnapshot(`
      [
        "interfaces: "eth0" matches no interface that is up. None is up at the moment.",
      ]
    `);
  });
});
