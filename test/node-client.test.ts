import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { type Client, connect } from '../web/client/index.ts';
import { onPath } from './on-path.ts';
import { useOllama, useOpenAi } from './packages.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

let stack: Stack;
let client: Client;
beforeAll(async () => {
  stack = await Stack.start();
  client = connect({
    url: stack.edge.url,
    host: HOST_ID,
    token: OWNER_TOKEN,
    environment: { RTCPeerConnection },
  });
  await onPath(client, 'direct');
});
afterAll(async () => {
  client?.close();
  await stack?.close();
});

test('Node connects directly with werift', () => {
  expect(client.path).toBe('direct');
});

test('the openai package works with it', async () => {
  const openai = new OpenAI({
    apiKey: 'none',
    baseURL: `${stack.edge.url}/v1`,
    fetch: client.fetch as typeof fetch,
    maxRetries: 0,
  });
  await useOpenAi(openai, 1000);
  const embeddings = await openai.embeddings.create({ model: 'fake', input: ['a', 'b'] });
  expect(embeddings.data.length).toBe(2);
  const failing = await openai.chat.completions.create({ model: 'error-mid-stream', stream: true, messages: [] });
  await expect(async () => {
    for await (const _part of failing);
  }).rejects.toThrow('had an error');
});

test('the ollama package works with it', async () => {
  const ollama = new Ollama({ host: stack.edge.url, fetch: client.fetch as typeof fetch });
  await useOllama(ollama);
  expect(stack.fake.requests.map(({ method }) => method)).not.toContain('DELETE');
});

test('nothing went around the direct path', () => {
  const proxied = stack.log.filter((line) => line.includes('proxy: '));
  const asked = stack.fake.requests.filter(({ url }) => url !== '/' && !url.startsWith('/v1/models'));
  expect(proxied.length).toBeGreaterThanOrEqual(9);
  expect(asked.length).toBeGreaterThanOrEqual(6);
});
