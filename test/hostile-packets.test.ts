/** Garbage at the ICE port of a real agent: before a connection, while it is made, while it carries a stream, and after. */
import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { garbage } from '../agent/test-garbage.ts';
import { type Client, connect } from '../web/client/index.ts';
import { AgentCommand } from './agent-command.ts';
import { seededSha256 } from './seeded-bytes.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const STREAM_BYTES = 30_000_000;
/** Of them some have 64 kB, so it is 15 MB. */
const DATAGRAMS = 3_000;
/** Garbage is kept by nobody; what varies is when V8 collects, and what it has reserved. */
const LIMIT_BYTES = 64_000_000;

interface Pair {
  readonly protocol: { sendData(data: Buffer, to: unknown): Promise<void> };
  readonly remoteAddr: readonly [host: string, port: number];
}

let stack: Stack;
let agent: AgentCommand;
let stranger: Socket;
/** Connections of the clients, the newest last. */
const made: RTCPeerConnection[] = [];
class Seen extends RTCPeerConnection {
  constructor(...options: ConstructorParameters<typeof RTCPeerConnection>) {
    super(...options);
    made.push(this);
  }
}

beforeAll(async () => {
  stack = await Stack.start();
  agent = await AgentCommand.start(stack, ['--log-level', 'debug']);
  stranger = createSocket('udp4');
  await new Promise<void>((resolve) => stranger.bind(0, resolve));
});
afterAll(async () => {
  stranger?.close();
  agent?.close();
  await stack?.close();
});

/** The pair that the newest connection uses, if it does already. */
function pair(): Pair | undefined {
  const { nominated } = (made.at(-1)?.iceTransports[0]?.connection ?? {}) as unknown as { nominated?: Pair };
  return nominated;
}

/** The agent's ICE user name, which everybody reads who sees the client's checks. */
function ufrag(): string {
  return /a=ice-ufrag:(\S+)/.exec(made.at(-1)?.remoteDescription?.sdp ?? '')?.[1] ?? 'unknown';
}

/** From a stranger's port, and from the client's own as anybody can who writes its address on a datagram. */
async function attack(seed: number, port: readonly [host: string, port: number]): Promise<void> {
  let sent = 0;
  for (const datagram of garbage(seed, ufrag())) {
    stranger.send(datagram, port[1], port[0]);
    const own = pair();
    if (own !== undefined) void own.protocol.sendData(datagram, own.remoteAddr).catch(() => {});
    if (++sent === DATAGRAMS) return;
    // What does not fit the agent's socket would be lost.
    if (sent % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function open(): Client {
  return connect({
    url: stack.edge.url,
    host: HOST_ID,
    token: OWNER_TOKEN,
    environment: { RTCPeerConnection: Seen as never },
  });
}

async function read(client: Client, seed: string): Promise<string> {
  const response = await client.fetch(`/v1/test/bytes?n=${STREAM_BYTES}&seed=${seed}`);
  const hash = createHash('sha256');
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) hash.update(part);
  return hash.digest('hex');
}

test('the agent goes on, the stream has every byte, and new connections are made', async () => {
  const first = open();
  await expect.poll(() => first.path).toBe('direct');
  const port = pair()?.remoteAddr ?? ['', 0];
  first.close();
  let settled = 0;
  for (let round = 0; round < 3; round++) {
    await attack(3 * round, port);
    const client = open();
    // While it connects, and while it is used.
    const connecting = attack(3 * round + 1, port);
    await expect.poll(() => client.path, { timeout: 30_000 }).toBe('direct');
    const reading = read(client, `${round}`);
    await Promise.all([connecting, attack(3 * round + 2, port)]);
    expect(await reading).toBe(seededSha256(`${round}`, STREAM_BYTES));
    client.close();
    if (round === 0) settled = agent.resident;
  }
  expect(agent.hasExited).toBe(false);
  // A flood may make a path slow, so that another one is used for a time; no packet may break it.
  expect(agent.said).not.toMatch(/unexpected|unhandled|DTLS failed|broke SCTP/i);
  expect(agent.resident - settled).toBeLessThan(LIMIT_BYTES);
}, 180_000);
