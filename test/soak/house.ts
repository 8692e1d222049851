/** The box at home with all that surrounds it, each of which can fail: its network, the edge, the LLM server. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LocalEdge, startEdge } from '../../scripts/edge.ts';
import { freePort } from '../../scripts/free-port.ts';
import { type FakeLlm, startFakeLlm } from '../fake-llm.ts';
import { ip, listenInside } from '../namespaces.ts';
import { Coturn, coturnMissing } from '../nat/coturn.ts';
import { NetworkLab, networkLabMissing } from '../network-lab.ts';
import { AGENT_TOKEN, HOST_ID, OWNER_TOKEN } from '../stack.ts';
import { AgentProcess } from './agent.ts';

/** Why the soak test cannot run here, or false. */
export const houseMissing = (): string | false => networkLabMissing() || coturnMissing();

export interface HouseOptions {
  /** The agent's program; from source otherwise. */
  main?: string | undefined;
  nodeArgs?: readonly string[];
}

/** In the agent's network, where nobody else is. */
const UPSTREAM_PORT = 11_434;
const FORWARDER_PORT = 8_787;
const FORWARDER = fileURLToPath(new URL('./edge-forwarder.ts', import.meta.url));
/** Enough for all clients of an hour. */
const MAX_CONNECTIONS = 30;

export class House {
  readonly lab: NetworkLab;
  readonly agent: AgentProcess;
  /** All that ever ran, for what they were asked. */
  readonly upstreams: FakeLlm[] = [];
  readonly edgePort: number;
  readonly #coturn: Coturn;
  readonly #folder: string;
  readonly #forwarder: ChildProcess;
  #edge: LocalEdge | undefined;
  #upstream: FakeLlm | undefined;

  private constructor(lab: NetworkLab, coturn: Coturn, folder: string, edgePort: number, options: HouseOptions) {
    this.lab = lab;
    this.#coturn = coturn;
    this.#folder = folder;
    this.edgePort = edgePort;
    this.#forwarder = lab.spawn(process.execPath, FORWARDER, this.edgeUrl, String(FORWARDER_PORT));
    this.agent = new AgentProcess({
      namespace: lab.namespace,
      ...options,
      args: [
        ...['up', '--signaling-url', `http://127.0.0.1:${FORWARDER_PORT}/_direct/h/${HOST_ID}`],
        ...['--upstream', `http://127.0.0.1:${UPSTREAM_PORT}`, '--port-mapping', 'no'],
        ...['--max-conns', String(MAX_CONNECTIONS), '--folder', join(folder, 'agent')],
      ],
      env: {
        DIRECT_AGENT_TOKEN: AGENT_TOKEN,
        // An address that wakes no object and answers at once.
        FAST_CLOCK_EDGE: `http://127.0.0.1:${FORWARDER_PORT}/_direct/nothing`,
      },
    });
  }

  static async start(options: HouseOptions = {}): Promise<House> {
    const lab = await NetworkLab.start();
    const folder = mkdtempSync(join(tmpdir(), 'direct-agent-soak-'));
    const coturn = await Coturn.start({ addresses: [lab.hostAddress] });
    const house = new House(lab, coturn, folder, await freePort(0, lab.hostAddress), options);
    try {
      await once(house.#forwarder.stdout ?? house.#forwarder, 'data');
      await Promise.all([house.startEdge(), house.startUpstream()]);
      return house;
    } catch (error) {
      await house.close();
      throw error;
    }
  }

  get edgeUrl(): string {
    return `http://${this.lab.hostAddress}:${this.edgePort}`;
  }

  async startEdge(): Promise<void> {
    this.#edge = await startEdge({
      port: this.edgePort,
      host: this.lab.hostAddress,
      storage: join(this.#folder, 'edge'),
      variables: {
        OWNER_TOKEN,
        AGENT_TOKEN,
        ICE_SERVERS: JSON.stringify([this.#coturn.iceServer(['udp'], 24 * 3600)]),
      },
    });
  }

  async stopEdge(): Promise<void> {
    await this.#edge?.close();
    this.#edge = undefined;
  }

  async startUpstream(): Promise<void> {
    const [listening] = await listenInside(this.lab.namespace, ['127.0.0.1'], UPSTREAM_PORT);
    if (listening === undefined) throw new Error('no upstream');
    this.#upstream = await startFakeLlm({ strictHost: true, listening });
    this.upstreams.push(this.#upstream);
  }

  async stopUpstream(): Promise<void> {
    await this.#upstream?.close();
    this.#upstream = undefined;
  }

  /** In the LLM server's place one that loads its model, as llama.cpp says it; resolves with what ends it. */
  async loadModel(): Promise<() => Promise<void>> {
    const [listening] = await listenInside(this.lab.namespace, ['127.0.0.1'], UPSTREAM_PORT);
    const loading: Server = createServer((_request, response) => {
      const error = { code: 503, message: 'Loading model', type: 'unavailable_error' };
      response.writeHead(503, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
    });
    loading.listen(listening);
    return () =>
      new Promise((resolve) => {
        loading.close(() => resolve());
        loading.closeAllConnections();
      });
  }

  /** The cable of the house. */
  link(state: 'up' | 'down'): void {
    ip('-n', this.lab.namespace, 'link', 'set', 'lab', state);
    // What goes down with the link: a DHCP client sets it again.
    if (state === 'up') ip('-n', this.lab.namespace, 'route', 'replace', 'default', 'via', this.lab.gateway);
  }

  async close(): Promise<void> {
    await this.agent.close();
    await Promise.all([this.stopEdge(), this.stopUpstream(), this.#coturn.close()]);
    await this.lab.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
