import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Command, CommanderError } from 'commander';
import { describe, expect, test } from 'vitest';
import { EXIT, EXIT_MEANING } from '../command-error.ts';
import { exampleOf, pathOf } from './command.ts';
import { withImplied } from './implied.ts';
import { makeProgram } from './program.ts';

/** Those that do something, also where there are others below them. */
function leaves(command: Command): Command[] {
  return [...(exampleOf(command) === undefined ? [] : [command]), ...command.commands.flatMap(leaves)];
}

test('a command without others below it has an example', () => {
  const ends = all(makeProgram(async () => {})).filter(({ commands }) => commands.length === 0);
  expect(ends.filter((end) => exampleOf(end) === undefined).map(pathOf)).toEqual(['direct-agent service run']);
});

/** As the program takes it; commands are not run. Returns how many would be, and what is said. */
async function parse(args: readonly string[]): Promise<{ runs: number; said: string; code: string | undefined }> {
  const seen = { runs: 0, said: '', code: undefined as string | undefined };
  const program = makeProgram(async () => {
    seen.runs += 1;
  });
  const write = (text: string) => {
    seen.said += text;
  };
  for (const command of [program, ...all(program)]) {
    command.configureOutput({ writeErr: write, writeOut: write, getOutHasColors: () => false });
  }
  try {
    await program.parseAsync(withImplied(program, args), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    seen.code = error.code;
  }
  return seen;
}

function all(command: Command): Command[] {
  return command.commands.flatMap((one) => [one, ...all(one)]);
}

/** “run” of a service is for the system alone, and in no help. */
const shown = leaves(makeProgram(async () => {})).filter((leaf) => pathOf(leaf) !== 'direct-agent service run');

describe.each(shown.map((leaf) => [pathOf(leaf), leaf] as const))('%s', (path, leaf) => {
  test('has an example, which the program takes', async () => {
    const example = exampleOf(leaf) ?? '';
    const [program, ...args] = example.split(' ');
    expect(program).toBe('direct-agent');
    expect(await parse(args)).toEqual({ runs: 1, said: '', code: undefined });
    const words = path.split(' ').slice(1);
    expect(
      withImplied(
        makeProgram(async () => {}),
        args,
      ).slice(0, words.length),
    ).toEqual(words);
  });

  test('has help with the example, within 80 columns but for what cannot be broken', async () => {
    const { said } = await parse([...path.split(' ').slice(1), '--help']);
    expect(said).toContain(`\nExample:\n  ${exampleOf(leaf)}\n`);
    const [text = ''] = said.split('\nExample:');
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    for (const { flags, description, hidden } of leaf.options) {
      expect([flags, description]).toEqual([flags, expect.stringMatching(/./)]);
      if (!hidden) expect(said).toContain(flags);
    }
  });
});

test('the help lists every command once, within 80 columns, without colour', async () => {
  const { said, code } = await parse(['--help']);
  expect(code).toBe('commander.helpDisplayed');
  for (const name of makeProgram(async () => {}).commands.map((one) => one.name())) {
    expect(said.match(new RegExp(`^  ${name}\\b`, 'gm'))).toHaveLength(1);
  }
  expect(said.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect(said).not.toContain('\x1b');
});

test.each([
  [['--upstreem', 'x'], '--upstream', 'direct-agent up --help'],
  [['up', '--acess', 'edge'], '--access', 'direct-agent up --help'],
  [['key', 'create', '--nam', 'x'], '--name', 'direct-agent key create --help'],
  [['invite', '--expire', '7d'], '--expires', 'direct-agent invite create --help'],
  [['logni'], 'login', 'direct-agent --help'],
  [['key', 'crate'], 'create', 'direct-agent key --help'],
  [['invite', 'lst'], 'list', 'direct-agent invite --help'],
  [['service', 'stat'], 'status', 'direct-agent service --help'],
])('%j: what was meant, and where to look', async (args, meant, help) => {
  const { runs, said } = await parse(args);
  expect(runs).toBe(0);
  expect(said).toMatch(/^direct-agent: unknown (option|command) '/);
  expect(said).toContain(`(Did you mean ${meant}?)\n`);
  expect(said).toContain(`Run “${help}” for what there is.\n`);
});

test('a value that is no choice is told with those that are', async () => {
  expect((await parse(['up', '--access', 'pared'])).said).toContain('Allowed choices are edge, paired.');
  expect((await parse(['completion', 'csh'])).said).toContain('Allowed choices are bash, zsh, fish.');
});

test.each([
  [[], ['up']],
  [
    ['--log-level', 'debug'],
    ['up', '--log-level', 'debug'],
  ],
  [['--help'], ['--help']],
  [['-V'], ['-V']],
  [['stauts'], ['stauts']],
  [
    ['invite', '--name', 'x'],
    ['invite', 'create', '--name', 'x'],
  ],
  [
    ['invite', '--help'],
    ['invite', '--help'],
  ],
  [
    ['invite', 'list'],
    ['invite', 'list'],
  ],
  [['key'], ['key']],
])('%j means %j', (args, meant) => {
  expect(
    withImplied(
      makeProgram(async () => {}),
      args,
    ),
  ).toEqual(meant);
});

test('every exit code has a meaning, and the table of the docs has these and no others', () => {
  const codes = Object.values(EXIT).sort((a, b) => a - b);
  expect(Object.keys(EXIT_MEANING).map(Number)).toEqual(codes);
  const docs = fileURLToPath(new URL('../../docs/', import.meta.url));
  const texts = readdirSync(docs, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => readFileSync(docs + name, 'utf8'));
  const tables = texts.flatMap((text) => text.match(/(^\|.*\n)+/gm) ?? []);
  const rows = (table: string) => [...table.matchAll(/^\| *`?(\d{1,3})`? *\|/gm)].map(([, code]) => Number(code));
  const ours = tables.filter((table) => rows(table).includes(EXIT.config) && rows(table).includes(EXIT.usage));
  expect(ours.map((table) => rows(table).sort((a, b) => a - b))).toEqual([codes]);
});

test('--version and --help load neither the schema nor YAML', () => {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const hook = `data:text/javascript,import { registerHooks } from 'node:module';
    registerHooks({ resolve(name, context, next) {
      if (/^(zod|yaml|werift|undici|ws|env-paths)/.test(name)) throw new Error('loads ' + name);
      return next(name, context);
    } });`;
  for (const flag of ['--version', '--help', 'key']) {
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', hook, main, flag], { encoding: 'utf8' });
    expect([flag, stdout + stderr]).toEqual([flag, expect.not.stringContaining('loads ')]);
    expect(stdout + stderr).toMatch(/\d\.\d|Usage/);
  }
});
