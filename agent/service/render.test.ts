/** The files of services, with names that each format reads as its own; and what reads these formats reads the same. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sax from 'sax';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { CommandError } from '../command-error.ts';
import { launchdAgent } from './launchd-agent.ts';
import { commandLine, lastingNode, type Program, passingPlace } from './program.ts';
import { scheduledTask, windowsWord } from './scheduled-task.ts';
import { systemdUnit } from './systemd-unit.ts';

vi.setConfig({ testTimeout: 60_000 });

const PLAIN: Program = {
  node: '/usr/bin/node',
  main: '/usr/lib/direct-agent/main.js',
  folder: '/home/anna/.config/direct-agent',
};
const NASTY: Program = {
  node: '/opt/no de %h $HOME/bin/node',
  main: '/home/jö/a "b" c\'d \\n & <e> ]]>;/main.js',
  folder: '/home/jö/100% of $HOME $x `id` 家',
  config: '/etc/-- x=y/%%.yaml',
};
const WINDOWS: Program = {
  node: 'C:\\Program Files\\nodejs\\node.exe',
  main: 'C:\\Users\\Jö & Co\\100% (1)\\main.js',
  folder: "C:\\Users\\Jö & Co\\it's <here>\\",
};
const USER = { name: 'PC & co\\Jö', systemRoot: 'C:\\Windows' };

const folder = mkdtempSync(join(tmpdir(), 'da-render-'));
afterAll(() => rmSync(folder, { recursive: true }));
const missing = (program: string) => {
  const isMissing = spawnSync(program, ['--version']).error !== undefined;
  if (isMissing) process.stderr.write(`A check of services is left out: ${program} is not installed.\n`);
  return isMissing;
};

describe('systemd', () => {
  test('a unit of the user, and of the system', () => {
    expect(systemdUnit(PLAIN, { kind: 'user' })).toMatchSnapshot();
    expect(systemdUnit(NASTY, { kind: 'user' })).toMatchSnapshot();
    expect(systemdUnit(NASTY, { kind: 'system', uid: 1000, gid: 1001 })).toMatchSnapshot();
  });

  test('a program with quotation marks in its name is started by a shell, as systemd refuses such names', () => {
    const [line] = /^ExecStart=.*$/m.exec(systemdUnit({ ...PLAIN, node: '/a"b\'$c/node' }, { kind: 'user' })) ?? [];
    expect(line).toContain(String.raw`ExecStart="/bin/sh" "-c" "exec \"$$0\" \"$$@\"" "/a\"b'$$c/node"`);
  });

  // Reads the unit and what it names; nothing is started.
  test.skipIf(missing('systemd-analyze'))('systemd reads them without a word', () => {
    for (const [index, name] of ['no de %h $HOME', 'quo"te\'s \\'].entries()) {
      const place = join(folder, name);
      mkdirSync(place);
      symlinkSync(process.execPath, join(place, 'node'));
      for (const scope of [{ kind: 'user' }, { kind: 'system', uid: 1000, gid: 1000 }] as const) {
        const file = join(folder, `direct-agent-${scope.kind}-${index}.service`);
        writeFileSync(file, systemdUnit({ ...NASTY, node: join(place, 'node') }, scope));
        const { stderr } = spawnSync('systemd-analyze', [`--${scope.kind}`, 'verify', '--man=no', file], {
          encoding: 'utf8',
          env: { PATH: process.env.PATH, XDG_RUNTIME_DIR: folder, LC_ALL: 'C' },
        });
        const said = stderr.split('\n').filter((line) => line.includes('direct-agent-'));
        // Keys of systemd 254 and later.
        expect(said.filter((line) => !/Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)'/.test(line))).toEqual(
          [],
        );
      }
    }
  });

  test('does not restart after exits that another start would repeat', () => {
    expect(systemdUnit(PLAIN, { kind: 'user' })).toContain('\nRestartPreventExitStatus=64 69 77 78\n');
  });
});

/** The texts of all elements with this name, as an XML parser reads them. */
function texts(xml: string, element: string): string[] {
  const found: string[] = [];
  let open = '';
  const parser = sax.parser(true);
  parser.onopentag = ({ name }) => {
    open = name;
    if (name === element) found.push('');
  };
  parser.onclosetag = () => {
    open = '';
  };
  parser.ontext = (text) => {
    if (open === element) found[found.length - 1] += text;
  };
  parser.onerror = (error) => {
    throw error;
  };
  parser.write(xml).close();
  return found;
}

