import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../command-error.ts';
import type { Outcome, Run, Wrangler } from '../wrangler.ts';
import { type DeployTools, deploy } from './deploy.ts';
import { FakeProcess } from './test-fake-edge.ts';

const TOKEN = 'f'.repeat(64);
const ACCOUNT = 'a'.repeat(32);
const URL = 'https://direct-agent.someone.workers.dev';

/** Answers by the first word of the command; what is not here succeeds and says nothing. */
type Answers = Partial<Record<'whoami' | 'secret' | 'login' | 'deploy', Partial<Outcome>[]>>;

class FakeWrangler implements Wrangler {
  readonly isInteractive: boolean;
  readonly runs: Run[] = [];
  readonly #answers: Answers;
  /** What the secrets file held, and its permission bits. */
  secrets: string | undefined;
  mode: number | undefined;

  constructor(answers: Answers, isInteractive = false) {
    this.#answers = answers;
    this.isInteractive = isInteractive;
  }

  async run(run: Run): Promise<Outcome> {
    this.runs.push(run);
    const [word = ''] = run.args;
    const file = run.args[run.args.indexOf('--secrets-file') + 1];
    if (run.args.includes('--secrets-file') && file !== undefined) {
      this.secrets = readFileSync(join(run.cwd, file), 'utf8');
      this.mode = statSync(join(run.cwd, file)).mode & 0o777;
    }
    const { code = 0, stdout = '', printed = stdout } = this.#answers[word as keyof Answers]?.shift() ?? {};
    if (word === 'deploy' && code === 0) {
      const line = { type: 'deploy', version: 1, targets: [URL] };
      writeFileSync(run.env.WRANGLER_OUTPUT_FILE_PATH ?? '', `{"type":"wrangler-session"}\n${JSON.stringify(line)}\n`);
    }
    return { code, stdout, printed };
  }

  get commands(): string[] {
    return this.runs.map(({ args }) => args.join(' '));
  }
}

const loggedIn = (...names: string[]) => ({
  stdout: JSON.stringify({ loggedIn: true, accounts: names.map((name, i) => ({ name, id: `${i}`.repeat(32) })) }),
});
const LOGGED_OUT = { code: 1, stdout: '{"loggedIn":false}' };
const NO_WORKER = { code: 1, printed: '✘ [ERROR] Worker "direct-agent" not found.' };
const HAS_TOKEN = { stdout: '[{"name":"OWNER_TOKEN","type":"secret_text"}]' };

function prepare(answers: Answers, isInteractive = false) {
  const process = new FakeProcess();
  const edge = mkdtempSync(join(process.folder, 'edge-'));
  mkdirSync(join(edge, 'worker'));
  writeFileSync(join(edge, 'wrangler.json'), '{}');
  const wrangler = new FakeWrangler(answers, isInteractive);
  const tools: DeployTools = { wrangler: () => wrangler, edgeFolder: () => edge, newToken: () => TOKEN };
  const run = async (flags = {}, env = {}) =>
    await process.run(deploy({ ...process.context, env: { ...process.context.env, ...env } }, flags, tools));
  return { process, wrangler, run };
}

