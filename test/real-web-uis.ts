/** Web UIs that were not written here, each with its own server: a process on a free port, with a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../scripts/free-port.ts';

export interface RealWebUi {
  url: string;
  /** What it keeps. */
  folder: string;
  close(): Promise<void>;
}

/** Each takes under a second on an idle machine. */
const START_MS = 40_000;
const END_MS = 5_000;

/** A wiki whose pages are files in `folder`: its page saves them by XMLHttpRequest, with their names in the path. */
export async function startTiddlyWiki(): Promise<RealWebUi> {
  const program = programOf('tiddlywiki/tiddlywiki.js');
  const root = mkdtempSync(join(tmpdir(), 'tiddlywiki-'));
  const folder = join(root, 'wiki');
  const [ended] = await once(
    spawn(process.execPath, [program, folder, '--init', 'server'], { stdio: 'ignore' }),
    'exit',
  );
  if (ended !== 0) throw new Error(`TiddlyWiki made no wiki: it ended with ${ended}`);
  const port = await freePort();
  return await start([program, folder, '--listen', 'host=127.0.0.1', `port=${port}`], port, root, folder);
}

/** An editor of flows that keeps a WebSocket to its server, at /comms. */
export async function startNodeRed(): Promise<RealWebUi> {
  const folder = mkdtempSync(join(tmpdir(), 'node-red-'));
  const settings = join(folder, 'settings.js');
  // It asks nobody outside, and shows no welcome in front of the editor.
  const values = {
    uiHost: '127.0.0.1',
    flowFile: 'flows.json',
    credentialSecret: false,
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { palette: { allowInstall: false } },
    editorTheme: { tours: false },
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(settings, `module.exports = ${JSON.stringify(values)};`);
  const port = await freePort();
  const args = ['--no-telemetry', '--userDir', folder, '--settings', settings, '--port', `${port}`];
  return await start([programOf('node-red/red.js'), ...args], port, folder, folder);
}

function programOf(path: string): string {
  return fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url));
}

async function start(args: string[], port: number, root: string, folder: string): Promise<RealWebUi> {
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, HOME: root } });
  let said = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (part) => (said += part));
  const close = async () => {
    await end(child);
    rmSync(root, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilUp(url, child);
  } catch (error) {
    await close();
    throw new Error(`${args[0]} did not start. It said: ${said.slice(-2000)}`, { cause: error });
  }
  return { url, folder, close };
}

async function untilUp(url: string, child: ChildProcess): Promise<void> {
  const until = performance.now() + START_MS;
  for (;;) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok === true) return;
    if (child.exitCode !== null || performance.now() > until) throw new Error('no answer');
    await delay(100);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const killed = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(killed);
}
