/** Two LLM servers as processes behind one agent and a real edge: one starts later, and is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freePort } from '../scripts/free-port.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';

const WAIT = { timeout: 30_000, interval: 50 };

let stack: Stack;
let port: number;
let server: ChildProcess | undefined;
beforeAll(async () => {
  port = await freePort();
  stack = await Stack.start();
  await stack.stopAgent();
  await stack.startAgent({ upstream: [stack.fake.url, `late=http://127.0.0.1:${port}`] });
});
afterAll(async () => {
  server?.kill('SIGKILL');
  await stack?.close();
});

async function startLate(): Promise<void> {
  const args = ['test/fake-llm-process.ts', `${port}`];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  server = started;
  const [what] = await Promise.race([once(started.stdout, 'data'), once(started, 'exit')]);
  expect(`${what}`).toContain('http');
}

async function killLate(): Promise<void> {
  if (server === undefined) return;
  const exited = once(server, 'exit');
  server.kill('SIGKILL');
  await exited;
}

test('a server that starts later is used by its name, one that dies is missed, and the other goes on', async () => {
  const openai = new OpenAI({ apiKey: OWNER_TOKEN, baseURL: `${stack.edge.url}/v1`, maxRetries: 0 });
  const models = async () => (await openai.models.list()).data.map(({ id }) => id);
  const answer = async (model: string) => {
    const { choices } = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hello' }] });
    return choices[0]?.message.content;
  };
  const logged = (pattern: RegExp) => stack.log.filter((line) => pattern.test(line)).length;
  const prompts = () => stack.fake.requests.filter(({ url }) => url === '/v1/chat/completions').length;
  expect(await models()).toContain('fake');
  expect(await models()).not.toContain('late/fake');
  await expect(answer('nobody-has-this')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });

  for (let round = 1; round <= 2; round++) {
    await startLate();
    await vi.waitUntil(() => logged(/ upstream: Ollama at .* is up/) === round, WAIT);
    expect(await models()).toEqual(expect.arrayContaining(['fake', 'late/fake']));
    const before = prompts();
    expect(await answer('late/fake')).toBeTruthy();
    expect(prompts()).toBe(before);
    expect(await answer('fake')).toBeTruthy();
    expect(prompts()).toBe(before + 1);

    await killLate();
    await vi.waitUntil(() => logged(/ upstream: Ollama at .* is down/) === round, WAIT);
    expect(await models()).not.toContain('late/fake');
    await expect(answer('late/fake')).rejects.toMatchObject({ status: 502, code: 'E_UPSTREAM_UNREACHABLE' });
    expect(await answer('fake')).toBeTruthy();
  }
});

test('what the dashboard shows follows', async () => {
  const serves = async () => {
    const headers = { authorization: `Bearer ${OWNER_TOKEN}` };
    const response = await fetch(`${stack.edge.url}/_direct/api/hosts`, { headers });
    const { hosts } = (await response.json()) as { hosts: { serves: { name: string }[] }[] };
    return hosts.flatMap((host) => host.serves.map(({ name }) => name)).length;
  };
  await vi.waitUntil(async () => (await serves()) === 1, WAIT);
  await startLate();
  await vi.waitUntil(async () => (await serves()) === 2, WAIT);
  await killLate();
  await vi.waitUntil(async () => (await serves()) === 1, WAIT);
});
