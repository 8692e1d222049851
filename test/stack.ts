/** The whole product in one process for a test: edge in workerd, agent with werift, fake LLM as upstream. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentOptions, type RunningAgent, startAgent } from '../agent/agent.ts';
import { loadConfig } from '../agent/config.ts';
import { discoverServers } from '../agent/discovery.ts';
import { testedEngineFor } from '../agent/test-network.ts';
import { type LocalEdge, type LocalEdgeOptions, startEdge } from '../scripts/edge.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, type HostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { type FakeLlm, startFakeLlm } from './fake-llm.ts';

export const HOST_ID = 'home';
export const OWNER_TOKEN = 'owner-token-for-tests-0123456789';
export const AGENT_TOKEN = 'agent-token-for-tests-0123456789';

export interface StackOptions {
  /** Keys of the agent's configuration, as flags. */
  flags?: Record<string, unknown>;
  variables?: Record<string, string>;
  /** The address at which the edge listens, and how it is made; those of a test otherwise. */
  edge?: Partial<Omit<LocalEdgeOptions, 'variables'>>;
}

function variablesOf({ variables }: StackOptions): Record<string, string> {
  return { OWNER_TOKEN, AGENT_TOKEN, ICE_SERVERS: '[]', ...variables };
}

export class Stack {
  edge: LocalEdge;
  readonly fake: FakeLlm;
  /** Who the host is, whichever agent runs. */
  readonly hostKeys: HostKeys;
  /** The public one, as links have it. */
  readonly hostKey: string;
  /** What the agent logged, a line each. */
  readonly log: string[] = [];
  /** The agent's own files. */
  readonly folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
  readonly #options: StackOptions;
  #agent: RunningAgent | undefined;

  private constructor(edge: LocalEdge, fake: FakeLlm, hostKeys: HostKeys, hostKey: string, options: StackOptions) {
    this.edge = edge;
    this.fake = fake;
    this.hostKeys = hostKeys;
    this.hostKey = hostKey;
    this.#options = options;
  }

  static async start(options: StackOptions = {}): Promise<Stack> {
    const [edge, fake, hostKeys] = await Promise.all([
      startEdge({ port: 0, ...options.edge, variables: variablesOf(options) }),
      startFakeLlm({ strictHost: true }),
      generateHostKeys(),
    ]);
    const stack = new Stack(edge, fake, hostKeys, encodeBase64url(await hostKeyBytes(hostKeys)), options);
    await stack.startAgent();
    return stack;
  }

  /** Base URL of the host's signaling. */
  get signalingUrl(): string {
    return `${this.edge.url}/_direct/h/${HOST_ID}`;
  }

  /** The edge as a browser opens it: Chromium's `localhost` is this machine, or the host's end of its lab. */
  get origin(): string {
    return `http://localhost:${this.edge.port}`;
  }

  /** The URL that a person opens. */
  get pageUrl(): string {
    return `${this.origin}/#host=${HOST_ID}&key=${this.hostKey}&token=${OWNER_TOKEN}`;
  }

  get connections(): number {
    return this.#agent?.connections ?? 0;
  }

  get agent(): RunningAgent | undefined {
    return this.#agent;
  }

  /** `flags` besides those of the stack. */
  async startAgent(
    flags: Record<string, unknown> = {},
    linkTiming: NonNullable<AgentOptions['linkTiming']> = {},
  ): Promise<void> {
    const all = { ...this.#options.flags, ...flags };
    const config = loadConfig({
      flags: {
        signalingUrl: this.signalingUrl,
        upstream: [this.fake.url],
        logLevel: 'debug',
        // The router of the machine that runs the tests is none of theirs.
        portMapping: false,
        ...all,
      },
      env: { DIRECT_AGENT_TOKEN: AGENT_TOKEN, DIRECT_AGENT_ENGINE: testedEngineFor(all) },
      readFile: () => {
        throw Object.assign(new Error('no file in tests'), { code: 'ENOENT' });
      },
    });
    const search = () => discoverServers({ candidates: config.upstreams });
    const servers = await search();
    await new Promise<void>((resolve, reject) => {
      startAgent({
        config,
        servers,
        search,
        folder: this.folder,
        linkTiming,
        hostKeys: this.hostKeys,
        log: (level, line) => void this.log.push(`${level} ${line}`),
        up: () => resolve(),
        refused: reject,
      }).then((agent) => {
        this.#agent = agent;
      }, reject);
    });
  }

  /** Ends the edge with all its sockets and all that it knew, and starts it again at the same address. */
  async restartEdge(): Promise<void> {
    const { port } = this.edge;
    await this.edge.close();
    this.edge = await startEdge({ ...this.#options.edge, port, variables: variablesOf(this.#options) });
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.close();
    this.#agent = undefined;
  }

  async close(): Promise<void> {
    await this.stopAgent();
    await Promise.all([this.edge.close(), this.fake.close()]);
    rmSync(this.folder, { recursive: true });
  }
}
