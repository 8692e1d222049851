import { expect, test } from 'vitest';
import { CommandError, EXIT } from '../command-error.ts';
import { ConfigError } from '../config-error.ts';
import { type Check, examine } from './examination.ts';
import { type Finding, ok } from './finding.ts';
import { told } from './test-doctor.ts';

const never = new AbortController().signal;
const silent: Check = () => new Promise(() => {});
const say =
  (what: string): Check =>
  async () => [ok('said', what)];

async function run(checks: readonly Check[], { limitMs = 60_000, signal = never } = {}) {
  const shown: string[] = [];
  const sections = checks.map((check, i) => ({ title: `${i}`, checks: [{ name: `check-${i}`, run: check }] }));
  const found = ({ title }: { title: string }, findings: readonly Finding[]) =>
    void shown.push(`${title} ${told(findings)}`);
  return { all: await examine({ sections, limitMs, signal, found }), shown };
}

test('all run at once, and are told in order', async () => {
  const second = Promise.withResolvers<void>();
  const first: Check = async () => {
    await second.promise;
    return [ok('first', 'first')];
  };
  const releasing: Check = async () => {
    second.resolve();
    return [ok('second', 'second')];
  };
  const { shown } = await run([first, releasing]);
  expect(shown).toEqual(['0   ✓ first', '1   ✓ second']);
});

test('a check that never ends is told, beside the others', async () => {
  const { all } = await run([silent, say('there')], { limitMs: 20 });
  expect(told(all)).toMatchInlineSnapshot(`
    "  ! This check was not finished in time.
        Something that it asked is slow or silent; what the other lines say of it may tell more.
        → Run direct-agent doctor again when this machine and its network are less busy.
      ✓ there"
  `);
  expect(all[0]?.check).toBe('check-0');
});

test('a check that ends with its signal tells what it has found so far', async () => {
  const partial: Check = (signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve([ok('half', 'half of it')])));
  expect(told((await run([partial], { limitMs: 20 })).all)).toBe('  ✓ half of it');
});

test('errors are findings', async () => {
  const failing =
    (error: Error): Check =>
    () =>
      Promise.reject(error);
  const { all } = await run([
    failing(new ConfigError(['token (config.yaml:3): is empty. Write it.', 'tunnel: no. Yes.'])),
    failing(new CommandError(EXIT.config, 'host-key.json is damaged. Restore it.')),
    failing(new Error('what\u001b[2J')),
    () => {
      throw new TypeError('at once');
    },
  ]);
  expect(told(all)).toMatchInlineSnapshot(`
    "  ✗ token (config.yaml:3): is empty.
        → Write it.
      ✗ tunnel: no.
        → Yes.
      ✗ host-key.json is damaged.
        → Restore it.
      ✗ This check broke off: what[2J.
        That is a mistake of this program; the other lines hold all the same.
        → Please report it.
      ✗ This check broke off: at once.
        That is a mistake of this program; the other lines hold all the same.
        → Please report it."
  `);
});

test('an interrupt ends it', async () => {
  const interrupt = new AbortController();
  const running = run([say('first'), silent], { signal: interrupt.signal });
  setTimeout(() => interrupt.abort(), 10);
  expect((await running).shown).toEqual(['0   ✓ first']);
});
