/** Copies of werift to set beside each other: as npm has it, and after each of our patches. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const INSTALLED = join(ROOT, 'node_modules/werift');

/** A copy of the package with its dependencies in reach. */
export interface WeriftCopy {
  name: string;
  /** The package's folder; its bundle is lib/index.mjs. */
  folder: string;
}

/**
 * werift without patches, unpacked in `folder`/stock. It comes from npm's registry or cache.
 * Fails as `npm pack` fails: without either.
 */
export function stockWerift(folder: string): WeriftCopy {
  const { version } = JSON.parse(readFileSync(join(INSTALLED, 'package.json'), 'utf8'));
  const place = dependencies(folder, 'stock');
  const arguments_ = ['pack', `werift@${version}`, '--silent', '--prefer-offline', '--pack-destination', folder];
  execFileSync('npm', arguments_, { stdio: ['ignore', 'ignore', 'inherit'] });
  const archive = join(folder, `werift-${version}.tgz`);
  mkdirSync(place);
  execFileSync('tar', ['xzf', archive, '--strip-components=1', '-C', place]);
  return { name: 'stock', folder: place };
}

/** The copy that node_modules holds, patched or being worked on, in `folder`/installed. */
export function installedWerift(folder: string): WeriftCopy {
  const place = dependencies(folder, 'installed');
  cpSync(INSTALLED, place, { recursive: true });
  return { name: 'installed', folder: place };
}

/** Our patches of werift in the order in which patch-package applies them. */
export function weriftPatches(): string[] {
  return readdirSync(join(ROOT, 'patches'))
    .filter((name) => /^werift\+.*\.patch$/.test(name))
    .sort();
}

/** `before` with one more of our patches, in `folder`/<the patch's name>. Fails where it does not apply. */
export function withPatch(folder: string, before: WeriftCopy, patch: string): WeriftCopy {
  const name = patch.replace(/^werift\+[^+]*\+?/, '').replace(/\.?patch$/, '') || 'patch';
  const place = dependencies(folder, name);
  cpSync(before.folder, place, { recursive: true });
  // The patches name files as node_modules/werift/…; a ceiling, or git would look for a repository around it.
  const git = ['apply', '-p3', '--whitespace=nowarn', join(ROOT, 'patches', patch)];
  execFileSync('git', git, { cwd: place, env: { ...process.env, GIT_CEILING_DIRECTORIES: folder } });
  return { name, folder: place };
}

/** Where a copy goes, below a node_modules that holds what werift depends on. */
function dependencies(folder: string, name: string): string {
  mkdirSync(join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, name, 'node_modules'));
  return join(folder, name, 'werift');
}
