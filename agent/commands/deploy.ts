/**
 * `direct-agent deploy`: the edge of this package on the user's own Cloudflare account, by wrangler. An edge without an
 * owner token serves nothing, so the token goes up with it, in one step.
 */
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { edgeFolder, WRANGLER } from '../package-files.ts';
import { type Outcome, systemWrangler, type Wrangler } from '../wrangler.ts';
import type { Context, Flags } from './context.ts';

const SECRET = 'OWNER_TOKEN';
const API_TOKENS = 'https://dash.cloudflare.com/profile/api-tokens';

/** `wrangler whoami --json`. */
const whoAmI = z.object({
  loggedIn: z.boolean(),
  accounts: z.array(z.object({ id: z.string(), name: z.string() })).optional(),
});
/** `wrangler secret list`. */
const secretList = z.array(z.object({ name: z.string() }));
/** A line of what wrangler writes for programs about a deploy. */
const deployed = z.object({ type: z.literal('deploy'), targets: z.array(z.string()) });

export interface DeployTools {
  wrangler(spec: string, command: string | undefined): Wrangler;
  edgeFolder(): string;
  newToken(): string;
}

/** @throws CommandError */
export async function deploy(
  context: Context,
  flags: Flags,
  tools: DeployTools = {
    wrangler: (spec, command) => systemWrangler(spec, command, context.signal),
    edgeFolder,
    newToken: () => randomBytes(32).toString('hex'),
  },
): Promise<ExitCode> {
  const name = workerName(flags.name);
  const account = accountId(flags.account);
  const command = typeof flags.wrangler === 'string' ? flags.wrangler : undefined;
  const again = [
    'direct-agent deploy',
    ...(name ? [`--name ${name}`] : []),
    ...(account ? [`--account ${account}`] : []),
  ].join(' ');
  const edge = tools.edgeFolder();
  // Of its own, since wrangler leaves files beside its configuration, and the package may be read-only.
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-deploy-'));
  try {
    cpSync(edge, folder, { recursive: true });
    const run = new Deployment(context, tools.wrangler(WRANGLER, command), folder, name, account);
    if (flags.dryRun === true) {
      await run.deploy(['--dry-run']);
      context.err('The edge is complete, and wrangler takes it. Nothing was sent.');
      return EXIT.ok;
    }
    await run.logIn();
    const found = await run.look();
    if (found === 'other' && flags.replace !== true) throw taken(name ?? 'direct-agent', again);
    const isUpdate = found === 'edge';
    context.err(isUpdate ? 'Updating the edge …' : 'Deploying the edge …');
    const token = isUpdate && flags.newToken !== true ? undefined : tools.newToken();
    const secrets = token === undefined ? [] : ['--secrets-file', writeSecrets(folder, token)];
    const url = await orUnseen(context, token === undefined ? undefined : `${again} --new-token`, run.deploy(secrets));
    report(context, { url, token, isUpdate, json: flags.json === true, again });
    return EXIT.ok;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * wrangler uploads the edge with its token in one step, and gives it its address in another one: where that fails, or
 * somebody stops it, there may be an edge with a token that nobody has seen. `again` makes a new one. @throws CommandError
 */
async function orUnseen<T>({ signal }: Context, again: string | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const isStopped = signal.aborted && !(error instanceof CommandError);
    if (again === undefined || !(isStopped || error instanceof CommandError)) throw error;
    throw new CommandError(
      error instanceof CommandError ? error.exitCode : EXIT.interrupted,
      `${error instanceof CommandError ? error.message : 'stopped.'} The edge may be up by now, with an owner token that nobody has seen, so go on with: ${again}`,
    );
  }
}

/** What goes by the name has no owner token, so it is no edge that serves anybody. */
function taken(name: string, again: string): CommandError {
  return new CommandError(
    EXIT.usage,
    `Your account has a Worker “${name}” that has no secret ${SECRET}, so it is something else, or an edge that was never set up. Take another name: direct-agent deploy --name my-edge. Or, to replace what is there: ${again} --replace`,
  );
}

class Deployment {
  readonly #context: Context;
  readonly #wrangler: Wrangler;
  readonly #folder: string;
  readonly #name: readonly string[];
  readonly #output: string;
  #account: string | undefined;

  constructor(context: Context, wrangler: Wrangler, folder: string, name: string | undefined, account?: string) {
    this.#context = context;
    this.#wrangler = wrangler;
    this.#folder = folder;
    this.#name = name === undefined ? [] : ['--name', name];
    this.#account = account ?? (context.env.CLOUDFLARE_ACCOUNT_ID || undefined);
    this.#output = join(folder, 'wrangler-output.ndjson');
  }

  /** By an API token in the environment, or as the person who ran `wrangler login`, which is offered here. */
  async logIn(): Promise<void> {
    const { CLOUDFLARE_API_TOKEN: token } = this.#context.env;
    if (token !== undefined && token !== '' && this.#account !== undefined) return;
    this.#context.err('Asking Cloudflare who you are …');
    let me = await this.#whoAmI();
    if (me?.loggedIn === false) {
      if (token !== undefined && token !== '') {
        throw new CommandError(
          EXIT.refused,
          `Cloudflare does not accept CLOUDFLARE_API_TOKEN. Make another one at ${API_TOKENS} (template “Edit Cloudflare Workers”).`,
        );
      }
      if (!this.#wrangler.isInteractive) throw noLogin();
      const { code } = await this.#run(['login'], { quiet: false });
      if (code !== 0)
        throw new CommandError(EXIT.denied, 'You are not logged in at Cloudflare. Run this again to try again.');
      me = await this.#whoAmI();
    }
    const accounts = me?.accounts ?? [];
    if (this.#account !== undefined) return;
    if (accounts.length > 1) {
      const list = accounts.map(({ id, name }) => `\n  --account ${plain(id)}   ${plain(name)}`).join('');
      throw new CommandError(EXIT.usage, `You have several Cloudflare accounts. Say which one:${list}`);
    }
    this.#account = accounts[0]?.id;
  }

  /** What has the name already: an edge with an owner token, something else, or nothing. */
  async look(): Promise<'edge' | 'other' | 'nothing'> {
    const outcome = await this.#run(['secret', 'list', ...this.#name, '--format', 'json'], { quiet: true });
    if (outcome.code !== 0) {
      // Cloudflare's code for a Worker that does not exist, or what wrangler makes of it.
      if (/\b10007\b|Worker "[\w-]*" not found/.test(outcome.printed)) return 'nothing';
      throw failure(outcome, 'wrangler could not look at your account');
    }
    const secrets = secretList.safeParse(jsonIn(outcome.stdout));
    if (!secrets.success) {
      throw new CommandError(
        EXIT.protocol,
        'wrangler’s list of secrets cannot be read. Update direct-agent and try again.',
      );
    }
    return secrets.data.some(({ name }) => name === SECRET) ? 'edge' : 'other';
  }

  /** The address of what is deployed; undefined if wrangler does not tell. */
  async deploy(args: readonly string[]): Promise<string | undefined> {
    const outcome = await this.#run(['deploy', ...this.#name, ...args], { quiet: false });
    if (outcome.code !== 0) {
      throw new CommandError(
        EXIT.refused,
        'wrangler could not deploy the edge; what it says is above. Run this again when it is mended.',
      );
    }
    const lines = readIfThere(this.#output).split('\n');
    const targets = lines.flatMap((line) => deployed.safeParse(jsonIn(line)).data?.targets ?? []);
    return targets.map(originOf).find((origin) => origin !== undefined);
  }

  async #whoAmI(): Promise<z.infer<typeof whoAmI> | undefined> {
    const { stdout } = await this.#run(['whoami', '--json'], { quiet: true });
    return whoAmI.safeParse(jsonIn(stdout)).data;
  }

  #run(args: readonly string[], { quiet }: { quiet: boolean }): Promise<Outcome> {
    const own = Object.entries(this.#context.env).filter(([key]) => !key.startsWith('DIRECT_AGENT_'));
    const env = {
      // Not ours to switch on.
      WRANGLER_SEND_METRICS: 'false',
      ...Object.fromEntries(own),
      WRANGLER_HIDE_BANNER: 'true',
      // Questions, warnings and errors, but no line for each file.
      ...(args[0] === 'deploy' ? { WRANGLER_LOG: this.#context.env.WRANGLER_LOG ?? 'warn' } : {}),
      WRANGLER_OUTPUT_FILE_PATH: this.#output,
      ...(this.#account === undefined ? {} : { CLOUDFLARE_ACCOUNT_ID: this.#account }),
    };
    return this.#wrangler.run({ args, cwd: this.#folder, env, quiet });
  }
}

interface Result {
  url: string | undefined;
  token: string | undefined;
  isUpdate: boolean;
  json: boolean;
  /** The command line that deploys to the same place. */
  again: string;
}

/** stdout has the address and, if it is new, the token, a line each. */
function report({ out, err }: Context, { url, token, isUpdate, json, again }: Result): void {
  if (json) {
    out(JSON.stringify({ url: url ?? null, owner_token: token ?? null, updated: isUpdate }));
    return;
  }
  err('');
  err(
    isUpdate
      ? 'The edge is updated. Its address:'
      : 'The edge is deployed. Its address, which may take a minute to work:',
  );
  if (url === undefined) err('(wrangler names it above)');
  else out(url);
  if (token === undefined) {
    err(`Its owner token, variables and hosts are as before. A new token: ${again} --new-token`);
    return;
  }
  err(isUpdate ? 'Its new owner token; the old one is void:' : 'Its owner token, which signs you in:');
  out(token);
  err('Keep it: it is not shown again.');
  if (isUpdate) return;
  err('');
  err('Next, on the machine with your language model:');
  err(`  npx direct-agent login ${url ?? 'https://<its address>'}`);
}

/** @throws CommandError */
function workerName(flag: unknown): string | undefined {
  if (flag === undefined) return undefined;
  // A label of its address; Cloudflare allows 63 characters.
  if (typeof flag === 'string' && /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(flag)) return flag;
  throw new CommandError(
    EXIT.usage,
    `--name ${plain(String(flag))}: it must be small letters, digits and hyphens, at most 63. For example: --name my-edge`,
  );
}

/** @throws CommandError */
function accountId(flag: unknown): string | undefined {
  if (flag === undefined) return undefined;
  if (typeof flag === 'string' && /^[0-9a-f]{32}$/.test(flag)) return flag;
  throw new CommandError(
    EXIT.usage,
    `--account ${plain(String(flag))}: it must be the 32 digits and letters that stand in the dashboard’s address, dash.cloudflare.com/<account>.`,
  );
}

function noLogin(): CommandError {
  return new CommandError(
    EXIT.config,
    `Nobody is logged in at Cloudflare, and there is no terminal to do it in. Set CLOUDFLARE_API_TOKEN (${API_TOKENS}, template “Edit Cloudflare Workers”) and CLOUDFLARE_ACCOUNT_ID, or run this in a terminal.`,
  );
}

/** What wrangler said, without its colours and log files. */
function failure({ printed }: Outcome, what: string): CommandError {
  const lines = printed
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
    .replaceAll(/\u001b\[[0-9;]*m/g, '')
    .split('\n')
    .map((line) => plain(line, 500).trim())
    .filter((line) => line !== '' && !line.includes('Logs were written'));
  return new CommandError(
    EXIT.tryAgain,
    `${what}: ${lines.slice(0, 6).join(' ') || 'it does not say why'}. Check the network and your login (npx wrangler whoami), then try again.`,
  );
}

/** Only its user can read it, as everything in the folder. */
function writeSecrets(folder: string, token: string): string {
  const name = 'secrets.json';
  writeFileSync(join(folder, name), JSON.stringify({ [SECRET]: token }), { mode: 0o600 });
  return name;
}

function originOf(target: string): string | undefined {
  const url = URL.parse(target.includes('://') ? target : `https://${target}`);
  return url === null || url.protocol !== 'https:' ? undefined : url.origin;
}

/** The JSON in what a program prints, which may have other lines before it. */
function jsonIn(text: string): unknown {
  const start = text.search(/^[[{]/m);
  if (start < 0) return undefined;
  try {
    return JSON.parse(text.slice(start)) as unknown;
  } catch {
    return undefined;
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
