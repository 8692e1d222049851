/** The whole product on the NAT lab's internet: edge, TURN server, and agents and browsers in whatever networks. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { startEdge } from '../../scripts/edge.ts';
import type { IceServer } from '../../shared/signal.ts';
import { launchChromiumInside, withoutChromium } from '../chromium.ts';
import { type FakeLlm, startFakeLlm } from '../fake-llm.ts';
import { listenInside, spawnInside } from '../namespaces.ts';
import { AGENT_TOKEN, OWNER_TOKEN } from '../stack.ts';
import { startForwarder } from '../tcp-forwarder.ts';
import { makeCertificate } from './certificate.ts';
import { Coturn, coturnMissing } from './coturn.ts';
import { EDGE, type Machine, NatLab, natLabMissing, TURN } from './nat-lab.ts';
import type { NetworkName } from './network-types.ts';

/** For `test.skipIf`: why it cannot be started here, or false. */
export function natStackMissing(): string | false {
  return natLabMissing() || coturnMissing() || withoutChromium;
}

/** The port of HTTPS, which no network blocks; TURN over TLS is there as well, at another address. */
const HTTPS_PORT = 443;
const AGENT_STARTS_WITHIN_MS = 30_000;

export interface NatStackOptions {
  /** Of the edge, besides those that it needs; ICE_SERVERS names the lab's servers otherwise. */
  variables?: Record<string, string>;
}

export class NatStack {
  readonly lab: NatLab;
  readonly coturn: Coturn;
  readonly #ends: AsyncDisposableStack;
  #hosts = 0;

  private constructor(lab: NatLab, coturn: Coturn, ends: AsyncDisposableStack) {
    this.lab = lab;
    this.coturn = coturn;
    this.#ends = ends;
  }

  /** @throws Error when `natStackMissing`. */
  static async start({ variables }: NatStackOptions = {}): Promise<NatStack> {
    // What has been started ends in reverse order: with the stack, or now, if something does not start.
    await using ends = new AsyncDisposableStack();
    const lab = new NatLab();
    ends.defer(() => lab.close());
    const certificate = makeCertificate([EDGE.ipv4, EDGE.ipv6, ...TURN.ipv4, ...TURN.ipv6]);
    ends.defer(() => certificate.remove());
    const coturn = await Coturn.start({
      namespace: lab.internet,
      addresses: [...TURN.ipv4, ...TURN.ipv6],
      certificate,
      args: [TURN.ipv4[0], `[${TURN.ipv6[0]}]`].map((address) => `--aux-server=${address}:${HTTPS_PORT}`),
    });
    ends.defer(() => coturn.close());
    const tls = {
      key: readFileSync(certificate.keyFile, 'utf8'),
      certificate: readFileSync(certificate.certificateFile, 'utf8'),
    };
    const ICE_SERVERS = JSON.stringify(iceServers(coturn));
    const edge = await startEdge({ port: 0, tls, variables: { OWNER_TOKEN, AGENT_TOKEN, ICE_SERVERS, ...variables } });
    ends.defer(() => edge.close());
    // Only TCP to this port leads out of the lab, so that WebRTC cannot.
    for (const server of await listenInside(lab.internet, [EDGE.ipv4, EDGE.ipv6], HTTPS_PORT)) {
      const forwarder = await startForwarder(edge.url, undefined, server);
      ends.defer(() => forwarder.close());
    }
    return new NatStack(lab, coturn, ends.move());
  }

  /**
   * A machine in a network of its own with an agent and an LLM server; resolves when the edge has the agent.
   * `environment` is that of the agent, besides what it needs.
   */
  async addHost(name: NetworkName, environment?: (machine: Machine) => Record<string, string>): Promise<Host> {
    const site = this.lab.add(name);
    const host = await Host.start(`host-${++this.#hosts}`, site, {
      DIRECT_AGENT_SIGNALING_URL: this.origin(site),
      NODE_EXTRA_CA_CERTS: this.coturn.certificate.certificateFile,
      ...environment?.(site),
    });
    this.#ends.defer(() => host.close());
    return host;
  }

