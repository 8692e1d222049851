/**
 * A host with Docker, and a client that has Docker too. LocalAI's calls “establish on a good pair and then drop once
 * ICE consent checks fail” there (https://github.com/mudler/LocalAI/pull/10231). What can be selected and then fail is
 * a pair from a socket that is bound to docker0: its checks leave by eth0, masqueraded by Docker's rules, so the client
 * finds them to come from the host and answers. Without these rules (a reload of the firewall takes them away) they
 * come from 172.17.0.1, which the client has itself, and are dropped.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalEdge, startEdge } from '../scripts/edge.ts';
import type { AgentsOptions } from './agents-process.ts';
import { withoutChromium } from './chromium.ts';
import { type ClientPage, openLibraryPage } from './client-page.ts';
import { DOCKER_BRIDGE, DockerLab } from './docker-lab.ts';
import { Coturn, coturnMissing } from './nat/coturn.ts';
import { networkLabMissing } from './network-lab.ts';
import { AGENT_TOKEN, OWNER_TOKEN } from './stack.ts';
import { recordPeers, remoteCandidates, usedPair } from './turn-peers.ts';

const missing = networkLabMissing() || coturnMissing() || withoutChromium;
const ROUNDS = 6;
const ROUND_MS = 10_000;
const PORT = 50_123;

interface Variant {
  /** The host's id. */
  id: string;
  name: string;
  flags(lab: DockerLab, turn: Coturn): Record<string, unknown>;
  path: 'direct' | 'turn';
  /** All that the client is told of the host. */
  address(lab: DockerLab): readonly string[];
  port?: number;
  /** The page may not see this machine's addresses, as is usual. */
  hidesAddresses?: true;
}

const both = ({ hostAddress, hostIpv6 }: DockerLab) => [hostAddress, hostIpv6];
const VARIANTS: readonly Variant[] = [
  { id: 'plain', name: 'by default', flags: () => ({}), path: 'direct', address: both },
  {
    id: 'hidden',
    name: 'by default, to a usual page',
    flags: () => ({}),
    path: 'direct',
    address: both,
    hidesAddresses: true,
  },
  { id: 'named', name: 'with interfaces', flags: () => ({ interfaces: ['eth0'] }), path: 'direct', address: both },
  {
    id: 'excluded',
    name: 'with exclude_interfaces',
    flags: () => ({ excludeInterfaces: ['docker*', 'br-*', 'veth*'] }),
    path: 'direct',
    address: both,
  },
  {
    id: 'mapped',
    name: 'with nat_1to1',
    flags: ({ hostAddress }) => ({ nat1to1: [hostAddress] }),
    path: 'direct',
    address: both,
  },
  {
    id: 'ipv4',
    name: 'with ip_family ipv4',
    flags: () => ({ ipFamily: 'ipv4' }),
    path: 'direct',
    address: ({ hostAddress }) => [hostAddress],
  },
  {
    id: 'ipv6',
    name: 'with ip_family ipv6',
    flags: () => ({ ipFamily: 'ipv6' }),
    path: 'direct',
    address: ({ hostIpv6 }) => [hostIpv6],
  },
  {
    id: 'pinned',
    name: 'with udp_ports',
    flags: () => ({ udpPorts: PORT }),
    path: 'direct',
    address: both,
    port: PORT,
  },
  {
    id: 'stun',
    name: 'with stun_urls',
    flags: ({ edgeAddress }, { port }) => ({ stunUrls: [`stun:${edgeAddress}:${port}`] }),
    path: 'direct',
    address: both,
  },
  // Nothing in this network grants any.
  { id: 'mapping', name: 'with port_mapping', flags: () => ({ portMapping: true }), path: 'direct', address: both },
  {
    id: 'relayed',
    name: 'with relay_only',
    flags: () => ({ relayOnly: true }),
    path: 'turn',
    address: ({ edgeAddress }) => [edgeAddress],
  },
];

/** Nothing but the bridge, as if no care were taken and ICE had chosen it: so the lab shows what it is there for. */
const CARELESS = 'careless';

interface Call extends ClientPage {
  id: string;
}

