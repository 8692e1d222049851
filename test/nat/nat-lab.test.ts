/** The lab's networks do what their names say, to plain datagrams: without that, a table of paths proves nothing. */
import { execFileSync } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bindInside } from '../namespaces.ts';
import { natOf } from './expected-path.ts';
import { askedFrom, isLetIn, observeBehaviour } from './nat-behaviour.ts';
import { NatLab, natLabMissing, TURN } from './nat-lab.ts';
import { NETWORK_NAMES, NETWORK_TYPES, type NetworkName } from './network-types.ts';

const without = natLabMissing();

describe.skipIf(without)(`the networks of the NAT lab (${without || 'real'})`, () => {
  let lab: NatLab;
  const sockets: Socket[] = [];
  beforeAll(() => {
    lab = new NatLab();
  });
  afterAll(() => {
    for (const socket of sockets) socket.close();
    lab?.close();
  });
  async function bind({ namespace }: { namespace: string }, address = '0.0.0.0'): Promise<Socket> {
    const [socket] = await bindInside(namespace, [address]);
    sockets.push(socket as Socket);
    return socket as Socket;
  }
  /** A socket of a server in the middle of the internet. */
  const server = () => bind({ namespace: lab.internet }, TURN.ipv4[0]);

  const cases = NETWORK_NAMES.flatMap((name) => NETWORK_TYPES[name].families.map((family) => [name, family] as const));
  test.concurrent.each(cases)('“%s” over IPv%i maps and filters as RFC 4787 says', async (name, family) => {
    expect(await observeBehaviour(lab, lab.add(name), family)).toEqual(natOf(NETWORK_TYPES[name], family));
  });

  test.each<NetworkName>(['full-cone', 'address-restricted', 'port-restricted', 'cgnat'])(
    '“%s” keeps its mapping for somebody who wrote too early',
    async (name) => {
      const site = lab.add(name);
      const [socket, first, second] = await Promise.all([bind(site), server(), server()]);
      const external = await askedFrom(socket, first);
      await isLetIn(socket, second, external);
      expect(await askedFrom(socket, second)).toBe(external);
    },
  );

  test.each([
    ['full-cone', 'hairpin', true],
    ['full-cone', 'no-hairpin', false],
    ['address-restricted', 'hairpin', true],
    ['port-restricted', 'hairpin', true],
    ['port-restricted', 'no-hairpin', false],
    ['symmetric', 'hairpin', false],
    // The carrier leads back.
    ['cgnat', 'no-hairpin', true],
  ] as const)('two behind the same “%s”, %s: a way to each other %s', async (name, where, isWay) => {
    const site = lab.add(name);
    const [host, client, stun] = await Promise.all([bind(site), bind(site.addNeighbour(where)), server()]);
    const [hostExternal, clientExternal] = [await askedFrom(host, stun), await askedFrom(client, stun)];
    // As in ICE: one after the other, until both filters know both.
    await isLetIn(client, host, clientExternal);
    expect(await isLetIn(host, client, hostExternal)).toBe(isWay);
    expect(await isLetIn(client, host, clientExternal)).toBe(isWay);
    // Nor is there a way past the router.
    expect(await isLetIn(host, client, `${site.addresses[0]}:${host.address().port}`)).toBe(false);
  });

  test('two in the same LAN reach each other', async () => {
    const site = lab.add('symmetric');
    const [host, client] = await Promise.all([bind(site), bind(site.addNeighbour('same-lan'))]);
    expect(await isLetIn(host, client, `${site.addresses[0]}:${host.address().port}`)).toBe(true);
  });

  test('homes have the same private addresses, which lead nowhere else', async () => {
    const [one, other] = [lab.add('full-cone'), lab.add('docker')];
    expect(one.addresses).toEqual(other.addresses);
    const [to, from] = await Promise.all([bind(other), bind(one)]);
    for (const address of ['192.168.1.2', '172.17.0.1']) {
      expect(await isLetIn(to, from, `${address}:${to.address().port}`)).toBe(false);
    }
  });
});

describe.skipIf(without)('a NAT lab', () => {
  const namespaces = () => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

  test('leaves nothing behind', () => {
    const [one, other] = [new NatLab(), new NatLab()];
    one.add('cgnat');
    expect(namespaces()).toContain(one.internet);
    one.close();
    expect(namespaces()).not.toContain(one.internet.replace('internet', ''));
    expect(namespaces()).toContain(other.internet);
    other.close();
  });

  test('removes what a killed process left', () => {
    const child = `import { NatLab } from './nat-lab.ts';
      process.stdout.write(new NatLab().internet);
      process.kill(process.pid, 'SIGKILL');`;
    let left = '';
    try {
      execFileSync(process.execPath, ['--input-type=module', '-e', child], { cwd: import.meta.dirname });
    } catch (error) {
      left = String((error as { stdout: Buffer }).stdout);
    }
    expect(left).toContain('da-nat-');
    expect(namespaces()).toContain(left);
    new NatLab().close();
    expect(namespaces()).not.toContain(left);
  });
});
