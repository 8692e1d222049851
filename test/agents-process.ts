/**
 * Agents and their upstream as a process of their own, in whichever network namespace it was started. Each agent is a
 * host of its own. What they log goes to stdout, a line each, with the host's id before it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent } from '../agent/agent.ts';
import { loadConfig } from '../agent/config.ts';
import { discoverServers } from '../agent/discovery.ts';
import { testedEngineFor } from '../agent/test-network.ts';
import { generateHostKeys } from '../shared/host-identity.ts';
import { startFakeLlm } from './fake-llm.ts';
import { startForwarder } from './tcp-forwarder.ts';

export interface AgentsOptions {
  /** The edge's origin. */
  edge: string;
  agentToken: string;
  /** By host id: keys of the configuration, as flags. */
  hosts: Record<string, Record<string, unknown>>;
}

/** What it sends its parent. */
export type FromAgents = { up: true };

const { edge, agentToken, hosts } = JSON.parse(process.argv[2] ?? '') as AgentsOptions;
const folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
const end = () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit();
};
process.on('SIGTERM', end).on('disconnect', end);

// Without HTTPS an agent takes an edge on loopback only.
const [upstream, { url: origin }] = await Promise.all([startFakeLlm({ strictHost: true }), startForwarder(edge)]);
await Promise.all(Object.entries(hosts).map(([host, flags]) => start(host, flags)));
process.send?.({ up: true } satisfies FromAgents);

async function start(host: string, flags: Record<string, unknown>): Promise<void> {
  const config = loadConfig({
    flags: { signalingUrl: `${origin}/_direct/h/${host}`, upstream: [upstream.url], logLevel: 'debug', ...flags },
    env: { DIRECT_AGENT_TOKEN: agentToken, DIRECT_AGENT_ENGINE: testedEngineFor(flags) },
    readFile: () => {
      throw Object.assign(new Error('no file in tests'), { code: 'ENOENT' });
    },
  });
  const search = () => discoverServers({ candidates: config.upstreams });
  const servers = await search();
  const hostKeys = await generateHostKeys();
  await new Promise<void>((resolve, reject) => {
    startAgent({
      config,
      servers,
      search,
      folder: join(folder, host),
      hostKeys,
      log: (level, line) => void process.stdout.write(`${host} ${level} ${line}\n`),
      up: () => resolve(),
      refused: reject,
    }).catch(reject);
  });
}
