/**
 * `npm run bench:footprint [-- --runs 5 --idle 60 --node <program>]`: what the package costs the machine it is installed
 * on, as its users have it: the tarball, installed by npm in an empty folder with an empty home. Sizes, the time to
 * `--version`, and the memory of an agent that is connected to a local edge and not used, after `--idle` seconds; then
 * the same after a chat on the direct path. Ends with 1 when a budget is exceeded.
 *
 * Memory is VmRSS, so Linux only; it includes what processes of the same Node share. `warm npx` is npm's own time for the
 * most part: it reads the tarball again.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEdge } from '../scripts/edge.ts';
import { startFakeLlm } from '../test/fake-llm.ts';
import { packed } from '../test/packed.ts';
import { connect } from '../web/client/node.ts';
import { machine } from './machine.ts';
import { median, table } from './statistics.ts';

const BUDGETS = { tarball: 3e6, coldMs: 3_000, warmMs: 250, idle: 90e6 };
const READY_MS = 60_000;
const AGENT_TOKEN = 'agent-token-for-benches-0123456789';
const OWNER_TOKEN = 'owner-token-for-benches-0123456789';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    idle: { type: 'string', default: '60' },
    node: { type: 'string', default: process.execPath },
  },
});
const runs = Number(values.runs);
const idleSeconds = Number(values.idle);

const tarball = await packed();
const world = mkdtempSync(join(tmpdir(), 'direct-agent-footprint-'));
const PATH = [
  dirname(values.node),
  ...(process.env.PATH ?? '').split(delimiter).filter((p) => !p.includes('node_modules')),
];

function emptyHome(): { cwd: string; env: NodeJS.ProcessEnv } {
  const cwd = mkdtempSync(join(world, 'home-'));
  return { cwd, env: { HOME: cwd, PATH: PATH.join(delimiter) } };
}

/** Milliseconds from start to end. */
function timed(program: string, args: readonly string[], options: { cwd: string; env: NodeJS.ProcessEnv }): number {
  const before = performance.now();
  execFileSync(program, args, { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  return performance.now() - before;
}

const times = (measure: () => number) => Array.from({ length: runs }, measure);
const npxArgs = ['--yes', `direct-agent@file:${tarball}`, '--version'];

const user = emptyHome();
execFileSync('npm', ['install', tarball], { ...user, stdio: 'ignore' });
const program = join(user.cwd, 'node_modules/.bin/direct-agent');
const installed = sizeOf(join(user.cwd, 'node_modules/direct-agent'));
timed(program, ['--version'], user);
const warm = times(() => timed(program, ['--version'], user));
const cold = times(() => timed('npx', npxArgs, emptyHome()));
const npxHome = emptyHome();
timed('npx', npxArgs, npxHome);
const warmNpx = times(() => timed('npx', npxArgs, npxHome));
const agents = await memory();
rmSync(world, { recursive: true });

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const ms = (value: number) => `${value.toFixed(0)} ms`;
const rows: [what: string, value: number, budget: number | undefined, show: (value: number) => string][] = [
  ['tarball', statSync(tarball).size, BUDGETS.tarball, mb],
  ['installed', installed, undefined, mb],
  ['--version, cold npx', median(cold), BUDGETS.coldMs, ms],
  ['--version, warm npx', median(warmNpx), undefined, ms],
  ['--version, installed', median(warm), BUDGETS.warmMs, ms],
  [`agent, idle for ${idleSeconds} s`, median(agents.map(({ idle }) => idle)), BUDGETS.idle, mb],
  [`agent, ${idleSeconds} s after a direct chat`, median(agents.map(({ used }) => used)), undefined, mb],
];
process.stdout.write(`${machine()}; medians of ${runs}\n\n`);
const shown = rows.map(([what, value, budget, show]) => [what, show(value), budget === undefined ? '' : show(budget)]);
process.stdout.write(`${table([['what', 'measured', 'budget'], ...shown])}\n`);
const tooMuch = rows.filter(([, value, budget]) => budget !== undefined && value > budget);
for (const [what] of tooMuch) process.stderr.write(`${what}: above its budget\n`);
process.exit(tooMuch.length > 0 ? 1 : 0);

/** All agents at once, each a host of its own: they wait most of the time. */
async function memory(): Promise<{ idle: number; used: number }[]> {
  const [edge, llm] = await Promise.all([
    startEdge({ port: 0, variables: { OWNER_TOKEN, AGENT_TOKEN, ICE_SERVERS: '[]' } }),
    startFakeLlm(),
  ]);
  const started: ChildProcess[] = [];
  try {
    for (let i = 0; i < runs; i++) {
      const url = `${edge.url}/_direct/h/host${i}`;
      const args = ['up', '--signaling-url', url, '--upstream', llm.url, '--port-mapping', 'no'];
      const { cwd, env } = emptyHome();
      mkdirSync(join(cwd, 'files'));
      const agent = spawn(program, args, {
        cwd,
        env: { ...env, DIRECT_AGENT_TOKEN: AGENT_TOKEN, DIRECT_AGENT_FOLDER: join(cwd, 'files') },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      started.push(agent);
      await connected(agent);
    }
    await delay(idleSeconds * 1000);
    const idle = started.map(residentBytes);
    for (let i = 0; i < runs; i++) await chat(edge.url, `host${i}`);
    await delay(idleSeconds * 1000);
    const used = started.map(residentBytes);
    return idle.map((bytes, i) => ({ idle: bytes, used: used[i] ?? Number.NaN }));
  } finally {
    for (const agent of started) agent.kill();
    await Promise.all([edge.close(), llm.close()]);
  }
}

async function connected(agent: ChildProcess): Promise<void> {
  let printed = '';
  agent.stderr?.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const deadline = AbortSignal.timeout(READY_MS);
  while (!printed.includes('connected to the edge')) {
    if (agent.stderr === null) throw new Error('the agent has no stderr');
    await once(agent.stderr, 'data', { signal: deadline });
  }
}

async function chat(url: string, host: string): Promise<void> {
  const client = connect({ url, host, token: OWNER_TOKEN });
  const deadline = Date.now() + READY_MS;
  while (client.path !== 'direct' && Date.now() < deadline) await delay(20);
  const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'hello' }] });
  const headers = { 'content-type': 'application/json' };
  const response = await client.fetch('/v1/chat/completions', { method: 'POST', headers, body });
  await response.text();
  if (client.path !== 'direct' || !response.ok) throw new Error(`no direct chat with ${host}: ${client.path}`);
  client.close();
}

function residentBytes({ pid }: ChildProcess): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

function sizeOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
