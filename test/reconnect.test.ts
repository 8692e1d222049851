/** What becomes of running requests when a part of the way is taken away and comes back. The client runs in Node. */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { type Client, type ConnectOptions, connect } from '../web/client/index.ts';
import { onPath } from './on-path.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';
import { type Forwarder, startForwarder } from './tcp-forwarder.ts';

let stack: Stack;
/** Between agent and edge. */
let uplink: Forwarder;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await Stack.start();
  uplink = await startForwarder(stack.edge.url);
  await stack.stopAgent();
  await stack.startAgent({ signalingUrl: `${uplink.url}/_direct/h/${HOST_ID}` });
});
beforeEach(async () => {
  // The test before may have sent it away.
  const ask = () => fetch(`${stack.edge.url}/v1/models`, { headers: { authorization: `Bearer ${OWNER_TOKEN}` } });
  await expect.poll(async () => (await ask()).status).toBe(200);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  uplink?.close();
  await stack?.close();
});

const MESSAGES = [{ role: 'user', content: 'x' }];

function open(options: Partial<ConnectOptions>): Client {
  const client = connect({ url: stack.edge.url, host: HOST_ID, token: OWNER_TOKEN, ...options });
  clients.push(client);
  return client;
}

const byRelay = () => onPath(open({ webrtc: false }), 'relay');
const direct = () => onPath(open({ environment: { RTCPeerConnection } }), 'direct');

let runs = 0;

/** Of a turn that ends with its client or its agent. */
const ENDLESS = 1_000_000;

/** A turn, of three seconds unless `tokens` says otherwise, read to its end. */
function turn(client: Client, tokens = 300) {
  const run = `run=${++runs}`;
  const seen = { bytes: 0 };
  const read = async () => {
    const body = JSON.stringify({ model: `tokens-${tokens}-at-100`, stream: true, messages: MESSAGES });
    const response = await client.fetch(`/v1/chat/completions?${run}`, { method: 'POST', body });
    expect(response.status).toBe(200);
    const hash = createHash('sha256');
    for await (const part of response.body ?? []) {
      seen.bytes += part.length;
      hash.update(part);
    }
    return hash.digest('hex');
  };
  const sha256 = read();
  // Whoever is told of a failure before it is awaited must not take the test down.
  sha256.catch(() => {});
  return {
    sha256,
    requests: () => stack.fake.requests.filter(({ url }) => url.includes(run)),
    begun: () => expect.poll(() => seen.bytes).toBeGreaterThan(0),
  };
}

async function expectWhole({ sha256, requests }: ReturnType<typeof turn>): Promise<void> {
  const received = await sha256;
  expect(requests().map((request) => request.sentSha256)).toEqual([received]);
}

describe('the agent’s WebSocket is cut', () => {
  test.each([
    ['on the relay, which waits for it', byRelay],
    ['on the direct path, which does not need it', direct],
  ])('in mid-stream %s', async (_, connected) => {
    const running = turn(await connected());
    await running.begun();
    uplink.cut();
    await expectWhole(running);
  });

  test('for three seconds', async () => {
    const running = turn(await byRelay());
    await running.begun();
    uplink.refuses = true;
    uplink.cut();
    await delay(3000);
    uplink.refuses = false;
    await expectWhole(running);
  });
});

describe('the edge is deployed again', () => {
  test.each([
    ['the relay', byRelay],
    ['the direct path', direct],
  ])('in mid-stream on %s, every socket drops and the stream goes on', async (_, connected) => {
    const client = await connected();
    const running = turn(client);
    await running.begun();
    await stack.restartEdge();
    await expectWhole(running);
    expect((await client.fetch('/v1/models')).status).toBe(200);
  });
});

describe('the agent is restarted', () => {
  const restart = async () => stack.startAgent({ signalingUrl: `${uplink.url}/_direct/h/${HOST_ID}` });
  const restarted = { cause: { code: 'E_HOST_RESTARTED' } };

  test('and says goodbye: running requests end with E_HOST_RESTARTED, and later ones are answered', async () => {
    const client = await byRelay();
    const running = turn(client, ENDLESS);
    await running.begun();
    await stack.stopAgent();
    await expect(running.sha256).rejects.toMatchObject(restarted);
    const offline = await client.fetch('/v1/models');
    expect([offline.status, offline.headers.get('retry-after')]).toEqual([503, '2']);
    await restart();
    await expect.poll(async () => (await client.fetch('/v1/models')).status).toBe(200);
    await onPath(client, 'relay');
    expect(running.requests().length).toBe(1);
  });

  test('without a word: what ran ends, what was never sent is sent, and of the rest only what is safe', async () => {
    const client = await byRelay();
    const running = turn(client, ENDLESS);
    await running.begun();
    const asked = stack.fake.requests.length;
    const get = client.fetch('/v1/test/hang');
    const post = client.fetch('/v1/test/hang', { method: 'POST', body: 'x' });
    // The first one is never answered: it ends with the client.
    for (const request of [get, post]) request.catch(() => {});
    await expect.poll(() => stack.fake.requests.length).toBe(asked + 2);
    uplink.refuses = true;
    uplink.cut();
    await stack.stopAgent();
    const unsent = client.fetch('/v1/test/sink?unsent', { method: 'POST', body: 'never sent before' });
    uplink.refuses = false;
    await restart();
    await expect(running.sha256).rejects.toMatchObject(restarted);
    await expect(post).rejects.toMatchObject(restarted);
    expect(await (await unsent).json()).toMatchObject({ bytes: 17 });
    await expect.poll(() => stack.fake.requests.filter(({ url }) => url.includes('/hang')).length).toBe(3);
    expect(stack.fake.requests.filter(({ url }) => url.includes('unsent')).length).toBe(1);
    expect(running.requests().length).toBe(1);
  });
});