describe('deploy', () => {
  test('puts the edge up with an owner token, and says what comes next', async () => {
    const { process, wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [NO_WORKER] });
    expect(await run()).toEqual([EXIT.ok]);
    expect(wrangler.commands).toEqual([
      'whoami --json',
      'secret list --format json',
      'deploy --secrets-file secrets.json',
    ]);
    expect(JSON.parse(wrangler.secrets ?? '')).toEqual({ OWNER_TOKEN: TOKEN });
    expect(wrangler.mode).toBe(0o600);
    expect(process.stdout).toEqual([URL, TOKEN]);
    expect(process.stderr.join('\n')).toContain(`npx direct-agent login ${URL}`);
    expect(process.stderr.join('\n')).not.toContain(TOKEN);
  });

  test('leaves nothing behind, and gives wrangler nothing of the agent', async () => {
    const { wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [NO_WORKER] });
    await run({}, { DIRECT_AGENT_TOKEN: 'secret of the agent' });
    const folders = new Set(wrangler.runs.map(({ cwd }) => cwd));
    expect([...folders].map((folder) => existsSync(folder))).toEqual([false]);
    expect(JSON.stringify(wrangler.runs)).not.toMatch(/secret of the agent|f{64}/);
    expect(wrangler.runs.at(-1)?.env.CLOUDFLARE_ACCOUNT_ID).toBe('0'.repeat(32));
  });

  test('keeps the token of an edge that is there already', async () => {
    const { process, wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [HAS_TOKEN] });
    expect(await run({ name: 'my-edge' })).toEqual([EXIT.ok]);
    expect(wrangler.commands.slice(1)).toEqual(['secret list --name my-edge --format json', 'deploy --name my-edge']);
    expect(process.stdout).toEqual([URL]);
    expect(process.stderr.join('\n')).toMatch(/updated.*\n.*direct-agent deploy --name my-edge --new-token/);
  });

  test.each([
    ['that has none', 'gets one with --replace', { replace: true }, '[]'],
    ['that has one', 'gets another with --new-token', { newToken: true }, HAS_TOKEN.stdout],
  ])('an edge %s %s', async (_which, _what, flags, stdout) => {
    const { process, wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [{ stdout }] });
    expect(await run(flags)).toEqual([EXIT.ok]);
    expect(JSON.parse(wrangler.secrets ?? '')).toEqual({ OWNER_TOKEN: TOKEN });
    expect(process.stdout).toEqual([URL, TOKEN]);
  });

  test('--json is for programs', async () => {
    const { process, run } = prepare({ whoami: [loggedIn('me')], secret: [NO_WORKER] });
    await run({ json: true });
    expect(process.stdout.map((line) => JSON.parse(line))).toEqual([{ url: URL, owner_token: TOKEN, updated: false }]);
  });

  test('--dry-run asks nothing of Cloudflare and makes no token', async () => {
    const { process, wrangler, run } = prepare({});
    expect(await run({ dryRun: true })).toEqual([EXIT.ok]);
    expect(wrangler.commands).toEqual(['deploy --dry-run']);
    expect(process.stdout).toEqual([]);
  });

  test('asks nobody who the account is when the environment says it', async () => {
    const { wrangler, run } = prepare({ secret: [NO_WORKER] });
    expect(await run({}, { CLOUDFLARE_API_TOKEN: 't', CLOUDFLARE_ACCOUNT_ID: ACCOUNT })).toEqual([EXIT.ok]);
    expect(wrangler.commands[0]).toBe('secret list --format json');
  });
});

describe('a login at Cloudflare', () => {
  test('is made where a person can make it', async () => {
    const { wrangler, run } = prepare({ whoami: [LOGGED_OUT, loggedIn('me')], secret: [NO_WORKER] }, true);
    expect(await run()).toEqual([EXIT.ok]);
    expect(wrangler.runs[1]).toMatchObject({ args: ['login'], quiet: false });
  });

  test('that the person leaves ends the command', async () => {
    const { wrangler, run } = prepare({ whoami: [LOGGED_OUT], login: [{ code: 1 }] }, true);
    expect(await run()).toEqual([EXIT.denied, expect.stringContaining('not logged in')]);
    expect(wrangler.commands).not.toContain('deploy');
  });

  test('is by variables elsewhere, which are named', async () => {
    const { run } = prepare({ whoami: [LOGGED_OUT] });
    const [code, message] = await run();
    expect(code).toBe(EXIT.config);
    expect(message).toMatch(/CLOUDFLARE_API_TOKEN .*CLOUDFLARE_ACCOUNT_ID/);
  });

  test('by a token that is not accepted says so', async () => {
    const { run } = prepare({ whoami: [LOGGED_OUT] }, true);
    const [code, message] = await run({}, { CLOUDFLARE_API_TOKEN: 'wrong-token' });
    expect(code).toBe(EXIT.refused);
    expect(message).toContain('CLOUDFLARE_API_TOKEN');
    expect(message).not.toContain('wrong-token');
  });

  test('to several accounts needs a choice', async () => {
    const { wrangler, run } = prepare({ whoami: [loggedIn('mine', 'the company’s')] });
    const [code, message] = await run();
    expect(code).toBe(EXIT.usage);
    expect(message).toContain(`--account ${'1'.repeat(32)}   the company’s`);
    expect(wrangler.commands).toEqual(['whoami --json']);
  });

  test('to several accounts goes by --account', async () => {
    const { wrangler, run } = prepare({ whoami: [loggedIn('mine', 'the company’s')], secret: [NO_WORKER] });
    expect(await run({ account: '1'.repeat(32) })).toEqual([EXIT.ok]);
    expect(wrangler.runs.at(-1)?.env.CLOUDFLARE_ACCOUNT_ID).toBe('1'.repeat(32));
  });
});

