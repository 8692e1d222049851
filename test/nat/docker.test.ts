/**
 * An agent on a machine with Docker, whose bridges have addresses that mean another machine to everybody else, or the
 * client itself. LocalAI's agents advertised them, and calls were established and then died, when consent (RFC 7675)
 * was asked for on a pair that never worked. Here they stay, by default and with each of the agent's settings.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PathKind } from '../../shared/path.ts';
import { openLibraryPage } from '../client-page.ts';
import { connect, settle } from './cell.ts';
import { type Machine, TURN } from './nat-lab.ts';
import { NatStack, natStackMissing } from './nat-stack.ts';

const without = natStackMissing();

/** RFC 7675, section 5.1: consent ends after 30 s without an answer. Twice that. */
const CALL_MS = 60_000;
const REQUESTS = 6;

type Setting = [what: string, environment: (external: string) => Record<string, string>, path: PathKind];

const SETTINGS: readonly Setting[] = [
  ['nothing set', () => ({}), 'direct'],
  ['interfaces', () => ({ DIRECT_AGENT_INTERFACES: 'eth*' }), 'direct'],
  ['exclude_interfaces', () => ({ DIRECT_AGENT_EXCLUDE_INTERFACES: 'docker0,br-*,veth*' }), 'direct'],
  // Those that do not work are advertised as well, and must not be chosen.
  ['interfaces, with Docker’s', () => ({ DIRECT_AGENT_INTERFACES: '*' }), 'direct'],
  ['nat_1to1', (external) => ({ DIRECT_AGENT_NAT_1TO1: `${external}/192.168.1.2` }), 'direct'],
  ['udp_ports', () => ({ DIRECT_AGENT_UDP_PORTS: '20500' }), 'direct'],
  ['ip_family', () => ({ DIRECT_AGENT_IP_FAMILY: 'ipv4' }), 'direct'],
  ['stun_urls', () => ({ DIRECT_AGENT_STUN_URLS: `stun:${TURN.ipv4[1]}:3478` }), 'direct'],
  ['port_mapping off', () => ({ DIRECT_AGENT_PORT_MAPPING: 'false' }), 'direct'],
  ['relay_only', () => ({ DIRECT_AGENT_RELAY_ONLY: 'true' }), 'turn'],
];

interface Call {
  /** The last one is that of the call, if all is well. */
  pathsBefore: string[];
  pathsAfter: string[];
  /** Of requests meanwhile. */
  statuses: number[];
  log: string;
}

async function call(stack: NatStack, browser: Browser, client: Machine, [, environment, path]: Setting): Promise<Call> {
  const host = await stack.addHost('docker', ({ publicAddresses: [external = ''] }) => environment(external));
  const origin = stack.origin(client);
  const { page, console: lines } = await openLibraryPage(browser, { origin }, '?webrtc_diag=1');
  try {
    await connect(page, host.hostId);
    await settle(page, path);
    const paths = () => page.evaluate(() => globalThis.pathsTaken.map(({ path }) => path));
    const [pathsBefore, statuses]: [string[], number[]] = [await paths(), []];
    for (let i = 0; i < REQUESTS; i++) {
      await sleep(CALL_MS / REQUESTS);
      statuses.push(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status));
    }
    return { pathsBefore, pathsAfter: await paths(), statuses, log: [...lines, host.log].join('\n') };
  } finally {
    await page.context().close();
  }
}

describe.skipIf(without)(`a host with Docker (${without || 'real'})`, () => {
  let stack: NatStack;
  /** All at once: they are minutes. */
  const calls: Promise<Call>[] = [];
  beforeAll(async () => {
    stack = await NatStack.start();
    // Has the same bridges.
    const client = stack.lab.add('docker');
    const browser = await stack.launchChromium(client);
    for (const setting of SETTINGS) {
      const promise = call(stack, browser, client, setting);
      // Its test tells; the others go on.
      promise.catch(() => {});
      calls.push(promise);
    }
  }, 120_000);
  afterAll(() => stack?.close());

  test.each(SETTINGS.map(([what, , path], i) => [what, path, i] as const))(
    'stays connected for a minute: %s, %s',
    async (_, path, i) => {
      const result = await calls[i];
      expect(result?.pathsBefore.at(-1), result?.log).toBe(path);
      expect(result?.pathsAfter, result?.log).toEqual(result?.pathsBefore);
      expect(result?.statuses).toEqual(Array(REQUESTS).fill(200));
    },
    // On a machine that does much else.
    240_000,
  );
});