describe('launchd', () => {
  test('an agent of the user', () => {
    expect(launchdAgent(PLAIN)).toMatchSnapshot();
    expect(texts(launchdAgent(NASTY), 'string')).toEqual([
      'direct-agent',
      ...commandLine(NASTY, ['service', 'run']),
      NASTY.folder,
    ]);
  });

  test.skipIf(missing('python3'))('a reader of property lists reads the names as they are', () => {
    const script = 'import json, plistlib, sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)';
    const { stdout, stderr } = spawnSync('python3', ['-c', script], { input: launchdAgent(NASTY), encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({
      Label: 'direct-agent',
      ProgramArguments: commandLine(NASTY, ['service', 'run']),
      RunAtLoad: true,
      KeepAlive: { SuccessfulExit: false },
      WorkingDirectory: NASTY.folder,
    });
  });
});

/** As CommandLineToArgvW: Microsoft’s “Parsing C command-line arguments”. */
function argvOf(line: string): string[] {
  const words: string[] = [];
  let [word, quoted, inWord] = ['', false, false];
  for (let i = 0; i < line.length; i++) {
    const [slashes = ''] = /^\\*/.exec(line.slice(i)) ?? [];
    const mark = line[i + slashes.length];
    if (slashes !== '') {
      word += '\\'.repeat(mark === '"' ? slashes.length >> 1 : slashes.length);
      inWord = true;
      i += slashes.length - 1;
      if (mark === '"' && slashes.length % 2 === 1) {
        word += '"';
        i++;
      }
    } else if (mark === '"') [quoted, inWord] = [!quoted, true];
    else if (mark === ' ' && !quoted) {
      if (inWord) words.push(word);
      [word, inWord] = ['', false];
    } else [word, inWord] = [word + mark, true];
  }
  return inWord ? [...words, word] : words;
}

describe('the Task Scheduler', () => {
  test('a task of the user', () => {
    expect(scheduledTask(WINDOWS, USER)).toMatchSnapshot();
  });

  test('arguments arrive as they are', () => {
    const [line = ''] = texts(scheduledTask(WINDOWS, USER), 'Arguments');
    expect(argvOf(line)).toEqual(['--headless', '--', ...commandLine(WINDOWS, ['service', 'run'])]);
    expect(texts(scheduledTask(WINDOWS, USER), 'UserId')).toEqual([USER.name, USER.name]);
  });

  test.each(['a b', 'a\\', 'a\\\\"b', '"', '', 'a "b" c\\'])('the word %j', (word) => {
    expect(argvOf(`${windowsWord(word)} x`)).toEqual([word, 'x']);
  });

  test('a variable in a name is refused: there is no way to write it', () => {
    expect(() => scheduledTask({ ...WINDOWS, folder: 'C:\\%TEMP%\\x' }, USER)).toThrow(CommandError);
  });

  test.skipIf(missing('xmllint'))('both are well-formed XML', () => {
    const task = spawnSync('xmllint', ['--noout', '--nonet', '-'], {
      input: Buffer.from(`\ufeff${scheduledTask(WINDOWS, USER)}`, 'utf16le'),
      encoding: 'utf8',
    });
    const agent = spawnSync('xmllint', ['--noout', '--nonet', '-'], { input: launchdAgent(NASTY), encoding: 'utf8' });
    expect([task.status, task.stderr, agent.status, agent.stderr]).toEqual([0, '', 0, '']);
  });
});

test.each(['line\nbreak', 'nul\0', 'escape\x1b'])('a control character is refused: %j', (name) => {
  for (const program of [
    { ...PLAIN, folder: name },
    { ...PLAIN, config: name },
    { ...PLAIN, node: name },
  ]) {
    for (const render of [launchdAgent, (one: Program) => systemdUnit(one, { kind: 'user' })]) {
      expect(() => render(program)).toThrow('control character');
    }
  }
});

test('a program in a cache is told from one that stays', () => {
  expect(passingPlace('/home/a/.npm/_npx/3f1c/node_modules/direct-agent/main.js')).toBe('npx');
  expect(passingPlace('C:\\Users\\a\\AppData\\Local\\npm-cache\\_npx\\1\\node_modules\\direct-agent\\main.js')).toBe(
    'npx',
  );
  expect(passingPlace('/home/a/.cache/pnpm/dlx/1/node_modules/direct-agent/main.js')).toBe('pnpm dlx');
  expect(passingPlace('/tmp/bunx-1000-direct-agent/node_modules/direct-agent/main.js')).toBe('bunx');
  expect(passingPlace('/usr/lib/node_modules/direct-agent/main.js')).toBeUndefined();
});

test('Homebrew’s Node is named by the link that updates keep', () => {
  const cellar = '/opt/homebrew/Cellar/node@24/24.1.0/bin/node';
  expect(lastingNode(cellar, () => true)).toBe('/opt/homebrew/opt/node@24/bin/node');
  expect(lastingNode(cellar, () => false)).toBe(cellar);
  expect(lastingNode('/usr/bin/node', () => true)).toBe('/usr/bin/node');
});

test('a unit of the system may write to the agent’s folder, and to /tmp only where the socket has to be there', () => {
  const writable = (folder: string) => {
    const program = { node: '/usr/bin/node', main: '/usr/lib/main.js', folder };
    return /^ReadWritePaths=(.*)$/m.exec(systemdUnit(program, { kind: 'system', uid: 1000, gid: 1000 }))?.[1];
  };
  expect(writable('/home/anna/.config/direct-agent')).toBe('"/home/anna/.config/direct-agent"');
  const long = `/home/${'a'.repeat(100)}`;
  expect(writable(long)).toBe(`"${long}" -/tmp`);
});
