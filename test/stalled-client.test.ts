/**
 * A client that asks for much and reads nothing: what it makes others hold is bounded by credit, since neither a
 * Durable Object's WebSocket nor a data channel has backpressure that reaches the upstream.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { type Client, connect } from '../web/client/index.ts';
import { Inspector } from './inspector.ts';
import { onPath } from './on-path.ts';
import { AGENT_TOKEN, HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const RESPONSE_BYTES = 300_000_000;
const LIMIT_BYTES = 8_000_000;
/** Pages say more than what is held, but V8 does not know of workerd's queues. Without credit it would be all 300 MB. */
const LIMIT_RESIDENT_BYTES = 40_000_000;

/** The agent as people run it, for its memory to be its own, with Node's inspector to look at it. */
async function startAgentProcess(stack: Stack): Promise<ChildProcess> {
  const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
  const flags = ['--signaling-url', stack.signalingUrl, '--upstream', stack.fake.url, '--port-mapping', 'no'];
  const agent = spawn(process.execPath, ['--inspect=127.0.0.1:0', main, 'up', ...flags], {
    env: { ...process.env, DIRECT_AGENT_TOKEN: AGENT_TOKEN, DIRECT_AGENT_FOLDER: stack.folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  agent.stderr?.on('data', (chunk) => (said += chunk));
  await vi.waitFor(() => expect(said).toContain('connected to the edge'), 15_000);
  const address = /Debugger listening on (\S+)/.exec(said)?.[1];
  if (address === undefined) throw new Error(`no inspector: ${said}`);
  agentInspectors.push(await Inspector.open(address));
  return agent;
}

/** Bytes that are reachable: garbage, and pages that the allocator keeps, come and go with the machine's mood. */
async function heldBytes(inspectors: Inspector[]): Promise<number> {
  let sum = 0;
  for (const inspector of inspectors) sum += await inspector.heldBytes();
  return sum;
}

const residentBytes = (pid: number | undefined) =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

let stack: Stack;
let agent: ChildProcess;
const agentInspectors: Inspector[] = [];
const edgeInspectors: Inspector[] = [];
let workerd: number;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await Stack.start({ edge: { inspected: true } });
  for (const url of stack.edge.inspectorUrls) edgeInspectors.push(await Inspector.open(url));
  await stack.stopAgent();
  agent = await startAgentProcess(stack);
  workerd = Number(execFileSync('pgrep', ['-P', String(process.pid), 'workerd'], { encoding: 'utf8' }).split('\n')[0]);
});
afterAll(async () => {
  for (const client of clients) client.close();
  for (const inspector of [...agentInspectors, ...edgeInspectors]) inspector.close();
  agent?.kill();
  await stack?.close();
});

function open(options: Pick<Parameters<typeof connect>[0], 'webrtc' | 'environment'>): Client {
  const client = connect({ url: stack.edge.url, host: HOST_ID, token: OWNER_TOKEN, ...options });
  clients.push(client);
  return client;
}

/** Asks for `bytes` and returns what reads the answer: nothing does before. */
type Ask = (bytes: number) => Promise<{ read(): Promise<number>; close(): void }>;

const over =
  (client: Client): Ask =>
  async (bytes) => {
    const response = await client.fetch(`/v1/test/bytes?n=${bytes}`);
    return {
      read: async () => (await response.arrayBuffer()).byteLength,
      close: () => void response.body?.cancel().catch(() => {}),
    };
  };

/** What reads nothing must not even have its socket read: `fetch` reads ahead. */
const tunnel: Ask = async (bytes) => {
  const url = `${stack.edge.url}/v1/test/bytes?n=${bytes}`;
  const headers = { authorization: `Bearer ${OWNER_TOKEN}` };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers }, resolve).on('error', reject);
  });
  return {
    read: async () => {
      let count = 0;
      for await (const part of response) count += (part as Buffer).length;
      return count;
    },
    close: () => response.destroy(),
  };
};

async function connected(path: 'relay' | 'direct'): Promise<Ask> {
  const client = path === 'relay' ? open({ webrtc: false }) : open({ environment: { RTCPeerConnection } });
  return over(await onPath(client, path));
}

test.each([
  ['the tunnel', async () => tunnel],
  ['the relay', () => connected('relay')],
  ['the direct path', () => connected('direct')],
])('a client on %s that reads nothing of 300 MB', async (_, connect) => {
  const ask = await connect();
  // Pools and caches find their size.
  for (let round = 0; round < 4; round++) expect(await (await ask(40_000_000)).read()).toBe(40_000_000);
  const measure = async () => ({
    agent: await heldBytes(agentInspectors),
    edge: await heldBytes(edgeInspectors),
    resident: residentBytes(workerd),
  });
  const before = await measure();
  const stalled = await ask(RESPONSE_BYTES);
  // What is in flight arrives; what nobody reads would stay.
  await delay(4_000);
  const after = await measure();
  const grown = {
    agent: after.agent - before.agent,
    edge: after.edge - before.edge,
    resident: after.resident - before.resident,
  };
  console.log(_, JSON.stringify(grown));
  expect(grown.agent).toBeLessThan(LIMIT_BYTES);
  expect(grown.edge).toBeLessThan(LIMIT_BYTES);
  expect(grown.resident).toBeLessThan(LIMIT_RESIDENT_BYTES);
  // The upstream waits, so nothing of it lies anywhere else.
  expect(stack.fake.requests.at(-1)?.sentSha256).toBeUndefined();
  stalled.close();
});
