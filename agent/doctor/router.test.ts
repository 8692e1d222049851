import { expect, test } from 'vitest';
import { type Lease, NoAnswer, type Protocol, Refused } from '../port-mapping/lease.ts';
import { machine } from '../test-machines.ts';
import { checkRouter } from './router.ts';
import { settingsWith, told } from './test-doctor.ts';

const home = machine({ eth0: ['127.0.0.1/8', '192.168.1.5/24'] });
const signal = new AbortController().signal;
const GATEWAY = { address: '192.168.1.1' };

/** Grants a port at `address`, and notes what is given back. */
function granting(protocol: Lease['protocol'], address: string, released: string[]): Protocol {
  return async () => ({
    protocol,
    gateway: GATEWAY.address,
    external: { address, port: 40_000 },
    lifetimeMs: 60_000,
    epoch: undefined,
    renew: () => Promise.reject(new Error('not to be renewed')),
    release: async () => void released.push(protocol),
  });
}

const refusing: Protocol = async () => {
  throw new Refused('not authorized');
};
const absent: Protocol = async () => {
  throw new NoAnswer('the router does not answer');
};

async function said(
  protocols: readonly Protocol[],
  flags: Record<string, unknown> = {},
  more: Partial<Parameters<typeof checkRouter>[0]> = {},
): Promise<string> {
  const { network } = settingsWith(flags);
  return told(
    await checkRouter({ interfaces: home, network, gateway: async () => GATEWAY, protocols, signal, ...more }),
  );
}

test('a router that opens ports; each is given back', async () => {
  const released: string[] = [];
  const protocols = [granting('PCP', '203.0.113.9', released), absent, granting('UPnP-IGD', '203.0.113.9', released)];
  expect(await said(protocols)).toMatchInlineSnapshot(`
    "  ✓ The router 192.168.1.1 opens ports (PCP, UPnP-IGD); its outer address is 203.0.113.9.
        Clients reach this machine directly, whatever their NAT."
  `);
  expect(released).toEqual(['PCP', 'UPnP-IGD']);
});

test('two NATs: the provider’s, or a second router of one’s own', async () => {
  expect(await said([granting('PCP', '100.64.3.4', [])])).toMatchInlineSnapshot(`
    "  ! The router 192.168.1.1 opens ports (PCP); its outer address is 100.64.3.4.
        That is an address of the provider’s own NAT (RFC 6598): the opened port leads out of the house, not to the internet. Direct connections depend on the provider’s NAT.
        → Ask the provider for a public IPv4 address, or use IPv6."
  `);
  expect(await said([granting('NAT-PMP', '100.127.255.1', [])])).toContain('RFC 6598');
  expect(await said([granting('UPnP-IGD', '192.168.178.20', [])])).toMatchInlineSnapshot(`
    "  ! The router 192.168.1.1 opens ports (UPnP-IGD); its outer address is 192.168.178.20.
        That address is private: there are two routers, one behind the other. The opened port leads into the outer one’s network only.
        → Let the outer router pass everything to the inner one (bridge mode, exposed host), or connect this machine to the outer one."
  `);
});

test('a router that refuses, one that speaks nothing of it, none', async () => {
  expect(await said([absent, refusing, absent])).toMatchInlineSnapshot(`
    "  ! The router 192.168.1.1 opens no port: not authorized.
        Direct connections then depend on the router’s NAT alone; see the lines about it.
        → Allow this machine in the router’s UPnP or PCP settings, or forward a UDP port and set udp_ports."
  `);
  expect(await said([absent, absent, absent])).toMatchInlineSnapshot(`
    "  ✓ The router 192.168.1.1 speaks none of PCP, NAT-PMP and UPnP-IGD.
        Direct connections then depend on the router’s NAT alone; see the lines about it.
        → For the best connections switch UPnP on there, or forward a UDP port and set udp_ports."
  `);
  expect(await said([refusing], {}, { gateway: async () => undefined })).toMatchInlineSnapshot(
    `"  – No router was found to ask for a port."`,
  );
});

test('where nothing is to be asked', async () => {
  const asked: Protocol = () => Promise.reject(new Error('it must not be asked'));
  const all = [
    await said([asked], { portMapping: 'no' }),
    await said([asked], { relayOnly: true }),
    await said([asked], {}, { interfaces: machine({ eth0: ['203.0.113.4/24'] }) }),
    await said([asked], {}, { interfaces: machine({}) }),
  ];
  expect(all.join('\n')).toMatchInlineSnapshot(`
    "  – The router is not asked for a port: port_mapping is off.
      – The router is not asked for a port: relay_only is set.
      – 203.0.113.4 is public: no router has to open a port.
      – The router is not asked for a port: no IPv4 address is used."
  `);
});

test('a router that never answers does not hold it up', async () => {
  const silent: Protocol = () => new Promise(() => {});
  expect(await said([silent], {}, { signal: AbortSignal.timeout(50) })).toContain('speaks none of');
});
