/** The supervisor as launchd and the Task Scheduler run it: processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { logFileOf } from '../service/program.ts';
import { readState } from '../service/service-state.ts';
import { login } from './login.ts';
import { FakeEdge, FakeProcess, TOKEN } from './test-fake-edge.ts';

vi.setConfig({ testTimeout: 120_000 });
const patience = { timeout: 40_000 };

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A supervisor whose agent has reached the edge. */
async function serving() {
  const edge = (await FakeEdge.start()).allowLogin();
  const shell = new FakeProcess();
  await login(shell.context, edge.url, { serve: false, upstream: ['http://127.0.0.1:2'] });
  const env = { PATH: process.env.PATH, DIRECT_AGENT_UPSTREAM: 'http://127.0.0.1:2', DIRECT_AGENT_PORT_MAPPING: 'no' };
  const child = spawn(process.execPath, [main, 'service', 'run', '--folder', shell.folder], { env, stdio: 'ignore' });
  children.push(child);
  await expect.poll(() => edge.agents.length, patience).toBe(1);
  const state = () => readState(shell.folder);
  const pid = () => state()?.pid ?? Number.NaN;
  return { edge, child, folder: shell.folder, state, pid, exit: once(child, 'exit') };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('it starts a killed agent again, keeps its log, and leaves it be when the edge refuses for good', async () => {
  const { edge, folder, state, pid, exit } = await serving();
  const first = pid();
  process.kill(first, 'SIGKILL');
  await expect.poll(() => edge.agents.length, patience).toBe(2);
  expect(pid()).not.toBe(first);
  expect(state()).toMatchObject({ restarts: 1, last_exit: { code: null, signal: 'SIGKILL' } });
  edge.on('UPGRADE', 'E_REPLACED');
  edge.agents.at(-1)?.close(4409);
  expect(await exit).toEqual([0, null]);
  expect(state()).toMatchObject({ pid: null, last_exit: { code: 69 } });
  const log = readFileSync(logFileOf(folder), 'utf8');
  expect(log).toContain(' network: ');
  expect(log).toContain('service: the agent ended by SIGKILL; it is started again in 2 s');
  expect(log).toContain('service: the agent ended with code 69, and is not started again');
  expect(log).not.toContain(TOKEN);
  expect(readFileSync(join(folder, 'service.json'), 'utf8')).not.toContain(TOKEN);
});

test('the end of the service ends the agent as Ctrl+C does', async () => {
  const { child, folder, state, pid, exit } = await serving();
  const agent = pid();
  child.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
  expect(isAlive(agent)).toBe(false);
  expect(state()).toMatchObject({ pid: null, last_exit: { code: 0 } });
  expect(readFileSync(logFileOf(folder), 'utf8')).toContain(' stopping\n');
});

test('an agent does not outlive a supervisor that is killed', async () => {
  const { child, pid } = await serving();
  const agent = pid();
  child.kill('SIGKILL');
  await expect.poll(() => isAlive(agent), patience).toBe(false);
});
