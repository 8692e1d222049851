import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { endOf, LogFile, lastLines, newText } from './log-file.ts';
import type { ServiceState } from './service-state.ts';
import { type Exit, type Run, supervise } from './supervisor.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
function logPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'da-log-'));
  folders.push(folder);
  return join(folder, 'service.log');
}

/** Runs that end as told, each after `ranMs`; then the service is stopped. */
async function rig(exits: readonly (Exit & { ranMs?: number })[]) {
  const seen = { states: [] as ServiceState[], lines: [] as string[], sleeps: [] as number[], starts: 0 };
  const ending = new AbortController();
  let time = 0;
  await supervise({
    start: (): Run => {
      const exit = exits[seen.starts++];
      if (exit === undefined) ending.abort();
      time += exit?.ranMs ?? 0;
      const ended = Promise.resolve(exit ?? { code: 0, signal: null });
      return { pid: 100 + seen.starts, ended, stop: () => {}, kill: () => {} };
    },
    log: (line) => seen.lines.push(line),
    state: (state) => seen.states.push(state),
    now: () => time,
    sleep: async (ms) => {
      seen.sleeps.push(ms);
      time += ms;
    },
    signal: ending.signal,
  });
  return seen;
}

const crash: Exit = { code: 70, signal: null };

test('starts the agent again after pauses that grow, and begin anew when it ran well', async () => {
  const { sleeps, states, starts } = await rig([
    ...Array.from({ length: 9 }, () => crash),
    { ...crash, ranMs: 300_000 },
    { code: null, signal: 'SIGKILL' },
  ]);
  expect(sleeps).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 2, 4].map((s) => s * 1_000));
  expect([starts, states.at(-2)]).toEqual([12, expect.objectContaining({ pid: 112, restarts: 11 })]);
  expect(states.at(-2)?.last_exit).toMatchObject({ code: null, signal: 'SIGKILL' });
});

test.each([0, 64, 69, 77, 78])('leaves it be after code %i', async (code) => {
  const { sleeps, states, lines } = await rig([{ code, signal: null }]);
  expect([sleeps, lines]).toEqual([[], [`service: the agent ended with code ${code}, and is not started again`]]);
  expect(states.at(-1)).toMatchObject({ pid: null, since: null, last_exit: { code } });
});

/** An agent that ends only by what `ends` it. */
async function stopped(ends: 'stop' | 'kill'): Promise<string[]> {
  const calls: string[] = [];
  const ending = new AbortController();
  const ended = Promise.withResolvers<Exit>();
  const call = (name: 'stop' | 'kill') => () => {
    calls.push(name);
    if (name === ends) ended.resolve({ code: 0, signal: null });
  };
  const done = supervise({
    start: () => ({ pid: 1, ended: ended.promise, stop: call('stop'), kill: call('kill') }),
    log: (line) => calls.push(line),
    state: () => {},
    now: () => 0,
    sleep: () => new Promise((resolve) => setTimeout(resolve, ends === 'kill' ? 0 : 20_000).unref()),
    signal: ending.signal,
  });
  ending.abort();
  await done;
  return calls;
}

test('the end of the service is the end of the agent, by force if it must be', async () => {
  expect(await stopped('stop')).toEqual(['stop', 'service: stopped']);
  expect(await stopped('kill')).toEqual(['stop', 'kill', 'service: stopped']);
});

test('the log begins anew before it is too long, with the file before beside it', () => {
  const path = logPath();
  const log = new LogFile(path, 20);
  for (let n = 1; n <= 7; n++) log.append(`line ${n}\n`);
  expect([readFileSync(`${path}.1`, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['line 5\nline 6\n', 'line 7\n']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  // One that is opened again goes on.
  new LogFile(path, 20).append('line 8\n');
  expect(lastLines(path, 3)).toEqual(['line 6', 'line 7', 'line 8']);
  expect([lastLines(path, 0), lastLines(`${path}.gone`, 5)]).toEqual([[], []]);
});

test('who follows the log misses nothing when it begins anew', () => {
  const path = logPath();
  const log = new LogFile(path, 20);
  log.append('line 1\n');
  const first = newText(path, { ...endOf(path), offset: 0 });
  log.append('line 2\n');
  log.append('line 3\n');
  const second = newText(path, first.end);
  expect([first.text, second.text]).toEqual(['line 1\n', 'line 2\nline 3\n']);
  expect(newText(path, second.end)).toEqual({ text: '', end: endOf(path) });
});

test('a log that cannot be written ends nothing, and goes on when it can', () => {
  const path = logPath();
  const log = new LogFile(path, 20);
  rmSync(dirname(path), { recursive: true });
  log.append('line 1\n');
  mkdirSync(dirname(path));
  log.append('line 2\n');
  expect(readFileSync(path, 'utf8')).toBe('line 2\n');
  // Nor one that cannot be begun anew.
  mkdirSync(join(`${path}.1`, 'in the way'), { recursive: true });
  for (let n = 3; n < 6; n++) log.append(`line ${n}\n`);
  expect(lastLinesOf(path)).toBe('line 5');
});

function lastLinesOf(path: string): string | undefined {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1);
}
