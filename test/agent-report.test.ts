/** What a running agent counts and tells of itself, with real clients on each path. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { DIRECT_HOLD, DIRECT_RESUME, encodeResume } from '../shared/hold.ts';
import { type Client, connect } from '../web/client/index.ts';
import { onPath } from './on-path.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const PATIENCE = { timeout: 40_000 };
const TOKENS = 200;

let stack: Stack;
let client: Client;
beforeAll(async () => {
  stack = await Stack.start();
  client = connect({ url: stack.edge.url, host: HOST_ID, token: OWNER_TOKEN, environment: { RTCPeerConnection } });
  await onPath(client, 'direct');
});
afterAll(async () => {
  client?.close();
  await stack?.close();
});

const agent = () => {
  if (stack.agent === undefined) throw new Error('no agent runs');
  return stack.agent;
};
const chat = JSON.stringify({
  model: `tokens-${TOKENS}`,
  stream: true,
  messages: [{ role: 'user', content: 'secret' }],
});
const asked = { method: 'POST', body: chat, headers: { 'content-type': 'application/json' } };

test('what goes over the direct path is counted for its session', async () => {
  const { meter } = agent();
  const before = { tokens: meter.tokens, received: meter.bytes.received, finished: meter.requests.finished };
  const response = await client.fetch('/v1/chat/completions?key=hidden', asked);
  const text = await response.text();
  const events = text.split('\n').filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]').length;
  expect(events).toBeGreaterThanOrEqual(TOKENS);
  await expect.poll(() => meter.requests.finished, PATIENCE).toBe(before.finished + 1);
  expect(meter.tokens - before.tokens).toBe(events);
  expect(meter.bytes.received - before.received).toBe(chat.length);
  const direct = () =>
    agent()
      .report()
      .sessions.find(({ path }) => path === 'direct');
  // Until the client has acknowledged the end.
  await expect.poll(() => direct()?.streams, PATIENCE).toBe(0);
  const session = direct();
  expect(session?.client).toBe('owner');
  expect(session?.bytes_sent).toBeGreaterThanOrEqual(text.length);
  expect(session?.bytes_received).toBeGreaterThanOrEqual(chat.length);
  expect(session?.tokens_per_second).toBeGreaterThan(0);
  expect(meter.connections.get('direct')?.count).toBe(1);
  expect(meter.connections.get('direct')?.sum).toBeGreaterThan(0);
  expect([...meter.firstBytes.values()].some(({ count }) => count > 0)).toBe(true);
});

test('the round-trip time is known a moment after somebody asks', async () => {
  agent().measure();
  await expect
    .poll(
      () =>
        agent()
          .report()
          .sessions.find(({ path }) => path === 'direct')?.rtt_ms,
      PATIENCE,
    )
    .toBeGreaterThanOrEqual(0);
});

test('plain HTTPS is counted as the edge’s, and its failures by code', async () => {
  const headers = { authorization: `Bearer ${OWNER_TOKEN}`, 'content-type': 'application/json' };
  const url = `${stack.edge.url}/v1/chat/completions`;
  const { meter } = agent();
  const { tokens } = meter;
  await (await fetch(url, { ...asked, headers })).text();
  await expect.poll(() => meter.tokens, PATIENCE).toBeGreaterThanOrEqual(tokens + TOKENS);
  expect(meter.connections.get('tunnel')?.count).toBeGreaterThan(0);
  const refused = await fetch(`${stack.edge.url}/api/pull`, { ...asked, headers });
  expect(refused.status).toBe(403);
  await expect.poll(() => meter.failures.get('request')?.get('E_FORBIDDEN_TARGET'), PATIENCE).toBe(1);
});

test('a held response is counted once, whoever reads it again', async () => {
  const { meter } = agent();
  const headers = { authorization: `Bearer ${OWNER_TOKEN}`, 'content-type': 'application/json' };
  const url = `${stack.edge.url}/v1/chat/completions`;
  const id = randomBytes(16).toString('base64url');
  const before = meter.tokens;
  const held = await (await fetch(url, { ...asked, headers: { ...headers, [DIRECT_HOLD]: id } })).text();
  await expect.poll(() => meter.requests.running, PATIENCE).toBe(0);
  const counted = meter.tokens - before;
  expect(counted).toBe(held.split('\n').filter((line) => /^data: (?!\[DONE\])/.test(line)).length);
  const sent = meter.bytes.sent;
  const resume = encodeResume({ id, from: 0 });
  const again = await fetch(url, { headers: { authorization: headers.authorization, [DIRECT_RESUME]: resume } });
  expect(await again.text()).toBe(held);
  expect(meter.tokens - before).toBe(counted);
  expect(meter.bytes.sent - sent).toBe(Buffer.byteLength(held));
});

test('messages of a WebSocket are bytes as well', async () => {
  const { meter } = agent();
  const before = { ...meter.bytes };
  const socket = new client.WebSocket(`${stack.edge.url.replace('http', 'ws')}/v1/realtime`);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  const answered = new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data)));
  socket.send('grüße');
  expect(await answered).toBe('grüße');
  expect(
    agent()
      .report()
      .sessions.some(({ streams }) => streams > 0),
  ).toBe(true);
  socket.close();
  // In UTF-8.
  await expect
    .poll(() => [meter.bytes.sent - before.sent, meter.bytes.received - before.received], PATIENCE)
    .toEqual([7, 7]);
  await expect.poll(() => meter.requests.running, PATIENCE).toBe(0);
});

test('who stops reading has cancelled, and nothing has failed', async () => {
  const { meter } = agent();
  const { failed, cancelled } = meter.requests;
  const gone = new AbortController();
  const endless = await client.fetch('/v1/chat/completions', {
    ...asked,
    body: chat.replace(`tokens-${TOKENS}`, 'tokens-100000'),
    signal: gone.signal,
  });
  await endless.body?.getReader().read();
  expect(agent().report().requests.running).toBeGreaterThan(0);
  gone.abort();
  await expect.poll(() => meter.requests.cancelled, PATIENCE).toBeGreaterThan(cancelled);
  expect(meter.requests.failed).toBe(failed);
});

test('the owner sees it on the edge', async () => {
  const response = await fetch(`${stack.edge.url}/_direct/api/hosts/${HOST_ID}/report`, {
    headers: { authorization: `Bearer ${OWNER_TOKEN}` },
  });
  const { report } = (await response.json()) as { report: object };
  expect(report).toMatchObject({ sessions: { direct: 1, turn: 0 }, upstreams: [{ state: 'up' }] });
});

test('nothing of it tells what was asked, by whom, or from where', async () => {
  const report = JSON.stringify(agent().report());
  for (const word of ['secret', 'hidden', 'completions', OWNER_TOKEN]) expect(report).not.toContain(word);
  expect(report.replaceAll(/https?:\/\/[^"]*/g, '')).not.toContain('127.0.0.1');
});
