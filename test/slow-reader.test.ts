/**
 * 200 MB for a reader that is slower than their source, and 200 MB for an upstream that is: what the agent holds of
 * them does not grow with them. Resident memory, as the system counts it, at its highest.
 */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { type Client, connect } from '../web/client/index.ts';
import { AgentCommand } from './agent-command.ts';
import { onPath } from './on-path.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const BYTES = 200_000_000;
const LIMIT_BYTES = 16_000_000;
/** From its peak at full speed; about 5 MB, and over 50 where V8's young generation may grow. */
const UPLOAD_LIMIT_BYTES = 32_000_000;

/** What reads `BYTES`: after each part it waits for `pause`. */
type Read = (pause: (count: number) => Promise<void> | undefined) => Promise<number>;

let stack: Stack;
let agent: AgentCommand;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await Stack.start();
  agent = await AgentCommand.start(stack);
});
afterAll(async () => {
  for (const client of clients) client.close();
  agent?.close();
  await stack?.close();
});

/** It stands still three times until all that may be on its way has come, and then reads on. */
function threePauses(): (count: number) => Promise<void> | undefined {
  const at = [64_000, 20_000_000, 120_000_000];
  return (count) => {
    if (count < (at[0] ?? Number.POSITIVE_INFINITY)) return undefined;
    at.shift();
    return delay(2_000);
  };
}

async function readAll(
  parts: AsyncIterable<Uint8Array>,
  pause: (count: number) => Promise<void> | undefined,
): Promise<number> {
  let count = 0;
  for await (const part of parts) {
    count += part.length;
    await pause(count);
  }
  return count;
}

async function connected(path: 'relay' | 'direct'): Promise<Client> {
  const common = { url: stack.edge.url, host: HOST_ID, token: OWNER_TOKEN };
  const client = connect(
    path === 'relay' ? { ...common, webrtc: false } : { ...common, environment: { RTCPeerConnection } },
  );
  clients.push(client);
  return await onPath(client, path);
}

async function reader(path: 'relay' | 'direct'): Promise<Read> {
  const client = await connected(path);
  return async (pause) => {
    const response = await client.fetch(`/v1/test/bytes?n=${BYTES}`);
    return await readAll(response.body as unknown as AsyncIterable<Uint8Array>, pause);
  };
}

const tunnel: Read = async (pause) => {
  const headers = { authorization: `Bearer ${OWNER_TOKEN}` };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${stack.edge.url}/v1/test/bytes?n=${BYTES}`, { headers }, resolve).on('error', reject);
  });
  return await readAll(response, pause);
};

/**
 * By how much the agent grows at most while `read` is slow, when it has done the same at full speed before: from what
 * it holds then, or from the most that it held meanwhile.
 */
async function growth(name: string, read: Read, from: 'resident' | 'peak'): Promise<number> {
  // Pools, caches and the heap find their size.
  for (let round = 0; round < 2; round++) expect(await read(() => undefined)).toBe(BYTES);
  const before = agent[from];
  agent.forgetPeak();
  expect(await read(threePauses())).toBe(BYTES);
  const grown = agent.peak - before;
  console.log(`${name}: ${(before / 1e6).toFixed(0)} MB, grown by ${(grown / 1e6).toFixed(1)} MB`);
  return grown;
}

test.each([
  ['the tunnel', async () => tunnel],
  ['the relay', () => reader('relay')],
  ['the direct path', () => reader('direct')],
])(
  'a slow reader on %s',
  async (name, make) => {
    expect(await growth(name, await make(), 'resident')).toBeLessThan(LIMIT_BYTES);
  },
  240_000,
);

test('an upstream that is slow to take an upload', async () => {
  let pause = threePauses();
  const upstream = createServer((request, response) => {
    if (request.method === 'POST') void readAll(request, pause).then((count) => response.end(`${count}`));
    else response.setHeader('content-type', 'application/json').end('{"object":"list","data":[]}');
  });
  await once(upstream.listen(0, '127.0.0.1'), 'listening');
  agent.close();
  const { port } = upstream.address() as AddressInfo;
  agent = await AgentCommand.start(stack, ['--max-body-bytes', '300MB'], `http://127.0.0.1:${port}`);
  const client = await connected('direct');
  const write: Read = async (given) => {
    pause = given;
    let left = BYTES;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(Math.min(left, 50_000)));
        left -= 50_000;
        if (left <= 0) controller.close();
      },
    });
    const response = await client.fetch('/v1/files', { method: 'POST', body, duplex: 'half' } as RequestInit);
    return Number(await response.text());
  };
  // It gives memory back after each upload, and takes as much again for the next at any speed.
  expect(await growth('an upload', write, 'peak')).toBeLessThan(UPLOAD_LIMIT_BYTES);
  upstream.close();
}, 400_000);
