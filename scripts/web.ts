/** Builds the web part into `dist/web` if something changed since it was built. */
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

function newest(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Math.max(...entries.map((entry) => statSync(`${entry.parentPath}/${entry.name}`).mtimeMs));
}

function isFresh(): boolean {
  const built = statSync(`${root}dist/web/_headers`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return built > Math.max(newest(`${root}web`), newest(`${root}shared`));
}

export async function buildWeb(): Promise<void> {
  if (!isFresh()) await build({ root: `${root}web`, configFile: `${root}web/vite.config.ts`, logLevel: 'warn' });
}