describe.skipIf(missing)(`a host with Docker (${missing || 'real'})`, () => {
  let lab: DockerLab;
  let edge: LocalEdge;
  let coturn: Coturn;
  let browser: Browser;
  /** What the agents said. */
  let log = '';
  const calls = new Map<string, Call>();
  const before = new Map<string, string>();

  beforeAll(async () => {
    lab = await DockerLab.start();
    coturn = await Coturn.start({ addresses: [lab.edgeAddress], transport: 'udp' });
    const variables = { OWNER_TOKEN, AGENT_TOKEN, ICE_SERVERS: JSON.stringify([coturn.iceServer(['udp'])]) };
    [edge, browser] = await Promise.all([
      startEdge({ port: 0, host: lab.edgeAddress, variables }),
      lab.launchChromium(),
    ]);
    await startAgents();
    await Promise.all(
      [...VARIANTS, { id: CARELESS, path: 'direct', hidesAddresses: undefined }].map(
        async ({ id, path, hidesAddresses }) => {
          const call = await connect(id, hidesAddresses === true);
          calls.set(id, call);
          // Each call has a test of its own that says what came of it.
          await call.page
            .waitForFunction((path) => globalThis.client.path === path, path)
            .catch(() => {
              console.log(`${id} is not ${path}:\n${call.console.join('\n')}`);
              console.log(log.match(new RegExp(`^${id} .*$`, 'gm'))?.join('\n'));
            });
        },
      ),
    );
    for (const { id, page } of calls.values()) before.set(id, await page.evaluate(() => globalThis.client.path));
    const lost = setTimeout(() => lab.loseMasquerading(), ROUND_MS);
    await Promise.all([...calls.values()].map(({ page }) => talk(page)));
    clearTimeout(lost);
  }, 180_000);
  afterAll(async () => {
    await lab?.close();
    await Promise.all([edge?.close(), coturn?.close()]);
  });

  async function startAgents(): Promise<void> {
    const hosts = Object.fromEntries([
      ...VARIANTS.map(({ id, flags }) => [id, { portMapping: false, ...flags(lab, coturn) }]),
      [CARELESS, { portMapping: false, interfaces: [DOCKER_BRIDGE.name] }],
    ]);
    const options: AgentsOptions = {
      edge: `http://${lab.edgeAddress}:${edge.port}`,
      agentToken: AGENT_TOKEN,
      hosts,
    };
    const program = join(import.meta.dirname, 'agents-process.ts');
    const child = lab.spawnOnHost([process.execPath, program, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    child.stdout?.on('data', (text) => {
      log += String(text);
    });
    const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
    if (typeof first !== 'object') throw new Error(`the agents ended with ${first}`);
  }

  /** With all addresses of its machine, docker0's too, as a page that may use the microphone; LocalAI's may. */
  async function connect(id: string, hidesAddresses: boolean): Promise<Call> {
    const opened = await openLibraryPage(browser, { origin: `http://localhost:${edge.port}` }, '?webrtc_diag=1');
    const { page } = opened;
    if (!hidesAddresses) await page.context().grantPermissions(['microphone']);
    await recordPeers(page);
    await page.evaluate(
      async ({ host, token }) => {
        globalThis.client = globalThis.library.connect({ url: location.origin, host, token });
        globalThis.paths = [];
        await globalThis.client.ready;
      },
      { host: id, token: OWNER_TOKEN },
    );
    return { ...opened, id };
  }

  const callOf = (id: string): Call => {
    const call = calls.get(id);
    if (call === undefined) throw new Error('there was no call');
    return call;
  };

  test.each(VARIANTS)(`is reached at the right address $name`, async ({ id, address, port }) => {
    const { page } = callOf(id);
    const told = (await remoteCandidates(page)).filter(({ type }) => type === 'host' || id === 'relayed');
    expect([...new Set(told.map((each) => each.address))].sort()).toEqual([...address(lab)].sort());
    const { remote } = await usedPair(page);
    expect(address(lab)).toContain(remote.address);
    if (port !== undefined) expect(remote.port).toBe(port);
  });

  test.each(VARIANTS)(
    `answers for ${(ROUNDS * ROUND_MS) / 1000} s without a change of path $name`,
    async ({ id, path }) => {
      const { page } = callOf(id);
      expect(await page.evaluate(() => globalThis.answers)).toEqual(new Array(ROUNDS + 1).fill(200));
      expect(await page.evaluate(() => globalThis.paths)).toEqual([]);
      expect([before.get(id), await page.evaluate(() => globalThis.client.path)]).toEqual([path, path]);
    },
  );

  test('is lost where the call went by a bridge of Docker', async () => {
    const { page } = callOf(CARELESS);
    expect(before.get(CARELESS)).toBe('direct');
    expect(await page.evaluate(() => globalThis.paths[0])).toMatch(/^(relay|turn)$/);
    // The relay took over.
    expect(await page.evaluate(() => globalThis.answers)).toEqual(new Array(ROUNDS + 1).fill(200));
  });
});

declare global {
  // Set in the page: each path that the client went to, and the status of each answer, while it talked.
  var paths: string[];
  var answers: number[];
}

/** A short chat now and after each round. */
async function talk(page: Page): Promise<void> {
  await page.evaluate(
    async ({ rounds, ms }) => {
      globalThis.answers = [];
      globalThis.client.on('path', (path) => globalThis.paths.push(path));
      const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'x' }] });
      for (let round = 0; round <= rounds; round++) {
        if (round > 0) await new Promise((resolve) => setTimeout(resolve, ms));
        const response = await globalThis.client.fetch('/v1/chat/completions', { method: 'POST', body });
        await response.text();
        globalThis.answers.push(response.status);
      }
    },
    { rounds: ROUNDS, ms: ROUND_MS },
  );
}