describe('fails with what to do', () => {
  test.each([
    ['My_Edge', '--name My_Edge: it must be small letters'],
    ['a'.repeat(64), 'at most 63'],
    ['x; rm', 'it must be'],
  ])('for the name %s', async (name, message) => {
    const { wrangler, run } = prepare({});
    expect(await run({ name })).toEqual([EXIT.usage, expect.stringContaining(message)]);
    expect(wrangler.runs).toEqual([]);
  });

  test('for an account that is none', async () => {
    expect(await prepare({}).run({ account: 'me' })).toEqual([EXIT.usage, expect.stringContaining('--account me')]);
  });

  test('when Cloudflare is not reached: what wrangler said, and no token is made', async () => {
    const printed = '\n\u001b[31m✘ [ERROR]\u001b[0m fetch failed\n🪵  Logs were written to "/x"\n';
    const { process, run } = prepare({ whoami: [loggedIn('me')], secret: [{ code: 1, printed }] });
    const [code, message] = await run();
    expect(code).toBe(EXIT.tryAgain);
    expect(message).toMatch(/account: ✘ \[ERROR\] fetch failed\. Check the network/);
    expect(process.stdout).toEqual([]);
  });

  test('when the list of secrets is something else', async () => {
    const { run } = prepare({ whoami: [loggedIn('me')], secret: [{ stdout: '{"a":1}' }] });
    expect(await run()).toEqual([EXIT.protocol, expect.stringContaining('Update direct-agent')]);
  });

  test('for a Worker of that name that is something else: it is not replaced unasked', async () => {
    const { process, wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [{ stdout: '[]' }] });
    const [code, message] = await run({ name: 'my-site' });
    expect([code, process.stdout]).toEqual([EXIT.usage, []]);
    expect(message).toMatch(/Worker “my-site”.*--name my-edge.*direct-agent deploy --name my-site --replace$/);
    expect(wrangler.commands).not.toContainEqual(expect.stringMatching(/^deploy/));
  });

  test('when wrangler fails with a new token: it may be up, and nobody has seen that token', async () => {
    const answers = { whoami: [loggedIn('me')], secret: [NO_WORKER], deploy: [{ code: 1 }] };
    const [, message] = await prepare(answers).run({ name: 'my-edge' });
    expect(message).toMatch(/nobody has seen, .*: direct-agent deploy --name my-edge --new-token$/);
  });

  test('when it is stopped in the midst of that', async () => {
    const { process, wrangler, run } = prepare({ whoami: [loggedIn('me')], secret: [NO_WORKER] });
    const before = wrangler.run.bind(wrangler);
    wrangler.run = async (asked) => {
      if (asked.args[0] !== 'deploy') return await before(asked);
      process.interrupt.abort();
      throw new DOMException('aborted', 'AbortError');
    };
    expect(await run()).toEqual([EXIT.interrupted, expect.stringMatching(/^stopped\. .*deploy --new-token$/)]);
  });

  test('when an update fails: the token is as before', async () => {
    const answers = { whoami: [loggedIn('me')], secret: [HAS_TOKEN], deploy: [{ code: 1 }] };
    const [, message] = await prepare(answers).run();
    expect(message).not.toContain('--new-token');
  });

  test('when wrangler cannot deploy: no address and no token are printed, and nothing stays', async () => {
    const { process, wrangler, run } = prepare({
      whoami: [loggedIn('me')],
      secret: [NO_WORKER],
      deploy: [{ code: 1 }],
    });
    expect(await run()).toEqual([EXIT.refused, expect.stringContaining('above')]);
    expect(process.stdout).toEqual([]);
    expect(existsSync(wrangler.runs[0]?.cwd ?? tmpdir())).toBe(false);
  });
});
