/** The package as `npm pack` makes it, once for all tests that use it. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'dist/package');
const lock = join(root, 'dist/package.lock');
const SOURCES = [
  'agent',
  'bin',
  'docs',
  'scripts',
  'shared',
  'web',
  'workers',
  'README.md',
  'package.json',
  'wrangler.toml',
];

/** A build takes 5 s, and a minute beside all other tests; whoever has the lock for longer is gone. */
const STALE_MS = 180_000;

/** The tarball, and its contents in `dist/`. Built again where a source is newer. */
export async function packed(): Promise<string> {
  mkdirSync(folder, { recursive: true });
  while (!takeLock()) await delay(200);
  try {
    const found = tarball();
    if (found !== undefined && modified(found) > Math.max(...SOURCES.map(newest))) return found;
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    // Without what the test runner sets, such as NODE_ENV.
    const options = { cwd: root, env: { PATH: process.env.PATH, HOME: process.env.HOME } };
    await run(process.execPath, [join(root, 'scripts/package.ts')], options);
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], options);
    const made = tarball();
    if (made === undefined) throw new Error('npm pack made no file');
    return made;
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function takeLock(): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > STALE_MS) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

function tarball(): string | undefined {
  const name = readdirSync(folder).find((file) => file.endsWith('.tgz'));
  return name === undefined ? undefined : join(folder, name);
}

function modified(file: string): number {
  return statSync(file).mtimeMs;
}

function newest(name: string): number {
  const path = join(root, name);
  if (!statSync(path).isDirectory()) return modified(path);
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.max(...files.map((entry) => modified(join(entry.parentPath, entry.name))));
}
