/**
 * The patches of werift as commits, to change one of them: `node scripts/werift-series.ts out FOLDER` makes a repository
 * of the stock package (tag `stock`) with a commit for each patch; `git commit --fixup` and `git rebase --autosquash
 * stock` there; `node scripts/werift-series.ts in FOLDER` writes the patches, and installs what comes of them.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stockWerift, weriftPatches } from './werift-copies.ts';

const ROOT = join(import.meta.dirname, '..');
const PATCHES = join(ROOT, 'patches');
const INSTALLED = 'node_modules/werift/';
const NAME = /^(werift\+[^+]+)\+\d+\+(.+)\.patch$/;

const [direction, folder] = process.argv.slice(2);
if (folder === undefined || (direction !== 'out' && direction !== 'in')) {
  throw new Error('node scripts/werift-series.ts <out|in> <folder>');
}
const git = (...words: string[]) =>
  execFileSync('git', ['-c', 'user.name=patches', '-c', 'user.email=patches@localhost', ...words], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });

if (direction === 'out') {
  const place = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
  cpSync(stockWerift(place).folder, folder, { recursive: true });
  rmSync(place, { recursive: true });
  git('init', '--quiet', '.');
  commit('stock');
  git('tag', 'stock');
  for (const patch of weriftPatches()) {
    const file = join(PATCHES, patch);
    git('apply', '-p3', '--whitespace=nowarn', file);
    const [reason = ''] = readFileSync(file, 'utf8').split(/^diff --git/m);
    commit(`${NAME.exec(patch)?.[2]}\n\n${reason}`);
  }
} else {
  const [before = ''] = weriftPatches();
  const version = NAME.exec(before)?.[1];
  for (const patch of weriftPatches()) rmSync(join(PATCHES, patch));
  const commits = git('rev-list', '--reverse', 'stock..HEAD').trim().split('\n');
  for (const [index, id] of commits.entries()) {
    const [topic = '', , ...reason] = git('show', '--no-patch', '--format=%B', id).trimEnd().split('\n');
    const prefixes = [`--src-prefix=a/${INSTALLED}`, `--dst-prefix=b/${INSTALLED}`];
    const change = git('show', '--format=', '--histogram', '--abbrev=7', ...prefixes, id);
    const name = `${version}+${String(index + 1).padStart(3, '0')}+${topic}.patch`;
    writeFileSync(join(PATCHES, name), `${reason.join('\n')}\n\n${change}`);
  }
  cpSync(join(folder, 'lib'), join(ROOT, INSTALLED, 'lib'), { recursive: true });
}

function commit(message: string): void {
  // The package has files that its own rules for git ignore.
  git('add', '--all', '--force', '.');
  git('commit', '--quiet', '--message', message);
}
