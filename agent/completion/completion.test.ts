/** Completion in the shells themselves. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { IMPLIED } from '../command-line/implied.ts';
import { makeProgram } from '../command-line/program.ts';
import { KEYS } from '../settings.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { specify } from './spec.ts';
import { zshCompletion } from './zsh.ts';

vi.setConfig({ testTimeout: 60_000 });

const specs = specify(
  makeProgram(async () => {}),
  { extra: { setting: KEYS }, implied: IMPLIED },
);
const folder = mkdtempSync(join(tmpdir(), 'da-completion-'));
const files = join(folder, 'files');
beforeAll(() => {
  mkdirSync(join(files, 'a folder'), { recursive: true });
  writeFileSync(join(files, 'my config.yaml'), '');
  for (const [shell, text] of Object.entries({
    bash: bashCompletion(specs),
    zsh: zshCompletion(specs),
    fish: fishCompletion(specs),
  })) {
    writeFileSync(join(folder, shell), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(program: string, args: readonly string[]): { lines: string[]; stderr: string } {
  const { stdout, stderr, error } = spawnSync(program, args, {
    cwd: files,
    encoding: 'utf8',
    timeout: 30_000,
    env: { PATH: process.env.PATH, HOME: folder, TERM: 'dumb', LC_ALL: 'C.UTF-8' },
  });
  if (error !== undefined) throw error;
  return { lines: stdout.split('\n').filter((line) => line !== ''), stderr };
}

/** What each shell offers for the last word, sorted. */
type Complete = (words: readonly string[]) => string[];

const bash: Complete = (words) => {
  const script = `source '${join(folder, 'bash')}' && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _direct_agent; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { lines, stderr } = run('bash', ['--norc', '-c', script, 'bash', 'direct-agent', ...words]);
  expect(stderr).toBe('');
  return lines.sort();
};

const fish: Complete = (words) => {
  const script = `source '${join(folder, 'fish')}'; complete --do-complete "$argv[1]"`;
  const { lines, stderr } = run('fish', ['--no-config', '-c', script, `direct-agent ${words.join(' ')}`]);
  expect(stderr).toBe('');
  return lines.map((line) => line.split('\t')[0] ?? '').sort();
};

/** In a pseudo-terminal, as zle needs one; “compadd” says what it is given. */
const ZSH = `
zmodload zsh/zpty
zpty z zsh -f -i
line() { zpty -w z "$1" }
line "PROMPT= ; unsetopt zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste"
line "cd $2; autoload -U compinit; compinit -u -D; source $1"
line 'compadd() { if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi; local -a hits; builtin compadd -A hits "$@"; (( \${#hits} )) && print -rl -- "hit:"$^hits; builtin compadd "$@" }'
line 'done-now() { print -r -- "all:said"; exit }'
line 'zstyle ":completion:*" menu no; bindkey "^M" accept-line; bindkey "^I" complete-word; comppostfuncs=(done-now)'
line 'print ready:to-go'
while zpty -r z text; do [[ $text == ready:to-go* ]] && break; done
zpty -n -w z "$3"$'\\t'
while zpty -r z text; do print -r -- "$text"; [[ $text == *all:said* ]] && break; done
zpty -d z
`;
const zsh: Complete = (words) => {
  const { lines } = run('zsh', ['-f', '-c', ZSH, 'zsh', join(folder, 'zsh'), files, `direct-agent ${words.join(' ')}`]);
  const text = lines.join('\n').replaceAll('\r', '\n');
  return [...text.matchAll(/hit:(.+)/g)].map(([, hit = '']) => hit.trim()).sort();
};

const commands = specs[0]?.commands.map(({ name }) => name).sort();

describe.each([
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish],
] as const)('%s', (shell, complete) => {
  const isMissing = spawnSync(shell, ['-c', 'true']).status !== 0;
  if (isMissing) process.stderr.write(`Completion is not tested in ${shell}, which is not installed.\n`);

  test.skipIf(isMissing)('commands, and those below them', () => {
    expect(complete([''])).toEqual(commands);
    expect(complete(['lo'])).toEqual(['login', 'logout']);
    expect(complete(['key', ''])).toEqual(['create', 'list', 'revoke']);
    expect(complete(['--log-level', 'info', 'dev'])).toEqual(['device']);
  });

  test.skipIf(isMissing)('options, of the command that is meant', () => {
    expect(complete(['key', 'create', '--ex'])).toEqual(['--expires']);
    expect(complete(['--upstr'])).toEqual(['--upstream']);
    expect(complete(['invite', '--exp'])).toEqual(['--expires']);
    expect(complete(['key', 'list', '--exp'])).toEqual([]);
    expect(complete(['key', 'create', '--name', 'list', '--rp'])).toEqual(['--rpm']);
  });

  test.skipIf(isMissing)('what an option takes', () => {
    expect(complete(['up', '--access', ''])).toEqual(['edge', 'paired']);
    expect(complete(['up', '--tunnel', ''])).toEqual(['no', 'yes']);
    expect(complete(['up', '--log-level', 'd'])).toEqual(['debug']);
    expect(complete(['key', 'create', '--name', ''])).toEqual([]);
  });

  test.skipIf(isMissing)('arguments: words, files, folders', () => {
    expect(complete(['completion', ''])).toEqual(['bash', 'fish', 'zsh']);
    // zsh goes on with options.
    expect(complete(['completion', 'bash', '']).filter((word) => !word.startsWith('-'))).toEqual([]);
    expect(complete(['config', 'get', 'udp'])).toEqual(['udp_ports']);
    expect(complete(['up', '--config', 'my']).join()).toMatch(/^my\\? config\.yaml$/);
    const folders = complete(['up', '--folder', '']).join();
    expect(folders).toContain('folder');
    expect(folders).not.toContain('config');
  });
});

test.skipIf(spawnSync('bash', ['-c', 'true']).status !== 0)('bash takes a line apart at “=”', () => {
  expect(bash(['up', '--access', '=', 'p'])).toEqual(['paired']);
  expect(bash(['up', '--access', '='])).toEqual(['edge', 'paired']);
  expect(bash(['up', '--access', '=', 'paired', '--tun'])).toEqual(['--tunnel']);
});
