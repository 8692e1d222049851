/** What `direct-agent doctor` says of networks that are what they are: real NATs and firewalls, coturn as RFC 5780's server. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Finding } from '../agent/doctor/finding.ts';
import { LoggedInHost } from './logged-in-host.ts';
import { coturnMissing } from './nat/coturn.ts';
import { natLabMissing, TURN } from './nat/nat-lab.ts';
import { NatStack } from './nat/nat-stack.ts';
import type { NetworkName } from './nat/network-types.ts';
import { AGENT_TOKEN } from './stack.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const without = natLabMissing() || coturnMissing();

describe.skipIf(without)(`the doctor behind routers (${without || 'real'})`, () => {
  let stack: NatStack;
  const host = new LoggedInHost();
  beforeAll(async () => {
    stack = await NatStack.start();
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await stack?.close();
  });

  async function examine(name: NetworkName, stun: readonly string[]): Promise<Finding[]> {
    const site = stack.lab.add(name);
    const [first = '', ...more] = stun;
    const args = ['doctor', '--json', '--no-update-check', '--no-inference', ...more.flatMap((url) => ['--stun', url])];
    const { stdout, stderr } = await host.run(args, {
      namespace: site.namespace,
      environment: {
        DIRECT_AGENT_SIGNALING_URL: `${stack.origin(site)}/_direct/h/home`,
        DIRECT_AGENT_TOKEN: AGENT_TOKEN,
        DIRECT_AGENT_UPSTREAM: 'http://127.0.0.1:2',
        DIRECT_AGENT_STUN_URLS: first,
        NODE_EXTRA_CA_CERTS: stack.coturn.certificate.certificateFile,
      },
    });
    expect(stderr).toBe('');
    return (JSON.parse(stdout) as { findings: Finding[] }).findings;
  }
  const dataOf = (findings: readonly Finding[], check: string) => findings.find((one) => one.check === check)?.data;
  const stateOf = (findings: readonly Finding[], check: string) => findings.find((one) => one.check === check)?.state;
  /** It has two addresses with two ports each. */
  const behaviour = [`stun:${TURN.ipv4[0]}:3478`];

  test.each<[NetworkName, mapping: string, filtering: string, state: Finding['state']]>([
    ['none', 'none', 'endpoint-independent', 'ok'],
    ['full-cone', 'endpoint-independent', 'endpoint-independent', 'ok'],
    ['address-restricted', 'endpoint-independent', 'address-dependent', 'ok'],
    ['port-restricted', 'endpoint-independent', 'address-and-port-dependent', 'ok'],
    ['cgnat', 'endpoint-independent', 'address-and-port-dependent', 'ok'],
    ['symmetric', 'address-and-port-dependent', 'address-and-port-dependent', 'warning'],
  ])('“%s”: %s mapping, %s filtering', async (name, mapping, filtering, state) => {
    const findings = await examine(name, behaviour);
    expect(dataOf(findings, 'nat.mapping')).toEqual({ mapping });
    expect(dataOf(findings, 'nat.filtering')).toEqual({ filtering });
    expect(stateOf(findings, 'nat.mapping')).toBe(state);
    expect(stateOf(findings, 'nat.udp')).toBe('ok');
    // Of TLS the edge's certificate is one that was added here.
    expect(stateOf(findings, 'edge.tls')).toBe('warning');
  });

  test.each<[NetworkName, mapping: string]>([
    ['port-restricted', 'endpoint-independent'],
    ['symmetric', 'address-and-port-dependent'],
  ])('“%s” by two servers that cannot answer from elsewhere: the mapping alone', async (name, mapping) => {
    // Its port for HTTPS is one of those that do not speak RFC 5780.
    const findings = await examine(name, [`stun:${TURN.ipv4[0]}:443`, `stun:${TURN.ipv4[1]}:3479`]);
    expect(dataOf(findings, 'nat.mapping')).toEqual({ mapping });
  });

  test.each<NetworkName>(['udp-blocked', 'https-only'])('“%s”: UDP is blocked, TCP works', async (name) => {
    const findings = await examine(name, behaviour);
    expect(findings.find(({ check }) => check === 'nat.udp')).toMatchObject({
      state: 'warning',
      what: 'UDP over IPv4 is blocked: no STUN server answers, while TCP works.',
    });
    expect(stateOf(findings, 'edge.http')).toBe('ok');
    expect(stateOf(findings, 'nat.mapping')).toBeUndefined();
  });

  test('IPv6: the edge is reached by it, and there is no NAT', async () => {
    const findings = await examine('ipv6', [`stun:[${TURN.ipv6[0]}]:3478`]);
    expect(findings.find(({ check }) => check === 'network.ipv6')).toMatchObject({
      state: 'ok',
      data: { edge_ms: expect.any(Number) },
    });
    expect(dataOf(findings, 'nat.mapping6')).toEqual({ mapping: 'none' });
    expect(dataOf(findings, 'nat.filtering6')).toEqual({ filtering: 'address-and-port-dependent' });
  });

  test('interfaces of containers are left out, with the reason', async () => {
    const findings = await examine('docker', behaviour);
    const lines = findings.filter(({ check }) => check === 'network.interfaces').map(({ what }) => what);
    expect(lines).toEqual([
      'Used: eth0 (192.168.1.2).',
      'Left out: br-4f1d2c3b5a69, docker0 (for containers inside this machine).',
    ]);
  });
});
