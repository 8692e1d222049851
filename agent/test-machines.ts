/** Network interfaces as machines have them, for tests. Addresses are those of RFC 5737 and RFC 3849 where public. */
import type { NetworkInterfaceInfo } from 'node:os';
import type { Interfaces } from './local-addresses.ts';

/** From `address/length` by interface. */
export function machine(addresses: Readonly<Record<string, readonly string[]>>): Interfaces {
  return Object.fromEntries(
    Object.entries({ lo: ['127.0.0.1/8', '::1/128'], ...addresses }).map(([name, list]) => [
      name,
      list.map((cidr) => info(cidr)),
    ]),
  );
}

function info(cidr: string): NetworkInterfaceInfo {
  const [address = ''] = cidr.split('/');
  const internal = address === '::1' || address.startsWith('127.');
  const common = { address, netmask: '', mac: '02:00:00:00:00:01', internal, cidr };
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' };
}

function many(count: number, each: (index: number) => readonly [string, readonly string[]]) {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => each(index)));
}

const hex = (index: number) => index.toString(16).padStart(2, '0');

/** Two networks of docker compose and 30 containers. */
export const dockerHost = machine({
  docker0: ['172.17.0.1/16', 'fe80::42:aff:fe00:1/64'],
  'br-3f2a9c01d4e5': ['172.18.0.1/16', 'fd00:d0c::1/64'],
  'br-77aa88bb99cc': ['172.19.0.1/16'],
  ...many(30, (index) => [`veth${hex(index)}ab12c`, [`fe80::7000:${hex(index)}/64`]]),
  enp3s0: ['192.168.1.73/24', '2001:db8:a::73/64', 'fd12:3456::73/64', 'fe80::73/64'],
});

/** Wi-Fi, Tailscale, a virtual machine, AirDrop. */
export const mac = machine({
  lo: [],
  lo0: ['127.0.0.1/8', '::1/128', 'fe80::1/64'],
  en0: ['192.168.178.20/24', 'fe80::1c2b:aff/64', '2001:db8:b:1::20/64', '2001:db8:b:1:1:2:3:4/64'],
  awdl0: ['fe80::a4d1/64'],
  llw0: ['fe80::a4d1/64'],
  utun0: ['fe80::7d01/64'],
  utun4: ['100.101.102.103/32', 'fd7a:115c:a1e0::1/48'],
  bridge100: ['192.168.64.1/24', 'fd64::1/64'],
});

export const windows = machine({
  lo: [],
  'Loopback Pseudo-Interface 1': ['127.0.0.1/8', '::1/128'],
  'vEthernet (WSL (Hyper-V firewall))': ['172.28.16.1/20', 'fe80::215:5dff/64'],
  'vEthernet (Default Switch)': ['172.30.80.1/20'],
  'VirtualBox Host-Only Network #2': ['192.168.56.1/24'],
  'VMware Network Adapter VMnet8': ['192.168.133.1/24'],
  'Ethernet 2': ['169.254.83.107/16'],
  'Wi-Fi': ['192.168.0.5/24', 'fe80::242a/64', '2001:db8:c::5/64'],
});

/** Hyper-V with a switch that bridges the real network. */
export const hyperV = machine({
  lo: [],
  'vEthernet (Lab)': ['10.1.0.9/24'],
  'vEthernet (Default Switch)': ['172.30.80.1/20'],
});

export const wsl = machine({ eth0: ['172.28.16.77/20', 'fe80::215/64'], docker0: ['172.17.0.1/16'] });

/** No IPv4 at all. */
export const raspberry = machine({ wlan0: ['2001:db8:d::31/64', 'fd00:aa::31/64', 'fe80::31/64'] });

/** Amazon EC2: the public address exists in its NAT only. */
export const ec2 = machine({ ens5: ['10.0.12.34/20', 'fe80::8ff/64'], docker0: ['172.17.0.1/16'] });

export const offline = machine({});
