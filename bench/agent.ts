/**
 * An agent of the benchmarks as a process of its own: `node bench/agent.ts <signaling URL> [<upstream URL>]`, with the
 * fake LLM server where no upstream is named. Says its host key when its link is up. Over IPC it tells its counters.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GCProfiler } from 'node:v8';
import { startAgent } from '../agent/agent.ts';
import { loadConfig } from '../agent/config.ts';
import { discoverServers } from '../agent/discovery.ts';
import { keepYoungGenerationSmall } from '../agent/idle-memory.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { startFakeLlm } from '../test/fake-llm.ts';

/** What an agent has used so far. */
export interface AgentCounters {
  cpuMs: number;
  /** Of JavaScript's heap, in bytes; without what is outside of it, as the bytes of buffers are. */
  allocatedBytes: number;
  collections: number;
  rssBytes: number;
  /** Since the last question. */
  peakRssBytes: number;
}

/** Ask for the counters; `collect`: after a garbage collection. */
export interface AgentQuestion {
  collect: boolean;
}

/** The heap grows between two collections by what is allocated, and shrinks in none. */
class Allocations {
  #bytes = 0;
  #collections = 0;
  #usedBytes = process.memoryUsage().heapUsed;
  #profiler = new GCProfiler();

  constructor() {
    this.#profiler.start();
  }

  read(): Pick<AgentCounters, 'allocatedBytes' | 'collections'> {
    for (const { beforeGC, afterGC } of this.#profiler.stop().statistics) {
      this.#bytes += beforeGC.heapStatistics.usedHeapSize - this.#usedBytes;
      this.#usedBytes = afterGC.heapStatistics.usedHeapSize;
      this.#collections++;
    }
    this.#profiler = new GCProfiler();
    this.#profiler.start();
    const { heapUsed } = process.memoryUsage();
    this.#bytes += heapUsed - this.#usedBytes;
    this.#usedBytes = heapUsed;
    return { allocatedBytes: this.#bytes, collections: this.#collections };
  }
}

function peakRssBytes(): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  // proc(5): begins the peak anew.
  writeFileSync('/proc/self/clear_refs', '5');
  return Number(kilobytes) * 1024;
}

const [signalingUrl = '', upstream] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const loaded = loadConfig({
  flags: {
    signalingUrl: new URL(new URL(signalingUrl).pathname, 'http://localhost').href,
    upstream: [upstream ?? (await startFakeLlm()).url],
    logLevel: 'error',
    maxBodyBytes: 1024 ** 4,
    // The router of this machine has no part in it.
    portMapping: false,
    folder,
  },
  readFile: () => {
    throw Object.assign(new Error('no file'), { code: 'ENOENT' });
  },
});
// It insists on HTTPS for addresses beyond this machine, and there is no certificate here.
const config = { ...loaded, signalingUrl };
const search = () => discoverServers({ candidates: config.upstreams });
const hostKeys = await generateHostKeys();
const hostKey = encodeBase64url(await hostKeyBytes(hostKeys));
// As the command does.
keepYoungGenerationSmall();
await startAgent({
  config,
  servers: await search(),
  search,
  folder,
  hostKeys,
  log: (level, line) => {
    if (level === 'error') process.stderr.write(`agent: ${line}\n`);
  },
  up: () => void process.stdout.write(`${hostKey}\n`),
  refused: (error) => {
    process.stderr.write(`agent: ${error}\n`);
    process.exit(1);
  },
});

const allocations = new Allocations();
process.on('message', ({ collect }: AgentQuestion) => {
  if (collect) globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const counters: AgentCounters = {
    cpuMs: (user + system) / 1000,
    ...allocations.read(),
    peakRssBytes: peakRssBytes(),
    rssBytes: process.memoryUsage.rss(),
  };
  process.send?.(counters);
});
process.stdin.resume().on('end', () => process.exit(0));
