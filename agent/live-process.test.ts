/** The live view on real terminals: pseudo-terminals of util-linux's `script`, read by xterm. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { FakeEdge, FakeProcess } from './commands/test-fake-edge.ts';
import { startControl } from './control.ts';
import { EXAMPLE_REPORT } from './test-report.ts';
import { TestTerminal } from './test-terminal.ts';

vi.setConfig({ testTimeout: 120_000 });

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const PATIENCE = { timeout: 25_000 };
const COLUMNS = 72;
const ROWS = 24;
/** With jobs, so that they can be stopped. */
const INTERACTIVE_SHELL = `exec env PS1='shell$ ' bash --norc --noprofile -i`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

// BSD's script, as on macOS, has other options.
const hasScript = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '');
const inTerminal = test.skipIf(!hasScript);
const where = hasScript ? 'in a real terminal' : 'util-linux’s script is missing';

async function loggedIn() {
  const edge = (await FakeEdge.start()).allowLogin();
  edge.on('POST /_direct/api/device/code', {
    json: { device_code: 'd', user_code: 'WDJB-MJHT', expires_in: 600, interval: 1 },
  });
  edge.on('GET /_direct/h/attic', { json: { id: 'attic', online: true } });
  const { folder } = new FakeProcess();
  const env = {
    PATH: process.env.PATH ?? '',
    TERM: 'xterm-256color',
    DIRECT_AGENT_FOLDER: folder,
    DIRECT_AGENT_UPSTREAM: 'http://127.0.0.1:2',
    DIRECT_AGENT_PORT_MAPPING: 'no',
  };
  const login = spawn(process.execPath, [main, 'login', edge.url, '--no-serve'], { env, stdio: 'ignore' });
  expect((await once(login, 'close'))[0]).toBe(0);
  return { edge, folder, env };
}

/** `command` of a shell; `agent` in it is the program. */
function runInTerminal(env: Record<string, string>, command: string) {
  const shell = `stty cols ${COLUMNS} rows ${ROWS}; ${command}`;
  const child = spawn('script', ['-qec', shell, '/dev/null'], {
    env: { ...env, AGENT: `${process.execPath} ${main}`, SHELL: '/bin/bash' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  const terminal = new TestTerminal(COLUMNS, ROWS);
  child.stdout.on('data', (part) => terminal.write(String(part)));
  const shown = async () => (await terminal.lines()).join('\n');
  const exit = once(child, 'close').then(([code]) => code as number);
  return { child, terminal, shown, exit, type: (keys: string) => child.stdin.write(keys) };
}

inTerminal(`up shows itself below its log, and takes that away at its end (${where})`, async () => {
  const { env } = await loggedIn();
  const { shown, exit, type, terminal } = runInTerminal(env, '$AGENT up');
  await expect.poll(shown, PATIENCE).toMatch(/\nEdge {7}connected by WebSocket/);
  const lines = await terminal.lines();
  const view = lines.findIndex((line) => line.startsWith('attic at http://127.0.0.1:'));
  expect(lines.slice(0, view).join('')).toContain('link: connected to the edge by WebSocket');
  expect(lines.slice(0, view).join('')).toContain('/_direct/chat#host=attic&key=');
  expect(lines.at(-1)).toBe('Sessions   none');
  expect(await terminal.cursor()).toEqual([lines.length, 0]);
  type('\x03');
  expect(await exit).toBe(0);
  // What the terminal echoes of Ctrl+C may come after all else.
  const after = (await terminal.lines()).filter((line) => line !== '^C');
  expect(after.at(-1)).toMatch(/ info {2}stopping$/);
  expect(after.join('\n')).not.toContain('Sessions');
  expect(terminal.written.join('')).not.toContain('\x1b[?25l');
});

inTerminal(
  `status follows the agent until q, also after Ctrl+Z, and leaves the terminal as it was (${where})`,
  async () => {
    const { env, folder } = await loggedIn();
    let report = EXAMPLE_REPORT;
    const control = await startControl({ folder, report: () => report, log: () => {} });
    const { shown, exit, type, terminal } = runInTerminal({ ...env, NO_COLOR: '1' }, INTERACTIVE_SHELL);
    await expect.poll(shown, PATIENCE).toContain('shell$');
    type('stty -a > /dev/null; $AGENT status\r');
    await expect.poll(shown, PATIENCE).toMatch(/k3Jx9QpL .* 4\.2 ms/);
    report = { ...EXAMPLE_REPORT, sessions: EXAMPLE_REPORT.sessions.map((one) => ({ ...one, rtt_ms: 99 })) };
    await expect.poll(shown, PATIENCE).toMatch(/k3Jx9QpL .* 99 ms/);
    expect(await shown()).not.toContain('4.2 ms');
    type('\x1a');
    await expect.poll(shown, PATIENCE).toMatch(/Stopped[^\n]*\n(.*\n)*shell\$ $/);
    type('echo "now: $((6 * 7))"\r');
    await expect.poll(shown, PATIENCE).toContain('\nnow: 42');
    type('fg\r');
    await expect.poll(shown, PATIENCE).toMatch(/now: 42\n.*fg\n(.*\n)*k3Jx9QpL .* 99 ms/);
    // What is typed is not shown while keys are taken.
    type('zzz');
    report = { ...report, sessions: [] };
    await expect.poll(async () => (await terminal.lines()).at(-1), PATIENCE).toBe('Sessions   none');
    expect(await shown()).not.toContain('zzz');
    type('q');
    await expect.poll(shown, PATIENCE).toMatch(/shell\$ $/);
    type('stty -a | tr " " "\\n" | grep -xE -- "-?(echo|icanon|isig);?" | tr "\\n" " "; exit 7\r');
    expect(await exit).toBe(7);
    expect(await shown()).toMatch(/\nisig icanon echo/);
    await control.close();
  },
);

inTerminal(`an agent that is killed leaves a terminal that can be used (${where})`, async () => {
  const { env } = await loggedIn();
  const { shown, exit, type } = runInTerminal(env, INTERACTIVE_SHELL);
  await expect.poll(shown, PATIENCE).toContain('shell$');
  type('$AGENT up & sleep 0; fg\r');
  await expect.poll(shown, PATIENCE).toContain('Sessions   none');
  type('\x1a');
  await expect.poll(shown, PATIENCE).toMatch(/Stopped/);
  // In the background it logs, and draws nothing where somebody types.
  type('bg\r');
  type('kill -9 %1; wait %1; echo "after: $?"; exit 3\r');
  expect(await exit).toBe(3);
  expect(await shown()).toMatch(/\nafter: 137/);
});
