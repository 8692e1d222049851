/** The documents say what the code does, and lead where they say. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { makeProgram } from '../agent/command-line/program.ts';
import { ENV_PREFIX, envName } from '../agent/config-messages.ts';
import { MEANINGS } from '../agent/setting-meanings.ts';
import { KEYS } from '../agent/settings.ts';
import { problemsOf, required, withFile } from '../agent/test-config.ts';
import { madeDocuments } from '../scripts/docs.ts';
import { anchorsOf, type CommandLine, codeBlocks, commandLines, linksOf } from './markdown-facts.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const documents = [
  'README.md',
  'SECURITY.md',
  'shared/PROTOCOL.md',
  'patches/README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const textOf = (name: string) => readFileSync(join(root, name), 'utf8');

test.each([...madeDocuments()])('docs/%s is as the code has it', (name, made) => {
  expect(made === textOf(`docs/${name}`), `docs/${name} is stale. Run: npm run docs`).toBe(true);
});

test.each(documents)('every link of %s leads somewhere', (name) => {
  const dead = linksOf(textOf(name)).filter((link) => {
    if (/^(https?|mailto):/.test(link)) return false;
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? name : relative(root, join(root, dirname(name), decodeURI(path)));
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor);
  });
  expect(dead).toEqual([]);
});

test('every document can be found from README.md', () => {
  const seen = new Set<string>();
  const waiting = ['README.md'];
  for (const name of waiting) {
    if (seen.has(name) || !documents.includes(name)) continue;
    seen.add(name);
    for (const link of linksOf(textOf(name))) {
      if (!/^https?:/.test(link)) waiting.push(relative(root, join(root, dirname(name), link.split('#')[0] ?? '')));
    }
  }
  expect(documents.filter((name) => name.startsWith('docs/') && !seen.has(name))).toEqual([]);
});

test('anchors are those that GitHub makes', () => {
  const text = '# A `b_c` d!\n\n## The page’s [link](x.md)\n\n## A `b_c` d!\n\n```sh\n# no heading\n```\n';
  expect([...anchorsOf(text)]).toEqual(['a-b_c-d', 'the-pages-link', 'a-b_c-d-1']);
});

test('README.md is one that people read', () => {
  expect(textOf('README.md').split('\n').length).toBeLessThanOrEqual(100);
});

/** With the command that a person may leave out. */
function withImplied(words: readonly string[]): string[] {
  const [first = '', second = ''] = words;
  if (first === 'invite' && second.startsWith('-')) return ['invite', 'create', ...words.slice(1)];
  return first === '' || (first.startsWith('-') && first !== '--version') ? ['up', ...words] : [...words];
}

describe('commands', () => {
  /** In the text a command is often only named. */
  const INCOMPLETE = [
    'commander.missingArgument',
    'commander.missingMandatoryOptionValue',
    'commander.help',
    // A placeholder is none of the choices.
    'commander.invalidArgument',
  ];
  const FINE = ['commander.version', 'commander.helpDisplayed'];

  /** What commander has against it, if anything. */
  function problemOf({ words, whole }: CommandLine): string | undefined {
    const program = makeProgram(async () => {});
    for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
      command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
    }
    try {
      program.parse(withImplied(words), { from: 'user' });
      return undefined;
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      const isFine = FINE.includes(error.code) || (!whole && INCOMPLETE.includes(error.code));
      return isFine ? undefined : `direct-agent ${words.join(' ')}: ${error.message}`;
    }
  }

  test.each(documents.filter((name) => name !== 'shared/PROTOCOL.md'))(
    'those of %s exist, with their options',
    (name) => {
      expect(commandLines(textOf(name)).flatMap((line) => problemOf(line) ?? [])).toEqual([]);
    },
  );

  test('a wrong one would be noticed', () => {
    const text =
      '```sh\nA=1 npx direct-agent upp --x "1 2" # so\n```\n`direct-agent login <your edge>`, `direct-agent`, `else`';
    expect(commandLines(text)).toEqual([
      { words: ['upp', '--x', '1 2'], whole: true },
      { words: ['login', 'PLACEHOLDER'], whole: false },
      { words: [], whole: false },
    ]);
    expect(problemOf({ words: ['upp'], whole: false })).toContain('unknown command');
    expect(problemOf({ words: ['status', '--jsn'], whole: false })).toContain('unknown option');
    expect(problemOf({ words: ['login'], whole: true })).toContain('missing required argument');
    for (const words of [['login'], ['status', '--json'], ['key'], ['--log-level', 'debug'], []]) {
      expect(problemOf({ words, whole: false })).toBeUndefined();
    }
  });
});

describe('settings', () => {
  test('the reference has every key, with its variable', () => {
    const text = textOf('docs/reference/configuration.md');
    expect(KEYS.filter((key) => !text.includes(`\n### \`${key}\`\n`) || !text.includes(envName(key)))).toEqual([]);
  });

  test.each(Object.entries(MEANINGS))('the example of %s is valid', (key, { example }) => {
    // Those of the edge are for agents without a login, and are what `required` has.
    const own = ['signaling_url', 'token', 'token_file'].includes(key) ? '' : required;
    expect(example).toContain(`${key}:`);
    const text = problemsOf(withFile(own + example, { files: { '/run/secrets/agent-token': 'x' } }));
    expect(text.replace(/^(signaling_url|token) is missing.*$/, 'none')).toBe('none');
  });

  test.each(documents)('the recipes of %s are valid', (name) => {
    const problems = codeBlocks(textOf(name), 'yaml')
      // Those of a reference are tested above, and files of other programs are another thing.
      .filter((yaml) => !/^(signaling_url|token|token_file|services|scrape_configs):/m.test(yaml))
      .map((yaml) => problemsOf(withFile(required + yaml)));
    expect(problems.filter((problem) => problem !== 'none')).toEqual([]);
  });

  test.each(['compose.yaml', 'compose.bridge.yaml'])('docs/docker/%s sets what there is', (name) => {
    const { services } = parse(textOf(`docs/docker/${name}`)) as {
      services: { agent: { environment: Record<string, string> } };
    };
    const env = Object.fromEntries(
      Object.entries(services.agent.environment).map(([key, value]) => [
        key,
        value.replace(/^\$\{.*\}$/, '192.168.1.5'),
      ]),
    );
    expect(Object.keys(env).every((key) => key.startsWith(ENV_PREFIX))).toBe(true);
    expect(problemsOf(withFile(required, { env }))).toBe('none');
  });
});
