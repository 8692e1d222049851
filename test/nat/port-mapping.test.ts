import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { LAN, LAN6, UpnpRouter, type UpnpRouterOptions, upnpRouterMissing, WAN, WAN6 } from './upnp-router.ts';

const missing = upnpRouterMissing();
const title = missing ? `port mapping by a real router (skipped: ${missing})` : 'port mapping by a real router';
const POLL = { timeout: 30_000, interval: 50 };

interface Said {
  line?: string;
  waits?: number;
  external?: { address: string; port: number };
  closed?: boolean;
}

const routers: UpnpRouter[] = [];
afterEach(async () => {
  for (const router of routers.splice(0)) await router.close();
});

async function start(options: UpnpRouterOptions): Promise<UpnpRouter> {
  const router = await UpnpRouter.start(options);
  routers.push(router);
  return router;
}

/** The agent's side: see port-mapping-host.ts. */
function startHost(router: UpnpRouter, address: string, port = 50_000) {
  const program = join(import.meta.dirname, 'port-mapping-host.ts');
  const child = router.spawn('lan', process.execPath, program, address, String(port));
  const said: Said[] = [];
  let errors = '';
  child.stderr?.on('data', (text) => {
    errors += text;
  });
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => said.push(JSON.parse(line)));
  const settled = (count = 1) =>
    expect.poll(() => said.filter(({ waits }) => waits !== undefined).length + errors, POLL).toBe(String(count));
  return {
    said,
    lines: () => said.flatMap(({ line }) => line ?? []),
    external: () => said.findLast(({ waits }) => waits !== undefined)?.external,
    /** Resolves when the mapper waits for the so many-th time. */
    settled: async (count?: number) => {
      await settled(count);
    },
    renew: () => child.stdin?.write('renew\n'),
    async kill() {
      child.kill('SIGKILL');
      await ended(child);
    },
    async close() {
      child.stdin?.end();
      await expect.poll(() => said.at(-1)?.closed, POLL).toBe(true);
      await ended(child);
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
}

const ASK = `
const [address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4');
socket.on('message', (answer) => { console.log(String(answer)); process.exit(0); });
socket.on('error', () => {});
const ask = () => socket.send('word', Number(port), address);
setInterval(ask, 100);
setTimeout(() => process.exit(0), Number(process.argv[3]));
ask();
`;

/** A stranger on the WAN sends a packet. @returns the answer; empty if there is none. */
async function ask(router: UpnpRouter, to: { address: string; port: number }, patienceMs = 20_000): Promise<string> {
  const child = router.spawn('wan', process.execPath, '-e', ASK, to.address, String(to.port), String(patienceMs));
  let answer = '';
  child.stdout?.on('data', (text) => {
    answer += text;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return answer.trim();
}

describe.skipIf(missing)(title, () => {
  test.each([
    ['PCP', {}],
    ['NAT-PMP', { pcp: false }],
    ['UPnP-IGD', { pcp: false, natPmp: false }],
    ['UPnP-IGD', { pcp: false, natPmp: false, igd1: true }],
  ] as const)('%s: a stranger’s packet gets in until the agent ends (%o)', async (protocol, options) => {
    const router = await start(options);
    const host = startHost(router, LAN.host);
    await host.settled();
    const external = { address: WAN.router, port: 50_000 };
    expect(host.external()).toEqual(external);
    expect(host.lines()).toEqual([
      `port mapping: the router passes ${WAN.router}:50000 to ${LAN.host}:50000 (${protocol})`,
    ]);
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`]);
    expect(await ask(router, external)).toBe(`word of ${WAN.stranger}`);
    host.renew();
    await host.settled(2);
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`]);
    await host.close();
    expect(router.mappings()).toEqual([]);
    expect(await ask(router, external, 1000)).toBe('');
  });

  test.each([
    ['PCP', {}],
    ['NAT-PMP', { pcp: false }],
    ['UPnP-IGD', { pcp: false, natPmp: false }],
    ['UPnP-IGD', { pcp: false, natPmp: false, igd1: true }],
  ] as const)('%s: two hosts with the same port get different ones outside (%o)', async (_, options) => {
    const router = await start(options);
    const first = startHost(router, LAN.host);
    await first.settled();
    const second = startHost(router, LAN.neighbour);
    await second.settled();
    const external = second.external();
    expect(external?.port).not.toBe(50_000);
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`, `${external?.port} ${LAN.neighbour}:50000`]);
    expect(await ask(router, external ?? { address: '', port: 0 })).toBe(`word of ${WAN.stranger}`);
    await second.close();
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`]);
    await first.close();
    expect(router.mappings()).toEqual([]);
  });

  test('a router that restarted is asked again', async () => {
    const router = await start({});
    const host = startHost(router, LAN.host);
    await host.settled();
    await router.restart();
    expect(router.mappings()).toEqual([]);
    host.renew();
    await host.settled(2);
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`]);
    await host.close();
  });

  test('an agent that was killed gets its port again', async () => {
    const router = await start({});
    const killed = startHost(router, LAN.host);
    await killed.settled();
    await killed.kill();
    expect(router.mappings()).toEqual([`50000 ${LAN.host}:50000`]);
    const host = startHost(router, LAN.host);
    await host.settled();
    // PCP protects the mapping from those who do not know its nonce; NAT-PMP does not.
    expect(host.external()).toEqual({ address: WAN.router, port: 50_000 });
    await host.close();
    expect(router.mappings()).toEqual([]);
  });

  test('a router that speaks none of it is not spoken of', async () => {
    const router = await start({ upnp: false, pcp: false, natPmp: false });
    const host = startHost(router, LAN.host);
    await host.settled();
    expect(host.lines()).toEqual([]);
    expect(host.external()).toBeUndefined();
    await host.close();
  });

  test('PCP: a hole in the firewall for IPv6, until the agent ends', async () => {
    const router = await start({});
    expect(await ask(router, { address: LAN6.host, port: 50_000 }, 1000)).toBe('');
    const host = startHost(router, LAN6.host);
    await host.settled();
    expect(host.external()).toEqual({ address: LAN6.host, port: 50_000 });
    expect(await ask(router, { address: LAN6.host, port: 50_000 })).toBe(`word of ${WAN6.stranger}`);
    expect(router.pinholes()).toBe(1);
    await host.close();
    expect(router.pinholes()).toBe(0);
  });
});