  /** The edge as a machine reaches it. */
  origin({ families }: Machine): string {
    return `https://${families.includes(4) ? EDGE.ipv4 : `[${EDGE.ipv6}]`}`;
  }

  /** On a machine of the lab. Ends with the stack, if not before. */
  async launchChromium({ namespace }: Machine): Promise<Browser> {
    const browser = await launchChromiumInside(namespace, [
      `--ignore-certificate-errors-spki-list=${this.coturn.certificate.publicKeyHash}`,
    ]);
    this.#ends.defer(() => browser.close());
    return browser;
  }

  /** With everything on it. */
  async close(): Promise<void> {
    await this.#ends.disposeAsync();
  }
}

/** What an owner would configure: every transport, and TLS on the port that passes everywhere. */
function iceServers(coturn: Coturn): IceServer[] {
  const addresses = [TURN.ipv4[0], TURN.ipv6[0]];
  const { username = '', credential = '' } = coturn.iceServer();
  return [
    { urls: addresses.map((address) => coturn.url('udp', address).replace(/^turn(.*)\?.*$/, 'stun$1')) },
    {
      urls: addresses.flatMap((address) => [
        coturn.url('udp', address),
        coturn.url('tcp', address),
        coturn.url('tls', address).replace(`:${coturn.tlsPort}?`, `:${HTTPS_PORT}?`),
      ]),
      username,
      credential,
    },
  ];
}

/** A machine with an agent, as `direct-agent up` runs it, and an LLM server on its loopback. */
export class Host {
  readonly hostId: string;
  readonly machine: Machine & ReturnType<NatLab['add']>;
  readonly fake: FakeLlm;
  /** What the agent wrote to stderr so far. */
  log = '';
  readonly #folder = mkdtempSync(join(tmpdir(), 'direct-agent-host-'));
  #child: ChildProcess | undefined;

  private constructor(hostId: string, machine: Host['machine'], fake: FakeLlm) {
    this.hostId = hostId;
    this.machine = machine;
    this.fake = fake;
  }

  static async start(
    hostId: string,
    machine: Host['machine'],
    { DIRECT_AGENT_SIGNALING_URL = '', ...environment }: Record<string, string>,
  ): Promise<Host> {
    const [listening] = await listenInside(machine.namespace, ['127.0.0.1'], 0);
    if (listening === undefined) throw new Error('no server');
    const host = new Host(hostId, machine, await startFakeLlm({ strictHost: true, listening }));
    await host.#startAgent({
      PATH: process.env.PATH,
      DIRECT_AGENT_SIGNALING_URL: `${DIRECT_AGENT_SIGNALING_URL}/_direct/h/${hostId}`,
      DIRECT_AGENT_TOKEN: AGENT_TOKEN,
      DIRECT_AGENT_UPSTREAM: host.fake.url,
      DIRECT_AGENT_LOG_LEVEL: 'debug',
      DIRECT_AGENT_FOLDER: host.#folder,
      // What is tested: node-datachannel is installed here.
      DIRECT_AGENT_ENGINE: process.env.DIRECT_AGENT_ENGINE ?? 'werift',
      ...environment,
    });
    return host;
  }

  async #startAgent(environment: NodeJS.ProcessEnv): Promise<void> {
    const program = join(import.meta.dirname, '../../agent/main.ts');
    const child = spawnInside(this.machine.namespace, [process.execPath, program, 'up'], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stderr?.on('data', (text) => {
      this.log += text;
    });
    const ended = once(child, 'exit');
    const up = once(child.stdout ?? child, 'data', { signal: AbortSignal.timeout(AGENT_STARTS_WITHIN_MS) });
    const first = await Promise.race([up.then(() => 'up'), ended]).catch(() => 'too late');
    if (first === 'up') return;
    await this.close();
    throw new Error(`the agent does not start (${first}):\n${this.log}`);
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    await this.fake.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
